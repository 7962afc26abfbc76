# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A key is enrolled as an operator does it: `mokutil --import`, a reboot, and MokManager at the console, where
# tests/nested/secure_host.py presses the keys (enrolled=ask). The second boot is stage 0 again, and it is judged; of the
# first only what is wrong. With request=no none is made: a control.

KEY=/kch/mok.der
PASSWORD=12345678

# What the firmware has, as mokutil says it.
says() { # WORDS OPTION...
	_words=$1
	shift
	try /run/mokutil mokutil "$@"
	note mokutil "$1: $(grep -m 1 "$_words" /run/mokutil)"
	grep -q "$_words" /run/mokutil
}

stage_0() {
	modprobe efivarfs
	mount -t efivarfs none /sys/firmware/efi/efivars
	check secure says "SecureBoot enabled" --sb-state
	if ! says "already enrolled" --test-key $KEY; then
		check refused sh -c '! modprobe kvmclock_handover reserve_mem=kvmclock 2>/dev/null'
		if [ "$(param request yes)" = yes ]; then
			try /run/import sh -c "printf '%s\n%s\n' $PASSWORD $PASSWORD | mokutil --import $KEY"
			note_lines import </run/import
			check_equal import "$STATUS" 0
		fi
		check requested says "kvmclock-handover test key mok" --list-new
		[ -e /run/failed-checks ] || reboot -f
	else
		check enrolled says "kvmclock-handover test key mok" --list-enrolled
		dmesg | grep 'cert .kvmclock' | note_lines dmesg
		check load modprobe kvmclock_handover reserve_mem=kvmclock
		check_equal no_request "$(mokutil --list-new)" ""
	fi
}
