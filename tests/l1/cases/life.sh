# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Lives of a host: what happens in each of its kernels, and which guests get their clocks. The machinery is that of
# handover.sh, as are vms=, vcpus=, seconds=, late= and unsettled=.
#
# Parameters:
#   life=ACT,ACT,.../ACT,.../...   what happens in each stage, one after the other. ACT:
#     absent          first: the kernel has not got the module
#     at:ADDR, size:BYTES  first: it has another region
#     noted           first, before the module is there: the region's bytes are noted for kept. The stage before has
#                     sealed its record, after its own note
#     new             guests start, run, and are saved
#     given           they come back with the clocks they had, which they judge themselves, and are saved again
#     used            the same, but they are not saved
#     weaker          they come back in a weaker mode, as it cannot be done exactly, and are not saved
#     other           they come back with clocks of no use, and run on; again: and are saved
#     refused:ERRNO[:A_B]   their clocks are refused, with these words, also in a weaker mode
#     kept            the region has the bytes that were noted, else those it had when the stage before ended
#     reload, unload  the module goes, and comes
#     failed          a kexec that fails
#     finish, finish-refused
#     away:S          S seconds pass
#     crash           last: the host panics, the next stage is its crash kernel
#     reset           last: it is reset, with resets=yes
#     cut             last: it is kexec'ed, with a module that panics then (module=cut-seal), and so is reset: a
#                     kernel that is in a kexec does not start its crash kernel
#                     A stage but the last that does not end so ends by a kexec.

# shellcheck source=tests/l1/cases/handover.sh
. /kch/cases/handover.sh

ACTS=$(param life | cut -d / -f $((STAGE + 1)) | tr , ' ')

before_module() {
	_is_there=0
	for _act in $ACTS; do
		case $_act in
		absent) _is_there=1 ;;
		at:*) REGION_ADDR=${_act#*:} ;;
		size:*) REGION_SIZE=${_act#*:} ;;
		noted) region_sum >/run/noted ;;
		esac
	done
	return $_is_there
}

# Of a module that is loaded, the kernel does not let others have the memory. Nothing is no sum.
region_sum() {
	_raw=/sys/kernel/debug/kvmclock_handover/region_raw
	if [ -e "$_raw" ]; then
		cat "$_raw"
	else
		dd if=/dev/mem bs=65536 skip=$((REGION_ADDR >> 16)) count=$((REGION_SIZE >> 16)) 2>/dev/null
	fi >/run/region
	[ "$(wc -c </run/region)" -eq $((REGION_SIZE)) ] || fail "the region cannot be read"
	md5sum </run/region | cut -c 1-32
}

# COMMAND is start_vm or resume_vm, or what judges them.
vms() { # COMMAND...
	each_vm "$@"
	wait
	# A VMM's child may still be ending, and a VM that ends is read once more: in which slot the next record comes
	# to be depends on it.
	while pidof kch-vmm >/dev/null || is_unread; do
		sleep 0.1
	done
}

# Is there a VM in the record that has ended, and was not read since?
is_unread() {
	_outgoing=/sys/kernel/debug/kvmclock_handover/outgoing
	[ -e "$_outgoing" ] && awk '/^at_end: / { unread = !$2 } /^stale: 0/ && unread { found = 1 } END { exit !found }' "$_outgoing"
}

come_back() { # METHOD SAVE [OPTIONS]
	METHOD=$1
	SAVE_OPTIONS="--save-with $2"
	STAGE_OPTIONS=${3-}
	vms resume_vm
}

is_refused() { # ERRNO A_B NUMBER
	judge_refusal "$@"
	# What would have come of it.
	[ -n "$(reported "vm$3" refused_errno)" ] || judge_vm "$3"
}

# The judge takes what a panic says on the console for the end of the machine.
quietly() {
	end_stage "$NEXT_LINE"
	echo 0 >/proc/sys/kernel/printk
}

words() {
	echo "kch.region_sum=$(region_sum) $(next_words)"
}

load_crash_kernel() {
	load_kernel -p "$NEXT_LINE" "$(words)" nr_cpus=1 "kch.crash_kernel=$((STAGE + 1))"
}

act() { # ACT
	case $1 in
	absent) check without-module test ! -e /dev/kvmclock_handover ;;
	at:* | size:* | noted) ;;
	new)
		SAVE_OPTIONS="--save-with module"
		vms start_vm
		vms judge_vm
		;;
	given)
		come_back identical module
		vms judge_vm
		;;
	used)
		come_back identical none
		vms judge_vm
		;;
	weaker)
		come_back identical none "--mode converged --reach converged"
		vms judge_vm
		;;
	other) come_back none none ;;
	again) come_back none module --new-life ;;
	refused:*)
		come_back identical none "--mode converged"
		_refusal=${1#*:}
		_words=${_refusal#*:}
		[ "$_words" != "$_refusal" ] || _words=
		vms is_refused "${_refusal%%:*}" "$_words"
		;;
	kept) check_equal kept "$(region_sum)" "$(cat /run/noted 2>/dev/null || param region_sum)" ;;
	unload) check unload rmmod "$(module_name)" ;;
	reload)
		act unload
		load_module
		;;
	failed)
		load_kernel -l "$NEXT_LINE" "$(words)"
		kexec -u
		check failed sh -c '! kexec -e 2>/dev/null'
		;;
	finish) check finish kvmclockctl finish ;;
	finish-refused) finish_refused ;;
	away:*) sleep "${1#*:}" ;;
	crash)
		load_crash_kernel
		quietly
		echo c >/proc/sysrq-trigger
		;;
	cut | reset)
		leave_stage
		if [ "$1" = cut ]; then
			load_kernel -l "$NEXT_LINE" "$(words)"
			quietly
			kexec -e
		else
			end_stage "$HOST_LINE"
			reboot -f
		fi
		sleep 60
		;;
	*) fail "$1: no act" ;;
	esac
}

stage_n() {
	case $(param unsettled no)$1 in
	yes1 | pin1) check_unsettled ;;
	*) wait_settled ;;
	esac
	[ "$(param crash_kernel)" != "$1" ] || check crash-kernel test -s /proc/vmcore
	for _one in $ACTS; do
		act "$_one"
	done
	[ "$1" -eq "$KEXECS" ] || do_kexec "$NEXT_LINE" "$(words)"
}
