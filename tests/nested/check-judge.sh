#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Is the judge strict? Gives it folders as emulated hosts would leave them, most with one thing
# wrong, and compares its outcome with the wanted one; asks whether a Bochs that is known to be wrong
# would be used, and whether run.sh takes the case tables there are, and wrong ones. Needs no emulator.
# Prints KTAP.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"
# shellcheck source=tests/nested/lib-judge.sh
. "$KCH_ROOT/tests/nested/lib-judge.sh"
# shellcheck source=tests/nested/lib-bochs.sh
. "$KCH_ROOT/tests/nested/lib-bochs.sh"

dir=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$dir'" EXIT
number=0 failed=0

GOOD='stage=0
release=6.12
check=a ok
taint=4096
warnings=0
kexec=6.12
stage=1
release=6.12
check=b ok
note=tsc_offset_cycles 0
taint=12288
warnings=0
verdict=pass'

OFF='{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}'
RESET=${OFF/guest-shutdown/guest-reset}

# The defaults of what the next try() sees.
reset() {
	VERDICT=$GOOD CONSOLE='[ 0.0] Linux' QMP=$OFF BOCHS='' STATUS=0 EXPECT=pass KEXECS=1
	MACHINE=qemu
}

try() { # NAME WANTED-PATTERN
	number=$((number + 1))
	printf '%s\n' "$VERDICT" >"$dir/verdict.log"
	printf '%s\n' "$CONSOLE" >"$dir/console.log"
	printf '%s\n' "$QMP" >"$dir/qmp.log"
	printf '%s\n' "$BOCHS" >"$dir/bochs.log"
	printf '%s\n' "$MACHINE" >"$dir/machine"
	printf '%s\n' "$STATUS" >"$dir/status"
	judge "$dir" "$EXPECT" "$KEXECS"
	# shellcheck disable=SC2053 # a pattern
	if [[ "$OUTCOME: $REASON" == $2 ]]; then
		echo "ok $number $1"
	else
		failed=$((failed + 1))
		echo "not ok $number $1"
		echo "#   said:   $OUTCOME: $REASON"
		echo "#   wanted: $2"
	fi
	reset
}

echo "KTAP version 1"
reset
try good 'pass: 2 checks in 2 stages'
VERDICT=${GOOD//$'\n'/$'\r\n'}
try carriage-returns 'pass: *'

# Lost machines.
STATUS=124
try time-limit 'lost: time limit'
STATUS=137
try killed-at-the-limit 'lost: time limit'
STATUS=139
try emulator-crashed 'lost: QEMU ended with status 139'
CONSOLE=$'[ 1.0] Kernel panic - not syncing: Fatal exception\r'
try panic-after-the-verdict 'lost: kernel panic: Fatal exception'
CONSOLE='[ 1.0] Kernel panic - not syncing: x' STATUS=124
try panic-says-more-than-the-limit 'lost: kernel panic: x'
QMP=$RESET
try reset-after-the-verdict 'lost: the machine was not powered off: *guest-reset*'
QMP=
try vanished 'lost: the machine was not powered off: *'
VERDICT=
try silent 'lost: not a verdict line: '
VERDICT=${GOOD%$'\n'*}
try no-verdict 'lost: the machine ended without a verdict'
VERDICT=${GOOD/check=b ok/check=b o}
try cut-line 'lost: not a verdict line: check=b o'
VERDICT=${GOOD/check=b ok/che stage=1ck=b ok}
try mixed-lines 'lost: not a verdict line: *'
VERDICT=$GOOD$'\ncheck=c fail'
try line-after-the-verdict 'lost: not a verdict line: after the verdict: check=c fail'
VERDICT=$GOOD$'\nverdict=pass'
try second-verdict 'lost: *'
VERDICT=${GOOD/taint=4096/taint=}
try empty-number 'lost: not a verdict line: taint='

# The same under Bochs, which ends with status 1 whatever happens.
BOCHS_OFF='00669p[ACPI  ] >>PANIC<< ACPI control: soft power off'
BOCHS_RESET='00123p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution'
MACHINE=bochs STATUS=1 BOCHS=$BOCHS_OFF
try bochs-good 'pass: 2 checks in 2 stages'
MACHINE=bochs STATUS=1 BOCHS=$BOCHS_OFF VERDICT=${GOOD/taint=4096/taint=4100}
try bochs-told-to-leave-out-features 'pass: 2 checks in 2 stages'
MACHINE=bochs STATUS=1 BOCHS=$BOCHS_OFF VERDICT=${GOOD/taint=12288/taint=12800}
try bochs-warn-taint 'fail: kernel tainted: 12800'
MACHINE=bochs STATUS=0 BOCHS=$BOCHS_OFF
try bochs-other-status 'lost: Bochs ended with status 0'
MACHINE=bochs STATUS=124 BOCHS=$BOCHS_OFF
try bochs-time-limit 'lost: time limit'
MACHINE=bochs STATUS=1 BOCHS=$BOCHS_RESET
try bochs-reset 'lost: the machine was not powered off: exception()*'
MACHINE=bochs STATUS=1 BOCHS=$BOCHS_OFF$'\n'$BOCHS_RESET
try bochs-off-and-reset 'lost: the machine was not powered off: *exception()*'
MACHINE=bochs STATUS=1
try bochs-vanished 'lost: the machine was not powered off: Bochs does not say why'

# Faults.
VERDICT=${GOOD/taint=4096/taint=4100}
try features-left-out-under-qemu 'fail: kernel tainted: 4100'
VERDICT=${GOOD/taint=12288/taint=12800}
try warn-taint 'fail: kernel tainted: 12800'
VERDICT=${GOOD/taint=4096/taint=4224}
try die-taint-of-an-earlier-stage 'fail: kernel tainted: 4224'
VERDICT=${GOOD/warnings=0/warnings=3}
try warnings-of-an-earlier-stage 'fail: kernel warnings: 3 *'
VERDICT=${GOOD/check=b ok/error=no region}
try error 'fail: no region'
VERDICT=${GOOD/stage=1/stage=2}
try stage-left-out 'fail: stages out of order: 0 2'
VERDICT=${GOOD/kexec=6.12$'\n'/}
try stage-without-kexec 'fail: a stage is incomplete: *'
VERDICT=${GOOD/warnings=0$'\n'kexec/kexec}
try stage-without-its-end 'fail: a stage is incomplete: *'
KEXECS=2
try too-few-kexecs 'fail: 1 kexecs instead of 2'
VERDICT=$(grep -v ^check <<<"$GOOD")
try nothing-checked 'fail: nothing was checked'
VERDICT=${GOOD/check=a ok/check=a fail}
try pass-in-spite-of-a-failed-check 'fail: failed checks: a'
VERDICT=${GOOD/verdict=pass/verdict=fail}
try fail-without-a-failed-check 'fail: verdict=fail'
VERDICT=${GOOD/verdict=pass/verdict=skip}
try skip-without-a-reason 'fail: skipped without a reason*'
VERDICT=${GOOD/verdict=pass/skip=no KVM$'\n'verdict=pass}
try pass-in-spite-of-a-skip 'fail: skipped *'
VERDICT=${GOOD/verdict=pass/skip=no KVM$'\n'verdict=skip}
try skip 'skip: no KVM'
VERDICT=${GOOD/verdict=pass/check=c fail$'\n'skip=no KVM$'\n'verdict=skip}
try skip-after-a-failure 'fail: skipped *'

# Controls.
CAUGHT=${GOOD/check=b ok/check=b fail}
CAUGHT=${CAUGHT/verdict=pass/verdict=fail}
VERDICT=$CAUGHT EXPECT=caught:b
try caught 'pass: caught: b'
VERDICT=$CAUGHT EXPECT='caught:b,c?'
try caught-with-an-option 'pass: caught: b'
VERDICT=${CAUGHT/check=a ok/check=c fail} EXPECT='caught:b,c?'
try caught-with-the-option-taken 'pass: caught: c b'
EXPECT=caught:b
try not-caught 'fail: control not caught by the check b *'
VERDICT=$CAUGHT EXPECT=caught:a
try caught-by-another-check 'fail: control not caught by the check a *'
VERDICT=$CAUGHT EXPECT=caught:b,c
try half-caught 'fail: control not caught by the check c *'
VERDICT=${CAUGHT/check=a ok/check=a fail} EXPECT=caught:b
try caught-for-another-reason-too 'fail: control caught for another reason too: a'
VERDICT=${CAUGHT/verdict=fail/verdict=pass} EXPECT=caught:b
try caught-but-passed 'fail: verdict=pass in spite of failed checks'
VERDICT=${CAUGHT/taint=4096/taint=4608} EXPECT=caught:b
try caught-with-a-kernel-warning 'fail: kernel tainted: 4608'
VERDICT=${CAUGHT/check=a ok/error=x} EXPECT=caught:b
try caught-with-an-error 'fail: x'
VERDICT=$CAUGHT EXPECT=caught:b CONSOLE='[ 1.0] Kernel panic - not syncing: x'
try caught-and-lost 'lost: kernel panic: x'

# A Bochs that says it is of this version, and all it needs.
try_bochs() { # NAME VERSION WANTED-PATTERN
	local said
	number=$((number + 1))
	printf '#!/bin/sh\necho " Bochs x86 Emulator %s"\necho %s\n' "$2" "$BOCHS_MODEL" >"$dir/bochs"
	printf '#!/bin/sh\n' >"$dir/xorriso"
	chmod +x "$dir/bochs" "$dir/xorriso"
	said=$(PATH=$dir:$PATH BOCHS_FILES=("$dir/bochs"); bochs_unusable) || said=usable
	# shellcheck disable=SC2053 # a pattern
	if [[ $said == $3 ]]; then
		echo "ok $number $1"
	else
		failed=$((failed + 1))
		echo "not ok $number $1"
		echo "#   said:   $said"
		echo "#   wanted: $3"
	fi
}

try_bochs bochs-2.7 2.7 usable
try_bochs bochs-3.0 3.0 usable
try_bochs bochs-3.1-is-wrong 3.1 'Bochs 3.1: it divides wrongly*'
try_bochs bochs-without-version "" 'bochs does not say its version'

# The tables as they are; and one with a mistake, which has to end run.sh before anything is run.
try_table() { # NAME TABLE WANTED-PATTERN
	local said
	number=$((number + 1))
	said=$("$KCH_ROOT/tests/nested/run.sh" -t "$2" -l 2>&1 >/dev/null) || said=${said:-refused}
	# shellcheck disable=SC2053 # a pattern
	if [[ ${said:-taken} == $3 ]]; then
		echo "ok $number $1"
	else
		failed=$((failed + 1))
		echo "not ok $number $1"
		echo "#   said:   ${said:-taken}"
		echo "#   wanted: $3"
	fi
}

try_line() { # NAME LINE WANTED-PATTERN
	printf '%s\n' 'good | short | 6.12 | 6.12 | smoke | kexecs=1 | pass | 60' "$2" >"$dir/table"
	try_table "$1" "$dir/table" "$3"
}

# Which cases -c takes: as many names as are wanted, or a word on what there is not.
try_pattern() { # NAME PATTERNS WANTED
	local said
	number=$((number + 1))
	printf '%s | short | 6.12 | 6.12 | smoke | a=b | pass | 60\n' a-1 a-2 b-1 >"$dir/table"
	said=$("$KCH_ROOT/tests/nested/run.sh" -t "$dir/table" -l -c "$2" 2>&1) && said=$(cut -d' ' -f1 <<<"$said")
	# shellcheck disable=SC2053 # a pattern
	if [[ ${said//$'\n'/ } == $3 ]]; then
		echo "ok $number $1"
	else
		failed=$((failed + 1))
		echo "not ok $number $1"
		echo "#   said:   $said"
		echo "#   wanted: $3"
	fi
}

try_pattern pattern-name 'a-1' 'a-1'
try_pattern pattern-several 'a-*' 'a-1 a-2'
try_pattern pattern-two 'b-*,a-2' 'b-1 a-2'
try_pattern pattern-blank 'b-* a-1' 'b-1 a-1'
try_pattern pattern-once 'a-2 a-*' 'a-2 a-1'
try_pattern pattern-none 'a-* hold-*' '*no case hold-\**'

for table in nested/cases nested/luo nested/selftest; do
	try_table "table-${table/\//-}" "$KCH_ROOT/tests/$table.tbl" taken
done
try_line line-right 'case | short | 6.12 | 6.12 | smoke | machine=bochs | pass | 60' taken
try_line line-machine 'case | short | 6.12 | 6.12 | smoke | machine=q35 | pass | 60' '*case: machine=q35: neither*'
try_line line-fields 'case | short | 6.12 | 6.12 | smoke | pass | 60' '*7 fields instead of 8'
try_line line-twice 'good | short | 6.12 | 6.12 | smoke | a=b | pass | 60' '*good is there twice'
try_line line-set 'case | long | 6.12 | 6.12 | smoke | a=b | pass | 60' '*neither short nor full'
try_line line-expect 'case | short | 6.12 | 6.12 | smoke | a=b | caught: | 60' '*neither pass nor caught:CHECK'
try_line line-limit 'case | short | 6.12 | 6.12 | smoke | a=b | pass | 0' '*0: no time limit'
try_line line-outcome 'case | short | 6.12 | 6.12 | smoke | a=b | pass | 60 | pass' '*for some cases only'

echo "1..$number"
echo "# $((number - failed)) passed, $failed failed, 0 skipped"
((failed == 0)) || exit 1
