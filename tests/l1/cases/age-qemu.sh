# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# QEMU asks KVM for the clock when it stops its guest, and sets it to that when the guest goes on; and a guest
# that is reset has its clock from KVM anew. The record is made to be age= days old, see age.sh; the other
# parameters are those of qemu.sh, and
#
#   host_ppm=N   the next kernel takes the TSC for so much faster than this one
#   first=reset  the guest is reset before it is stopped: each of the two makes KVM take a new reference, after
#                which the other has little to show
#
# Checks: those of qemu.sh before anything is asked; age_stop and age_reset, each as right as a young reference
# makes it: notes age_* have by how much it was off, and of the bound. When QEMU reads and sets the clock is said by
# tests/l1/qemu/clocks.c.

# shellcheck source=tests/l1/cases/qemu.sh
. /kch/cases/qemu.sh

before_module() {
	[ "$STAGE" -gt 0 ] || return 0
	"$KCH/kch-age-record" "$REGION_ADDR" "$REGION_SIZE" "$(param age)" >/run/aged ||
		fail "kch-age-record: the record cannot be made older"
	note aged "$(cat /run/aged)"
}

page() { # the last one the guest wrote down
	grep '^V ' /run/ours.data | tail -n 1
}

pages() {
	grep -c '^V ' /run/ours.data
}

# Two more, so that one of them was read altogether later.
page_later() {
	_count=$(($(pages) + 2))
	wait_for 200 more_pages || lost_guest ours "the guest does not go on"
	page
}

more_pages() {
	[ "$(pages)" -ge "$_count" ]
}

is() { # STATUS
	monitor "info status"
	sleep 0.1
	grep 'VM status' /run/ours.monitor | tail -n 1 | grep -q "$1"
}

clock_was() { # got|set
	sed -n "s/^$1 //p" /run/clocks | tail -n 1
}

judge_age() { # NAME OFFSET PAGE GOT SET
	_name=$1
	shift
	_status=0
	"$KCH/kch-page-age" "$(field status kvm_tsc_khz)" "$1" "$2" "$(tsc_offset)" "$(page_later)" "$3" "$4" \
		>/run/age.out 2>&1 || _status=$?
	note "age_$_name" "$(cat /run/age.out)"
	check "age_$_name" test "$_status" -eq 0
}

booted_again() {
	[ "$(grep -c '^G ready' /run/ours.data)" -gt "$_booted" ]
}

reset_guest() {
	_offset=$(tsc_offset) _page=$(page_later)
	_booted=$(grep -c '^G ready' /run/ours.data || true)
	monitor system_reset
	wait_for 200 booted_again || lost_guest ours "the guest does not come up again"
	_now=$(kch-host-tsc)
	judge_age "$1" "$_offset" "$_page" "$_now" "$_now"
}

stop_and_go_on() {
	_offset=$(tsc_offset) _page=$(page_later)
	: >/run/clocks
	monitor stop
	wait_for 20 is paused || lost_guest ours "QEMU does not stop the guest"
	sleep 2
	monitor cont
	wait_for 20 is running || lost_guest ours "the guest does not go on"
	judge_age "$1" "$_offset" "$_page" "$(clock_was got)" "$(clock_was set)"
}

stage_1() {
	carry_in
	WRAPPER="env LD_PRELOAD=$KCH/clocks.so KCH_CLOCKS_FILE=/run/clocks KCH_KVM_KHZ=$(field status kvm_tsc_khz)"
	restored ours --hold
	wait_for 100 grep -q "^S " /run/ours.data || lost_guest ours "the guest did not come back"
	tsc_offset >/run/ours.offset
	sleep "$AFTER"
	cp /run/ours.data /run/judged.data
	cp /run/ours.offset /run/judged.offset
	judge_guest judged
	[ "$(param first stop)" = stop ] || reset_guest reset
	stop_and_go_on stop
	[ "$(param first stop)" = reset ] || reset_guest reset
	stop_and_go_on stop_later
	quit_qemu ours
}
