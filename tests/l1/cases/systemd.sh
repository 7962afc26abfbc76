# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A host whose systemd carries file descriptors over `systemctl kexec`: the VMM is vmm.service, the guest's memory and
# its clock are in the service's file descriptor store. What a VMM's service needs is in userspace/host/vmm.service; what
# the case adds in ../systemd: stage.sh calls this, stopped.sh judges when the VMM has saved its guest.
#
# Parameters (besides LUO and SYSTEMD, sets.tbl):
#   vcpus=N, seconds=S   as in handover.sh
#   crash=N        in stage N the VMM is killed while the guest runs; systemd starts it again
#   clock=no       the VMM does not store its clock
#   session=yes    the unit has LUOSession=: the VMM preserves both in a session, and they are not in the store
#   agent=keeps    another process has /dev/liveupdate open until the kexec, ../systemd/kch-agent.service
#   agent=first    one has it open when systemd starts after the kexec, ../systemd/first.sh

SECONDS_=$(param seconds 3)

vmm() { # PROPERTY
	systemctl show -P "$1" vmm
}

active() {
	[ "$(vmm ActiveState)" = active ]
}

restarted() {
	active && [ "$(vmm NRestarts)" -gt 0 ]
}

# The service had its guest from the last stage, or started a new one.
judge_vmm() {
	judge_report vmm
	[ "$STAGE" -eq 0 ] || check store [ "$(reported vmm store)" != empty ]
}

# What systemd did not get is there for who opens the device next.
judge_left() {
	for _fd in /proc/[0-9]*/fd/8; do
		[ "$(readlink "$_fd")" != /dev/liveupdate ] || kill "$(echo "$_fd" | cut -d/ -f3)"
	done
	wait_until 50 sh -c ': 2>/dev/null <>/dev/liveupdate' || fail "/dev/liveupdate is still open"
	"$KCH/kch-luo" --session systemd retrieve >/run/out
	note_lines left </run/out
	check_equal left_memory "$(reported out memory)" ok
	check_equal left_clock "$(reported out clock)" ok
}

stage_n() {
	note at_s "$(cut -d' ' -f1 /proc/uptime) $(systemctl --version | sed 1q)"
	wait_until 900 active || fail "the VMM's service did not become active: $(vmm Result)"
	note at_s "$(cut -d' ' -f1 /proc/uptime) the guest runs"
	journalctl -q -o cat -b | grep -E '(LUO|luo:|FD|fd) ' | grep -v 'ommand line:' | tail -n 12 | note_lines boot
	note kexecs_counted "$(busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 \
		org.freedesktop.systemd1.Manager KExecCount)"
	systemd-analyze fdstore vmm --no-legend | tr -s " " | note_lines fdstore
	if [ "$(param agent no)" = keeps ] && [ "$STAGE" -eq 0 ]; then
		check_equal second_owner "$(sh -c ': <>/dev/liveupdate' 2>&1 | sed 's/.*: //')" "Device or resource busy"
	fi
	sleep "$SECONDS_"
	if [ "$(param crash no)" = "$STAGE" ]; then
		kill -KILL "$(vmm MainPID)"
		wait_until 300 restarted || fail "the VMM was not started again"
		sleep "$SECONDS_"
	fi
	if [ "$STAGE" -lt "$KEXECS" ]; then
		_words=
		[ "$(param agent no)" != first ] || _words=rdinit=/kch/systemd/first.sh
		# shellcheck disable=SC2086 # a word or none
		load_kernel -l "$NEXT_LINE" $_words
		: >/run/kexec-follows
		systemctl kexec
		return
	fi
	systemctl stop vmm
	judge_vmm
	[ "$(param agent no)" != first ] || judge_left
	check units_failed sh -c '! systemctl --failed --plain --no-legend | grep .'
}
