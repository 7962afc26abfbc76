# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Debian's own QEMU with a Linux guest: the guest is saved to a file by QEMU's migration, the host
# kexecs, and QEMU comes back with -incoming. The guest is tests/qemu/guest.c on the host's kernel.
#
# Parameters (part=qemu is needed):
#   vcpus=N        of the guest (1)
#   methods=A,B    ways to come back, one after the other from the same file (ours): alone: QEMU
#                  and nothing else; realtime: KVM's stock ioctls with the wall clock; ours
#   before=S after=S    how long the guest is watched (8, 8)

VCPUS=$(param vcpus 1)
METHODS=$(param methods ours | tr , ' ')
BEFORE=$(param before 8)
AFTER=$(param after 8)
VM_ID=00000000-0000-4000-8000-0000000051e0
CARRIED=/run/carried

# What outlives the kexec: a tar file in the reserved range.
carry_out() {
	tar -c -C "$CARRIED" . | dd of=/dev/mem bs=1M seek=$((GUEST_ADDR >> 20)) 2>/run/dd
	note carried_kb "$(du -sk "$CARRIED" | cut -f1)"
}

carry_in() {
	mkdir -p "$CARRIED"
	dd if=/dev/mem bs=1M skip=$((GUEST_ADDR >> 20)) count=$((GUEST_SIZE >> 20)) 2>/run/dd |
		tar -x -C "$CARRIED"
}

# In the background; its monitor reads /run/NAME.in, the guest's data go to /run/NAME.data.
start_qemu() { # NAME WRAPPER... -- QEMU-OPTION...
	_name=$1
	shift
	_wrapper=
	while [ "$1" != -- ]; do
		_wrapper="$_wrapper $1"
		shift
	done
	shift
	rm -f "/run/$_name.in"
	mkfifo "/run/$_name.in"
	# shellcheck disable=SC2086 # words
	$_wrapper qemu-system-x86_64 -accel kvm -machine microvm -cpu $(param l2cpu host) -smp "$VCPUS" -m 96 \
		-nodefaults -no-user-config -display none \
		-kernel "/boot/vmlinuz-$HOST_LINE" -initrd /boot/guest.cpio \
		-append "console=ttyS0 $(param append quiet) panic=-1 mitigations=off initcall_blacklist=jent_mod_init" \
		-serial "file:/run/$_name.data" \
		-monitor stdio "$@" <>"/run/$_name.in" >"/run/$_name.monitor" 2>"/run/$_name.err" &
	QEMU_PID=$!
	exec 3>"/run/$_name.in"
}

monitor() { # COMMAND
	echo "$1" >&3
}

wait_for() { # SECONDS COMMAND...: until COMMAND succeeds
	_left=$(($1 * 5))
	shift
	until "$@"; do
		_left=$((_left - 1))
		[ $_left -gt 0 ] && [ -d "/proc/$QEMU_PID" ] || return 1
		sleep 0.2
	done
}

at() { # WHAT: how long it took to get there
	note "at_s" "$(cut -d' ' -f1 /proc/uptime) $1"
}

gone() {
	! [ -d "/proc/$QEMU_PID" ]
}

tsc_offset() {
	cat /sys/kernel/debug/kvm/"$QEMU_PID"-*/vcpu0/tsc-offset
}

show_logs() { # NAME
	for _file in err data monitor; do
		tail -n 5 "/run/$1.$_file" | tr -d '\r' >/dev/console
	done
}

stage_0() {
	at begin
	mkdir -p "$CARRIED"
	start_qemu first kvmclock-run --id "$VM_ID" --name linux -v --
	if ! wait_for $(param up 100) grep -q "^G ready" /run/first.data; then
		show_logs first
		fail "the guest did not come up"
	fi
	at guest-up
	note guest "$(grep '^G ' /run/first.data | cut -c3- | tr '\n' ' ')"
	sleep "$BEFORE"
	tsc_offset >"$CARRIED/tsc-offset"
	at save
	monitor "migrate \"exec:cat >$CARRIED/state && touch /run/saved\""
	wait_for 100 test -e /run/saved || fail "the migration did not end"
	at saved
	kvmclockctl list >/dev/console
	monitor quit
	wait_for 10 gone || true
	show_logs first
	cp /run/first.data "$CARRIED/before"
	at carry
	carry_out
	at kexec
	do_kexec
}

stage_1() {
	at begin
	carry_in
	at carried
	for _method in $METHODS; do
		case $_method in
		ours) start_qemu "$_method" kvmclock-run --id "$VM_ID" -v -- \
			-incoming "exec:cat $CARRIED/state" ;;
		alone) start_qemu "$_method" -- -incoming "exec:cat $CARRIED/state" ;;
		esac
		wait_for 60 grep -q "^S " "/run/$_method.data" || { show_logs "$_method"; fail "$_method: the guest did not come back"; }
		at "$_method"
		sleep "$AFTER"
		note "$_method" "$(tsc_offset) $(cat $CARRIED/tsc-offset)"
		monitor quit
		wait_for 10 gone || true
		show_logs "$_method"
		head -40 "/run/$_method.data" > /dev/console
		[ "$_method" != ours ] || kvmclockctl list >/dev/console
	done
	tail -20 "$CARRIED/before" >/dev/console
}
