#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The main job, and what it is measured against: four VMs with the same guest live through the same
# host kexec, and each gets its clock back in another way.
#
#   scripts/demo.sh [-n]     -n: build nothing

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

log=$KCH_BUILD/nested/demo/verdict.log
msg "booting an emulated host, running four guests on it, and replacing its kernel by kexec"
# Both kernels measure their TSC frequency, as hosts do without a pin; on a busy machine the
# emulated one can be out by so much that the exact restore is rightly refused (ERANGE, or
# ENOTRECOVERABLE). Only then is it done again.
for attempt in 1 2 3; do
	rm -f -- "$log"
	status=0
	"$KCH_ROOT/tests/nested/run.sh" "$@" -c demo >"$KCH_BUILD/demo.log" || status=$?
	((status)) || break
	if ((attempt == 3)) || ! grep -qE '^note=identical refused_errno=(ERANGE|ENOTRECOVERABLE)' "$log"; then
		cat "$KCH_BUILD/demo.log" >&2
		die "the demo failed"
	fi
	msg "the emulated host mismeasured its TSC frequency, so that the restore was refused: again"
done

awk -v release="$(<"$KCH_KERNELS/6.12/release")" '
function ns(n,    a) {
	a = n < 0 ? -n : n
	if (a < 10000) return sprintf("%+d ns", n)
	if (a < 10000000) return sprintf("%+.1f us", n / 1e3)
	if (a < 10000000000) return sprintf("%+.1f ms", n / 1e6)
	return sprintf("%+.3f s", n / 1e9)
}
function zero(text) { sub(/^\+0 /, "0 ", text); return text }
function row(name, method) {
	printf "  %-38s %14s %14s %18s %9s  %s\n", name,
		zero(ns(v[method, "error_now_ns"])), zero(ns(v[method, "error_hour_ns"])),
		v[method, "tsc_error_cycles"], v[method, "rate_ppb"],
		v[method, "page_function"] ? "same" : "another"
}
{ sub(/\r$/, "") }
/^note=/ {
	sub(/^note=/, "")
	method = $1
	split($2, kv, "=")
	v[method, kv[1]] = kv[2]
}
END {
	printf "\nHost kexec %s to itself, guest of %d vCPUs, not scheduled for %.1f s.\n",
		release, v["identical", "vcpus"], v["identical", "blackout_ns"] / 1e9
	printf "Its kvmclock and TSC against what they would have been, at the same host TSC:\n\n"
	printf "  %-38s %14s %14s %18s %9s  %s\n", "how the clock came back", "kvmclock now",
		"in an hour", "TSC, cycles", "rate, ppb", "function of the TSC"
	row("nothing restored", "none")
	row("by value (TSC MSR, KVM_SET_CLOCK)", "by-value")
	row("offset, KVM_SET_CLOCK with REALTIME", "realtime")
	row("kvmclock-handover (identical)", "identical")
	printf "\n"
}' "$log"
msg "all numbers: ${log#"$KCH_ROOT/"}"
