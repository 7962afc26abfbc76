# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# kvmclockctl selftest in the emulated host. No kexec.
#
# Parameters:
#   scaled=yes   its CPU scales the TSC, and that is tried, too

stage_0() {
	wait_settled
	load_kvm
	try /run/selftest kvmclockctl selftest --save /run/selftest.json --noheadings --raw --output result,test,ns,cycles,message
	note_lines selftest </run/selftest
	check selftest test "$STATUS" -eq 0
	check tried grep -q '^passed reading,\\x208\\x20vCPUs' /run/selftest
	check file grep -q '"kvm_tsc_khz": [1-9]' /run/selftest.json
	[ "$(param scaled no)" = yes ] || return 0
	check scaled test "$(grep -c '^passed reading' /run/selftest)" -eq 6
}
