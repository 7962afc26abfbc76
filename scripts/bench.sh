#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The benchmark: what a guest's clocks are after host kexecs, by each way to restore them; and what
# preserving and restoring costs. Tables, and a picture, in Documentation/benchmark.*.
#
#   scripts/bench.sh [-n] [PART...]     all parts, or comparison, cost, record, blackout
#
#   -n   run nothing: write the documents from what the last run left

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

run=1
if [[ ${1:-} == -n ]]; then
	run=
	shift
fi
parts=("$@")
((${#parts[@]})) || parts=(comparison cost record blackout)

table=$KCH_ROOT/tests/nested/bench.tbl
logs=$KCH_BUILD/nested
out=$KCH_BUILD/bench
mkdir -p "$out"

nested() { # CASE
	"$KCH_ROOT/tests/nested/run.sh" -j1 -t "$table" -c "$1" >"$out/$1.log"
}

# Both kernels of a kexec measure their TSC frequency, as hosts do without a pin. On a busy machine
# an emulated one can be out by so much that the exact restore is rightly refused (ERANGE, or
# ENOTRECOVERABLE). Only then is it done again.
run_comparison() {
	local attempt
	msg "comparison: ten kexecs of an emulated host, with a VM for each way to restore a clock"
	for attempt in 1 2 3; do
		rm -f -- "$logs/comparison/verdict.log"
		nested comparison && return
		grep -qE '^note=identical refused_errno=(ERANGE|ENOTRECOVERABLE)' \
			"$logs/comparison/verdict.log" || break
		msg "the emulated host mismeasured its TSC frequency, so that the restore was refused (attempt $attempt of 3)"
	done
	cat "$out/comparison.log" >&2
	die "the comparison failed"
}

run_cost() {
	msg "cost: preserve and restore next to KVM's own ioctls, in an emulated host"
	nested cost-6.12 || {
		cat "$out/cost-6.12.log" >&2
		die "the cost could not be measured"
	}
}

run_record() {
	msg "record: what the record code costs on this machine"
	"$KCH_BUILD/tests/bench/record-cost" >"$out/record"
}

# Has a script and a page of its own.
run_blackout() {
	msg "blackout: what of the time in which the guest does not run is ours"
	"$KCH_ROOT/scripts/blackout.sh" -r -o "$KCH_ROOT/Documentation/blackout.rst"
}

if [[ $run ]]; then
	for part in "${parts[@]}"; do
		declare -F "run_$part" >/dev/null || die "no part $part (see the head of the script)"
		"run_$part"
	done
fi
"$KCH_ROOT/scripts/bench-report.sh"
