# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A guest whose TSC is to be faster than that of a host without TSC scaling. KVM makes up for it by
# moving the TSC offset, so that there is no clock to preserve. Saving is refused in stage 0, where the guest is told
# to be faster; restoring in stage 1, where the host is slower; each by its own errno. Stage 2 has the old frequency.

UUID=$(vm_id 1)

# Beyond KVM's tolerance, which is 250 ppm.
faster_khz() {
	echo $(($(field status kvm_tsc_khz) * 1001 / 1000))
}

# Its exit status does not matter: checks of a guest whose TSC KVM moves fail.
vmm() { # REPORT OPTION...
	_report=$1
	shift
	"$KCH/kch-vmm" "$@" --mem "$GUEST_ADDR,$GUEST_SIZE" --seconds 1 --report "/run/$_report" || true
	note_lines "$_report" <"/run/$_report"
}

says() { # REPORT KEY TEXT
	reported "$1" "$2" | grep -qF -- "$3"
}

clocks() { # REPORT
	check "$1" test -z "$(reported "$1" failed)"
}

stage_0() {
	vmm faster run --uuid "$UUID" --tsc-khz "$(faster_khz)" --save-with module
	check_equal frequency "$(reported faster tsc_khz)" "$(faster_khz)"
	check_equal save-refused "$(reported faster save_errno)" ENOTRECOVERABLE
	check save-message says faster save_message "vCPU 0 is in TSC catch-up"

	# From outside.
	vmm held run --uuid "$UUID" --tsc-khz "$(faster_khz)" --hold stopped
	try /run/tool kvmclockctl save --pid "$(reported held pid)"
	note tool "$(cat /run/tool)"
	check_equal tool-refused "$STATUS" 4
	check tool-errno grep -q ENOTRECOVERABLE /run/tool
	try /run/tool kvmclockctl export --json --pid "$(reported held pid)" /run/clock
	note export "$(cat /run/tool)"
	check_equal export-refused "$STATUS" 4
	check export-errno grep -q ENOTRECOVERABLE /run/tool
	check export-nothing test ! -e /run/clock
	kill "$(reported held pid)"

	# One as fast as the host, for the next stages.
	vmm same run --uuid "$UUID" --save-with module
	clocks same
	do_kexec "$NEXT_LINE" "tsc_early_khz=$(($(field status tsc_khz) * 999 / 1000))"
}

stage_1() {
	_saved=$(field incoming tsc_khz)
	# The library looks first.
	vmm library resume --method identical
	check_equal library-refused "$(reported library refused_errno)" ERANGE
	check library-message says library message "no TSC scaling"
	# A VMM that does not ask it.
	vmm vmm resume --method identical --tsc-khz "$_saved"
	check_equal restore-refused "$(reported vmm refused_errno)" ENOTRECOVERABLE
	check restore-message says vmm message "vCPU 0 is in TSC catch-up"
	try /run/finish kvmclockctl finish
	check_equal finish-refused "$STATUS" 4
	do_kexec "$NEXT_LINE" "tsc_early_khz=$_saved"
}

# Nothing was changed or lost.
stage_2() {
	vmm back resume --method identical
	clocks back
	check finish kvmclockctl finish
}
