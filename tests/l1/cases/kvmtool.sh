# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# kvmtool with a Linux guest. It can pause a guest, but not save it, so that nothing comes back after
# the kexec; what can be shown is each half by itself: its guest's clock is saved from outside, and a
# new guest of its, paused, is given that clock.
#
# Debian has no package of it: `lkvm` is taken from PATH, or KCH_LKVM=, by tests/nested/image.py.

VM_ID=00000000-0000-4000-8000-0000000051e1
HOME=/run
export HOME

start_lkvm() { # NAME
	_name=$1
	: >"/run/$_name.data"
	lkvm run --name "$_name" -k "/boot/vmlinuz-$HOST_LINE" \
		-i /boot/guest.cpio -c 1 -m 96 --console serial --network mode=none \
		-p "quiet mitigations=off initcall_blacklist=jent_mod_init" \
		</dev/null >"/run/$_name.data" 2>"/run/$_name.err" &
	LKVM_PID=$!
	wait_until 1200 up_or_ended || true
	if ! grep -q "^G ready" "/run/$_name.data"; then
		tail -n 8 "/run/$_name.data" "/run/$_name.err" | tr -d '\r' >/dev/console
		fail "$_name: the guest did not come up"
	fi
}

up_or_ended() {
	grep -q "^G ready" "/run/$_name.data" || [ ! -d "/proc/$LKVM_PID" ]
}

stop_lkvm() { # NAME
	lkvm stop --name "$1" >/dev/console 2>&1 || true
	wait "$LKVM_PID" || true
}

tsc_offset() {
	cat /sys/kernel/debug/kvm/"$LKVM_PID"-*/vcpu0/tsc-offset
}

saved_offset() {
	kvmclockctl show --json --incoming --id "$VM_ID" |
		sed -n 's/.*"tsc_offset": *"\{0,1\}\(-\{0,1\}[0-9]*\).*/\1/p' | head -n 1
}

prepare() {
	command -v lkvm >/dev/null || skip "no lkvm where the payload was made; Debian has no package of kvmtool"
}

stage_0() {
	start_lkvm first
	note lkvm "$(lkvm version)"
	check kvm-clock grep -q "^G clocksource kvm-clock" /run/first.data
	check pause lkvm pause --name first
	check save kvmclockctl save --pid "$LKVM_PID" --id "$VM_ID" --name first
	do_kexec "$NEXT_LINE" "kch.offset=$(tsc_offset)"
}

stage_1() {
	check_equal offset-saved "$(saved_offset)" "$(param offset)"
	start_lkvm back
	check pause lkvm pause --name back
	check restore kvmclockctl restore --pid "$LKVM_PID" --id "$VM_ID" --hold
	check resume lkvm resume --name back
	sleep 1
	check_equal back-offset "$(tsc_offset)" "$(param offset)"
	check verify kvmclockctl verify
	stop_lkvm back
	check finish kvmclockctl finish
}
