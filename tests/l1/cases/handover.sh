# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The main job: guests that go on after a kexec with the clock they had.
#
# Parameters:
#   vcpus=N        vCPUs of each VM (1)
#   skew=CYCLES    each vCPU's TSC is so much further than the one before,
#   skew_khz=KHZ   and was promised to be so much faster: KVM has no master clock for the VM
#   vms=N          VMs at once, a process each (1)
#   scale=N/M      the TSC of the guests runs N/M times as fast as the host's (1/1)
#   idle=S         seconds the host has been up before they start: under Bochs they pass at once
#   seconds=S      how long they run in each stage (2)
#   method=M       how the clock comes back: identical (default), converged, none, by-value,
#                  realtime
#   mode=M         the weakest mode accepted; reach=M: the one that must be reached
#   bound=NS       of modes weaker than identical: the error that is small enough,
#   rounds=N       and how often it is tried
#   save=vmm       the VMM asks for its clock to be preserved (default);
#   save=none      nobody does: its clock is only in its own state;
#   save=tool      or it knows nothing of it, and kvmclockctl saves it from outside, while it runs;
#   save=all       ... and by the id it was restored under, in later stages, when no record has it
#   pin=yes        the next kernel gets the command line that kvmclockctl kexec-args prints
#   shift_khz=N    ... or is pinned N kHz away from this one: the frequency changes for certain; shift_ppm=N
#   kvm=early      with early_off_khz=N: KVM must have kept the frequency of before the refinement;
#   early_off_next_khz=N  the next kernel is told its own, wrong by N kHz
#   unsettled=yes  the next kernel, not those after it, never ends its calibration;
#   unsettled=pin  nor that, but it has the frequency of this one
#   late=yes       the last VM stays saved until the last stage: the host is updated twice over it;
#   late=all       all VMs do
#   add=N          vCPUs added in the middle of the last stage,
#   adopt=yes      with the module's help
#   wall=US        the wall clocks of this host and the next are said to be off by this at most, 0: not synchronised,
#   wall_next=US   that of the next only,
#   wall_error=NS  and that of the next is, by so much more; tai=S: the TAI offset of both,
#                  for method=import, import-module, best with machine=two
#   policy=P       in the last stage: of the time that passed, as limit:2s; passed=P: what must come of it
#   setting=P      the same by the module's parameter
#   refused=ERRNO  the restore in the last stage must be refused with it, and words=A_B in the message
#   save_refused=ERRNO  the VMM's save must be refused with it: a control
#   spoil=OPTION   of kch-vmm, as --offset-error:1, applied in the last stage to the last vCPU
#
# The checks are those of kch-vmm, and `verify`: the tool finds no difference either.

VMS=$(param vms 1)
VCPUS=$(param vcpus 1)
SECONDS_=$(param seconds 2)
METHOD=$(param method identical)
SAVE=$(param save vmm)

each_vm() { # COMMAND...: with the number of each VM that is up in this stage
	_vm=0
	_up=$VMS
	if [ "$STAGE" -gt 0 ] && [ "$STAGE" -lt "$KEXECS" ]; then
		case $(param late no) in
		yes) _up=$((VMS - 1)) ;;
		all) _up=0 ;;
		esac
	fi
	while [ "$_vm" -lt "$_up" ]; do
		"$@" "$_vm"
		_vm=$((_vm + 1))
	done
}

scale_options() {
	_scale=$(param scale)
	[ -z "$_scale" ] ||
		echo "--tsc-khz $(($(field status kvm_tsc_khz) * ${_scale%/*} / ${_scale#*/}))"
}

wall_options() { # MAXERROR
	_wall=$(param wall)
	[ -z "$_wall" ] || echo "--wall-maxerror ${1:-$_wall} --wall-tai $(param tai 0)"
}

start_vm() { # NUMBER
	# shellcheck disable=SC2046,SC2086 # options, a word each
	"$KCH/kch-vmm" run --mem "$(vm_mem "$1")" --id "$(vm_id "$1")" --name "vm$1" \
		--skew "$(param skew 0)" --skew-khz "$(param skew_khz 0)" \
		--vcpus "$VCPUS" $(scale_options) $(wall_options) --seconds "$SECONDS_" --report "/run/vm$1" \
		$SAVE_OPTIONS &
}

resume_vm() { # NUMBER
	rm -f "/run/vm$1"
	# shellcheck disable=SC2086 # options, a word each
	"$KCH/kch-vmm" resume --mem "$(vm_mem "$1")" --method "$METHOD" \
		--seconds "$SECONDS_" --report "/run/vm$1" $SAVE_OPTIONS $STAGE_OPTIONS &
}

# From outside; the VMM does not know.
save_vm() { # NUMBER
	if [ "$SAVE" = tool ] || [ "$STAGE" -eq 0 ]; then
		save_vm_as "$1"
	elif [ "$1" -eq 0 ]; then
		check save kvmclockctl save --all
	fi
}

save_vm_as() { # NUMBER
	check save kvmclockctl save --pid "$(reported "vm$1" pid)" \
		--id "$(vm_id "$1")" --name "vm$1"
}

# kch-vmm returns when its report is there, also with --hold, when a child of it keeps the VM.
judge_vm() { # NUMBER
	[ -z "$(param save_refused)" ] || check_equal save_refused "$(reported "vm$1" save_errno)" "$(param save_refused)"
	judge_report "vm$1"
}

# The refusal has the errno that is wanted, and its message the words.
judge_refusal() { # ERRNO A_B NUMBER
	check_equal refused "$(reported "vm$3" refused_errno)" "$1"
	_message=$(reported "vm$3" message)
	note refused "$_message"
	for _word in $(echo "$2" | tr '_' ' '); do
		case $_message in
		*"$_word"*) check "refused-$_word" true ;;
		*) check "refused-$_word" false ;;
		esac
	done
}

verify() {
	try /run/verify kvmclockctl verify
	[ "$STATUS" -eq 0 ] || cat /run/verify >/dev/console
	check verify test "$STATUS" -eq 0
}

# Of a record that somebody has still to come for.
finish_refused() {
	try /run/finish kvmclockctl finish
	check finish-refused test "$STATUS" -eq 4
}

next_words() {
	if [ "$(param pin no)" = yes ]; then
		# The region is on the command line already.
		kvmclockctl kexec-args | tr ' ' '\n' |
			grep -E '^(tsc_early_khz|hpet|pmtmr)=' | tr '\n' ' '
	elif [ "$(param unsettled no)" != no ] && [ "$STAGE" -gt 0 ]; then
		echo kch.kvm=settled pmtmr=0
		sed -n 's/.*\(initcall_blacklist=[^ ]*\),init_tsc_clocksource.*/\1/p' /proc/cmdline
	elif [ "$(param unsettled no)" != no ]; then
		[ "$(param unsettled)" = yes ] || echo "tsc_early_khz=$(field status tsc_khz)"
		# Its own wait for the end of the calibration would be in vain. With a PM timer nothing tells the
		# module that the frequency would stay.
		echo kch.kvm=early pmtmr=0x608
		sed -n 's/.*\(initcall_blacklist=[^ ]*\).*/\1,init_tsc_clocksource/p' /proc/cmdline
	elif [ -n "$(param early_off_next_khz)" ]; then
		echo "tsc_early_khz=$(($(field status tsc_khz) + $(param early_off_next_khz)))"
	else
		shifted_khz shift
	fi
}

save_options() {
	case $SAVE in
	vmm) echo "--save-with module" ;;
	none) echo "--save-with none" ;;
	# Left running: it is read again when the record is sealed.
	tool | all) echo "--save-with none --hold running" ;;
	esac
}

check_unsettled() {
	check unsettled test "$(field status tsc_source)" = early
}

stage_n() {
	OTHER=
	[ "$(param machine)" != two ] || OTHER=$(other_host)
	SAVE_OPTIONS=$(save_options)
	STAGE_OPTIONS=
	if [ "$1" -eq "$KEXECS" ]; then
		SAVE_OPTIONS="--save-with none --hold stopped"
		[ -z "$(param add)" ] || STAGE_OPTIONS="--hot-add $(param add)"
		[ -z "$(param mode)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --mode $(param mode)"
		[ -z "$(param reach)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --reach $(param reach)"
		[ -z "$(param bound)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --bound $(param bound)"
		[ -z "$(param rounds)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --rounds $(param rounds)"
		[ -z "$(param wall)" ] || STAGE_OPTIONS="$STAGE_OPTIONS $(wall_options "$(param wall_next)") \
			--wall-error $(param wall_error 0)"
		[ -z "$OTHER" ] || STAGE_OPTIONS="$STAGE_OPTIONS --further ${OTHER% *},${OTHER#* }"
		[ -z "$(param policy)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --policy $(param policy)"
		[ -z "$(param passed)" ] || STAGE_OPTIONS="$STAGE_OPTIONS --passed $(param passed)"
		[ -z "$(param setting)" ] || param setting >/sys/module/kvmclock_handover/parameters/policy
		[ "$(param adopt no)" = no ] || STAGE_OPTIONS="$STAGE_OPTIONS --adopt"
		[ -z "$(param spoil)" ] ||
			STAGE_OPTIONS="$STAGE_OPTIONS $(param spoil | tr : ' ') --on-vcpu $((VCPUS - 1))"
	fi
	case $(param unsettled no)$1 in
	yes1 | pin1) check_unsettled ;;
	*) wait_settled ;;
	esac
	# It makes the module ask KVM for its frequency, which the notes below have, before the first restore does.
	kvmclockctl status >/run/status
	note tsc_khz "$(field status tsc_khz)"
	note kvm_tsc_khz "$(field status kvm_tsc_khz)"
	skip_if_mismeasured
	[ -z "$(param early_off_khz)" ] ||
		check kvm-early test "$(field status kvm_tsc_khz)" -ne "$(field status tsc_khz)"
	if [ "$1" -eq 0 ]; then
		sleep "$(param idle 0)"
		each_vm start_vm
	else
		each_vm resume_vm
	fi
	wait
	if [ "$1" -eq "$KEXECS" ] && [ -n "$(param refused)" ]; then
		each_vm judge_refusal "$(param refused)" "$(param words)"
		finish_refused
		return
	fi
	each_vm judge_vm
	if [ "$1" -gt 0 ] && [ "$METHOD" = identical ] && [ -z "$(param add)$(param mode)" ]; then
		if [ "$1" -lt "$KEXECS" ] && [ "$(param late no)" != no ]; then
			finish_refused
		else
			[ "$1" -lt "$KEXECS" ] || verify
			check finish kvmclockctl finish
		fi
	fi
	if [ "$1" -lt "$KEXECS" ]; then
		case $SAVE in tool | all) each_vm save_vm ;; esac
		# shellcheck disable=SC2046 # words
		do_kexec "$NEXT_LINE" $(next_words)
	fi
}
