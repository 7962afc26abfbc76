#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The results of all pairs of kernels, as a table, from what the last run of the nested tests left.
#
#   scripts/matrix.sh [-o FILE]
#
# The cases are those of tests/nested/cases.tbl whose name is pair-OLD-NEW, and their controls,
# control-pair-OLD-NEW. Exits with 1 when a pair was not run, or not passed.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

output=
[[ ${1:-} != -o ]] || output=${2:?-o needs a file}
[[ ! $output || $output == */* ]] || output=./$output

logs=$KCH_BUILD/nested
lines=(6.1 6.12 7.3)
bad=0

# What the restored VMs said: the worst of each number.
worst() { # CASE KEY
	tr -d '\r' <"$logs/$1/verdict.log" | sed -nE "s/^note=vm[0-9]+ $2=(-?[0-9]+)$/\1/p" |
		awk 'function abs(x) { return x < 0 ? -x : x }
			!n++ || abs($1) > abs(worst) { worst = $1 } END { print n ? worst : "?" }'
}

releases() { # CASE: of the old kernel and of the new one
	tr -d '\r' <"$logs/$1/verdict.log" | sed -n 's/^release=//p' | sed -n '1p;$p'
}

rule() {
	local width
	for width in 12 10 14 14 12 14 12 8; do
		printf -v width '%*s' "$width" ''
		printf '%s  ' "${width// /=}"
	done | sed 's/  $//'
	echo
}

row() { # CELL...
	printf '%-12s  %-10s  %-14s  %-14s  %-12s  %-14s  %-12s  %s\n' "$@" | sed 's/ *$//'
}

outcome_of() { # CASE
	if [[ -r $logs/$1/outcome ]]; then
		sed 's/:.*//' "$logs/$1/outcome"
	else
		echo "not run"
	fi
}

pair_row() { # OLD NEW
	local old=$1 new=$2 name=pair-$1-$2 kind outcome
	case $(printf '%s\n' "$old" "$new" | sort -CV && echo up || echo down) in
	up) kind=upgrade ;;
	down) kind=rollback ;;
	esac
	[[ $old != "$new" ]] || kind=same
	outcome=$(outcome_of "$name")
	if [[ $outcome == pass ]]; then
		row "$old to $new" "$kind" "$(worst "$name" tsc_error_cycles)" \
			"$(worst "$name" error_now_ns)" "$(worst "$name" rate_ppb)" \
			"$(worst "$name" error_hour_ns)" "$(page "$name")" "$outcome"
	else
		row "$old to $new" "$kind" - - - - - "$outcome"
	fi
}

page() { # CASE
	local changed
	changed=$(tr -d '\r' <"$logs/$1/verdict.log" | grep -cE '^note=vm[0-9]+ page_function=0$' || true)
	((changed)) && echo no || echo yes
}

control_row() { # OLD NEW
	local name=control-pair-$1-$2 caught
	if [[ $(outcome_of "$name") != pass ]]; then
		printf -- '- %s to %s: %s\n' "$1" "$2" "$(outcome_of "$name")"
		return
	fi
	caught=$(sed -n 's/^pass: caught: //p' "$logs/$name/outcome" | tr ' ' '\n' | sort -u | paste -sd ' ')
	# The backquotes are of the page.
	# shellcheck disable=SC2016
	printf -- '- %s to %s, kvmclock %s ns and TSC %s cycles off: caught by ``%s``\n' "$1" "$2" \
		"$(worst "$name" error_now_ns)" "$(worst "$name" tsc_error_cycles)" "${caught// /\`\`, \`\`}"
}

print_table() {
	local old new line package
	cat <<-'END'
		.. SPDX-License-Identifier: GPL-2.0
		.. Made by scripts/matrix.sh from a run of the tests: do not edit.

		From every kernel to every other
		================================

		In each case two VMs of two vCPUs live through a kexec of the emulated host from the first
		kernel to the second, which is told another TSC frequency, 30 kHz higher (12 ppm, as much as
		calibration may differ). What is off afterwards, as the guest sees it, at the same host TSC; the
		worst of all vCPUs. ``make test-full`` makes this table anew.

	END
	rule
	row pair kind "TSC, cycles" "kvmclock, ns" "rate, ppb" "in an hour, ns" "same function" result
	rule
	for old in "${lines[@]}"; do
		for new in "${lines[@]}"; do
			pair_row "$old" "$new"
		done
	done
	rule
	printf '\nThe kernels:\n\n'
	for line in "${lines[@]}"; do
		package=$(cat -- "$KCH_KERNELS/$line/package" 2>/dev/null || echo "not there")
		printf -- '- %s: %s (%s)\n' "$line" "$(cat -- "$KCH_KERNELS/$line/release" 2>/dev/null)" "$package"
	done
	printf '\nControls, whose restore is skipped, so that the same checks must fail:\n\n'
	for old in "${lines[@]}"; do
		for new in "${lines[@]}"; do
			[[ ! -d $logs/control-pair-$old-$new ]] || control_row "$old" "$new"
		done
	done
}

for old in "${lines[@]}"; do
	for new in "${lines[@]}"; do
		[[ $(outcome_of "pair-$old-$new") == pass ]] || bad=$((bad + 1))
	done
done
if [[ $output ]]; then
	print_table >"$output.new"
	mv -f -- "$output.new" "$output"
else
	print_table
fi
((bad == 0)) || die "$bad of the $((${#lines[@]} ** 2)) pairs were not run, or did not pass"
