#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# How long a guest did not run over a kexec, step by step, and what of that is ours: a table, from what
# the last run of the cases blackout-LINE and blackout-LINE-counted of tests/nested/cases.tbl, and of those
# of tests/l1/luo, left.
#
#   scripts/blackout.sh [-o FILE] [-r]
#
#   -r   run the cases first
#
# Exits with 1 when one was not run, or not passed.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

output='' run=''
while (($#)); do
	case $1 in
	-o) output=${2:?-o needs a file}; shift ;;
	-r) run=1 ;;
	*) die "unknown argument: $1 (see the head of the script)" ;;
	esac
	shift
done
[[ ! $output || $output == */* ]] || output=./$output

logs=$KCH_BUILD/nested
lines=(6.12 7.3 7.3-intree)
if [[ $run ]]; then
	"$KCH_ROOT/tests/nested/run.sh" -j1 -c blackout-{6.12,7.3}{,-counted} >&2 || true
	"$KCH_ROOT/tests/nested/run.sh" -j1 -t "$KCH_ROOT/tests/nested/luo.tbl" \
		-c blackout-7.3-intree{,-counted} >&2 || true
fi

for line in "${lines[@]}"; do
	for case in "blackout-$line"{,-counted}; do
		[[ $(sed 's/:.*//' "$logs/$case/outcome" 2>/dev/null) == pass ]] ||
			die "the case $case was not run, or did not pass"
	done
done

# Step, from, to, and whose it is.
STEPS='
VMM: vCPUs stopped, state saved             | guest_last   | state_saved  |
clock saved                                 | state_saved  | clock_saved  | ours
VMM ends; next kernel loaded (kexec -l)     | clock_saved  | kexec        |
kexec; kernel boots, up to its first program| kexec        | init         |
init: file systems, shells                  | init         | settling     |
TSC frequency settles                       | settling     | settled      |
KVM loaded                                  | settled      | kvm          |
a program starts that loads the module      | kvm          | loading      | ours
module loaded                               | loading      | module       | ours
VMM starts: memory, KVM_CREATE_VM           | module       | vm_made      |
self-check; saved TSC frequency set         | vm_made      | prepared     | ours
VMM: vCPUs, their state                     | prepared     | state_loaded |
clock restored, with its checks             | state_loaded | restored     | ours
vCPUs run: first reading of a clock         | restored     | guest_first  |
all                                         | guest_last   | guest_first  |
'

case_rows() { # CASE: "step|ms|share|whose", the last with the sum of ours
	{
		tr -d '\r' <"$logs/$1/verdict.log" | sed -nE 's/^note=at ([a-z_]+) ([0-9]+)$/at|\1|\2/p; s/^note=tsc_khz ([0-9]+)$/khz|\1/p'
		sed '/^$/d; s/^/step|/; s/ *| */|/g' <<<"$STEPS"
	} | awk -F'|' '
		$1 == "at" { at[$2] = $3 }
		$1 == "khz" { khz = $2 }
		$1 == "step" {
			if (!($3 in at) || !($4 in at) || at[$4] < at[$3]) {
				print "no step, or one before the last: " $2 >"/dev/stderr"
				exit 1
			}
			if (!whole)
				whole = (at["guest_first"] - at["guest_last"]) / khz
			ms = (at[$4] - at[$3]) / khz
			if ($2 != "all") { sum += ms }
			if ($5 == "ours") { ours += ms; if ($3 != "state_saved") after += ms }
			printf "%s|%.3f|%.3f|%s\n", $2, ms, 100 * ms / whole, $5
		}
		END {
			if (sum - whole > 0.001 || whole - sum > 0.001) {
				print "the steps are " sum " ms, the whole is " whole >"/dev/stderr"
				exit 1
			}
			printf "ours: module and restore|%.3f|%.3f|ours\n", after, 100 * after / whole
			printf "ours: with the save|%.3f|%.3f|ours\n", ours, 100 * ours / whole
		}'
}

# The two cases of a line side by side.
line_rows() { # LINE
	paste -d '|' <(case_rows "blackout-$1") <(case_rows "blackout-$1-counted") |
		while IFS='|' read -r step ms share whose _ counted_ms counted_share _; do
			row "$step" "$ms" "$share" "$counted_ms" "$counted_share" "$whose"
		done
}

print_page() {
	local line
	cat <<-'END'
		.. SPDX-License-Identifier: GPL-2.0
		.. Made by scripts/blackout.sh from a run of the tests: do not edit.

		How long a guest does not run
		=============================

		From the guest's last reading of its clock before the kexec to its first one after it, by the
		host's TSC, which runs on, so that all steps are on one axis.  One VM of the test VMM, whose guest's
		memory stays where it is; emulated host, kernel and programs in memory, each kernel to itself.  The
		last table is of a kernel that the driver is part of (luo.rst).  ``scripts/blackout.sh -r`` makes this
		anew.

		*counted*: time is the number of instructions, each a nanosecond, and leaps where the host waits for
		a timer; one CPU, one vCPU.  It is the same in each run, and on each machine.  *ms* on the left is the
		time that it took in the emulator; two CPUs, two vCPUs.  There, code that runs for the first time
		is translated first, which takes much longer than to run it; and after a kexec, all code runs for
		the first time.

	END
	for line in "${lines[@]}"; do
		printf '%s\n%s\n\n' "$(<"$KCH_KERNELS/$line/release")" "$(sed 's/./-/g' "$KCH_KERNELS/$line/release")"
		printf '%s\n' "$(rule)" "$(row step ms 'share, %' 'counted, ms' 'share, %' '')" "$(rule)"
		line_rows "$line"
		printf '%s\n\n' "$(rule)"
	done
	cat <<-'END'
		Where it goes
		-------------

		What is ours is below 1 % by instructions, which the tests check in each of the three (``share``).
		More than half of it is the kernel's work with any module of this size: to read and relocate it, look up
		its symbols, and make it known; 6 ms of Debian's 6.12, 2 to 3 of 7.3.  The self-check, which makes a VM, runs
		it and restores a clock to it, is about 1 ms, the restore 0.1 ms.

		By the emulator's time it is more, as most of ours is translating.  Loaded a second time in the same
		7.3, the module took a third of the time.  On a processor nothing is translated, and what waits for timers
		stays as long as it is while instructions take less than a nanosecond: the share is smaller then.

		No guest waits for the VM of the self-check to be destroyed, which takes KVM 20 ms and more of
		waiting: that is done aside (design.rst).  And the module need not be loaded where it is here.  It can
		be before KVM, and beside whatever else the host starts.
	END
}

rule() {
	echo "============================================  ==========  =========  ===========  =========  ===="
}

row() { # CELL...
	printf '%-44s  %10s  %9s  %11s  %9s  %s\n' "$@" | sed 's/ *$//'
}

if [[ $output ]]; then
	print_page >"$output.new"
	mv -f -- "$output.new" "$output"
else
	print_page
fi
