# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The test bed itself: does the emulated host have what all other cases take for granted?
# The reserved ranges are looked at through /proc/iomem, their survival by the cases that use them.

# The first word of the reserved guest range, in which stages leave each other a mark.
mark_offset_pages=$((GUEST_ADDR / 4096))

reserved() { # ADDR SIZE: the whole range is reserved, hence no RAM the kernel would use
	_first=$(printf '%08x' "$1")
	_last=$(printf '%08x' $(($1 + $2 - 1)))
	grep -qi "^$_first-$_last : Reserved" /proc/iomem
}

read_mark() {
	dd if=/dev/mem bs=4096 skip=$mark_offset_pages count=1 2>/dev/null | sed "s/ *$//"
}

expected_release() { # LINE
	cat "/kch/lines/$1"
}

stage_n() {
	if [ "$1" -eq 0 ]; then
		check_equal release "$(uname -r)" "$(expected_release "$HOST_LINE")"
	else
		check_equal release "$(uname -r)" "$(expected_release "$NEXT_LINE")"
		check_equal mark "$(read_mark)" "left by stage $(($1 - 1))"
	fi
	check kvm test -c /dev/kvm
	check region-reserved reserved "$REGION_ADDR" "$REGION_SIZE"
	check guest-reserved reserved "$GUEST_ADDR" "$GUEST_SIZE"
	check cpus test "$(nproc)" -eq "$(param smp 2)"
	wait_settled
	note uptime_s "$(cut -d' ' -f1 /proc/uptime)"
	note tsc_mhz "$(dmesg | sed -n 's/.*tsc: Refined.*: \([0-9.]*\) MHz/\1/p')"

	printf '%-4096s' "left by stage $1" |
		dd of=/dev/mem bs=4096 seek=$mark_offset_pages count=1 conv=notrunc 2>/dev/null
	check_equal mark-written "$(read_mark)" "left by stage $1"
	[ "$1" -eq "$KEXECS" ] || do_kexec
}
