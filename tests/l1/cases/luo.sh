# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The flow of a host with a live update orchestrator: guest memory is a memfd, the clock a
# descriptor of the driver, both in one LUO session; the kernel has the driver built in.
#
# Parameters (the kernel needs +kho=on +liveupdate=on, and kexec=file):
#   vcpus=N, seconds=S, method=M   as in handover.sh
#   early=yes      the guest is resumed by the first process there is, before the frequency of the TSC
#                  would have been refined (luo-init.sh); with calibrate=yes and kvm=none it must be
#                  that of the old kernel, taken over
#   off_ppm=N      besides, with kexecs=2: the second kernel starts the guest, and is told a frequency so far
#                  off; the third takes it over, and gives it up while the guest runs
#   end=yes        the VMM has ended when its memory and clock are preserved
#   again=yes      the VMM ends after the restore, and another gets the same clock
#   spoil=OPTION   of kch-vmm, as in handover.sh, in the last stage: what the VMM sets between restore and run
#   abort=yes      the session is closed before the kexec: nothing may be there afterwards
#   forge=WHAT     the record is spoiled in the new kernel before it is retrieved (kch-luo forge)
#   errno=NAME     how retrieving it must fail then

VCPUS=$(param vcpus 2)
SECONDS_=$(param seconds 2)
METHOD=$(param method identical)
CLOCKSOURCE=/sys/devices/system/clocksource/clocksource0/current_clocksource

note_tsc() {
	note tsc_khz "$(field status tsc_khz)" "$(field status tsc_source)" \
		"clocksource $(cat $CLOCKSOURCE) uptime $(cut -d' ' -f1 /proc/uptime)"
	dmesg | grep -E 'tsc: |kvmclock_handover' | tail -n 8 | note_lines kernel
}

retrieve() {
	if [ -n "$(param forge)" ]; then
		"$KCH/kch-luo" forge "$(param forge)" >/run/out
		note forged "$(reported out forged)"
	fi
	"$KCH/kch-luo" retrieve >/run/out
	note_lines retrieve </run/out
	dmesg | grep 'kvmclock_handover: ' | note_lines kernel
	if [ "$(param abort no)" = yes ]; then
		check_equal nothing_preserved "$(reported out session)" ENOENT
		return
	fi
	check_equal memory "$(reported out memory)" ok
	check_equal refused "$(reported out clock)" "$(param errno)"
	check_equal refused_again "$(reported out clock_again)" "$(param errno)"
	check_equal finish "$(reported out finish)" ok
}

end_vmm() {
	[ "$(param end no)" = no ] || echo --end-vmm
}

early() {
	[ "$(param early no)" = yes ]
}

# Into the next kernel.
leave() {
	if early; then
		# Where one was told, it is measured again, as in tsc.sh.
		# shellcheck disable=SC2046 # words or none
		do_kexec "$NEXT_LINE" rdinit=/kch/cases/luo-init.sh \
			$([ -z "$(param off_ppm)" ] || echo tsc_early_khz=0 hpet=verbose)
	else
		do_kexec
	fi
}

given_up_at() {
	dmesg | sed -n 's/^\[ *\([0-9.]*\)\] tsc: Frequency of .* is given up.*/\1/p'
}

# Nothing else can have told it, and the refinement does not change it; or does, while the guest runs.
judge_tsc() {
	wait_settled
	check taken_over test "$(dmesg | grep -c 'tsc: Frequency of .* taken over .* (measured')" = 1
	if [ -n "$(param off_ppm)" ]; then
		check refined test "$(dmesg | grep -c 'tsc: Refined')" = 1
		# The keeper looks once a second.
		# shellcheck disable=SC2016 # awk's
		check given_up_under_guest awk -v at="$(given_up_at)" '{ exit !(at && at + 1.5 < $10) }' /times
	else
		check confirmed test "$(dmesg | grep -c 'tsc: Frequency of .* taken over .* stays')" = 1
		check not_refined test "$(dmesg | grep -c 'tsc: Refined')" = 0
	fi
	check not_forced test "$(grep -c tsc_known_freq /proc/cpuinfo)" = 0
	check_equal tsc_source "$(field status tsc_source)" settled
	# Refinement begins when the clocksource is registered, and takes a second.
	note early_resume "$(cat /times);" \
		"refinement would have begun at" \
		"$(dmesg | sed -n 's/^\[ *\([0-9.]*\)\] clocksource: tsc: .*/\1/p') s"
}

stage_0() {
	if [ -n "$(param off_ppm)" ]; then
		wait_settled
		# shellcheck disable=SC2046 # words
		do_kexec "$NEXT_LINE" $(shifted_khz off)
	fi
	start_guest
}

start_guest() {
	wait_settled
	load_kvm
	note_tsc
	_abort=
	[ "$(param abort no)" = no ] || _abort=--abort
	# shellcheck disable=SC2046 # a word or none
	"$KCH/kch-luo" $_abort $(end_vmm) start -- --vcpus "$VCPUS" --seconds "$SECONDS_" || true
	judge_report luo vm
	leave
}

stage_n() {
	if [ -n "$(param off_ppm)" ] && [ "$1" -lt "$KEXECS" ]; then
		start_guest
		return
	fi
	if [ "$(param abort no)" = yes ] || [ -n "$(param forge)" ]; then
		retrieve
		return
	fi
	if early; then
		cp /report /run/luo
		# The saved frequency could not be set any more, or its vCPUs were made after that.
		if grep -qE 'refused_errno=(ERANGE|ENOTRECOVERABLE)' /report &&
			awk -v at="$(given_up_at)" '{ exit !(at && at < $10) }' /times; then
			skip "the refinement had ended at $(given_up_at) s, and the guest $(cat /times)"
		fi
	else
		wait_settled
		load_kvm
		_last=
		[ "$1" -lt "$KEXECS" ] || _last=--last
		[ "$(param again no)" = no ] || _last="$_last --again"
		_spoil=
		[ "$1" -lt "$KEXECS" ] || _spoil=$(param spoil | tr : ' ')
		# It was given to the one that ended.
		[ "$(param again no)" = no ] || _spoil="$_spoil --stale"
		# shellcheck disable=SC2046,SC2086 # words or none
		"$KCH/kch-luo" $_last $(end_vmm) resume -- --method "$METHOD" --seconds "$SECONDS_" \
			$_spoil || true
	fi
	note_tsc
	judge_report luo vm
	! early || judge_tsc
	[ "$1" -eq "$KEXECS" ] || leave
}
