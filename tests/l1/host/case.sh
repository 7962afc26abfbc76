#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# A case of a Debian host (machine=debian): kch-case.service starts this when the host is up, under its first kernel and
# under that after the kexec. What a case can use is in ../init and ../init-lib.sh. Parameters:
#
#   vms=N              libvirt guests (1)
#   handover=no        libvirt alone: the next kernel is loaded as if there were no handover
#   options=modprobe.d the module's parameter is there, by our example, and not on the kernel's command line
#   without=hook       libvirt's hook is not there
#   without=region     whoever loads the next kernel forgets the region: it must not come to a kexec
#   unready=refuse     the same, and does not ask doctor: systemctl kexec is taken back, then the kernel is loaded right
#   unready=warn       likewise, with the setting that only warns
#   vmclock=yes        instead of all this: this machine is a guest itself, with a vmclock page
#   without=rule       and kvmclock-guest's rule for udev is not there
#   before=S after=S   how long the guests are watched (6, 8)
set -eu
cd /kch
# shellcheck source=tests/l1/init-lib.sh
. ./init-lib.sh

KEPT=/var/lib/kch
IMAGES=/var/lib/libvirt/images
STAGE=$(cat $KEPT/stage 2>/dev/null || echo 0)
HANDOVER=$(param handover yes)
UNREADY=$(param unready)
VMS=$(seq "$(param vms 1)")
NEW=$(cd /boot && echo vmlinuz-"$NEXT_LINE".*)
NEW=${NEW#vmlinuz-}
export PATH="$PATH:/kch"

at() { # WHAT: when, in seconds after the boot
	note at_s "$(cut -d' ' -f1 /proc/uptime) $1"
}

ready() {
	for _n in $VMS; do
		grep -q "^G ready" "$IMAGES/g$_n.data" || return 1
	done
}

tsc_offset() { # GUEST
	cat /sys/kernel/debug/kvm/"$(cat "/run/libvirt/qemu/$1.pid")"-*/vcpu0/tsc-offset
}

by_example() {
	sed -n 's/^#\(options.* region=.*\)/\1 kexec_seconds_max=900/p' /usr/share/doc/kvmclock-handover/examples/modprobe.conf \
		>/etc/modprobe.d/kvmclock_handover.conf
	systemctl start kvmclock-handover-load
	wait_until 600 systemctl -q is-active kvmclock-handover-save || fail "the module's device starts no unit"
}

# One that began with the rule is stopped, and the device comes anew.
without_rule() {
	rm /usr/lib/udev/rules.d/*kvmclock-guest.rules
	udevadm control --reload
	systemctl stop kvmclock-guest-watch
	modprobe -r ptp_vmclock
	modprobe ptp_vmclock
}

watch_says() { # WHAT
	journalctl -q -o cat -b -u kvmclock-guest-watch | grep "$1"
}

# udev starts what watches the page, and what is changed in the page is noticed.
guest_watch() {
	[ "$(param without)" != rule ] || without_rule
	check started wait_until 300 systemctl -q is-active kvmclock-guest-watch
	printf '\002' | dd of=/dev/mem bs=1 seek="$(($(param vmclock_addr) + 16))" conv=notrunc status=none
	check told wait_until 300 watch_says "the clock was disrupted: marker 2, before 1; it is out of sync"
}

stage_0() {
	if [ "$(param vmclock)" = yes ]; then
		guest_watch
		return
	fi
	[ -z "$(param options)" ] || by_example
	cp guest.cpio $IMAGES/
	for _n in $VMS; do
		sed "s/@n@/$_n/" guest.xml >"/run/g$_n.xml"
		virsh -q define "/run/g$_n.xml"
		virsh -q start "g$_n"
	done
	wait_until 2000 ready || fail "the guests did not come up"
	at "guests up"
	note guest "$(grep '^G ' $IMAGES/g1.data | cut -c3- | tr '\n' ' ')"
	sleep "$(param before 6)"
	for _n in $VMS; do
		tsc_offset "g$_n" >"$KEPT/g$_n.offset"
	done
	[ -z "$UNREADY" ] || not_ready
	next_kernel
}

# Of the unit that checks before a kexec.
said() { # BOOT, as journalctl has it
	journalctl -q -o cat -b "$1" -u kvmclock-handover-check | tr -s " "
}

unit_says() { # BOOT WHAT
	said "$1" | grep "$2"
}

load() { # CMDLINE
	kexec -l "/boot/vmlinuz-$NEW" --initrd="/boot/initrd.img-$NEW" --append="$1"
}

without_region() {
	kvmclockctl kexec-args --append | sed 's/ [^ ]*0x30000000[^ ]*//g; s/ kvmclock_handover[^ ]*//g'
}

goes_on() { # GUEST
	[ "$(stat -c %s "$IMAGES/$1.data")" -gt "$_size" ]
}

# Nobody asked doctor, so the unit does. With unready=warn this is ended by the kexec.
not_ready() {
	echo "ON_UNREADY=$UNREADY" >/etc/default/kvmclock-handover
	load "$(without_region)"
	echo 1 >$KEPT/stage
	systemctl kexec
	if [ "$UNREADY" = warn ]; then
		report_kernel_state
		say kexec "$NEXT_LINE"
	fi
	wait_until 1200 unit_says 0 "^kexec refused" || fail "the kexec is not refused, and does not come"
	: >$KEPT/refused
	said 0 | note_lines refused
	check says_why unit_says 0 "next region not ready .*: lacks memmap=.*kexec-args.*kexec -l"
	check units_active sh -c '! systemctl is-active libvirtd libvirt-guests kvmclock-handover-save kvmclock-handover-check | grep -vx active'
	for _n in $VMS; do
		_size=$(stat -c %s "$IMAGES/g$_n.data")
		check goes_on wait_until 300 goes_on "g$_n"
	done
}

# As operating.rst has it.
next_kernel() {
	if [ "$HANDOVER" = no ]; then
		args=$(cat /proc/cmdline)
	else
		args=$(kvmclockctl kexec-args --append)
		[ "$(param without)" != region ] || args=$(without_region)
		[ -z "$(param options)" ] || args=$(echo "$args" | sed 's/ kvmclock_handover[^ ]*//')
		try /run/doctor kvmclockctl doctor --kernel "$NEW" --cmdline "$args"
		tr -s " " </run/doctor | note_lines doctor
		check doctor [ "$STATUS" -eq 0 ]
		[ "$(param without)" != region ] || check says_why grep "^next region  *not ready .*: lacks memmap=" /run/doctor
		if [ "$STATUS" -ne 0 ]; then
			: >/run/ended
			exit 0
		fi
		# What is left behind for whoever comes later, and for a node exporter.
		echo "REPORT_OPTIONS=--prometheus $KEPT/metrics.prom" >>/etc/default/kvmclock-handover
	fi
	[ "$(param without)" != hook ] || rm /etc/libvirt/hooks/qemu.d/kvmclock-handover
	load "$args"
	echo 1 >$KEPT/stage
	report_kernel_state
	say kexec "$NEXT_LINE"
	systemctl kexec || fail "systemctl kexec is refused"
	trap - EXIT
	exit 0
}

# One line a VM says that its clock is the saved one.
all_identical() {
	journalctl -q -o cat -b -u kvmclock-handover-finish | note_lines finish
	[ "$(journalctl -q -o cat -b -u kvmclock-handover-finish | grep -c '^identical ')" -eq "$(param vms 1)" ]
}

# What a guest said after its last byte of before, judged by what it said before.
judge_guest() { # GUEST
	tail -c "+$(($(stat -c %s "$KEPT/$1.data") + 1))" "$IMAGES/$1.data" >"/run/$1.after"
	_offset=$(cat "$KEPT/$1.offset")
	_now=$(tsc_offset "$1")
	_stopped=$(cat $KEPT/stopped)
	# Its TSC may be behind, so that what it read first would seem to be from before: by the last reading, then.
	[ "$_now" = "$_offset" ] ||
		_stopped=$(($(awk 'NF == 11 && /^S / { tsc = $9 } END { print tsc }' "$KEPT/$1.data") - _offset))
	kch-qemu-analyse "$KEPT/$1.data" "/run/$1.after" "$_offset" "$_now" "$_stopped" "$(param tsc_khz)" \
		>"/run/$1.result" || true
	judge_report "$1.result" "$1" "$(grep -q '^failed=' "/run/$1.result" || echo analyse)"
	# What it wrote is gone with the disc.
	grep -q '^failed=$' "/run/$1.result" || cat "/run/$1.after" >/dev/console
}

stage_1() {
	at "host up"
	systemd-analyze blame | head -n 12 | note_lines blame
	journalctl -q -o cat -b -1 -u kvmclock-handover-save | note_lines save
	journalctl -q -o cat -b -t kvmclockctl -t kvmclock-handover | note_lines hook
	check_equal guests "$(virsh list --name | grep -c .)" "$(param vms 1)"
	check units_failed sh -c '! systemctl --failed --plain --no-legend | grep .'
	sleep "$(param after 8)"
	if [ "$HANDOVER" = yes ]; then
		said -1 | note_lines check
		check loaded unit_says -1 "^next region ready the image that is loaded:"
	fi
	if [ -n "$UNREADY" ] && ! [ -e $KEPT/refused ]; then
		check refused false
		check warned unit_says -1 "^the kexec goes on, but "
		HANDOVER=no
	fi
	if [ "$HANDOVER" = yes ]; then
		check journal all_identical
		check kept [ "$(grep -o '"verdict": *"identical"' /var/lib/kvmclock-handover/reports/*.json | wc -l)" -eq "$(param vms 1)" ]
		check metrics grep -x "kvmclock_handover_vms{state=\"identical\"} $(param vms 1)" $KEPT/metrics.prom
		check_equal finished "$(systemctl show -P Result kvmclock-handover-finish)" success
	fi
	if [ "$(param without)" = hook ]; then
		try /run/verify kvmclockctl verify
		note_lines verify </run/verify
		check_equal verify_says "$STATUS" 1
	fi
	for _n in $VMS; do
		judge_guest "g$_n"
	done
}

mkdir -p $KEPT
stty -F /dev/ttyS1 115200 raw -echo
say stage "$STAGE"
say release "$(uname -r)"
trap 'verdict $?' EXIT
stage_"$STAGE"
