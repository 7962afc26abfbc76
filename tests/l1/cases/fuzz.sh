# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Random calls of all ioctls, by tests/l1/fuzz; then, with a kexec, the main job on the same kernel, as handover.sh
# does it and with its parameters. Parameters:
#
#   seed=N         of the numbers that look random (1); what else the threads do at the same time is not of them
#   rounds=N       how often the module is loaded for it (4), or
#   seconds=N      for how long, and
#   steps=N        what each thread does in a round (200),
#   threads=N      of them (3)
#   found=WORDS    of a control: only a fault with these words counts
#   every=N        a kernel with KCSAN looks at one in so many accesses to memory (500)

# shellcheck source=tests/l1/cases/handover.sh
. /kch/cases/handover.sh

# It puts a record into the region first, and loads the module itself.
before_module() {
	[ "$STAGE" -gt 0 ]
}

KCSAN=/sys/kernel/debug/kcsan
GCOV=/sys/kernel/debug/gcov

# What gcov counts would be races.
looks_for_races() {
	[ -e $KCSAN ] && [ "$(param module)" != counted ]
}

fuzz() {
	! looks_for_races || echo on >$KCSAN
	try /run/fuzz "$KCH/kch-fuzz" -s "$(param seed 1)" -r "$(param rounds 4)" -d "$(param seconds 0)" \
		-n "$(param steps 200)" -t "$(param threads 3)" "$REGION_ADDR" "$REGION_SIZE"
	! looks_for_races || echo off >$KCSAN
	cat /run/fuzz >/dev/console
	cut -c1-300 /run/fuzz | note_lines fuzz
	_words=$(param found | tr _ ' ')
	[ -z "$_words" ] || grep -q "^fault: .*$_words" /run/fuzz || return 0
	return "$STATUS"
}

# Of the kernel: these write to the flags of a task, which others read, all without a lock.
KNOWN='capable do_exit'

# A race is ours when a function of the module is on one of the two stacks, and what it called was not interrupted, did
# not give up the CPU, and is not one of KVM's ioctls, which any VMM may call; or when the data are in a module, and no
# module is on a stack. The others are the kernel's own, and listed.
no_race_of_ours() {
	cat $KCSAN | note_lines kcsan
	dmesg | sed 's/^\[[^]]*\] //' | awk -v ours="[$KCH_MODULE]" -v known=" $KNOWN " '
		/^BUG: KCSAN: / { title = $0; text = ""; mine = module = of_module = flags = 0 }
		title { text = text $0 "\n" }
		/ (0x[0-9a-f]*) of [0-9]* bytes by / {
			first = away = 0
			match($0, /0x[0-9a-f]*/)
			of_module = substr($0, RSTART, RLENGTH) >= "0xffffffffc0000000"
		}
		/^ [^ ]+\+0x/ {
			name = substr($1, 1, index($1, "+") - 1)
			if (!first++ && index(known, " " name " ")) flags = 1
			if (name ~ /^(__schedule|asm_.*|kvm_(dev|vm|vcpu)_ioctl)$/) away = 1
			if (/\]$/) module = 1
			if (index($0, ours) && !away) mine = 1
		}
		/^=====/ && title {
			if (!flags && (mine || of_module && !module)) { count++; printf "%s", text >"/run/ours" }
			else other[title]++
			title = ""
		}
		END {
			print count + 0, "races of the module"
			for (title in other) print other[title], title
		}' >/run/races
	sort -rn /run/races | note_lines races
	[ ! -e /run/ours ] || grep -E '^(BUG|[a-z-]+ to 0x| [^ ]+\+0x)' /run/ours | head -n 60 | note_lines ours
	[ -s /run/races ] && [ ! -e /run/ours ]
}

# What of the module was reached, for tests/l1/fuzz/coverage.py.
give_coverage() {
	dmesg -n 1
	(cd $GCOV && find . -name '*.gcda') | while IFS= read -r _gcda; do
		mkdir -p "/run/gcov/${_gcda%/*}"
		cat "$GCOV/$_gcda" >"/run/gcov/$_gcda"
	done
	tar -c -C /run/gcov . | gzip | base64 | sed 's/^/gcda: /' >/dev/console
}

stage_0() {
	leave_module_to kch-fuzz
	! looks_for_races || param every 500 >/sys/module/kcsan/parameters/skip_watch
	check fuzz fuzz
	! looks_for_races || check races no_race_of_ours
	[ "$(param module)" != counted ] || give_coverage
	# Nothing holds the module, or KVM, any more.
	check unloaded test ! -e "/sys/module/$KCH_MODULE"
	check kvm-unloads modprobe -r "$(kvm_module)"
	[ "$KEXECS" -gt 0 ] || return 0
	load_kvm
	load_module
	stage_n 0
}
