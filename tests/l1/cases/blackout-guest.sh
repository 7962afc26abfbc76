# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What a Linux guest sees when it did not run for long: the guest is tests/l1/qemu/guest-load.c under QEMU, and
# tests/nested/reports.py makes a table of the notes. It comes back again and again from the same file, each time after
# another blackout. That is not waited for: to the guest it is the number by which its TSC and kvmclock have moved on, and the
# record is made to say that it was stopped so long ago (tests/l1/qemu/forge.c).
#
# Parameters, besides those of qemu.sh (age=1 is needed: the host's TSC must have been there an hour ago):
#   runs=WAY:S,S;WAY:S   ways to come back, with the blackouts in seconds:
#     continue  the guest's clocks go on, and QEMU tells the guest that it was stopped (KVM_KVMCLOCK_CTRL)
#     untold    they go on, and it does not
#     waited    continue, and the time is really waited for
#     hide      the guest's clocks stand still
#     limit-S   they go on for S seconds, and then stand still
#     realtime  KVM's stock ioctls with the wall clock (with methods=realtime)
#     alone     QEMU alone
#   judge=WAY            one of the last two is judged, as if it were continue
#   guest_words=WORD,WORD   for its kernel
#   state=STATE          the guest is suspended to that state before it is saved, and woken when it is back
#   policy=P             for a control: what hide and limit-S are restored by
#   same=WAY-S,WAY-S     these two must be alike
#   long=WAY-S:S         after this one the guest is watched for S seconds more
#
# Checks: restore-WAY-S; clocks-WAY-S: TSC, CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME have gone on as the host's TSC
# has, or have lost the time from the save to the restore, but for that of limit-S; timers-WAY-S: no expiration is missing, none
# is there twice; same: the two have the same warnings, and all timers were late by as long as the guest was stopped. And if it
# was suspended: asleep, before it is saved; quiet-WAY-S: its kernel has no warning.

# shellcheck source=tests/l1/cases/qemu.sh
. /kch/cases/qemu.sh

# Its console is not where the program writes to.
SUSPEND_TO=$(param state)
GUEST_WORDS="${SUSPEND_TO:+state=$SUSPEND_TO }rdinit=/guest-load $(param guest_words | tr , ' ')"
# The emulated CPU does not say that its TSC is invariant.
[ -z "$(param clocksource)" ] || GUEST_WORDS="$GUEST_WORDS clocksource=$(param clocksource) tsc=reliable"

LONG_RUN=$(param long)
LONG_S=${LONG_RUN#*:} LONG_RUN=${LONG_RUN%:*}

# A guest that is to suspend itself is told so by a byte, and woken by another.
serial() { # NAME
	if [ -z "$SUSPEND_TO" ]; then
		echo "-serial file:/run/$1.data"
		return
	fi
	rm -f "/run/$1.serial.in" "/run/$1.serial.out"
	mkfifo "/run/$1.serial.in" "/run/$1.serial.out"
	cat "/run/$1.serial.out" >/dev/null &
	echo "-chardev pipe,id=data,path=/run/$1.serial,logfile=/run/$1.data -serial chardev:data"
}

poke() { # NAME
	[ -z "$SUSPEND_TO" ] || printf . >"/run/$1.serial.in"
}

rows() { # NAME
	grep -c '^R ' "/run/$1.data"
}

# It says that it goes to sleep, and then nothing.
fall_asleep() {
	poke first
	wait_for 200 grep -q "^Z " /run/first.data || lost_guest first "it is not told to suspend"
	sleep 5
	_rows=$(rows first)
	sleep 5
	check_equal asleep "$(rows first)" "$_rows"
}

before_save() {
	field status kvm_tsc_khz >"$CARRIED/kvm-khz"
	sleep "$BEFORE"
	[ -z "$SUSPEND_TO" ] || fall_asleep
}

# As it came: nothing in it was given back.
before_module() {
	[ "$STAGE" -eq 0 ] || region out
}

# QEMU had saved it then, and it has not run since.
stopped_ago() { # SECONDS
	rmmod kvmclock_handover
	region in
	"$KCH/kch-qemu-forge" "$REGION_ADDR" "$REGION_SIZE" "$(cat "$CARRIED/saved")" "$1" >/run/stopped ||
		fail "the record cannot be made older"
	load_module
}

# What the guest said, with where its clocks would be had they gone on with the host's TSC, which is the guest's less the
# offset. In ns, but for what says otherwise; times of the host are counted from where the record says that it stopped.
see() { # NAME STOPPED-TSC OFFSET-THEN SAVED-TSC OFFSET-NOW RESTORE-TSC CONT-TSC
	awk -v stopped="$2" -v offset_then="$3" -v saved="$4" -v offset_now="$5" -v restore="$6" -v cont="$7" \
		-v khz="$(cat "$CARRIED/kvm-khz")" '
	function ns(cycles) { return cycles / khz * 1e6 }
	function host(tsc, offset) { return ns(tsc - offset - stopped) }
	FNR == 1 { file++ }
	$1 == "G" && $2 == "clocksource" { source = $3 }
	$1 == "R" && NF == 14 && file == 1 { tsc = $2; width = $3; mono = $4; real = $5; boot = $6; maxerror = $7; back = $13 }
	$1 == "R" && NF == 14 && file == 2 {
		if (!rows++) {
			first = host($2, offset_now) - host(tsc, offset_then)
			# The two readings; and the rate, of 32 bits, or that of a guest which rounds it to a kHz.
			bound = ns(width + $3) + first / (source == "tsc" ? khz : 2147483648)
			off_mono = $4 - mono - first; off_real = $5 - real - first; off_boot = $6 - boot - first
			off_tsc = ns($2 - tsc) - first
			error_us = $7 - maxerror; status = $8
			spins0 = $9; spins1 = $10
			away = host($2, offset_now)
		}
		wrong = $11; worst = $12; back_now = $13; lost = $14
		# Both have a tenth of what the two did in this second.
		if (rows > 1 && !fair) {
			a = $9 - spins0; b = $10 - spins1
			if (a * 9 > b && b * 9 > a) fair = host($2, offset_now) - away
		}
		spins0 = $9; spins1 = $10; end = host($2, offset_now) - away
	}
	file == 2 && $1 == "T" && !ticks { ticks = $2 }
	file == 2 && $1 == "L" && !rounds { rounds = $2; late = $3; took = $4 }
	file == 2 && $1 == "W" && !woke { woke = $2 }
	file == 2 && $1 == "S" && $2 > gone { gone = $2; slack = $3 }
	file == 2 && $1 == "K" {
		# What a busy host makes it say, too, and of which nothing follows.
		if (/skipping watchdog check/) next
		if (/soft lockup/) soft++
		else if (/self-detected stall|detected (expedited )?stalls/) rcu++
		else if (/blocked for more than/) hung++
		else if (/workqueue lockup/) wq++
		else if (/Marking clocksource/) clock++
		else if (/WARNING|BUG|Oops|INFO:/) other++
	}
	END {
		printf "source=%s rows=%d bound=%.0f away=%.0f ", source, rows, bound, away
		printf "saved=%.0f restore=%.0f cont=%.0f ", ns(saved - stopped), ns(restore - stopped), ns(cont - stopped)
		printf "tsc=%.0f tsc_cycles=%.0f ", off_tsc, offset_now - offset_then
		printf "mono=%.0f real=%.0f boot=%.0f maxerror_us=%d status=%d ", off_mono, off_real, off_boot, error_us, status
		printf "lost=%d ticks=%d rounds=%d late=%.0f took=%.0f woke=%.0f ", lost, ticks, rounds, late, took, woke
		printf "fair=%.0f slack=%.0f end=%.0f ", fair, slack, end
		printf "wrong=%d worst=%.0f back=%.0f ", wrong, worst, back_now - back
		printf "soft=%d rcu=%d hung=%d clock=%d wq=%d other=%d\n", soft, rcu, hung, clock, wq, other
	}' "$CARRIED/before" "/run/$1.data"
}

value() { # NAME KEY
	sed -n "s/.* $2=\([^ ]*\).*/\1/p" "/run/$1.seen"
}

# At most BOUND from WANTED.
near() { # VALUE WANTED BOUND
	awk -v a="$1" -v b="$2" -v bound="$3" 'BEGIN { exit !(a - b <= bound && b - a <= bound) }'
}

clocks_near() { # NAME WANTED BOUND
	for _clock in mono real boot; do
		near "$(value "$1" $_clock)" "$2" "$3" || return 1
	done
}

two_rows() { # NAME
	[ "$(rows "$1")" -ge 2 ]
}

# QEMU with the guest's state, and the record made older, in the order that leaves least time between.
come_back() { # WAY SECONDS
	_run=$1-$2
	_preload=
	case $1 in
	untold) _preload="env LD_PRELOAD=$KCH/untold.so" ;;
	realtime) _preload="env LD_PRELOAD=$KCH/stock.so KCH_STOCK_FILE=$CARRIED/stock" ;;
	esac
	# shellcheck disable=SC2086 # words
	start_qemu "$_run" $_preload -- -S -incoming "exec:cat $CARRIED/state"
	wait_for 200 is_paused || lost_guest "$_run" "its state was not loaded"
	case $1 in
	waited)
		stopped_ago 0
		sleep "$2"
		;;
	realtime) cat "$CARRIED/saved" "$CARRIED/tsc-offset" "$CARRIED/stopped" >/run/stopped ;;
	*) stopped_ago "$2" ;;
	esac
	_restore=$(kch-host-tsc)
	case $1 in
	alone | realtime) ;;
	hide) restore_guest --policy "$(param policy hide)" ;;
	limit-*) restore_guest --policy "$(param policy "limit:${1#limit-}s")" ;;
	*) restore_guest ;;
	esac
	monitor cont
	_cont=$(kch-host-tsc)
	poke "$_run"
	wait_for 100 two_rows "$_run" || lost_guest "$_run" "the guest did not come back"
	_now=$(tsc_offset)
	sleep "$AFTER"
	[ "$_run" != "$LONG_RUN" ] || sleep "$LONG_S"
	quit_qemu "$_run"
	# shellcheck disable=SC2046 # three words
	see "$_run" $(cat /run/stopped) "$_now" "$_restore" "$_cont" >"/run/$_run.seen"
	note blackout "$1 $2 $(cat "/run/$_run.seen")"
	grep -h '^[TLWSJA] ' "/run/$_run.data" | head -n 12 | note_lines "$_run" || true
	# Of what is reported, not of the registers then.
	grep -E '^K .*(lockup|stall|blocked for|clocksource|WARNING|BUG|Oops|INFO:)' "/run/$_run.data" | cut -c1-110 | head -n 8 | note_lines "$_run" || true
	at "$_run"
}

restore_guest() { # OPTION...
	try "/run/$_run.restore" kvmclockctl restore --pid "$QEMU_PID" --id "$VM_ID" --hold "$@"
	[ "$STATUS" -eq 0 ] || note "$_run" "$(tail -n 1 "/run/$_run.restore")"
	check_equal "restore-$_run" "$STATUS" 0
}

# They go on: the TSC with every cycle, the clocks as far as a reading can tell.
go_on() { # NAME BOUND
	[ "$(value "$1" tsc_cycles)" = 0 ] && clocks_near "$1" 0 "$2"
}

# TSC and clocks have lost the same: all but LIMIT of the time from the save to the restore, which was between when it was
# asked for and the guest's first reading.
hidden() { # NAME LIMIT BOUND
	clocks_near "$1" "$(value "$1" tsc)" "$3" &&
		awk -v tsc="$(value "$1" tsc)" -v limit="$2e9" -v saved="$(value "$1" saved)" -v asked="$(value "$1" restore)" \
			-v away="$(value "$1" away)" \
			'BEGIN { passed = limit - tsc; exit !(passed >= asked - saved && passed <= away - saved) }'
}

judge_run() { # WAY SECONDS
	_bound=$(value "$1-$2" bound)
	case $1 in
	alone | realtime) [ "$(param judge)" != "$1" ] || check "clocks-$1-$2" go_on "$1-$2" "$_bound" ;;
	hide) check "clocks-$1-$2" hidden "$1-$2" 0 "$_bound" ;;
	limit-*) check "clocks-$1-$2" hidden "$1-$2" "${1#limit-}" "$_bound" ;;
	*) check "clocks-$1-$2" go_on "$1-$2" "$_bound" ;;
	esac
	check_equal "timers-$1-$2" "$(value "$1-$2" lost)" 0
	case ${SUSPEND_TO:+$1} in
	"" | alone | realtime) ;;
	*) check_equal "quiet-$1-$2" "$(warnings_of "$1-$2")" "soft=0 rcu=0 hung=0 clock=0 wq=0 other=0" ;;
	esac
}

warnings_of() { # NAME
	grep -o "soft=.*" "/run/$1.seen"
}

alike() { # NAME NAME
	[ "$(warnings_of "$1")" = "$(warnings_of "$2")" ] || return 1
	# It was stopped for so long, of which the restore is the smaller part. Each timer was behind by no less, but for its
	# period, and by no more than was over when the guest was seen last.
	for _run in "$1" "$2"; do
		awk -v wanted="${_run##*-}e9" -v stopped="$(value "$_run" cont)" -v late="$(value "$_run" late)" \
			-v woke="$(value "$_run" woke)" -v ticks="$(value "$_run" ticks)" \
			-v over="$(value "$_run" away)" -v end="$(value "$_run" end)" '
			function within(ns, period) { return ns > stopped - period && ns <= over + end }
			BEGIN { exit !(stopped >= wanted && stopped < 2 * wanted &&
				within(late, 1e8) && within(woke, 1e9) && within(ticks * 1e7, 1e7)) }' ||
			return 1
	done
}

stage_1() {
	carry_in
	at carried
	for _runs in $(param runs | tr ';' ' '); do
		for _seconds in $(echo "${_runs#*:}" | tr , ' '); do
			come_back "${_runs%%:*}" "$_seconds"
			judge_run "${_runs%%:*}" "$_seconds"
		done
	done
	_same=$(param same)
	[ -z "$_same" ] || check same alike "${_same%,*}" "${_same#*,}"
}
