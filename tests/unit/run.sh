#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs the unit tests' programs, each variant of each, as one KTAP stream.
#
#   run.sh BUILD "VARIANT..." "PROGRAM..." [CASE...]
#
# Exit status 0 only if cases ran and none failed. A program that dies, that runs
# fewer cases than it planned, or that hangs, has failed.

set -euo pipefail

build=$1
read -ra variants <<<"$2"
read -ra programs <<<"$3"
shift 3
time_limit=300

has_case() { # PROGRAM NAME...: does it have any of these?
	local name
	for name in "${@:2}"; do
		grep -qF "\"$name\"" -- "$(dirname -- "$0")/$1.c" && return
	done
	return 1
}

selected=()
for variant in "${variants[@]}"; do
	for program in "${programs[@]}"; do
		(($# == 0)) || has_case "$program" "$@" || continue
		selected+=("$variant/$program")
	done
done

echo "KTAP version 1"
echo "1..${#selected[@]}"
number=0 passed=0 failed=0 skipped=0
for each in "${selected[@]}"; do
	number=$((number + 1))
	output=$build/$each.ktap
	status=0
	UBSAN_OPTIONS=print_stacktrace=1 timeout "$time_limit" "$build/$each" "$@" \
		>"$output" 2>"$output.stderr" </dev/null || status=$?
	sed 's/^/    /' "$output"
	sed 's/^/    # /' "$output.stderr"
	planned=$(sed -n 's/^1\.\.//p' "$output")
	ran=$(grep -cE '^(not )?ok ' "$output" || true)
	bad=$(grep -cE '^not ok ' "$output" || true)
	not_run=$(grep -cE '^ok .*# SKIP' "$output" || true)
	passed=$((passed + ran - bad - not_run))
	skipped=$((skipped + not_run))
	if ((status == 0 && bad == 0 && ran > 0)) && [[ $ran == "${planned:-none}" ]]; then
		echo "ok $number $each"
	else
		echo "# exit status $status, ${planned:-no} cases planned, $ran ran"
		echo "not ok $number $each"
		# What did not run because the program died counts as one.
		failed=$((failed + (bad ? bad : 1)))
	fi
done

echo "# $passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
