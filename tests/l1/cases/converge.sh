# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# How good the clock is that KVM's own ioctls give, and what it takes: one guest, restored again and
# again after the kexec, each time from the state of the time before.
#
# Parameters:
#   times=N   restores (50)
#   bound=NS  the error that is small enough; without, the best of the rounds is taken
#   vcpus=N   (1)
#
# The checks are those of kch-vmm, each time. Noted: every error and every number of rounds, sorted,
# and of both the least, the middle and the largest.

TIMES=$(param times 50)

vm() { # run|resume ARGUMENT...
	_command=$1
	shift
	rm -f /run/vm
	"$KCH/kch-vmm" "$_command" --mem "$(vm_mem 0 1)" --report /run/vm "$@"
}

# Of numbers, one a line.
distribution() { # KEY < NUMBERS
	sort -n >/run/sorted
	_count=$(wc -l </run/sorted)
	note "$1" "$(tr '\n' ' ' </run/sorted)"
	note "$1_least_middle_largest" "$(sed -n "1p;$((_count / 2 + 1))p;\$p" /run/sorted | tr '\n' ' ')"
}

stage_0() {
	wait_settled
	vm run --id "$(vm_id 0)" --vcpus "$(param vcpus 1)" --seconds 1 || true
	judge_report vm
	do_kexec
}

stage_1() {
	wait_settled
	_bound=$(param bound)
	: >/run/errors
	: >/run/rounds
	_done=0
	while [ "$_done" -lt "$TIMES" ]; do
		vm resume --method converged ${_bound:+--bound $_bound} --seconds 0.05 || true
		for _failed in $(reported vm failed); do
			check "$_failed" false
			note failed_in "$_done: $(tr '\n' ' ' </run/vm)"
		done
		reported vm restore_error_ns | tr -d - >>/run/errors
		reported vm restore_rounds >>/run/rounds || true
		_done=$((_done + 1))
	done
	check restored test "$(wc -l </run/rounds)" -eq "$TIMES"
	distribution error_ns </run/errors
	distribution rounds </run/rounds
}
