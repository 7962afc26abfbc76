# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Does KVM itself agree with guests whose clocks were taken long ago? KVM computes what it says of a clock
# from the VM's reference, at the host's frequency: what is old there is off, by its age times the
# difference of the frequencies. The host and the guests have been up for age= days, and the record is
# made to be of then: each VM's reference goes back by so many days, its clock is the same at every TSC.
#
# Parameters: those of handover.sh, and
#   age=N        days; the runner makes the host as old
#   seconds=S    how long after the restore KVM is asked again
#
# Four VMs, as some of what is asked changes the clock:
#   0   KVM_GET_CLOCK, the wall clock's epoch, Hyper-V's counter and Xen's run state, against the guest's page
#       at one TSC, right after the restore and later; then KVM_GET_CLOCK and KVM_SET_CLOCK of that. Its guest
#       is judged as in handover.sh
#   1   get and set, right after the restore, and later again
#   2   a vCPU is added without help, and another later
#   3   one is added, later only
# The checks are those of kch-vmm; what was found, and of what bound, is in the notes age_*_ns.

# shellcheck source=tests/l1/cases/handover.sh
. /kch/cases/handover.sh

VMS=4
VCPUS_OF_0=$VCPUS
SAVE=vmm

# A kernel that has our driver built in looks at the record before anything of ours runs. So the kernel of
# the first stage makes it older, without the module, and only then comes that one: kexecs=2.
between() {
	[ "$KEXECS" -eq 2 ] && [ "$STAGE" -eq 1 ]
}

stage_0() {
	[ "$KEXECS" -ne 2 ] || NEXT_LINE=$HOST_LINE
	stage_n 0
}

stage_1() {
	if between; then
		do_kexec
	fi
	stage_n 1
}

# The record before anybody has seen it.
before_module() {
	[ "$STAGE" -eq 1 ] || return 0
	"$KCH/kch-age-record" "$REGION_ADDR" "$REGION_SIZE" "$(param age)" >/run/aged ||
		fail "kch-age-record: the record cannot be made older"
	note_lines aged </run/aged
	! between
}

# The option that tells kch-vmm which reference the record has of a VM. After a second kexec that is not known; there
# the guest's page need not have it.
aged() { # NUMBER
	[ ! -e /run/aged ] || sed -n "s/^name=vm$1 reference=\([0-9,]*\).*/--aged \1/p" /run/aged
}

start_vm() { # NUMBER
	_vcpus=1
	[ "$1" -ne 0 ] || _vcpus=$VCPUS_OF_0
	# shellcheck disable=SC2046,SC2086 # options, a word each
	"$KCH/kch-vmm" run --mem "$(vm_mem "$1")" --id "$(vm_id "$1")" --name "vm$1" \
		--vcpus "$_vcpus" $(scale_options) --clock-days "$(param age)" --seconds 1 \
		--report "/run/vm$1" $SAVE_OPTIONS &
}

resume_vm() { # NUMBER
	case $1 in
	0) set -- "$1" --age-now ask --age-later ask,set ;;
	1) set -- "$1" --age-now set --age-later set ;;
	2) set -- "$1" --age-now add --age-later add ;;
	3) set -- "$1" --age-later add ;;
	esac
	_number=$1
	shift
	# shellcheck disable=SC2046,SC2086 # options, a word each
	"$KCH/kch-vmm" resume --mem "$(vm_mem "$_number")" --method "$METHOD" $(aged "$_number") \
		--seconds "$SECONDS_" --report "/run/vm$_number" $SAVE_OPTIONS "$@" &
}

# Clocks were set.
verify() {
	:
}
