#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run all test suites and add up what they counted. Each suite ends with a line
# "N passed, N failed, N skipped"; a suite that does not, or ran nothing, has failed.
#
#   scripts/test.sh [--full]

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

full=
[[ ${1:-} == --full ]] && full=1

passed=0 failed=0 skipped=0
failed_suites=()
mkdir -p "$KCH_BUILD/log"

suite() { # NAME COMMAND...
	local name=$1 log status=0 line
	shift
	log=$KCH_BUILD/log/$name.log
	printf '\n# %s\n' "$name"
	"$@" 2>&1 </dev/null | tee "$log" || status=$?
	line=$(grep -E '^(# )?[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1 || true)
	if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
		local p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[3]}
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
		if ((status == 0 && f == 0 && p > 0)); then
			return
		fi
		((f)) || failed=$((failed + 1))
	else
		printf '# %s: ended with status %d and no count\n' "$name" "$status"
		failed=$((failed + 1))
	fi
	failed_suites+=("$name")
}

suite unit make --no-print-directory -s -C "$KCH_ROOT/tests/unit" run
suite cli "$KCH_ROOT/tests/cli/run.sh"
suite steps make --no-print-directory -s -C "$KCH_ROOT/tests/fuzz" steps
suite build "$KCH_ROOT/scripts/check-build.sh"
suite judge "$KCH_ROOT/tests/nested/check-judge.sh"
suite reports "$KCH_ROOT/tests/nested/test_reports.py"
if [[ $full ]]; then
	suite test-bed "$KCH_ROOT/tests/nested/run.sh" --self-test
	suite checks "$KCH_ROOT/scripts/check_control.py"
	suite mutants make --no-print-directory -s -C "$KCH_ROOT/tests/unit" mutants
	suite fuzz make --no-print-directory -s -C "$KCH_ROOT/tests/fuzz" run
	suite nested "$KCH_ROOT/tests/nested/run.sh" --full
	suite luo "$KCH_ROOT/tests/nested/run.sh" -t "$KCH_ROOT/tests/nested/luo.tbl" --full
else
	suite nested "$KCH_ROOT/tests/nested/run.sh"
fi

echo
((${#failed_suites[@]})) && printf '# failed: %s\n' "${failed_suites[*]}"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0 && passed > 0))
