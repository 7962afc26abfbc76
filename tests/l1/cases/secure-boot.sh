# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The main job on a host with Secure Boot (machine=secure), whose kernel is locked down: what it refuses, with the reason,
# and what works. Parameters: those of handover.sh, and
#
#   enrolled=no    the firmware does not know the key that the module is signed with: a control
#   lockdown=WORD  how far the kernel is locked down, if the command line says so (integrity)
#   next_region=VERDICT   what doctor says of the kernel that is loaded (ready)

# shellcheck source=tests/l1/cases/handover.sh
. /kch/cases/handover.sh

LOCKED=$(param lockdown integrity)
FOLDER=/lib/modules/$(uname -r)

# Instead of /dev/mem, which nobody gets: its range is persistent memory to this kernel.
vm_mem() { # NUMBER
	printf '/dev/pmem0@0x%x,%d' $(($1 * GUEST_SIZE / 4)) $((GUEST_SIZE / 4))
}

# It fails, and says this.
refused() { # NAME WORDS CMD...
	_check=$1
	_words=$2
	shift 2
	try /run/refused "$@"
	note "$_check" "$(grep -m 1 "$_words" /run/refused)"
	check "$_check" sh -c "[ $STATUS -ne 0 ] && grep -q '$_words' /run/refused"
}

prepare() {
	mount -t securityfs none /sys/kernel/security
	check locked grep -qF "[$LOCKED]" /sys/kernel/security/lockdown
	dmesg | grep -E 'cert .kvmclock|Kernel is locked down' | note_lines dmesg
	refused unsigned "rejected by service" insmod "$FOLDER/kch_unsigned.ko"
	refused other-key "rejected by service" insmod "$FOLDER/kch_other_key.ko"
	check load modprobe kvmclock_handover reserve_mem=kvmclock
	if [ -e /run/failed-checks ]; then
		: >/run/ended
		exit 1
	fi
	rmmod kvmclock_handover
	refused region "not permitted" modprobe kvmclock_handover "region=$REGION_ADDR,$REGION_SIZE"
	modprobe kvmclock_handover reserve_mem=kvmclock
	refused dev-mem "not permitted" dd if=/dev/mem of=/dev/null count=1
	modprobe nd_e820
	modprobe nd_pmem
	wait_until 50 test -b /dev/pmem0 || fail "no /dev/pmem0"
	kvmclockctl status | note_lines status
	try /run/selftest kvmclockctl selftest
	note_lines selftest </run/selftest
	check_equal selftest "$STATUS" 0
}

# The next kernel is loaded; it is that which is left loaded.
before_kexec() {
	try /run/doctor kvmclockctl doctor
	note_lines doctor </run/doctor
	check doctor grep -q "locked down .*only a signed kernel" /run/doctor
	check doctor-next grep -q "^next region *$(param next_region ready) " /run/doctor
	refused kexec-load "kexec_load failed" kexec -l "/boot/vmlinuz-$NEXT_LINE" --command-line=x
	cp "/boot/vmlinuz-$NEXT_LINE" /run/changed
	echo x | dd of=/run/changed bs=1 seek=5000000 conv=notrunc 2>/dev/null
	refused unsigned-kernel "rejected by service" kexec -s -l /run/changed --command-line=x
	check debugfs grep -q . /sys/kernel/debug/kvmclock_handover/status
	# Too late for the end of the stage.
	[ ! -e /run/failed-checks ] || poweroff -f
}
