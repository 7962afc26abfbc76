#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# How long a guest did not run over a kexec, step by step, and what of that is ours: a table, from what
# the last run of the cases blackout-LINE of tests/nested/cases.tbl, and of that of tests/luo, left.
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
	"$KCH_ROOT/tests/nested/run.sh" -j1 -c blackout-6.12 blackout-7.3 >&2 || true
	"$KCH_ROOT/tests/nested/run.sh" -j1 -t "$KCH_ROOT/tests/luo/cases.tbl" -c blackout-7.3-intree >&2 || true
fi

for line in "${lines[@]}"; do
	[[ $(sed 's/:.*//' "$logs/blackout-$line/outcome" 2>/dev/null) == pass ]] ||
		die "the case blackout-$line was not run, or did not pass"
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
module loaded, with its self-check          | loading      | module       | ours
VMM starts: memory, KVM_CREATE_VM           | module       | vm_made      |
saved TSC frequency set                     | vm_made      | prepared     | ours
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

print_page() {
	local line rows
	cat <<-'END'
		.. SPDX-License-Identifier: GPL-2.0
		.. Made by scripts/blackout.sh from a run of the tests: do not edit.

		How long a guest does not run
		=============================

		From the guest's last reading of its clock before the kexec to its first one after it, by the
		host's TSC, which runs on, so that all steps are on one axis.  One VM of two vCPUs of the test VMM,
		whose guest's memory stays where it is; emulated host, kernel and programs in memory, each kernel to
		itself.  The last table is of a kernel that the driver is part of (luo.rst).  ``scripts/blackout.sh -r``
		makes this anew.

	END
	for line in "${lines[@]}"; do
		rows=$(case_rows "blackout-$line")
		printf '%s\n%s\n\n' "$(<"$KCH_KERNELS/$line/release")" "$(sed 's/./-/g' "$KCH_KERNELS/$line/release")"
		printf '%s\n' "$(rule)" "$(row step ms 'share, %' '')" "$(rule)"
		while IFS='|' read -r step ms share whose; do
			row "$step" "$ms" "$share" "$whose"
		done <<<"$rows"
		printf '%s\n\n' "$(rule)"
		tr -d '\r' <"$logs/blackout-$line/verdict.log" |
			sed -nE 's/^note=init_us ([0-9]+)$/Of the loading, \1 us are the module'"'"'s own function, with the self-check.\n/p'
	done
	cat <<-'END'
		Where it goes
		-------------

		The aim is that ours, module and restore, is below 1 %.  It is where the driver is part of the kernel;
		there the restore has the self-check in it.  Where the module is loaded while the guest waits, it is not,
		by that loading; the restore itself, frequency and clock, is 0.2 to 0.3 %.  Every step runs code that the new kernel has not run before, and the emulator translates that on
		its first use: loaded a second time in the same 7.3, the module took 28 to 31 ms instead of 77, and its own
		function, which makes a VM and runs it, 6 ms instead of 30.  The rest is the kernel's work with any
		module of 90 KB: reading and relocating it, looking up its symbols and, in Debian's kernels, a signature.
		Each step that a script takes has the start of a program in it, 8 to 13 ms.

		The module need not be loaded where it is loaded here.  It can be before KVM, and beside whatever else the
		host starts, so that on a host of several CPUs no guest waits for it.
	END
}

rule() {
	echo "============================================  ==========  =========  ===="
}

row() { # CELL...
	printf '%-44s  %10s  %9s  %s\n' "$@" | sed 's/ *$//'
}

if [[ $output ]]; then
	print_page >"$output.new"
	mv -f -- "$output.new" "$output"
else
	print_page
fi
