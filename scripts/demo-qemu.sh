#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One Linux guest of Debian's own QEMU, saved to a file, and three ways for it to come back from
# that file after the host's kexec. What the guest saw of its clocks, as a table and a picture.
#
#   scripts/demo-qemu.sh [-n]     -n: build nothing
#
# The picture is Documentation/qemu-clock.svg.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

log=$KCH_BUILD/nested/qemu-demo/verdict.log
points=$KCH_BUILD/demo-qemu
svg=$KCH_ROOT/Documentation/qemu-clock.svg
command -v gnuplot >/dev/null || die "no gnuplot here: install the package gnuplot-nox"

msg "booting an emulated host, a Linux guest on it, and replacing the host's kernel by kexec"
rm -f -- "$log"
"$KCH_ROOT/tests/nested/run.sh" "$@" -c qemu-demo >"$KCH_BUILD/demo-qemu.log" || {
	cat "$KCH_BUILD/demo-qemu.log" >&2
	die "the demo failed"
}

mkdir -p "$points"
for method in alone realtime ours; do
	tr -d '\r' <"$log" | sed -n "s/^note=$method point=//p" >"$points/$method"
	[[ -s $points/$method ]] || die "no points of $method in $log"
done

tr -d '\r' <"$log" | awk '
function seconds(ns,    a) {
	a = ns < 0 ? -ns : ns
	if (a < 1000) return "0"
	if (a < 1e6) return sprintf("%+.1f us", ns / 1e3)
	if (a < 1e9) return sprintf("%+.1f ms", ns / 1e6)
	return sprintf("%+.3f s", ns / 1e9)
}
function rate(text) { return text ~ /^[-+0-9.]+$/ ? sprintf("%+.0f", text) : "-" }
function row(name, m) {
	printf "  %-32s %12s %12s %14s %10s %8s  %s\n", name, seconds(v[m, "raw_error_ns"]),
		seconds(v[m, "tsc_error_ns"]),
		v[m, "raw_offset_ns"] + 0 == 0 ? "0" : seconds(v[m, "raw_offset_ns"]),
		rate(v[m, "raw_rate_ppb"]), v[m, "page_identical"] ? "yes" : "no",
		v[m, "complaints"] + 0 ? v[m, "complaints"] " lines" : "clean"
}
/^note=/ {
	sub(/^note=/, "")
	m = $1
	sub(/^[^ ]* /, "")
	split($0, kv, "=")
	v[m, kv[1]] = kv[2]
}
END {
	printf "\nA Linux guest on QEMU, its host replaced by kexec. Read inside the guest:\n\n"
	printf "  %-32s %12s %12s %14s %10s %8s  %s\n", "how it came back", "clock, host", "TSC, host",
		"clock, TSC", "rate, ppb", "page", "kernel log"
	row("QEMU alone", "alone")
	row("TSC offset, KVM_CLOCK_REALTIME", "realtime")
	row("kvmclock-run", "ours")
	printf "\nclock, host: CLOCK_MONOTONIC_RAW against the time that passed by the host TSC (one reading).\n"
	printf "TSC, host: the guest TSC likewise. clock, TSC: the clock against the guest'\''s own TSC; 0 is\n"
	printf "+-%s ns, rate +-%s ppb: all that the readings can tell. page: pvclock bytes as before.\n",
		v["ours", "raw_resolution_ns"], v["ours", "raw_rate_resolution_ppb"]
	printf "CLOCK_BOOTTIME %s ns, CLOCK_REALTIME %s ns with kvmclock-run; backward steps: %s.\n",
		v["ours", "boottime_offset_ns"], v["ours", "realtime_offset_ns"],
		v["ours", "backward_steps"]
}'

# The picture is drawn anew from what was just measured.
gnuplot <<EOF
set terminal svg size 840,420 font "sans-serif,13" background "white"
set output "$svg.new"
set title "A Linux guest's CLOCK_MONOTONIC_RAW through a host kexec, Debian's QEMU" noenhanced
set xlabel "host time since the guest was stopped, s"
set ylabel "error of the guest's clock"
set key outside bottom center horizontal
set grid
set yrange [-5.2:3.2]
# Logarithmic on both sides of zero, linear within a millisecond of it.
f(x) = x > 0 ? log10(1 + x / 1e-3) : -log10(1 - x / 1e-3)
set ytics ("+1 s" f(1), "+100 ms" f(0.1), "+10 ms" f(0.01), "0" 0, "-10 ms" f(-0.01), \
	"-100 ms" f(-0.1), "-1 s" f(-1), "-10 s" f(-10), "-100 s" f(-100))
set arrow from 0, graph 0 to 0, graph 1 nohead dashtype 2 linecolor "gray40"
set label "stopped; kexec" at 0.5, graph 0.95
plot "$points/alone" using 1:(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#c03020" \
	title "QEMU alone", \
	"$points/realtime" using 1:(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#d09000" \
	title "TSC offset, KVM_CLOCK_REALTIME" noenhanced, \
	"$points/ours" using 1:(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#207040" \
	title "kvmclock-run"
EOF
# A licence, as every file has one, and no white space at the end of lines.
sed -e '1a <!-- SPDX-License-Identifier: GPL-2.0 -->' -e 's/[[:space:]]*$//' "$svg.new" >"$svg"
rm -f -- "$svg.new"
msg "the picture: ${svg#"$KCH_ROOT/"}"
