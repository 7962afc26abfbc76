# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Many kexecs in a row, no two alike. What a stage does follows from its number and seed=N (1):
#
#   kernel      one of the two lines of the case, the second twice as often
#   frequency   another one at each kexec, up to 150 kHz above or below that of the first kernel
#   load        up to two busy loops, one of which writes to memory; or all VMMs are stopped for half a second
#   module      unloaded and loaded again before anything is restored, or not
#   each VM     how it comes back: the methods identical, descriptor, outside and held of kch-vmm;
#               who saves its clock: the VMM, or the tool; and how it is at the kexec: stopped, running, or ended
#
# Four VMs at once: one of two vCPUs, which is there from the first stage to the last; one that starts with a
# vCPU and is given three more; one that comes, is given a vCPU, and goes five kexecs later, then a new one; and one of
# three vCPUs that now and then stays saved while the host is updated again.
#
# Each VM is compared with its clock of before the kexec, and with that of its first save (total_error); and what
# its guest has found in all its life is nothing. Parameters:
#   spoil=STAGE    there the second VM's guest moves its TSC by one cycle, and nobody looks

SEED=$(param seed 1)
LIFE=6
SPOILED=$(param spoil none)

pick() { # NUMBER SALT: 0 to NUMBER - 1, for this stage
	echo $(((((STAGE + SEED) * 2654435761 + $2 * 40503) >> 16 & 0xffff) % $1))
}

word() { # NUMBER WORD...
	shift $(($1 + 1))
	echo "$1"
}

# The stage in the life of the VM that comes and goes.
phase() {
	echo $((STAGE % LIFE))
}

id_of() { # SLOT
	if [ "$1" -eq 2 ]; then
		vm_id $((2000 + STAGE / LIFE))
	else
		vm_id "$1"
	fi
}

is_away() { # SLOT
	[ "$1" -eq 3 ] && [ "$STAGE" -gt 0 ] && [ "$STAGE" -lt "$KEXECS" ] && [ "$(pick 4 1)" -eq 0 ]
}

is_new() { # SLOT
	[ "$STAGE" -eq 0 ] || { [ "$1" -eq 2 ] && [ "$(phase)" -eq 0 ]; }
}

# After this stage it is not needed.
is_last() { # SLOT
	[ "$STAGE" -eq "$KEXECS" ] || { [ "$1" -eq 2 ] && [ "$(phase)" -eq $((LIFE - 1)) ]; }
}

is_grown() { # SLOT
	case $1:$STAGE:$(phase) in
	1:2:* | 1:35:* | 1:70:* | 2:*:1) ;;
	*) false ;;
	esac
}

saved_by() { # SLOT
	if is_last "$1"; then
		echo none
	else
		word "$(pick 2 $((20 + $1)))" vmm tool
	fi
}

at_kexec() { # SLOT
	word "$(pick 3 $((10 + $1)))" stopped running ended
}

# Without the options that all have.
start_vm() { # SLOT
	set -- "$1" --mem "$(vm_mem "$1")" --uuid "$(id_of "$1")" --seconds 1 --report "/run/vm$1"
	[ "$(saved_by "$1")" != vmm ] || set -- "$@" --save-with module
	if [ "$(at_kexec "$1")" = running ] && ! is_last "$1"; then
		set -- "$@" --hold running
	else
		set -- "$@" --hold stopped
	fi
	_slot=$1
	shift
	if is_new "$_slot"; then
		NEW=$((NEW + 1))
		"$KCH/kch-vmm" run "$@" --name "vm$_slot" --vcpus "$(word "$_slot" 2 1 $((1 + $(pick 3 2))) 3)" &
	else
		_ways=4
		if is_grown "$_slot"; then
			_ways=2
			ADDED=$((ADDED + 1))
			set -- "$@" --hot-add 1 --adopt
		fi
		_method=$(word "$(pick $_ways $((30 + _slot)))" identical descriptor outside held)
		set -- "$@" --method "$_method"
		eval "$_method=\$((${_method} + 1))"
		[ "$_slot" -ne 1 ] || [ "$STAGE" != "$SPOILED" ] || set -- "$@" --offset-error 1
		"$KCH/kch-vmm" resume "$@" &
	fi
	JOBS="$JOBS $!"
}

start_load() {
	LOAD=
	_loops=$(pick 3 3)
	while [ "$_loops" -gt 0 ]; do
		if [ "$_loops" -eq 2 ]; then
			while :; do dd if=/dev/zero of=/run/junk bs=64k count=64; done 2>/dev/null &
		else
			while :; do :; done &
		fi
		LOAD="$LOAD $!"
		_loops=$((_loops - 1))
	done
}

stop_load() {
	# shellcheck disable=SC2086 # words
	[ -z "$LOAD" ] || kill $LOAD
}

pause_vms() {
	[ "$(pick 3 4)" -eq 0 ] || return 0
	PAUSED=$((PAUSED + 1))
	sleep 1
	# One of those that only wait for the report may end meanwhile.
	killall -STOP kch-vmm || true
	sleep 0.5
	killall -CONT kch-vmm || true
}

judge_vm() { # SLOT
	_vm=vm$1
	[ "$1" -ne 1 ] || [ "$STAGE" != "$SPOILED" ] || return 0
	if [ ! -s "/run/$_vm" ] || [ -n "$(reported "$_vm" failed)" ]; then
		judge_report "$_vm"
		return
	fi
	check clocks true
	is_new "$1" || check_equal life "$(reported "$_vm" life_faults)" 0
	note "$_vm" "$(reported "$_vm" method) $(reported "$_vm" vcpus) vCPUs, kexecs $(reported "$_vm" saves)," \
		"saved by $(saved_by "$1"), then $(at_kexec "$1"), total error $(reported "$_vm" total_error_ns) ns" \
		"$(reported "$_vm" total_error_hour_ns) ns $(reported "$_vm" total_error_cycles) cycles"
	! is_last "$1" || CHECKS=$((CHECKS + $(reported "$_vm" life_checks)))
}

# What the record is good for when all are back that will be.
judge_record() {
	_missing=0
	! is_away 3 || _missing=1
	try /run/verify kvmclockctl verify
	[ "$STAGE" = "$SPOILED" ] || check_equal verify "$STATUS" $((_missing * 5))
	[ ! -e /run/failed-checks ] || note_lines verify </run/verify
	try /run/finish kvmclockctl finish
	check_equal finish "$STATUS" $((_missing * 4))
}

leave_vm() { # SLOT
	if [ "$(saved_by "$1")" = tool ]; then
		check save kvmclockctl save --pid "$(reported "vm$1" pid)" --id "$(id_of "$1")" --name "vm$1"
	fi
	if is_last "$1" || [ "$(at_kexec "$1")" = ended ]; then
		kill "$(reported "vm$1" pid)"
	fi
}

each_vm() { # COMMAND...
	for _number in 0 1 2 3; do
		is_away "$_number" || "$@" "$_number"
	done
}

next_khz() {
	_base=$(param base_khz "$(field status tsc_khz)")
	_khz=$((_base - 150 + $(pick 301 5)))
	[ "$_khz" -ne "$(field status tsc_khz)" ] || _khz=$((_khz - 1))
	echo "kch.base_khz=$_base $(told_khz "$_khz")"
}

stage_n() {
	IFS=, read -r NEW identical descriptor outside held ADDED AWAY PAUSED RELOADED CHECKS <<-EOF
		$(param soak 0,0,0,0,0,0,0,0,0,0)
	EOF
	if [ "$STAGE" -gt 0 ] && [ "$(pick 4 6)" -eq 0 ]; then
		RELOADED=$((RELOADED + 1))
		rmmod kvmclock_handover
		load_module
	fi
	! is_away 3 || AWAY=$((AWAY + 1))
	note tsc_khz "$(field status tsc_khz), load $(pick 3 3), uptime $(cut -d' ' -f1 /proc/uptime)"
	start_load
	JOBS=
	each_vm start_vm
	pause_vms
	for _job in $JOBS; do
		wait "$_job" || true
	done
	stop_load
	each_vm judge_vm
	[ "$STAGE" -eq 0 ] || judge_record
	if [ "$STAGE" -eq "$KEXECS" ]; then
		note soak "$KEXECS kexecs, $NEW VMs, $((identical + descriptor + outside + held)) restores ($identical" \
			"by ioctl, $descriptor by descriptor, $outside from outside, $held held), $ADDED vCPUs added, $AWAY times" \
			"away over two kexecs, $PAUSED times stopped, module loaded again $RELOADED times;" \
			"$CHECKS checks of guests in all"
		return
	fi
	each_vm leave_vm
	# shellcheck disable=SC2046 # words
	do_kexec "$(word "$(pick 3 7)" "$HOST_LINE" "$NEXT_LINE" "$NEXT_LINE")" $(next_khz) \
		"kch.soak=$NEW,$identical,$descriptor,$outside,$held,$ADDED,$AWAY,$PAUSED,$RELOADED,$CHECKS"
}
