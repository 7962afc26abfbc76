# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What preserving and restoring costs, by tests/l1/bench: every figure is a note. Parameters:
#
#   parts=A,B   of kch-bench
#
# That it could be measured is all that is checked: a figure of a busy machine is no verdict.

# shellcheck disable=SC2119 # no arguments
stage_0() {
	[ -x "$KCH/kch-bench" ] || fail "no kch-bench here: make -C tests/l1/bench"
	# For what the module depends on; kch-bench loads just the module.
	load_module
	rmmod kvmclock_handover
	for _part in $(param parts | tr ',' ' '); do
		check "$_part" "$KCH/kch-bench" "$REGION_ADDR" "$REGION_SIZE" "$_part" >/run/cost
		while IFS= read -r _line; do
			# shellcheck disable=SC2086 # words
			note $_line
		done </run/cost
		check "$_part-figures" test -s /run/cost
	done
}
