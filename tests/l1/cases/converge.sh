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

vm() { # run|resume REPORT ARGUMENT...
	_command=$1
	_report=$2
	shift 2
	"$KCH/kch-vmm" "$_command" --mem "$(printf '0x%x,%d' $((GUEST_ADDR)) $((GUEST_SIZE / 65536 * 65536)))" \
		--report "$_report" "$@"
}

value() { # KEY: of the last report
	sed -n "s/^$1=//p" /run/vm
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
	vm run /run/vm --id 00000000-0000-4000-8000-000000000000 --vcpus "$(param vcpus 1)" --seconds 1 || true
	check started test -z "$(value failed)"
	do_kexec
}

stage_1() {
	wait_settled
	_bound=$(param bound)
	: >/run/errors
	: >/run/rounds
	_done=0
	while [ "$_done" -lt "$TIMES" ]; do
		vm resume /run/vm --method converged ${_bound:+--bound $_bound} --seconds 0.05 || true
		for _failed in $(value failed); do
			check "$_failed" false
			note failed_in "$_done: $(tr '\n' ' ' </run/vm)"
		done
		value restore_error_ns | tr -d - >>/run/errors
		value restore_rounds >>/run/rounds
		_done=$((_done + 1))
	done
	check restored test "$(wc -l </run/rounds)" -eq "$TIMES"
	distribution error_ns </run/errors
	distribution rounds </run/rounds
}
