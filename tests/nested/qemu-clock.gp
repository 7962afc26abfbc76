# SPDX-License-Identifier: GPL-2.0
# Draws Documentation/qemu-clock.svg, for reports.py: the points of each method are in a file of its name.
back(x) = x > 0 ? x : NaN
before(x) = x <= 0 ? x : NaN
stats "alone" using (back($1)):2 name "ALONE" nooutput
stats "realtime" using (back($1)):2 name "REALTIME" nooutput
stats "ours" using (back($1)):2 name "OURS" nooutput
set terminal svg size 860,440 font "sans-serif,13" background "white"
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
set label 5 "kvmclockctl restore: 0, +-".resolution." ns" at OURS_max_x, f(0) right offset 0, 1.1 textcolor "#207040"
plot "ours" using (before($1)):(f($2)) with points pointtype 7 pointsize 0.5 linecolor "black", \
	"alone" using (back($1)):(f($2)) with points pointtype 7 pointsize 0.5 linecolor "#c03020", \
	"realtime" using (back($1)):(f($2)) with points pointtype 7 pointsize 0.5 linecolor "#d09000", \
	"ours" using (back($1)):(f($2)) with points pointtype 7 pointsize 0.5 linecolor "#207040"
