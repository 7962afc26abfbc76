# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What outlives the kexec besides the record: the folder CARRIED, as a tar file in the reserved range of
# guest memory. Sourced by cases whose guests are saved to files.

CARRIED=/run/carried

carry_out() {
	tar -c -C "$CARRIED" . | dd of=/dev/mem bs=64k seek=$((GUEST_ADDR >> 16)) 2>/run/dd
	# Of files with holes all is carried.
	# shellcheck disable=SC2034 # for the case
	CARRIED_MB=$(find "$CARRIED" -type f -exec stat -c %s {} + |
		awk '{ sum += $1 + 1024 } END { printf "%d", sum / 1048576 + 2 }')
}

carry_in() {
	mkdir -p "$CARRIED"
	dd if=/dev/mem bs=1M skip=$((GUEST_ADDR >> 20)) count="$(param carried_mb)" 2>/run/dd |
		tar -x -C "$CARRIED"
}
