# SPDX-License-Identifier: GPL-2.0
# Draws Documentation/benchmark.svg for reports.py: of each method there is a block in the file points.
set terminal svg size 840,460 font "sans-serif,13" background "white"
set title "A guest's kvmclock over host updates by kexec, against the clock it began with" noenhanced
set xlabel "updates"
set ylabel "error of kvmclock"
set xtics 1
set key outside bottom center horizontal maxrows 2
set grid
# Logarithmic on both sides of zero, linear within a nanosecond of it.
f(x) = x > 0 ? log10(1 + x) : -log10(1 - x)
set ytics ("+100 s" f(1e11), "+1 s" f(1e9), "+10 ms" f(1e7), "+100 us" f(1e5), "+1 us" f(1e3), \
    "+10 ns" f(10), "0" 0, "-10 ns" f(-10), "-1 us" f(-1e3), "-100 us" f(-1e5), \
    "-10 ms" f(-1e7), "-1 s" f(-1e9), "-100 s" f(-1e11))
stats "points" using 2 nooutput
plot for [i=0:STATS_blocks-1] "points" index i using 1:(f($2)):3 with linespoints pointtype i + 4 pointsize 0.8 \
    linewidth 2 linecolor rgb variable title columnheader(1) noenhanced
