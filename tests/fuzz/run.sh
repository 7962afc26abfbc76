#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Counts steps, replays all inputs, then fuzzes: first a reader that was broken on purpose, which
# must be found out, then the true one.
#
#   run.sh BUILD SECONDS      SECONDS 0: no fuzzing

set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
build=$1
seconds=$2
clang=${CLANG:-clang}
control_seconds=60
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-}

passed=0 failed=0
verdict() { # STATUS NAME NOTE
	if (($1 == 0)); then
		passed=$((passed + 1))
		echo "ok $((passed + failed)) $2 # $3"
	else
		failed=$((failed + 1))
		echo "not ok $((passed + failed)) $2 # $3"
	fi
}

finish() {
	echo "# $passed passed, $failed failed, 0 skipped"
	((failed == 0 && passed > 0))
	exit
}

build_fuzzer() { # NAME BUILD MAKE-ARGUMENT...
	make -s -C "$here" fuzzer BUILD="$2" CLANG="$clang" "${@:3}" && return
	verdict 1 "$1" "does not compile"
	finish
}

fuzz() { # BUILD SECONDS LOG: the fuzzer's exit status
	mkdir -p "$1/corpus" "$1/finds"
	# -max_total_time is looked at between inputs; an input that hangs has its own limit.
	timeout $(($2 + 60)) "$1/fuzz-record" -max_total_time="$2" -timeout=10 -max_len=16384 \
		-use_value_profile=1 -print_final_stats=1 -artifact_prefix="$1/finds/" \
		"$1/corpus" "$build/seeds" >"$3" 2>&1 </dev/null
}

echo "KTAP version 1"
if ((seconds)); then echo "1..4"; else echo "1..2"; fi

status=0
"$build/steps" "$build/steps.region" >"$build/steps.log" 2>&1 || status=$?
((status == 0)) || sed 's/^/# /' "$build/steps.log"
verdict "$status" steps "$(sed -n 's/^# //p' "$build/steps.log" | tail -n 1)"

mkdir -p "$build/corpus"
status=0
"$build/replay" "$build/seeds" "$build/corpus" >"$build/replay.log" 2>&1 </dev/null || status=$?
((status == 0)) || sed 's/^/# /' "$build/replay.log"
verdict "$status" replay "$(sed -n 's/^# //p' "$build/replay.log" | tail -n 1)"
((seconds)) || finish

if ! command -v "$clang" >/dev/null; then
	verdict 1 fuzz "no $clang here: scripts/setup.sh --check installs it (make replay does without)"
	finish
fi

# Control: a reader that believes the size an entry claims, as long as it is consistent.
control=$build/control
rm -rf -- "$control"
mkdir -p "$control/sources"
sed 's/if (vm->size > left || /if (/' "$root/kernel/core/record.c" >"$control/sources/record.c"
cp -- "$root/kernel/core/clock.c" "$control/sources/"
if cmp -s -- "$root/kernel/core/record.c" "$control/sources/record.c"; then
	verdict 1 control "the code has moved on: run.sh does not break it any more"
else
	build_fuzzer control "$control" SOURCES="$control/sources"
	status=0
	fuzz "$control" "$control_seconds" "$control/log" || status=$?
	found=$(find "$control/finds" -type f | wc -l)
	((status != 0 && found > 0)) && status=0 || status=1
	verdict "$status" control "an unchecked size is found: $found finds"
fi

build_fuzzer fuzz "$build"
rm -rf -- "$build/finds"
status=0
fuzz "$build" "$seconds" "$build/log" || status=$?
((status == 0)) || tail -n 40 "$build/log" | sed 's/^/# /'
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/log")
((status == 0 && ${runs:-0} < 1000)) && status=1
verdict "$status" fuzz "${runs:-no} inputs in $seconds s; finds are in ${build#"$root/"}/finds"
finish
