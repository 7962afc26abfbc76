#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One Linux guest of Debian's own QEMU, saved to a file, and three ways for it to come back from
# that file after the host's kexec. What the guest saw of its clocks, as a table and a picture.
#
#   scripts/demo-qemu.sh [-n | --draw]     -n: build nothing; --draw: from what the last run left
#
# The picture is Documentation/qemu-clock.svg.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

log=$KCH_BUILD/nested/qemu-demo/verdict.log
points=$KCH_BUILD/demo-qemu
svg=$KCH_ROOT/Documentation/qemu-clock.svg
command -v gnuplot >/dev/null || die "no gnuplot here: install the package gnuplot-nox"

if [[ ${1:-} != --draw ]]; then
	msg "booting an emulated host, a Linux guest on it, and replacing the host's kernel by kexec"
	rm -f -- "$log"
	"$KCH_ROOT/tests/nested/run.sh" "$@" -c qemu-demo >"$KCH_BUILD/demo-qemu.log" || {
		cat "$KCH_BUILD/demo-qemu.log" >&2
		die "the demo failed"
	}
fi
[[ -r $log ]] || die "no run of the demo is there: $log"

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
		rate(v[m, "raw_rate_ppb"]), v[m, "page_identical"] || v[m, "page_function"] ? "yes" : "no",
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
	row("kvmclockctl restore --hold", "ours")
	printf "\nclock, host: CLOCK_MONOTONIC_RAW against the time that passed by the host TSC (one reading).\n"
	printf "TSC, host: the guest TSC likewise. clock, TSC: the clock against the guest'\''s own TSC; 0 is\n"
	printf "+-%s ns, rate +-%s ppb: all that the readings can tell. page: pvclock is the\nsame function of the TSC as before.\n",
		v["ours", "raw_resolution_ns"], v["ours", "raw_rate_resolution_ppb"]
	printf "CLOCK_BOOTTIME %s ns, CLOCK_REALTIME %s ns with kvmclockctl; backward steps: %s.\n",
		v["ours", "boottime_offset_ns"], v["ours", "realtime_offset_ns"],
		v["ours", "backward_steps"]
}'

resolution=$(tr -d '\r' <"$log" | sed -n 's/^note=ours raw_resolution_ns=//p')

# The picture is drawn anew from what was just measured.
gnuplot <<EOF
back(x) = x > 0 ? x : NaN
before(x) = x <= 0 ? x : NaN
stats "$points/alone" using (back(\$1)):2 name "ALONE" nooutput
stats "$points/realtime" using (back(\$1)):2 name "REALTIME" nooutput
stats "$points/ours" using (back(\$1)):2 name "OURS" nooutput
set terminal svg size 860,440 font "sans-serif,13" background "white"
set output "$svg.new"
set title "A Linux guest's CLOCK_MONOTONIC_RAW through a kexec of its host, read in the guest" noenhanced
set xlabel "host time since the guest was stopped, s; the three came back one after the other from one saved state" noenhanced
set ylabel "error of the guest's clock"
unset key
set grid
# Logarithmic on both sides of zero, linear within a millisecond of it.
f(x) = x > 0 ? log10(1 + x / 1e-3) : -log10(1 - x / 1e-3)
set yrange [-5.2:4.2]
set ytics ("+10 s" f(10), "+1 s" f(1), "+100 ms" f(0.1), "+10 ms" f(0.01), "0" 0, "-10 ms" f(-0.01), \
	"-100 ms" f(-0.1), "-1 s" f(-1), "-10 s" f(-10), "-100 s" f(-100))
set object 1 rectangle from 0, graph 0 to ALONE_min_x, graph 1 behind fillcolor "#eeeeee" fillstyle solid noborder
set label 1 "saved;\nhost kexecs" at ALONE_min_x / 2, graph 0.94 center
set label 2 "before" at OURS_min_x / -8, f(0) center offset 0, 1
set label 3 "QEMU alone" at ALONE_min_x, f(ALONE_min_y) offset 0, 1.1 textcolor "#c03020"
set label 4 "TSC offset, KVM_CLOCK_REALTIME" at REALTIME_max_x, f(REALTIME_max_y) right offset 0, 1.1 \
	textcolor "#a07000" noenhanced
set label 5 "kvmclockctl restore: 0, +-$resolution ns" at OURS_max_x, f(0) right offset 0, 1.1 textcolor "#207040"
plot "$points/ours" using (before(\$1)):(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "black", \
	"$points/alone" using (back(\$1)):(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#c03020", \
	"$points/realtime" using (back(\$1)):(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#d09000", \
	"$points/ours" using (back(\$1)):(f(\$2)) with points pointtype 7 pointsize 0.5 linecolor "#207040"
EOF
# A licence, as every file has one, and no white space at the end of lines.
sed -e '1a <!-- SPDX-License-Identifier: GPL-2.0 -->' -e 's/[[:space:]]*$//' "$svg.new" >"$svg"
rm -f -- "$svg.new"
msg "the picture: ${svg#"$KCH_ROOT/"}"
