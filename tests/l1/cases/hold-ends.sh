# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Holds that end otherwise than by their VMM resuming the VM, and what is refused: by its own name, with
# status 4, and the guest goes on as its VMM left it. Afterwards the guest is restored all the same: nothing
# is left locked. The parameters are those of jail.sh, and so is the first stage; besides:
#
#   ends=A,B   one after the other:
#     time     the VMM does not resume in time
#     tool     the tool is killed
#     vmm      the VMM is killed
#     running  the VM runs
#     second   it is held already
#     vcpus    it has other vCPUs than were saved
#     unload   the module is to be removed meanwhile, which is refused
#     khz      the VMM sets another frequency when it resumes
#     kexec    the host is kexec'ed meanwhile: with kexecs=2, the guest comes back after that
#     nothing  it is resumed: a control, all must notice

# shellcheck source=tests/l1/cases/jail.sh
. /kch/cases/jail.sh

# The tool in the foreground, its pid in HOLDER, what it says in /run/NAME.hold.
hold() { # NAME SECONDS
	kvmclockctl restore --pid "$JAIL_PID" --id "$JAIL_ID" "--hold=$2" --wait >"/run/$1.hold" 2>&1 &
	HOLDER=$!
	wait_until 200 holds_or_ended || true
}

# It holds the VM when its first ioctl has returned, and it is in the next one.
holds_or_ended() {
	grep -q "kch_restore_wait" "/proc/$HOLDER/stack" 2>/dev/null || ! kill -0 "$HOLDER" 2>/dev/null
}

# Status and text of the tool that waits.
ended() { # NAME STATUS TEXT
	wait "$HOLDER" && _status=0 || _status=$?
	note "$1" "$(tail -n 1 "/run/$1.hold")"
	check_equal "$1-status" "$_status" "$2"
	check "$1-said" grep -q "$3" "/run/$1.hold"
}

listed() { # NAME HOLD: as the tool prints it
	kvmclockctl list --raw --noheadings -o source,hold >/run/list
	check_equal "$1-listed" "$(sed -n 's/^incoming //p' /run/list)" "$2"
}

# What its VMM has set is what the guest has.
left_alone() { # NAME
	echo >&3
	judge_left "$1"
}

judge_left() { # NAME
	wait_jail "$1" saved
	grep -E "^(left_|failed=)" "/run/$1" | note_lines "$1"
	check "$1-left" test -z "$(grep '^failed=' "/run/$1")"
	end_jail "$1"
}

loaded() { # NAME [ORDER [SECONDS]]
	put_back_file
	start_jail "$1" resume "${2:-resume}" --left --seconds "${3:-2}"
	wait_jail "$1" loaded
}

end() { # NAME
	case $1 in
	time)
		loaded "$1" load
		hold "$1" 4
		ended "$1" 4 "did not resume within 4000 ms"
		listed "$1-ended" 'let\x20go'
		left_alone "$1"
		;;
	tool)
		loaded "$1" load
		hold "$1" 100
		listed "$1" held
		kill -9 "$HOLDER"
		wait "$HOLDER" || true
		check "$1-logged" sh -c "dmesg | grep -q 'the hold of jail .* ended .*before the VMM resumed'"
		left_alone "$1"
		;;
	vmm)
		loaded "$1"
		hold "$1" 100
		kill -9 "$JAIL_PID"
		ended "$1" 4 "was closed, or its process ended"
		wait "$JAIL_JOB" || true
		exec 3>&-
		;;
	running)
		# Long enough for a tool that comes late, on a busy machine.
		loaded "$1" resume 10
		echo >&3
		wait_jail "$1" runs
		hold "$1" 100
		ended "$1" 4 "is running, or in an ioctl"
		judge_left "$1"
		;;
	second)
		loaded "$1"
		hold "$1" 100
		_first=$HOLDER
		hold "$1-again" 100
		ended "$1-again" 4 "is under way"
		kill -9 "$_first"
		wait "$_first" || true
		left_alone "$1"
		;;
	vcpus)
		rm -rf "$CARRIED/other"
		_jail=$JAIL JAIL=$CARRIED/other
		start_jail "$1" run --vcpus $((VCPUS + 1))
		wait_jail "$1" saved
		hold "$1" 100
		ended "$1" 4 "the VM has $((VCPUS + 1)) vCPUs, $VCPUS were saved"
		end_jail "$1"
		JAIL=$_jail
		;;
	unload)
		loaded "$1"
		hold "$1" 100
		check "$1-refused" sh -c '! rmmod kvmclock_handover 2>/dev/null'
		kill -9 "$HOLDER"
		wait "$HOLDER" || true
		left_alone "$1"
		;;
	khz)
		loaded "$1" khz
		hold "$1" 100
		echo >&3
		wait_jail "$1" saved
		ended "$1" 4 "vCPU 0 is in TSC catch-up: it was promised"
		end_jail "$1"
		# It ran.
		GIVEN=yes
		;;
	nothing)
		loaded "$1"
		hold "$1" 100
		left_alone "$1"
		ended "$1" 4 "anything"
		;;
	kexec)
		loaded "$1"
		hold "$1" 100
		do_kexec
		;;
	*) fail "ends=$1: not known" ;;
	esac
}

# None of that has spoilt the record, or left anything locked.
good() {
	[ "$(param good yes)" = yes ] || return 0
	come_back resume
	[ "$(param kexecs 1)" -gt 1 ] || listed good -
	check finish kvmclockctl finish
}

stage_1() {
	carry_in
	keep_file
	for _end in $(param ends | tr , ' '); do
		end "$_end"
	done
	good
}

stage_2() {
	carry_in
	keep_file
	good
}
