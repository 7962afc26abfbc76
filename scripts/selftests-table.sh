#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The results of the kernel's own KVM selftests without our module and with it, and of ours on their library,
# as tables, from what the last run of the nested tests left.
#
#   scripts/selftests-table.sh [-o FILE]
#
# The cases are selftests-kernel-VERSION, and those of the script `selftests`. Exits with 1 when one
# of them was not run, or not passed.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

output=
[[ ${1:-} != -o ]] || output=${2:?-o needs a file}
[[ ! $output || $output == */* ]] || output=./$output

logs=$KCH_BUILD/nested
versions=(6.12 7.3)
ours=(selftests-6.12 selftests selftests-upgrade selftests-rollback)
bad=0

outcome_of() { # CASE
	if [[ -r $logs/$1/outcome ]]; then
		sed 's/:.*//' "$logs/$1/outcome"
	else
		echo "not run"
	fi
}

notes_of() { # CASE: KEY TEXT
	tr -d '\r' <"$logs/$1/verdict.log" | sed -n 's/^note=//p'
}

result() { # STATUS
	case $1 in
	0) echo pass ;;
	4) echo skip ;;
	124 | 143) echo "time limit" ;;
	*) echo "status $1" ;;
	esac
}

# A row of a table whose columns are divided by |; the widths are those of the widest cell.
table() { # < ROWS: the first is the head
	awk -F'|' '
		{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } columns = NF }
		function rule(  i, j, line) {
			for (i = 1; i <= columns; i++) {
				for (j = 0; j < width[i]; j++) line = line "="
				if (i < columns) line = line "  "
			}
			print line
		}
		END {
			rule()
			for (n = 1; n <= NR; n++) {
				line = ""
				for (i = 1; i <= columns; i++)
					line = line sprintf(i < columns ? "%-" width[i] "s  " : "%s", cell[n, i])
				sub(/ +$/, "", line)
				print line
				if (n == 1) rule()
			}
			rule()
		}'
}

kernel_rows() { # VERSION
	local name without with text
	echo 'test|without|with|tests in it, or what is not met'
	notes_of "selftests-kernel-$1" | while read -r name without with text; do
		[[ $name == *-with ]] || echo "$name|$(result "$without")|$(result "$with")|${text#Requirement not met: }"
	done
}

# What a scenario came to in a case: captured, or restored.
our_result() { # CASE TEST SCENARIO
	local notes checks why
	notes=$(notes_of "$1" | sed -n "s/^$2 //p")
	checks=$(sed -n "s/^# $2\.$3: \([0-9]*\) checks$/\1 checks/p" <<<"$notes")
	why=$(sed -n "s/^ok [0-9]* # SKIP $2\.$3: //p" <<<"$notes")
	if grep -q "^not ok [0-9]* $2\.$3$" <<<"$notes"; then
		echo failed
	elif grep -q "^# $2\.$3 cannot be restored" <<<"$notes"; then
		echo refused
	elif [[ $checks ]]; then
		echo "$checks"
	elif [[ $why == 'Requirement not met: KVM_XEN'* ]]; then
		echo 'no Xen'
	else
		# It was not there to be restored; the column for the capture says why.
		echo "${why:+..}"
	fi
}

our_rows() {
	local scenario case
	echo 'guest|captured, 6.12|captured, 7.3|6.12 to 6.12|7.3 to 7.3|6.12 to 7.3|7.3 to 6.12'
	sed -n 's/^\t{ "\([a-z0-9_]*\)",.*/\1/p' "$KCH_ROOT/tests/l1/selftests/scenario.c" | while read -r scenario; do
		printf '%s|%s|%s' "$scenario" "$(our_result selftests-6.12 capture "$scenario")" \
			"$(our_result selftests capture "$scenario")"
		for case in "${ours[@]}"; do
			printf '|%s' "$(our_result "$case" restore "$scenario")"
		done
		echo
	done
}

print_tables() {
	local version
	cat <<-'END'
		.. SPDX-License-Identifier: GPL-2.0
		.. Made by scripts/selftests-table.sh from a run of the tests: do not edit.

		KVM's own selftests
		===================

		The kernel's tests of clocks and TSCs (``tools/testing/selftests/kvm``, those of the same version as the
		host), each run twice in the emulated host: without our module, and with it loaded and a VM
		preserved. What is compared is the exit status, each of a test's results, and why it was skipped.
		A test that is skipped needs what the emulated CPU or the host's kernel does not have.
		``make test-full`` makes these tables anew.
	END
	for version in "${versions[@]}"; do
		printf '\n%s\n%s\n\n' "$version" "$(printf '%s' "$version" | tr -c '' '-')"
		if [[ $(outcome_of "selftests-kernel-$version") == "not run" ]]; then
			echo "Not run."
			continue
		fi
		kernel_rows "$version" | table
		printf '\nHost %s, tests of %s.\n' "$(tr -d '\r' <"$logs/selftests-kernel-$version/verdict.log" |
			sed -n 's/^release=//p')" "$(cat -- "$KCH_BUILD/selftests/$version/package" 2>/dev/null || echo '?')"
	done
	cat <<-'END'

		Guests on the selftests' library
		================================

		``tests/l1/selftests``: what each check is about is in testing.rst. *Captured*: what the module says of a
		running guest's clocks is what the guest sees. The other columns: the guest goes on after a
		kexec from one kernel to another, which is told a TSC frequency 30 kHz higher, and sees the same
		clocks; no check has a tolerance. *Refused*: as it must be; the reason is in ``scenario.c``.

	END
	our_rows | table
}

for name in "${versions[@]/#/selftests-kernel-}" "${ours[@]}" selftests-controls; do
	[[ $(outcome_of "$name") == pass ]] || { msg "$name: $(outcome_of "$name")"; bad=$((bad + 1)); }
done
if [[ $output ]]; then
	print_tables >"$output.new"
	mv -f -- "$output.new" "$output"
else
	print_tables
fi
((bad == 0)) || die "$bad cases were not run, or did not pass"
