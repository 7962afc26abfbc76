#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Write what the last run of scripts/bench.sh measured: tables into Documentation/benchmark.rst, the
# comparison as numbers into benchmark.json and as a picture into benchmark.svg.
#
#   scripts/bench-report.sh
#
# What was not measured is left as it was.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

doc=$KCH_ROOT/Documentation/benchmark
logs=$KCH_BUILD/nested
out=$KCH_BUILD/bench
work=$out/report
mkdir -p "$work"

# METHOD|what it is called
METHODS='none|nothing restored
by-value|by value: TSC MSR, KVM_SET_CLOCK
realtime|offset, KVM_SET_CLOCK with REALTIME
recipe|the recipe that KVM documents
converged|converged: no module
identical|identical'

# What is between ".. begin NAME" and ".. end NAME" becomes what comes in.
replace_section() { # NAME
	local new=$work/section
	cat >"$new"
	awk -v name="$1" -v new="$new" '
		$0 == ".. begin " name {
			print; print ""
			while ((getline line < new) > 0) print line
			print ""
			skip = found = 1
		}
		$0 == ".. end " name { skip = 0 }
		!skip
		END { exit !found }' "$doc.rst" >"$doc.rst.new" ||
		die "no section $1 in $doc.rst"
	mv -f -- "$doc.rst.new" "$doc.rst"
}

# "STAGE METHOD KEY VALUE" of a verdict.
values_of() { # CASE
	tr -d '\r' <"$logs/$1/verdict.log" | awk '
		/^stage=/ { sub(/stage=/, ""); stage = $0 }
		/^note=/ && $2 ~ /^[a-z_]+=/ {
			sub(/^note=/, "")
			split($2, kv, "=")
			print stage, $1, kv[1], kv[2]
		}'
}

releases() { # CASE: as "A", or "A to B"
	tr -d '\r' <"$logs/$1/verdict.log" | sed -n 's/^release=//p' | sort -u | paste -sd/
}

AWK_UNITS='
function abs(x) { return x < 0 ? -x : x }
function ns(n) {
	if (n == 0) return "0 ns"
	if (abs(n) < 10000) return sprintf("%+d ns", n)
	if (abs(n) < 10000000) return sprintf("%+.1f us", n / 1e3)
	if (abs(n) < 10000000000) return sprintf("%+.1f ms", n / 1e6)
	return sprintf("%+.3f s", n / 1e9)
}
function count(n) { return n == 0 ? "0" : abs(n) < 1000000 ? sprintf("%+d", n) : sprintf("%+.3g", n) }
function rule(widths,    n, w, i, line, dashes) {
	n = split(widths, w, " ")
	for (i = 1; i <= n; i++) {
		dashes = sprintf("%" w[i] "s", "")
		gsub(/ /, "=", dashes)
		line = line (i > 1 ? " " : "") dashes
	}
	return line
}
'

comparison_table() {
	awk -v methods="$METHODS" -v release="$(releases comparison)" "$AWK_UNITS"'
	{ v[$2, $1, $3] = $4; if ($1 > last) last = $1 }
	END {
		printf "Host kernel %s, %d updates by kexec; guests of %d vCPUs, not scheduled for %.1f s at the\nfirst of them.\n\n",
			release, last, v["identical", 1, "vcpus"], v["identical", 1, "blackout_ns"] / 1e9
		widths = "36 12 12 10 13 14 9 14 14"
		line = rule(widths)
		form = "%-36s %12s %12s %10s %13s %14s %-9s %14s %14s\n"
		print line
		printf form, "how the clock is restored", "kvmclock", "in an hour", "rate, ppb", "TSC, cycles",
			"between vCPUs", "same function", "kvmclock, " last, "TSC, " last
		print line
		n = split(methods, m, "\n")
		for (i = 1; i <= n; i++) {
			split(m[i], p, "|")
			if (v[p[1], 1, "error_now_ns"] == "") continue
			printf form, p[2], ns(v[p[1], 1, "error_now_ns"]),
				ns(v[p[1], 1, "error_hour_ns"] - v[p[1], 1, "error_end_ns"]),
				count(v[p[1], 1, "rate_ppb"]), count(v[p[1], 1, "tsc_error_cycles"]),
				substr(ns(v[p[1], 1, "peer_disagreement_max_ns"]), v[p[1], 1, "peer_disagreement_max_ns"] > 0 ? 2 : 1),
				v[p[1], 1, "page_function"] ? "yes" : "no",
				ns(v[p[1], last, "total_error_ns"]), count(v[p[1], last, "total_error_cycles"])
		}
		print line
	}' "$work/comparison" | sed 's/ *$//'
}

comparison_json() {
	awk -v methods="$METHODS" -v release="$(releases comparison)" '
	BEGIN {
		keys = "error_now_ns error_end_ns error_hour_ns rate_ppb tsc_error_cycles"
		keys = keys " peer_disagreement_max_ns page_function total_error_ns total_error_hour_ns"
		keys = keys " total_error_cycles blackout_ns tsc_khz tsc_khz_saved"
		nkeys = split(keys, key, " ")
	}
	{ v[$2, $1, $3] = $4; if ($1 > last) last = $1 }
	END {
		printf "{\n  \"licence\": \"SPDX-License-Identifier: GPL-2.0\",\n"
		printf "  \"kernel\": \"%s\",\n  \"vcpus\": %d,\n  \"updates\": %d,\n  \"methods\": [",
			release, v["identical", 1, "vcpus"], last
		n = split(methods, m, "\n")
		for (i = 1; i <= n; i++) {
			split(m[i], p, "|")
			if (v[p[1], 1, "error_now_ns"] == "") continue
			printf "%s\n    { \"name\": \"%s\", \"after\": [", (printed++ ? "," : ""), p[1]
			for (s = 1; s <= last; s++) {
				printf "%s\n      {", (s > 1 ? "," : "")
				for (k = 1; k <= nkeys; k++)
					printf "%s \"%s\": %s", (k > 1 ? "," : ""), key[k],
						(v[p[1], s, key[k]] == "" ? "null" : v[p[1], s, key[k]])
				printf " }"
			}
			printf "\n    ] }"
		}
		printf "\n  ]\n}\n"
	}' "$work/comparison" >"$doc.json"
}

comparison_picture() {
	local method name plots='' color=("#808080" "#c03020" "#d09000" "#8040a0" "#2060c0" "#207040") n=0
	while IFS='|' read -r method name; do
		awk -v m="$method" '$2 == m && $3 == "total_error_ns" { print $1, $4 }' "$work/comparison" \
			>"$work/points-$method"
		[[ ! -s $work/points-$method ]] ||
			plots+="${plots:+, }\"$work/points-$method\" using 1:(f(\$2)) with linespoints pointtype $((n + 4)) \
pointsize 0.8 linewidth 2 linecolor \"${color[n]}\" title \"$name\" noenhanced"
		n=$((n + 1))
	done <<<"$METHODS"
	gnuplot <<-EOF
	set terminal svg size 840,460 font "sans-serif,13" background "white"
	set output "$work/picture.svg"
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
	plot $plots
	EOF
	# A licence, as every file has one, and no white space at the end of lines.
	sed -e '1a <!-- SPDX-License-Identifier: GPL-2.0 -->' -e 's/[[:space:]]*$//' "$work/picture.svg" >"$doc.svg"
}

# Lines "note=WHAT UNIT=N ... KEY=VALUE" of the cost case: one VM by vCPUs, then many VMs.
cost_tables() { # CASE
	tr -d '\r' <"$logs/$1/verdict.log" | awk -v release="$(releases "$1")" "$AWK_UNITS"'
	function cell(what, n) {
		return ratio[what, n] == "" ? "" : sprintf("%.2f (%.2f-%.2f)", ratio[what, n], low[what, n], high[what, n])
	}
	function table(title, widths, form, names, columns,    i, line, n, m, row, c, h, p, k, v) {
		line = rule(widths)
		print line
		n = split(columns, c, " ")
		for (k = 1; k <= 6; k++) h[k] = c[k]
		printf form, title, h[1], h[2], h[3], h[4], h[5], h[6]
		print line
		m = split(names, row, "\n")
		for (i = 1; i <= m; i++) {
			split(row[i], p, "|")
			for (k = 1; k <= 6; k++) v[k] = k <= n ? cell(p[1], c[k]) : ""
			printf form, p[2], v[1], v[2], v[3], v[4], v[5], v[6]
		}
		print line
	}
	/^note=/ {
		sub(/^note=/, "")
		split($2, unit, "=")
		for (i = 3; i <= NF; i++) {
			split($i, kv, "=")
			f[kv[1]] = kv[2]
		}
		what = $1 (unit[1] == "vms" ? "-record" : "")
		ratio[what, unit[2]] = f["ratio"]
		low[what, unit[2]] = f["ratio_low"]
		high[what, unit[2]] = f["ratio_high"]
	}
	END {
		printf "Host kernel %s.  One VM, by its number of vCPUs:\n\n", release
		names = "preserve|KCH_IOC_PRESERVE\npreserve-entry|an ioctl of ours, refused at once\n"
		names = names "preserve-read|KCH_IOC_READ: found and read\nrestore|KCH_IOC_RESTORE\n"
		names = names "restore-check|... with KCH_RESTORE_CHECK\nrestore-names|the vCPUs\x27 names in /proc\n"
		names = names "restore-library|kch_vm_restore(), all of it"
		table("vCPUs", "34 20 20 20 20", "%-34s %-20s %-20s %-20s %-20s%s%s\n", names, "1 2 4 8")
		printf "\n200 VMs of one vCPU, a process each: the first 10, those up to the 50th, and so on.\n\n"
		table("up to the Nth", "18 17 17 17 17 17 17", "%-18s %-17s %-17s %-17s %-17s %-17s %-17s\n",
			"preserve-fleet|KCH_IOC_PRESERVE\nrestore-fleet|KCH_IOC_RESTORE", "10 50 100 150 190 200")
		printf "\nAll VMs of a record that has N:\n\n"
		table("N", "18 17 17 17", "%-18s %-17s %-17s %-17s%s%s%s\n", "restore-fleet-record|KCH_IOC_RESTORE",
			"10 50 200")
	}' | sed 's/ *$//'
}

record_table() {
	awk "$AWK_UNITS"'
	$1 == "sizes" { next }
	{
		for (i = 2; i <= NF; i++) {
			split($i, kv, "=")
			f[kv[1]] = kv[2]
		}
		row[++rows] = sprintf("%-8s %7d %7d %9.1f %13.1f %15.1f %7.2f", $1, f["vms"], f["vcpus"], f["us"],
			f["ns_per_vcpu"], f["limit_us"], f["ratio"])
	}
	END {
		line = rule("8 7 7 9 13 15 7")
		print line
		printf "%-8s %7s %7s %9s %13s %15s %7s\n", "what", "VMs", "vCPUs", "us", "ns per vCPU", "bytes alone, us", "ratio"
		print line
		for (i = 1; i <= rows; i++) print row[i]
		print line
	}' "$out/record" | sed 's/ *$//'
}

passed() { # CASE
	[[ $(sed 's/:.*//' "$logs/$1/outcome" 2>/dev/null) == pass ]]
}

if passed comparison; then
	values_of comparison >"$work/comparison"
	comparison_table | tee "$work/table" | replace_section comparison
	comparison_json
	comparison_picture
	cat "$work/table"
	echo
fi
if passed cost-6.12; then
	cost_tables cost-6.12 | tee "$work/table" | replace_section cost
	cat "$work/table"
	echo
fi
if [[ -s $out/record ]]; then
	record_table | tee "$work/table" | replace_section record
	cat "$work/table"
	echo
fi
msg "written: ${doc#"$KCH_ROOT/"}.rst, .json and .svg"
