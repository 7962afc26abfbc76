# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What cannot be restored: the tool says why, by its status too, and nobody is held. QEMU's guest can come
# back all the same, as it would with QEMU alone. The parameters are those of qemu.sh, and so is
# the first stage; besides:
#
#   wrong=A,B   what is wrong, one after the other:
#     vcpus     QEMU is given two vCPUs, one was saved
#     host-khz  the host's frequency is another one (with host_khz=)
#     reset     the host's TSC was reset by the kexec
#     jumped    it went on for longer than the wall clock
#     module    it is not loaded
#     erased    the region holds nothing
#     running   QEMU has resumed already
#     twin      another VM was restored under the id
#     finished  the record was finished with
#     nothing   nothing is wrong: a control, all must notice
#
# Each but running and twin: the reason and the status, that TSC and clock of the guest are where QEMU alone
# puts them, by its own reading. At the end, or before the record is gone, the guest is restored.

# shellcheck source=tests/l1/cases/qemu.sh
. /kch/cases/qemu.sh

# A QEMU that has ended must not end the script by its monitor.
trap '' PIPE

# The numbers of awk are exact up to 2^53, and a TSC is less than that for weeks.
between() { # LOW X HIGH
	awk -v low="$1" -v x="$2" -v high="$3" 'BEGIN { exit !(low < x && x < high) }'
}

# QEMU alone sets both to what they were when it stopped the guest. So each has lost what passed on
# the host from some instant of the saving to one of the loading, and these are bracketed.
as_alone() { # NAME
	_khz=$(cat "$CARRIED/khz")
	_least=$(awk -v a="$(cat "/run/$1.start")" -v b="$(cat "$CARRIED/saved")" -v k="$_khz" \
		'BEGIN { printf "%.0f", (a - b) * 1e6 / k }')
	_most=$(awk -v a="$(cat "/run/$1.up")" -v b="$(cat "$CARRIED/stopping")" -v k="$_khz" \
		'BEGIN { printf "%.0f", (a - b) * 1e6 / k }')
	_tsc=$(reported "$1.result" tsc_error_ns)
	_clock=$(reported "$1.result" raw_error_ns)
	note "$1" "guest TSC $_tsc ns, clock $_clock ns; the host was away for $_least to $_most ns"
	check "$1-tsc" between "$_least" "$((0 - ${_tsc:-0}))" "$_most"
	check "$1-clock" between "$_least" "$((0 - ${_clock:-0}))" "$_most"
}

five_readings() { # NAME
	[ "$(grep -c '^S ' "/run/$1.data")" -ge 5 ]
}

restore() { # NAME STATUS TEXT
	try "/run/$1.restore" kvmclockctl restore --pid "$QEMU_PID" --id "$VM_ID" --hold
	note "$1" "$(tail -n 1 "/run/$1.restore")"
	check_equal "$1-status" "$STATUS" "$2"
	check "$1-said" grep -q "$3" "/run/$1.restore"
}

refused() { # NAME STATUS TEXT QEMU-OPTION...
	_case=$1
	_wanted=$2
	_text=$3
	shift 3
	kch-host-tsc >"/run/$_case.start"
	start_qemu "$_case" -- -S -incoming "exec:cat $CARRIED/state" "$@"
	wait_for 100 is_paused || lost_guest "$_case" "its state was not loaded"
	restore "$_case" "$_wanted" "$_text"
	monitor cont
	check "$_case-runs" wait_for 100 grep -q "^S " "/run/$_case.data"
	kch-host-tsc >"/run/$_case.up"
	tsc_offset >"/run/$_case.offset"
	wait_for 20 five_readings "$_case" || true
	quit_qemu "$_case"
	"$KCH/kch-qemu-analyse" "$CARRIED/before" "/run/$_case.data" "$(cat "$CARRIED/tsc-offset")" \
		"$(cat "/run/$_case.offset")" "$(cat "$CARRIED/stopped")" >"/run/$_case.result" || true
	as_alone "$_case"
	at "$_case"
}

# None of that has spoilt the record.
good() {
	restored good --hold
	wait_for 100 grep -q "^S " /run/good.data || lost_guest good "the guest did not come back"
	check_equal good-offset "$(tsc_offset)" "$(cat "$CARRIED/tsc-offset")"
	check good kvmclockctl verify
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
	refused module 1 "the module kvmclock_handover is not loaded"
	load_module
}

# The same id a second time, and the first once more.
wrong_twin() {
	good
	_good=$QEMU_PID
	restore again 4 "restored already, to a VM that process $_good still has"
	exec 4>&3
	start_qemu twin -- -S -incoming "exec:cat $CARRIED/state"
	wait_for 100 is_paused || lost_guest twin "its state was not loaded"
	restore twin 4 "restored already, to a VM that process $_good still has"
	quit_qemu twin
	QEMU_PID=$_good QEMU_NAME=good
	check good-still kvmclockctl verify
	echo quit >&4
	wait_for 20 gone || true
	at twin
}

wrong_running() {
	start_qemu running -- -incoming "exec:cat $CARRIED/state"
	wait_for 100 grep -q "^S " /run/running.data || lost_guest running "the guest did not come back"
	restore running 4 "is running, or in an ioctl"
	quit_qemu running
}

wrong() { # WHAT
	case $1 in
	vcpus) refused vcpus 4 "the VM has 2 vCPUs, 1 were saved" -smp 2 ;;
	running) wrong_running ;;
	host-khz) refused host-khz 4 "vCPU 0 has [0-9]* kHz, saved was [0-9]* kHz, which this host cannot scale its TSC to" ;;
	reset)
		with_region "$KCH/kch-qemu-forge" "$REGION_ADDR" "$REGION_SIZE" 1000 -- \
			reset 4 "host TSC is behind the saved one ([0-9.]* s < 10[0-9.]* s): the machine was reset"
		;;
	jumped)
		# More than the 2 s by which the clocks may be apart, and less than the age of the host.
		with_region "$KCH/kch-qemu-forge" "$REGION_ADDR" "$REGION_SIZE" -3 -- \
			jumped 4 "s passed by the host TSC, but [0-9.]* s by the wall clock: the TSC was reset or stopped"
		;;
	module) wrong_module ;;
	erased) with_region erase -- erased 3 "no record came from before the kexec" ;;
	twin) wrong_twin ;;
	finished)
		check finish kvmclockctl finish
		refused finished 3 "the record was finished with"
		;;
	nothing) refused nothing 4 "anything" ;;
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
	*,finished,* | *,twin,* | *,host-khz,* | *,nothing,*) ;;
	*)
		good
		check verify kvmclockctl verify
		quit_qemu good
		;;
	esac
}
