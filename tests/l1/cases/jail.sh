# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A VMM that is confined and knows nothing of us (tests/l1/outside): linked statically, without root,
# in namespaces of its own, its system calls and ioctls filtered. Its guest's clock is saved and restored
# from outside.
#
# Parameters:
#   vcpus=N        of the guest (1)
#   order=A,B      how the VMM comes back, one after the other from the same file (load): when it sets
#                  the clock itself. load, resume, twice, never, offset: see tests/l1/outside/main.c
#   hold=no        kvmclockctl restore, without --hold
#   restore=no     not at all: a control
#   waiter=yes     the guest lies in wait with a TSC deadline that falls due meanwhile
#   waiter=spin    the same, and does not halt
#   namespaces=no  none of its own, for a kernel that is built without
#   shift_khz=N    the next kernel takes the TSC for N kHz faster than this one

VCPUS=$(param vcpus 1)
ORDERS=$(param order load | tr , ' ')
JAIL_ID=00000000-0000-4000-8000-0000000a1100
JAIL=$CARRIED/jail
# Whether its clock was given to a VM already.
GIVEN=no

# In the background; what is written to fd 3 goes to it, what it says to /run/NAME.
start_jail() { # NAME RUN|RESUME [ORDER] OPTION...
	_name=$1
	_do=$2
	shift 2
	case $(param waiter no) in
	yes) set -- "$@" --waiter ;;
	spin) set -- "$@" --spinner ;;
	esac
	[ "$(param namespaces yes)" = yes ] || set -- "$@" --no-namespaces
	rm -f "/run/$_name.in"
	mkfifo "/run/$_name.in"
	: >"/run/$_name"
	"$KCH/kch-jail" "$_do" "$JAIL" "$@" <>"/run/$_name.in" >>"/run/$_name" 2>"/run/$_name.err" &
	JAIL_JOB=$!
	exec 3>"/run/$_name.in"
}

said_or_ended() { # NAME KEY
	grep -q "^$2=" "/run/$1" || ! kill -0 "$JAIL_JOB" 2>/dev/null
}

# Until it has said KEY; the case fails when it ends before.
wait_jail() { # NAME KEY
	wait_until 600 said_or_ended "$1" "$2" || true
	if ! grep -q "^$2=" "/run/$1"; then
		cat "/run/$1" "/run/$1.err" >/dev/console
		fail "$1: no $2="
	fi
	JAIL_PID=$(reported "$1" pid)
}

end_jail() { # NAME
	echo >&3
	wait "$JAIL_JOB" || true
	exec 3>&-
}

# What makes it one that could not do it itself.
check_confined() {
	_status=/proc/$JAIL_PID/status
	check confined-static sh -c "! grep -q 'ld-linux\|\.so' /proc/$JAIL_PID/maps"
	check confined-nobody grep -q "^Uid:.65534.65534.65534.65534" "$_status"
	check confined-capabilities grep -q "^CapEff:.0000000000000000" "$_status"
	check confined-seccomp grep -q "^Seccomp:.2" "$_status"
	check confined-root test ! -e "/proc/$JAIL_PID/root/dev/kvmclock_handover"
	[ "$(param namespaces yes)" = yes ] || return 0
	for _ns in user mnt net pid; do
		check "confined-$_ns" test "$(readlink "/proc/$JAIL_PID/ns/$_ns")" != "$(readlink "/proc/self/ns/$_ns")"
	done
}

judge_jail() { # NAME
	if [ "$(reported "$1" saved)" = 1 ]; then
		judge_report "$1"
	else
		judge_report "$1" "$1" unfinished
	fi
}

# The same file for each.
keep_file() {
	cp "$JAIL/memory" /run/memory
}

put_back_file() {
	cp /run/memory "$JAIL/memory"
}

prepare() {
	wait_settled
}

stage_0() {
	mkdir -p "$CARRIED"
	start_jail first run --vcpus "$VCPUS"
	wait_jail first saved
	check_confined
	check save kvmclockctl save --pid "$JAIL_PID" --id "$JAIL_ID" --name jail
	judge_jail first
	end_jail first
	_words="$(shifted_khz shift) $(carry_out)"
	# shellcheck disable=SC2086 # words
	do_kexec "$NEXT_LINE" $_words
}

come_back() { # ORDER
	put_back_file
	start_jail "$1" resume "$1"
	wait_jail "$1" loaded
	if [ "$(param restore yes)" = yes ]; then
		_hold=
		[ "$(param hold yes)" = no ] || _hold=--hold
		[ "$GIVEN" = no ] || _hold="$_hold --stale"
		# shellcheck disable=SC2086 # words or none
		try "/run/$1.restore" kvmclockctl restore --pid "$JAIL_PID" --id "$JAIL_ID" $_hold
		note "$1" "$(tail -n 1 "/run/$1.restore")"
		check_equal restore "$STATUS" 0
		[ "$STATUS" -ne 0 ] || GIVEN=yes
	fi
	echo >&3
	wait_jail "$1" saved
	judge_jail "$1"
	[ "$(param restore yes)" = no ] || check verify kvmclockctl verify
	end_jail "$1"
}

stage_1() {
	carry_in
	# Long enough for the deadline to fall due.
	[ "$(param waiter no)" = no ] || sleep 2
	keep_file
	for _order in $ORDERS; do
		come_back "$_order"
	done
}
