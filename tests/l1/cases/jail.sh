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
#   seconds=S      how long the guest is watched, before and after (2)
#   shift_khz=N    the next kernel takes the TSC for N kHz faster than this one

# shellcheck source=tests/l1/cases/carry.sh
. /kch/cases/carry.sh

VCPUS=$(param vcpus 1)
ORDERS=$(param order load | tr , ' ')
JAIL_ID=00000000-0000-4000-8000-0000000a1100
JAIL=$CARRIED/jail

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
	"$KCH/kch-jail" "$_do" "$JAIL" "$@" --seconds "$(param seconds 2)" \
		<>"/run/$_name.in" >>"/run/$_name" 2>"/run/$_name.err" &
	JAIL_JOB=$!
	exec 3>"/run/$_name.in"
}

jail_ended() {
	! kill -0 "$JAIL_JOB" 2>/dev/null
}

# Until it has said KEY; the case fails when it ends before.
wait_jail() { # NAME KEY
	_left=600
	until grep -q "^$2=" "/run/$1"; do
		_left=$((_left - 1))
		if [ $_left -le 0 ] || jail_ended; then
			cat "/run/$1" "/run/$1.err" >/dev/console
			grep -q "^$2=" "/run/$1" || fail "$1: no $2="
		fi
		sleep 0.1
	done
	JAIL_PID=$(sed -n 's/^pid=//p' "/run/$1")
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
	while IFS= read -r _line; do
		case $_line in
		failed=*) ;;
		*) note "$1" "$_line" ;;
		esac
	done <"/run/$1"
	_failed=$(sed -n 's/^failed=//p' "/run/$1")
	grep -q '^saved=1' "/run/$1" || _failed="$_failed unfinished"
	for _check in $_failed; do
		check "$_check" false
	done
	[ -n "$_failed" ] || check clocks true
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
	carry_out
	_words=
	[ -z "$(param shift_khz)" ] ||
		_words="tsc_early_khz=$(($(field status tsc_khz) + $(param shift_khz))) hpet=disable pmtmr=0"
	# shellcheck disable=SC2086 # words
	do_kexec "$NEXT_LINE" "kch.carried_mb=$CARRIED_MB" $_words
}

come_back() { # ORDER
	put_back_file
	start_jail "$1" resume "$1"
	wait_jail "$1" loaded
	if [ "$(param restore yes)" = yes ]; then
		set -- "$1" --pid "$JAIL_PID" --id "$JAIL_ID"
		[ "$(param hold yes)" = no ] || set -- "$@" --hold
		_order=$1
		shift
		kvmclockctl restore "$@" >"/run/$_order.restore" 2>&1 && _status=0 || _status=$?
		note "$_order" "$(tail -n 1 "/run/$_order.restore")"
		check_equal restore "$_status" 0
		set -- "$_order"
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
