# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What kvmclockctl doctor says of the kernel that is loaded already: its command line is read in memory.
#
# Parameters:
#   words=no       that line has nothing for the region
#   region=VERDICT what is said of that (ready)

stage_n() {
	[ "$1" -lt "$KEXECS" ] || return 0
	wait_settled
	load_kvm
	_words=
	[ "$(param words yes)" = no ] || _words=$(kvmclockctl kexec-args)
	# shellcheck disable=SC2086 # words
	load_kernel -l "$NEXT_LINE" $_words
	kvmclockctl doctor --raw --noheadings --output check,verdict,found | sed 's/\\x20/_/g' | tee /run/doctor
	check region grep "^next_region $(param region ready) the_image_that_is_loaded:" /run/doctor
	[ "$(param kexec load)" = file ] ||
		check release grep "^module_for_$(cat "/kch/lines/$NEXT_LINE") " /run/doctor
	if [ -e /run/failed-checks ]; then
		: >/run/ended
		exit 1
	fi
	end_stage "$NEXT_LINE"
	kexec -e
}
