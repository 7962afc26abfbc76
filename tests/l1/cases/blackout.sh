# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# How long a guest does not run, and what of that is ours: the host's TSC at each step from the guest's
# last reading of its clock before the kexec to its first one after. It runs on over the kexec, so all
# are on one axis. tests/nested/reports.py makes a table of it.
#
# Notes `at STEP CYCLES`, in the order in which the steps come; parameters (handover=no kvm=none are
# needed, so that the loading of modules is among the steps):
#   vcpus=N            as for handover
#   share=N            what is ours after the kexec has to be less than N % of all; for cases with icount=,
#                      as elsewhere it depends on the machine and what else that does
#   pin=yes            the next kernel has the words with which the tool pins its frequency, and nobody waits for the
#                      end of a calibration; the guest has to be back before that. For cases with icount=, too
#   delay=S            S seconds pass before the module is loaded, for a control

VCPUS=$(param vcpus 1)
# The last page of the range: what the last instant before the kexec can be written to.
STAMP_PAGE=$(((GUEST_ADDR + GUEST_SIZE) / 4096 - 1))

at() { # STEP CYCLES
	note at "$1 $2"
}

# Module and restore, as tests/nested/reports.py adds them up.
check_share() { # PERCENT KVM MODULE
	_ours=$(($3 - $2 + $(reported vm at_prepared) - $(reported vm at_vm_made) +
		$(reported vm at_restored) - $(reported vm at_state_loaded)))
	_whole=$(($(reported vm at_guest_first) - $(reported vm at_guest_last)))
	note share "$_ours of $_whole cycles"
	check share [ $((_ours * 100)) -lt $(($1 * _whole)) ]
}

stage_0() {
	wait_settled
	load_kvm
	! have_module || load_module
	"$KCH/kch-vmm" run --mem "$(vm_mem 0)" --id "$(vm_id 0)" --name vm \
		--vcpus "$VCPUS" --seconds 2 --report /run/vm --save-with module
	judge_report vm
	at state_saved "$(reported vm at_state_saved)"
	at clock_saved "$(reported vm at_clock_saved)"
	_words=
	[ "$(param pin no)" = no ] || _words=$(kvmclockctl kexec-args | tr ' ' '\n' | grep -E '^(tsc_early_khz|hpet|pmtmr)=')
	# shellcheck disable=SC2086 # words
	do_kexec "$NEXT_LINE" $_words
}

note_registered() {
	wait_settled
	kch-host-tsc >/run/registered
}

# When the calibration would have ended: the kernel gives the clocksource its last name then.
check_early() {
	wait
	_first=$(reported vm at_guest_first)
	_registered=$(cat /run/registered)
	note early "first reading $(((_registered - _first) / $(field status tsc_khz))) ms before the calibration ends"
	[ -z "$(param icount)" ] || check early [ "$_first" -lt "$_registered" ]
}

before_kexec() {
	kch-host-tsc | dd of=/dev/mem bs=4096 seek="$STAMP_PAGE" conv=notrunc 2>/run/dd
}

stage_1() {
	_settling=$(kch-host-tsc)
	if [ "$(param pin no)" = yes ]; then
		note_registered &
	else
		wait_settled
	fi
	_settled=$(kch-host-tsc)
	load_kvm
	_release=$(uname -r)
	_delay=$(param delay)
	_kvm=$(kch-host-tsc)
	[ -z "$_delay" ] || sleep "$_delay"
	# Part of the kernel, it needs no loading.
	_loaded="$_kvm $_kvm"
	! have_module ||
		_loaded=$(kch-host-tsc "/lib/modules/$_release/kvmclock_handover.ko" "region=$REGION_ADDR,$REGION_SIZE")
	"$KCH/kch-vmm" resume --mem "$(vm_mem 0)" --method identical --seconds 2 --report /run/vm \
		--save-with none --hold stopped
	judge_report vm
	at kexec "$(dd if=/dev/mem bs=4096 skip="$STAMP_PAGE" count=1 2>/run/dd | tr -d '\000' | head -n 1)"
	at init "$INIT_TSC"
	at settling "$_settling"
	at settled "$_settled"
	at kvm "$_kvm"
	at loading "${_loaded% *}"
	at module "${_loaded#* }"
	for _step in vmm vm_made prepared state_loaded restored guest_first guest_last; do
		at "$_step" "$(reported vm "at_$_step")"
	done
	_percent=$(param share)
	[ -z "$_percent" ] || check_share "$_percent" "$_kvm" "${_loaded#* }"
	[ "$(param pin no)" = no ] || check_early
	note tsc_khz "$(field status tsc_khz)"
	check verify kvmclockctl verify
	check finish kvmclockctl finish
}
