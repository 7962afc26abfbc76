# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What cannot be restored: QEMU's guest comes back all the same, as it would with QEMU alone, and one
# line says why and what its clock is; with --require it does not run. The parameters are those of
# qemu.sh, and so is the first stage; besides:
#
#   wrong=A,B   what is wrong, one after the other:
#     vcpus     QEMU is given two vCPUs, one was saved
#     khz       QEMU is given another TSC frequency, and refuses that itself
#     cpu-khz   the same with a machine whose saved state does not have the frequency
#     host-khz  the host's is another one (with host_khz=)
#     reset     the host's TSC was reset by the kexec
#     jumped    it went on for longer than the wall clock
#     module    it is not loaded
#     erased    the region holds nothing
#     twin      two VMs have the id
#     finished  the record was finished with
#     nothing   nothing is wrong: a control, all must notice
#
# Each but khz and twin: the line with its reason, what the guest's clock is by it and by the guest's
# own reading, that TSC and clock are where QEMU alone puts them; and with --require the status,
# and that the guest has done nothing. At the end, or before the record is gone, the guest is restored.

# shellcheck source=tests/nested/cases/qemu.sh
. /kch/cases/qemu.sh

# A QEMU that has ended must not end the script by its monitor.
trap '' PIPE

# The numbers of awk are exact up to 2^53, and a TSC is less than that for weeks.
between() { # LOW X HIGH
	awk -v low="$1" -v x="$2" -v high="$3" 'BEGIN { exit !(low < x && x < high) }'
}

result_of() { # NAME KEY
	sed -n "s/^$2=//p" "/run/$1.result"
}

# QEMU alone sets both to what they were when it stopped the guest. So each has lost what passed on
# the host from some instant of the saving to one of the loading, and these are bracketed.
as_alone() { # NAME
	_khz=$(cat "$CARRIED/khz")
	_least=$(awk -v a="$(cat "/run/$1.start")" -v b="$(cat "$CARRIED/saved")" -v k="$_khz" \
		'BEGIN { printf "%.0f", (a - b) * 1e6 / k }')
	_most=$(awk -v a="$(cat "/run/$1.up")" -v b="$(cat "$CARRIED/stopping")" -v k="$_khz" \
		'BEGIN { printf "%.0f", (a - b) * 1e6 / k }')
	_tsc=$(result_of "$1" tsc_error_ns)
	_clock=$(result_of "$1" raw_error_ns)
	note "$1" "guest TSC $_tsc ns, clock $_clock ns; the host was away for $_least to $_most ns"
	check "$1-tsc" between "$_least" "$((0 - ${_tsc:-0}))" "$_most"
	check "$1-clock" between "$_least" "$((0 - ${_clock:-0}))" "$_most"
}

# The line's number, of three decimals, lies between the guest's last reading before and its first after.
said_clock() { # NAME
	_said=$(sed -n "s/.*the guest's kvmclock is \([0-9.]*\) s.*/\1/p" "/run/$1.err" | head -n 1)
	awk -v last="$(result_of "$1" kvmclock_last_ns)" -v s="${_said:-0}" \
		-v first="$(result_of "$1" kvmclock_first_ns)" \
		'BEGIN { exit !(last < (s + 0.0005) * 1e9 && (s - 0.0005) * 1e9 < first) }'
}

count_lines() { # NAME PATTERN
	grep -c "$2" "/run/$1.err" || true
}

five_readings() { # NAME
	[ "$(grep -c '^S ' "/run/$1.data")" -ge 5 ]
}

# Whether QEMU has ended, or its guest has said something.
ended_or_talks() { # NAME
	gone || [ -s "/run/$1.data" ]
}

# NAME, the line's TEXT, then options of QEMU: started without --require, and with it.
refused() {
	_case=$1
	_text=$2
	shift 2
	kch-host-tsc >"/run/$_case.start"
	start_qemu "$_case" kvmclock-run --id "$VM_ID" --wait 0 -- -incoming "exec:cat $CARRIED/state" "$@"
	check "$_case-runs" wait_for 100 grep -q "^S " "/run/$_case.data"
	kch-host-tsc >"/run/$_case.up"
	tsc_offset >"/run/$_case.offset"
	wait_for 20 five_readings "$_case" || true
	monitor quit
	wait_for 20 gone || true
	note "$_case" "$(grep '^kvmclock-run.*not restored' "/run/$_case.err" | head -n 1)"
	check "$_case-said" grep -q "clock not restored: .*$_text.*; the guest's kvmclock is [0-9.]* s, as the VMM set it" \
		"/run/$_case.err"
	check_equal "$_case-said-once" "$(count_lines "$_case" 'clock not restored')" 1
	"$KCH/kch-qemu-analyse" "$CARRIED/before" "/run/$_case.data" "$(cat "$CARRIED/tsc-offset")" \
		"$(cat "/run/$_case.offset")" "$(cat "$CARRIED/stopped")" >"/run/$_case.result" || true
	check "$_case-said-clock" said_clock "$_case"
	as_alone "$_case"

	start_qemu "$_case-required" kvmclock-run --id "$VM_ID" --wait 0 --require -- \
		-incoming "exec:cat $CARRIED/state" "$@"
	wait_for 100 ended_or_talks "$_case-required" || true
	gone || monitor quit
	wait "$QEMU_PID" && _status=0 || _status=$?
	check_equal "$_case-required-status" "$_status" 4
	check "$_case-required-said" grep -q "clock not restored: .*$_text.*; the guest is not started (--require)" \
		"/run/$_case-required.err"
	check "$_case-required-silent" test ! -s "/run/$_case-required.data"
	at "$_case"
}

# QEMU refuses by itself: the same with and without us.
itself() { # NAME TEXT WRAPPER... -- OPTION...
	_case=$1
	_text=$2
	shift 2
	start_qemu "$_case" "$@"
	wait_for 100 ended_or_talks "$_case" || true
	gone || monitor quit
	wait "$QEMU_PID" && _status=0 || _status=$?
	note "$_case" "status $_status: $(grep -v '^kvmclock-run' "/run/$_case.err" | head -n 1)"
	check_equal "$_case-status" "$_status" 1
	check "$_case-said" grep -q "$_text" "/run/$_case.err"
	check "$_case-silent" test ! -s "/run/$_case.data"
}

# None of that has spoilt the record.
good() {
	start_qemu good kvmclock-run --id "$VM_ID" -v --require -- -incoming "exec:cat $CARRIED/state"
	wait_for 100 grep -q "^S " /run/good.data || lost_guest good "the guest did not come back"
	check good grep -q "clock restored: identical" /run/good.err
	check_equal good-offset "$(tsc_offset)" "$(cat "$CARRIED/tsc-offset")"
}

region() { # in|out
	case $1 in
	out) dd if=/dev/mem of=/run/region bs=64k skip=$((REGION_ADDR >> 16)) count=$((REGION_SIZE >> 16)) 2>/run/dd ;;
	in) dd if=/run/region of=/dev/mem bs=64k seek=$((REGION_ADDR >> 16)) 2>/run/dd ;;
	esac
}

# With the region as COMMAND leaves it.
with_region() { # COMMAND... -- REFUSED-ARGUMENT...
	_command=
	while [ "$1" != -- ]; do
		_command="$_command $1"
		shift
	done
	shift
	rmmod kvmclock_handover
	region out
	$_command
	load_module
	refused "$@"
	rmmod kvmclock_handover
	region in
	load_module
}

erase() {
	dd if=/dev/zero of=/dev/mem bs=64k seek=$((REGION_ADDR >> 16)) count=$((REGION_SIZE >> 16)) 2>/run/dd
}

wrong_module() {
	rmmod kvmclock_handover
	refused module "the module kvmclock_handover is not loaded"
	# Nor can it be saved.
	start_qemu no-save kvmclock-run --id "$VM_ID" -- -incoming "exec:cat $CARRIED/state"
	wait_for 100 grep -q "^S " /run/no-save.data || lost_guest no-save "the guest did not come back"
	monitor stop
	check no-save-said wait_for 20 grep -q "clock not saved: the module kvmclock_handover is not loaded" \
		/run/no-save.err
	monitor quit
	wait_for 20 gone || true
	load_module
}

wrong_khz() {
	_off="-cpu host,tsc-frequency=$(($(host_khz) + 100))000"
	# shellcheck disable=SC2086 # two words
	{
		itself khz-alone "TSC frequency" -- -incoming "exec:cat $CARRIED/state" $_off
		itself khz "TSC frequency" kvmclock-run --id "$VM_ID" -- \
			-incoming "exec:cat $CARRIED/state" $_off
		itself khz-required "TSC frequency" kvmclock-run --id "$VM_ID" --require -- \
			-incoming "exec:cat $CARRIED/state" $_off
	}
	at khz
}

# The same id a second time, while the first has saved its clock.
wrong_twin() {
	good
	# Saved from outside: what counts is the clock of when it is stopped.
	check good-from-outside kvmclockctl save --pid "$QEMU_PID" --id "$VM_ID"
	monitor stop
	check good-saved wait_for 20 grep -q "clock saved" /run/good.err
	_good=$QEMU_PID
	exec 4>&3
	start_qemu twin kvmclock-run --id "$VM_ID" -v --
	check twin-runs wait_for 200 grep -q "^G ready" /run/twin.data
	check twin-anew grep -q "this guest starts anew" /run/twin.err
	monitor stop
	check twin-said wait_for 20 grep -q "clock not saved: process $_good has another VM of this id.*this guest's clock will be what the VMM makes it" \
		/run/twin.err
	note twin "$(grep '^kvmclock-run.*not saved' /run/twin.err | head -n 1)"
	check_equal twin-holder "$(sed -n 's/^pid: //p' /sys/kernel/debug/kvmclock_handover/outgoing)" "$_good"
	monitor quit
	wait_for 20 gone || true
	QEMU_PID=$_good
	echo quit >&4
	wait_for 20 gone || true
	at twin
}

wrong() { # WHAT
	case $1 in
	vcpus) refused vcpus "1 vCPUs were saved, there are 2" -smp 2 ;;
	khz) wrong_khz ;;
	cpu-khz)
		refused cpu-khz "vCPU 0 has a TSC of [0-9]* kHz, [0-9]* kHz was saved" \
			-cpu "host,tsc-frequency=$(($(host_khz) + 100))000"
		;;
	host-khz) refused host-khz "TSC of [0-9]* kHz saved, the host has [0-9]* kHz and this CPU no TSC scaling" ;;
	reset)
		with_region "$KCH/kch-qemu-forge" "$REGION_ADDR" "$REGION_SIZE" 1000 -- \
			reset "host TSC is behind the saved one ([0-9.]* s < 10[0-9.]* s): the machine was reset"
		;;
	jumped)
		with_region "$KCH/kch-qemu-forge" "$REGION_ADDR" "$REGION_SIZE" -8 -- \
			jumped "s passed by the host TSC, but [0-9.]* s by the wall clock: the TSC was reset or stopped"
		;;
	module) wrong_module ;;
	erased) with_region erase -- erased "no record came from before the kexec" ;;
	twin) wrong_twin ;;
	finished)
		check finish kvmclockctl finish
		refused finished "the record was finished with"
		;;
	nothing) refused nothing "anything" ;;
	*) fail "wrong=$1: not known" ;;
	esac
}

stage_1() {
	carry_in
	at carried
	for _wrong in $(param wrong | tr , ' '); do
		wrong "$_wrong"
	done
	case ,$(param wrong), in
	# Where there is something to restore, and a host to do it on.
	*,finished,* | *,twin,* | *,host-khz,*) ;;
	*)
		good
		check verify kvmclockctl verify
		quit_qemu good
		;;
	esac
}
