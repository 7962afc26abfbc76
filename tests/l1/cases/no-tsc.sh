# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# A host whose clocksource is not the TSC: KVM has no master clock there.
#
# Parameters:
#   lost=boot      the second kernel finds its TSC unstable: it never saves or restores a clock, says
#                  so, and hands on what it was given; the third one restores it
#   lost=switched  the clocksource is switched under a restored guest that runs on,
#                  the tool says by how much the guest's clock is off
#   lost=nothing   a CPU goes off and on, whose TSC is right: the clock must stay identical. No vCPU
#                  runs meanwhile: when one does, KVM may compare its last TSC with one that was read
#                  earlier, take it for a TSC that went backwards, and move the offset.

CLOCKSOURCES=/sys/devices/system/clocksource/clocksource0
CPU=/sys/devices/system/cpu/cpu1/online

vm() { # run|resume OPTION...
	_command=$1
	shift
	rm -f /run/vm
	"$KCH/kch-vmm" "$_command" --mem "$GUEST_ADDR,16M" --report /run/vm "$@" &
	wait
}

# Its exit status, and what it said, for people, is in $SAID; what it printed is in /run/out.
tool() { # STATUS NAME ARGUMENT...
	_expected=$1 _what=$2
	shift 2
	kvmclockctl "$@" >/run/out 2>/run/said && _status=0 || _status=$?
	SAID=$(tr '\n' ' ' </run/said)
	note "$_what" "status $_status: $SAID"
	check_equal "$_what-status" "$_status" "$_expected"
}

says() { # NAME TEXT WORD...
	_name=$1 _text=$2
	shift 2
	for _word; do
		case $_text in
		*"$_word"*) ;;
		*)
			note "$_name" "no '$_word' in: $_text"
			check "$_name" false
			return
			;;
		esac
	done
	check "$_name" true
}

restored() {
	vm resume --method identical --seconds 1 "$@"
	judge_report vm
	tool 0 identical verify
}

never() {
	check_equal clocksource "$(grep -cw tsc "$CLOCKSOURCES/current_clocksource")" 0
	tool 0 status status
	check_equal source "$(sed -n 's/^tsc_source: *//p' /run/out)" other
	check_equal selfcheck "$(sed -n 's/^selfcheck_error: *//p' /run/out)" -
	check_equal incoming "$(sed -n 's/^incoming_error: *//p' /run/out)" EPFNOSUPPORT
	says status-reason "$(cat /run/out)" "not the TSC" "unstable"
	# Asked again later it is the same: there is nothing to wait for.
	for _try in first second; do
		vm resume --method identical --seconds 1
		check_equal "restore-$_try" "$(reported vm refused_errno)" EPFNOSUPPORT
		says "restore-reason-$_try" "$(reported vm message)" "not the TSC" "unstable"
		sleep 2
	done
	"$KCH/kch-vmm" run --mem "$((GUEST_ADDR + 0x1000000)),16M" --id "$(vm_id 1)" --seconds 1 \
		--save-with module --report /run/other &
	wait
	check_equal save "$(reported other save_errno)" EPFNOSUPPORT
	says save-reason "$(reported other save_message)" "not the TSC" "unstable"
	tool 4 finish finish
}

judge_verify() { # STATUS VERDICT
	tool "$1" verify verify --raw --noheadings -o verdict,ns,cycles
	note verify "$(cat /run/out)"
	read -r _verdict _ns _cycles </run/out
	check_equal verdict "$_verdict" "$2"
	case $_ns in
	'' | - | *[!-0-9]*) check ns-said false ;;
	*) check ns-said true ;;
	esac
	check_equal cycles "$_cycles" 0
	# Since some seconds its clock is that of the host, which is told the same frequency.
	check ns-small test "${_ns#-}" -lt 100000000
}

disturb() {
	case $(param lost) in
	switched)
		note clocksources "$(cat "$CLOCKSOURCES/available_clocksource")"
		echo hpet >"$CLOCKSOURCES/current_clocksource"
		check_equal switched "$(cat "$CLOCKSOURCES/current_clocksource")" hpet
		;;
	nothing)
		echo 0 >"$CPU"
		sleep 1
		echo 1 >"$CPU"
		check_equal online "$(cat "$CPU")" 1
		;;
	esac
	sleep 2
	note clocksource "$(cat "$CLOCKSOURCES/current_clocksource")"
}

stage_0() {
	vm run --id "$(vm_id 0)" --name vm --vcpus 2 --seconds 1 --save-with module
	judge_report vm
	if [ "$(param lost)" = boot ]; then
		do_kexec "$NEXT_LINE" tsc=unstable kch.kvm=early
	else
		do_kexec
	fi
}

stage_1() {
	if [ "$(param lost)" = boot ]; then
		never
		do_kexec "$NEXT_LINE" tsc=reliable kch.kvm=settled
	fi
	if [ "$(param lost)" = nothing ]; then
		restored --hold stopped
		disturb
		judge_verify 0 identical
	else
		restored --hold running
		disturb
		judge_verify 1 differs
		says verify-reason "$SAID" "master clock" "is off by"
	fi
}

stage_2() {
	restored --hold stopped
}
