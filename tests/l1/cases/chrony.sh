# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A Linux guest that keeps time by chrony over kexecs of its host, and is told of disruptions by its vmclock page: QEMU's,
# to which a time is written before the guest starts (kch-vmclock-page). The guest is tests/l1/qemu/chrony-init.
#
# Parameters (besides those of qemu.sh that say what QEMU and guest are; part=chrony-VERSION):
#   kexecs=N       0: for comparison, the guest is only watched
#   pauses=N pause=S   before the first kexec the guest is not scheduled for S seconds, N times: QEMU is stopped by a signal
#   reference_ppb=N   the page's time goes faster than kvmclock, as any reference does that is not of this host
#   before=S after=S   how long it is watched before the first kexec and after the last, from when chrony is in sync
#   restore=WORDS  how it is restored: vmclock (its page is put back, the default), bumped (that is left as QEMU changes
#                  it), alone (QEMU and nothing else); with machine=two also imported: it comes to another host, whose
#                  wall clock is off by wall_error=NS, and said to be by wall=US at most; its page then has the right time
#   hidden_s=S     after the last kexec the page says that so much was hidden from the guest, by the library
#   moved_s=S      the same, but the marker stays; moved_ns=N: so, and judged as if there was nothing
#   watch=no       the guest has no kvmclock-guest-watch
#
# Checks: page: the page's marker; quiet: the guest was not told of a disruption; reference: the guest's PTP clock, a function
# of its TSC, and its raw clock, that of kvmclock, stayed a line, to what two readings are rounded by. multiplier: over a
# blackout Linux counts with the multiplier that it had just then, which it changes at every tick to be right on average; so its
# clock drifts, by a step of the multiplier at most, 2^-23 for kvm-clock. offset: no offset that chrony found after a blackout
# is beyond the error that it says it has, and that drift; frequency: at the end it is what it was before the first blackout,
# to within the error that chrony says it has. With hidden_s or moved_s instead out_of_sync: the guest was told, and
# STA_UNSYNC was set; in_sync: it is in sync again. So with restore=imported.

# shellcheck source=tests/l1/cases/qemu.sh
. /kch/cases/qemu.sh

GUEST_INITRD=/boot/chrony.cpio
GUEST_DEVICES="-device vmclock"
# What CPUID says there of the size of XSAVE areas stops a 7.3 kernel.
GUEST_WORDS="console=ttyS0 tsc=reliable noxsave kch.watch=$(param watch yes)"
RESTORE=$(param restore vmclock)
HIDDEN_S=$(param hidden_s 0)
MOVED_S=$(param moved_s 0)
MOVED_NS=$(param moved_ns 0)
BEFORE=$(param before 20)
AFTER=$(param after 20)

lines() { # PATTERN: of the guest that runs now
	grep -c "$1" "/run/$QEMU_NAME.data" || true
}

has_lines() { # N PATTERN
	[ "$(lines "$2")" -ge "$1" ]
}

# So many more of chrony's reports, one a second.
watch_guest() { # N
	_count=$(($(lines '^C ') + $1))
	wait_for $(($1 * 10 + 60)) has_lines "$_count" '^C ' || lost_guest "$QEMU_NAME" "it does not go on"
}

page() { # WORDS of kch-vmclock-page
	"$KCH/kch-vmclock-page" "$QEMU_PID" "$@" || fail "kch-vmclock-page $*"
}

marker() {
	page show | cut -d' ' -f2
}

# Over the kexec, with all that it said.
leave() {
	note "page_$STAGE" "$(page show)"
	marker >"$CARRIED/marker"
	save_guest
	wait_for 100 is_saved || lost_guest "$QEMU_NAME" "it was not saved"
	if [ "$RESTORE" = imported ]; then
		other_host "$(param wall)" 0 0 "$(field status tsc_khz)"
		check export kvmclockctl export --pid "$QEMU_PID" --id "$VM_ID" "$CARRIED/clock"
	else
		check save kvmclockctl save --pid "$QEMU_PID" --id "$VM_ID" --name linux --vmclock="$CARRIED"
	fi
	quit_qemu "$QEMU_NAME"
	{
		cat "/run/$QEMU_NAME.data"
		# The last line may be cut.
		printf '\nX\n'
	} >>"$CARRIED/seen"
	# shellcheck disable=SC2046 # words
	do_kexec "$NEXT_LINE" $(carry_out)
}

stage_0() {
	mkdir -p "$CARRIED"
	start_qemu first -- -S
	wait_for 100 is_paused || lost_guest first "QEMU did not start"
	page make "$(field status kvm_tsc_khz)" "$(param reference_ppb 0)" >/run/made
	monitor cont
	wait_for 300 has_lines 1 '^G ready' || lost_guest first "the guest did not come up"
	at "guest up"
	note_lines guest <<-END
		$(grep '^[GK] ' /run/first.data | tr -d '\r')
	END
	wait_for 120 has_lines 10 '^C.*,Normal' || lost_guest first "chrony is not in sync"
	watch_guest "$BEFORE"
	_pauses=$(param pauses 0)
	while [ "$_pauses" -gt 0 ]; do
		kill -STOP "$QEMU_PID"
		sleep "$(param pause 10)"
		kill -CONT "$QEMU_PID"
		at "pause over"
		watch_guest "$AFTER"
		_pauses=$((_pauses - 1))
	done
	[ "$KEXECS" -eq 0 ] || leave
	_lines=$(wc -l </run/first.data)
	watch_guest "$AFTER"
	sed "${_lines}aX" /run/first.data >/run/seen
	judge
}

come_back() {
	if [ "$RESTORE" = alone ]; then
		start_qemu ours -- -S -incoming "exec:cat $CARRIED/state"
		wait_for 100 is_paused || lost_guest ours "its state was not loaded"
	elif [ "$RESTORE" = imported ]; then
		load_guest ours
		note "loaded_$STAGE" "$(page show)"
		note other_host "$(other_host "$(param wall)" 0 "$(param wall_error)" "$(field status tsc_khz)")"
		try /run/ours.restore kvmclockctl import --pid "$QEMU_PID" --hold "$CARRIED/clock"
		check_equal import "$STATUS" 0
		note_lines import </run/ours.restore
		page imported "$(param wall_error)" "$(field status kvm_tsc_khz)" >/run/imported
	else
		load_guest ours
		note "loaded_$STAGE" "$(page show)"
		_vmclock="--vmclock=$CARRIED"
		[ "$RESTORE" = vmclock ] || _vmclock=
		# shellcheck disable=SC2086 # no word, or one
		try /run/ours.restore kvmclockctl restore --pid "$QEMU_PID" --id "$VM_ID" --hold $_vmclock
		check_equal restore "$STATUS" 0
		[ ! -s /run/ours.restore ] || note_lines restore </run/ours.restore
	fi
	if [ "$STAGE" -eq "$KEXECS" ]; then
		[ "$HIDDEN_S" -eq 0 ] || page hide "${HIDDEN_S}000000000" >/run/hidden
		[ "$MOVED_S" -eq 0 ] || page move "${MOVED_S}000000000" >/run/hidden
		[ "$MOVED_NS" -eq 0 ] || page move "$MOVED_NS" >/run/hidden
	fi
	note "restored_$STAGE" "$(page show)"
	if [ "$RESTORE" = imported ]; then
		# By QEMU when it loaded the guest, and by the library.
		check_equal page "$(marker)" "$(($(cat "$CARRIED/marker") + 2))"
	elif [ "$HIDDEN_S" -eq 0 ] || [ "$STAGE" -ne "$KEXECS" ]; then
		check_equal page "$(marker)" "$(cat "$CARRIED/marker")"
	else
		check_equal page "$(marker)" "$(($(cat "$CARRIED/marker") + 1))"
	fi
	monitor cont
}

stage_n() {
	carry_in
	come_back
	wait_for 100 has_lines 2 '^C ' || lost_guest ours "the guest did not come back"
	at "guest back"
	[ "$RESTORE" = alone ] || [ "$RESTORE" = imported ] || check verify kvmclockctl verify
	kvmclockctl finish --discard >/dev/null || true
	[ "$STAGE" -eq "$KEXECS" ] || leave
	watch_guest "$AFTER"
	cat "$CARRIED/seen" /run/ours.data >/run/seen
	judge
}

# In the place of that of qemu.sh.
stage_1() {
	stage_n
}

# One line for each thing to be noted or checked; a line X of what was seen is a kexec.
summary() {
	tr -d '\r' </run/seen | awk -v FS='[ ,]' -v kexecs="$KEXECS" '
	function most(a, b) { a = a < 0 ? -a : a; return a > b ? a : b }
	/^P [0-9]/ { raw[++points] = $2; ahead[points] = $3 }
	/^X$/ { part++; next }
	/^G ready/ { begun = 1 }
	part && part == (kexecs ? kexecs : 1) { last = 1 }
	/^B [0-9]/ {
		blackouts++
		printf "blackout s %.1f drift_ns %d multiplier_step_ns %.0f\n", $2 / 1e9, $3, $2 / 8388608
		# Until the first reading after it, a tenth of a second, and what is rounded.
		if (most($3, 0) > ($2 + 2e8) / 8388608 + 4) drifted = 1
		drift_s += most($3, 0) / 1e9
		if (last && !resumed) resumed = $4 / 1e9
	}
	last && !told && /^W .*disrupted/ { told = $2 }
	last && /^A / && NF >= 4 {
		unsync = int($4 / 64) % 2
		if (unsync && !out) { out = $2; maxerror_us = $3 }
		if (told && $2 > told && !unsync && !back) back = $2
	}
	/^C / && NF == 16 && $16 == "Normal" {
		# How chrony came into sync at first is not looked at.
		if (!part && ++count <= 10) next
		if (last) final = $8 * 1e9
		p = last ? "after" : part ? "between" : blackouts ? "paused" : "before"
		n[p]++
		offset[p] = most($8 * 1e9, offset[p])
		ppb = $10 * 1000
		# By what chrony itself says of its error (dispersion), and of the error of its frequency (skew).
		skew[p] = most($12 * 1000, skew[p])
		bound[p] = most($14 * 1e9, bound[p])
		if (p != "before" && most($8, 0) > $14 + drift_s) jumped = 1
		if (p != "before") { ended_ppb[++ended] = ppb; ended_skew_ppb[ended] = $12 * 1000 }
		if (n[p] == 1 || ppb < low[p]) low[p] = ppb
		if (n[p] == 1 || ppb > high[p]) high[p] = ppb
	}
	END {
		for (p in n)
			printf "%s readings %d offset_max_ns %.0f dispersion_max_ns %.0f frequency_ppb %.0f to %.0f skew_max_ppb %.0f\n",
				p, n[p], offset[p], bound[p], low[p], high[p], skew[p]
		printf "final offset_ns %.0f\n", final
		if (told) printf "told after_s %.2f out_of_sync_after_s %.2f maxerror_us %d in_sync_after_s %s\n",
			told - resumed, out - resumed, maxerror_us, back ? back - resumed : "never"
		if (told && out) print "=out_of_sync"
		if (told && back) print "=in_sync"
		for (i = 1; i <= points; i++)
			bent_ns = most(ahead[i] - ahead[1] - (ahead[points] - ahead[1]) * (raw[i] - raw[1]) / (raw[points] - raw[1]), bent_ns)
		printf "reference readings %d s %.1f bent_ns %.2f rate_ppb %.3f\n", points, (raw[points] - raw[1]) / 1e9, bent_ns,
			(ahead[points] - ahead[1]) / (raw[points] - raw[1]) * 1e9
		if (points > 10 && bent_ns < 2) print "=reference"
		if (!drifted) print "=multiplier"
		if (n["before"] && ended && !jumped) print "=offset"
		for (i = ended > 10 ? ended - 9 : 1; i <= ended; i++) {
			# And 1 ppb, of which chronyc gives whole ones.
			wider = skew["before"] + ended_skew_ppb[i] + 1
			if (ended_ppb[i] < low["before"] - wider || ended_ppb[i] > high["before"] + wider) moved = 1
		}
		if (n["before"] && ended && !moved) print "=frequency"
	}'
}

judge() {
	summary >/run/summary
	grep -v '^=' /run/summary | note_lines chrony
	tr -d '\r' </run/seen | grep '^[WD] ' | note_lines said
	tr -d '\r' </run/seen | awk '/^X$/ { x = NR } /^[AC]/ { line[NR] = $0 } END { for (i = x - 6; i < x + 40; i++) if (i in line) print line[i] }' |
		note_lines seen
	if [ "$HIDDEN_S" -eq 0 ] && [ "$MOVED_S" -eq 0 ] && [ "$RESTORE" != imported ]; then
		check_equal quiet "$(grep -c '^W.*disrupted' /run/seen || true)" 0
		for _check in reference multiplier offset frequency; do
			check "$_check" grep -q "^=$_check" /run/summary
		done
	else
		check out_of_sync grep -q '^=out_of_sync' /run/summary
		check in_sync grep -q '^=in_sync' /run/summary
	fi
}
