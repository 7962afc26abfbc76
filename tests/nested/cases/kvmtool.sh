# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# kvmtool with a Linux guest. It can pause a guest, but not save it, so that nothing comes back after
# the kexec; what can be shown is each half by itself: its guest's clock is saved from outside, and a
# new guest of its, under the same id, starts without that clock, or when told so with it.
#
# Debian has no package of it: `lkvm` is taken from PATH, or KCH_LKVM=, by tests/qemu/mk-payload.sh.

VM_ID=00000000-0000-4000-8000-0000000051e1
HOME=/run
export HOME

start_lkvm() { # NAME WRAPPER-OPTION...
	_name=$1
	shift
	: >"/run/$_name.data"
	kvmclock-run --id "$VM_ID" -v "$@" -- lkvm run --name "$_name" -k "/boot/vmlinuz-$HOST_LINE" \
		-i /boot/guest.cpio -c 1 -m 96 --console serial --network mode=none \
		-p "quiet mitigations=off initcall_blacklist=jent_mod_init" \
		</dev/null >"/run/$_name.data" 2>"/run/$_name.err" &
	LKVM_PID=$!
	_left=600
	until grep -q "^G ready" "/run/$_name.data"; do
		_left=$((_left - 1))
		if [ $_left -le 0 ] || [ ! -d "/proc/$LKVM_PID" ]; then
			tail -n 8 "/run/$_name.data" "/run/$_name.err" | tr -d '\r' >/dev/console
			fail "$_name: the guest did not come up"
		fi
		sleep 0.2
	done
	note "$_name" "$(grep '^kvmclock-run' "/run/$_name.err" | tail -n 1)"
}

stop_lkvm() { # NAME
	lkvm stop --name "$1" >/dev/console 2>&1 || true
	wait "$LKVM_PID" || true
}

tsc_offset() {
	# As kvmclockctl prints it: without a sign.
	printf "%u" "$(cat /sys/kernel/debug/kvm/"$LKVM_PID"-*/vcpu0/tsc-offset)"
}

saved_offset() {
	kvmclockctl show --json --incoming --id "$VM_ID" |
		sed -n 's/.*"tsc_offset": *"\{0,1\}\([0-9]*\).*/\1/p' | head -n 1
}

prepare() {
	command -v lkvm >/dev/null || skip "no lkvm where the payload was made; Debian has no package of kvmtool"
}

stage_0() {
	start_lkvm first
	note lkvm "$(lkvm version)"
	check kvm-clock grep -q "^G clocksource kvm-clock" /run/first.data
	check pause lkvm pause --name first
	# It does not read KVM's clock when it pauses, so the wrapper cannot know.
	check not-saved test -z "$(grep 'clock saved' /run/first.err)"
	check save kvmclockctl save --pid "$LKVM_PID" --id "$VM_ID" --name first
	do_kexec "$NEXT_LINE" "kch.offset=$(tsc_offset)"
}

stage_1() {
	check_equal offset-saved "$(saved_offset)" "$(param offset)"
	start_lkvm anew --require
	check anew grep -q "this guest starts anew" /run/anew.err
	check anew-offset test "$(tsc_offset)" != "$(param offset)"
	stop_lkvm anew
	start_lkvm back --require --incoming yes
	check back grep -q "clock restored: identical" /run/back.err
	check_equal back-offset "$(tsc_offset)" "$(param offset)"
	check verify kvmclockctl verify
	stop_lkvm back
	check finish kvmclockctl finish
}
