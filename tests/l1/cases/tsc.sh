# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The TSC's frequency over two kexecs, without a guest: the kernel's own selftest of patches/tsc-*.
#
# Parameters (the kernel needs +kho=on, and kexec=file calibrate=yes kexecs=2):
#   off_ppm=N      the second kernel is told a frequency so far off, and has nothing to measure it
#                  with: the third has that from it, and is to find out

# NTP corrects up to so much.
LIMIT_PPM=500

tsc_khz() {
	field status tsc_khz
}

note_tsc() {
	note tsc_khz "$(tsc_khz)"
	dmesg | grep 'tsc: ' | note_lines kernel
}

lines() { # PATTERN: how many the kernel's log has
	dmesg | grep -c "tsc: $1" || true
}

selftest() {
	try /run/selftest "$KCH/tsc_handover"
	note_lines selftest </run/selftest
}

stage_0() {
	wait_settled
	note_tsc
	_khz=$(tsc_khz)
	do_kexec "$NEXT_LINE" "tsc_early_khz=$((_khz + _khz * $(param off_ppm 0) / 1000000))" \
		hpet=disable pmtmr=0 "kch.first_khz=$_khz"
}

# What the command line says comes first.
stage_told() {
	check_equal told "$(tsc_khz)" "$(sed -n 's/.* tsc_early_khz=\([0-9]*\).*/\1/p' /proc/cmdline)"
	check_equal not_taken_over "$(lines 'Frequency of .* taken over')" 0
	selftest
	# Its control: not what was handed over, nor too far off to be.
	if [ "$(param off_ppm 0)" -lt $LIMIT_PPM ] && [ "$(param off_ppm 0)" -gt 0 ]; then
		check_equal selftest_notices "$STATUS" 1
	else
		check_equal selftest "$STATUS" 0
	fi
	# Measured again: an option that is given twice counts as it is last.
	do_kexec "$NEXT_LINE" tsc_early_khz=0 hpet=verbose pmtmr=0 "kch.told_khz=$(tsc_khz)"
}

stage_n() {
	wait_settled
	note_tsc
	if [ "$1" -lt "$KEXECS" ]; then
		stage_told
		return
	fi
	selftest
	check_equal selftest "$STATUS" 0
	check_equal not_forced "$(grep -c tsc_known_freq /proc/cpuinfo || true)" 0
	check_equal taken_over "$(lines 'Frequency of .* taken over .* (measured')" 1
	_first=$(param first_khz)
	_off=$((($(tsc_khz) - _first) * 1000000 / _first))
	note off_ppm "$_off"
	if [ "$(param off_ppm 0)" -gt $LIMIT_PPM ]; then
		check_equal given_up "$(lines 'Frequency of .* is given up')" 1
		check_equal refined "$(lines Refined)" 1
		check corrected test "${_off#-}" -lt 100
	else
		check_equal confirmed "$(lines 'Frequency of .* stays')" 1
		check_equal not_refined "$(lines Refined)" 0
		check_equal kept "$(tsc_khz)" "$(param told_khz)"
	fi
}
