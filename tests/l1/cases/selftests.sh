# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Our tests on the library of the KVM selftests (tests/l1/selftests): what is captured is what the guests see,
# and after a kexec they go on with the same clocks. Parameters (part=selftests is needed):
#
#   library=VERSION    of the selftests (default: the first kernel's line)
#   scenarios=A,B      these only
#   shift_khz=N        the next kernel is told a TSC frequency N kHz away from this one's
#   controls=yes       instead, for each thing that can be made wrong, is it noticed by the check that is
#                      there for it?
#   spoil=WHAT         that is made wrong after the kexec: a control of this script

OURS=$KCH/selftests/$(param library "$HOST_LINE")/ours
export KCH_CARRIED="$CARRIED"

# Its output goes to the console, and what was skipped or failed into the verdict too.
run_test() { # NAME COMMAND...
	_name=$1
	shift
	# shellcheck disable=SC2046 # words
	try /run/test.out "$@" $(param scenarios | tr , ' ') </dev/null
	cat /run/test.out >/dev/console
	grep -E '^(not ok|# check |# Totals|1\.\.0)|# SKIP| checks$|cannot be restored' /run/test.out |
		cut -c1-200 | note_lines "$_name"
	return "$STATUS"
}

# Something is made wrong, and the test must fail in the check that is named. If the host does not have that thing,
# a note says so, and there is no check.
control() { # SPOIL SCENARIO CHECK COMMAND...
	_spoil=$1 _scenario=$2 _wanted=$3
	shift 3
	try /run/control.out env "KCH_SPOIL=$_spoil" "$@" "$_scenario" </dev/null
	if grep '# SKIP' /run/control.out >/run/skipped-control; then
		note "control-$_spoil-$_scenario-$_wanted" "$(cat /run/skipped-control)"
		return
	fi
	check "control-$_spoil-$_scenario-$_wanted" noticed
}

noticed() {
	[ "$STATUS" -eq 1 ] && grep -q "^# check $_wanted failed: " /run/control.out && return
	cat /run/control.out >/dev/console
	return 1
}

capture_controls() {
	set -- "$OURS/capture_test"
	control cycle vcpus_2 offset "$@"
	control cycle no_kvmclock offset "$@"
	control cycle nested pvclock_page "$@"
	control jump no_kvmclock tsc_between "$@"
	control second vcpus_8 pvclock_between "$@"
	control ns vcpus_1 pvclock_at_tsc "$@"
	control mul vcpus_2 pvclock_page "$@"
	control mul hyperv hyperv_page "$@"
	control flag vcpus_2 pvclock_flags "$@"
	control adjust wrote_adjust adjust "$@"
	control mul xen xen_vcpu_page "$@"
	control mul xen xen_time_page "$@"
}

# A VM is restored once: each control has its own.
restore_controls() {
	set -- "$OURS/handover_test" restore
	control none vcpus_1 pvclock_changed "$@"
	control none hyperv hyperv_changed "$@"
	control none no_kvmclock offset "$@"
	control none nested identical "$@"
	control none xen xen_time_changed "$@"
	control cycle vcpus_2 offset "$@"
	control clock vcpus_3 pvclock_page "$@"
	control adjust wrote_adjust adjust "$@"
	control flags stopped pvclock_changed "$@"
}

# Of the VMs in the record: those that the test says cannot be restored, and those of a kind that this
# kernel does not have.
left() {
	sed -n 's/^# restore\.\([a-z0-9_]*\) cannot be restored.*/\1/p
		s/^ok [0-9]* # SKIP restore\.\([a-z0-9_]*\): Requirement not met.*/\1/p' /run/test.out |
		while read -r _scenario; do
			[ ! -e "$CARRIED/$_scenario" ] || echo "$_scenario"
		done
}

# All others were restored; and while one was not, the record is not dropped.
finish() {
	try /run/finish kvmclockctl finish
	cat /run/finish >/dev/console
	_left=$(left | wc -l)
	note left "$_left of $(field status incoming_vms), restored $(field status restored_vms)"
	if [ "$_left" -eq 0 ]; then
		[ "$STATUS" -eq 0 ]
	else
		[ "$STATUS" -eq 4 ] &&
			[ $(($(field status incoming_vms) - $(field status restored_vms))) -eq "$_left" ]
	fi
}

stage_0() {
	[ -d "$OURS" ] || fail "no $OURS here: part=selftests is needed"
	mkdir -p "$CARRIED"
	if [ "$(param controls no)" = yes ]; then
		capture_controls
	else
		check capture run_test capture "$OURS/capture_test"
	fi
	check preserve run_test preserve "$OURS/handover_test" preserve
	_words="$(shifted_khz shift) $(carry_out)"
	# shellcheck disable=SC2086 # words
	do_kexec "$NEXT_LINE" $_words
}

stage_1() {
	carry_in
	if [ "$(param controls no)" = yes ]; then
		restore_controls
		return
	fi
	KCH_SPOIL=$(param spoil "")
	export KCH_SPOIL
	check restore run_test restore "$OURS/handover_test" restore
	[ -n "$KCH_SPOIL" ] || check finish finish
}
