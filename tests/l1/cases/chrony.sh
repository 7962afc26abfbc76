# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A Linux guest that keeps time by chrony over kexecs of its host, and is told of disruptions by its vmclock page: QEMU's,
# to which a time is written before the guest starts (kch-vmclock-page). The guest is tests/l1/qemu/chrony-init.
#
# Parameters (besides those of qemu.sh that say what QEMU and guest are; part=chrony-VERSION):
#   kexecs=N       0: for comparison, the guest is only watched
#   before=S after=S   how long it is watched before the first kexec and after the last, from when chrony is in sync
#   restore=WORDS  how it is restored: vmclock (its page is put back, the default), bumped (that is left as QEMU changes
#                  it), alone (QEMU and nothing else)
#   hidden_s=S     after the last kexec the page says that so much was hidden from the guest, by the library
#   moved_s=S      the same, but the marker stays
#   watch=no       the guest has no kvmclock-guest-watch
#
# Checks: page: the page's marker; quiet: the guest was not told of a disruption; offset: no offset that chrony found after
# a kexec is beyond the error that it says it has; frequency: after the last kexec it is what it was before the first, to
# within the error that chrony says it has. With hidden_s or moved_s instead out_of_sync: the guest was told, and STA_UNSYNC
# was set; in_sync: it is in sync again.

# shellcheck source=tests/l1/cases/qemu.sh
. /kch/cases/qemu.sh

GUEST_INITRD=/boot/chrony.cpio
GUEST_DEVICES="-device vmclock"
# What CPUID says there of the size of XSAVE areas stops a 7.3 kernel.
GUEST_WORDS="console=ttyS0 tsc=reliable noxsave kch.watch=$(param watch yes)"
RESTORE=$(param restore vmclock)
HIDDEN_S=$(param hidden_s 0)
MOVED_S=$(param moved_s 0)
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
	check save kvmclockctl save --pid "$QEMU_PID" --id "$VM_ID" --name linux --vmclock="$CARRIED"
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
	page make "$(field status kvm_tsc_khz)" >/run/made
	monitor cont
	wait_for 300 has_lines 1 '^G ready' || lost_guest first "the guest did not come up"
	at "guest up"
	note_lines guest <<-END
		$(grep '^[GK] ' /run/first.data | tr -d '\r')
	END
	wait_for 120 has_lines 10 '^C.*,Normal' || lost_guest first "chrony is not in sync"
	watch_guest "$BEFORE"
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
	fi
	note "restored_$STAGE" "$(page show)"
	if [ "$HIDDEN_S" -eq 0 ] || [ "$STAGE" -ne "$KEXECS" ]; then
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
	[ "$RESTORE" = alone ] || check verify kvmclockctl verify
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
	/^X$/ { part++; next }
	/^G ready/ { begun = 1 }
	part && part == (kexecs ? kexecs : 1) { last = 1 }
	last && !resumed && /^[AC] [0-9.]+ / { resumed = $2 }
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
		p = last ? "after" : part ? "between" : "before"
		n[p]++
		offset[p] = most($8 * 1e9, offset[p])
		ppb = $10 * 1000
		# By what chrony itself says of its error (dispersion), and of the error of its frequency (skew).
		skew[p] = most($12 * 1000, skew[p])
		bound[p] = most($14 * 1e9, bound[p])
		if (p != "before" && most($8, 0) > $14) jumped = 1
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
		if (n["before"] && n["after"] && !jumped) print "=offset"
		wider = skew["before"] + skew["after"]
		if (n["before"] && n["after"] && low["after"] >= low["before"] - wider && high["after"] <= high["before"] + wider)
			print "=frequency"
	}'
}

judge() {
	summary >/run/summary
	grep -v '^=' /run/summary | note_lines chrony
	tr -d '\r' </run/seen | grep '^[WD] ' | note_lines said
	tr -d '\r' </run/seen | awk '/^X$/ { x = NR } /^[AC]/ { line[NR] = $0 } END { for (i = x - 6; i < x + 40; i++) if (i in line) print line[i] }' |
		note_lines seen
	if [ "$HIDDEN_S" -eq 0 ] && [ "$MOVED_S" -eq 0 ]; then
		check_equal quiet "$(grep -c '^W.*disrupted' /run/seen || true)" 0
		check offset grep -q '^=offset' /run/summary
		check frequency grep -q '^=frequency' /run/summary
	else
		check out_of_sync grep -q '^=out_of_sync' /run/summary
		check in_sync grep -q '^=in_sync' /run/summary
	fi
}
