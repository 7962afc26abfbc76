# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Memory preserved with KHO: what is found after a kexec, and what is said of it. Needs a kernel with
# KHO, kho=on, kexec=file and handover=no.
#
# Parameters:
#   leave=NOTHING|kho|range|WRONG   what stage 0 leaves for stage 1: nothing at all (default); a VM's
#                  record in KHO or in the reserved range; an entry in KHO with something wrong,
#                  which is a parameter of kch_kho_entry
#   look=kho|range    where stage 1 looks (kho); both: in KHO, and the range is named; off: there is
#                  no kho=on
#   expect=ERRNO   what it says of it (ENODATA)
#   finish=yes     it is finished with in stage 1, restored or not: its memory has to go back
#   again=ERRNO    what is said after unloading and loading the module (as expect)
#   words=A_B_C    words that the message has, in this order

tool_says() { # NAME: of kvmclockctl status
	kvmclockctl status | sed -n "s/^$1: *//p"
}

load() { # BACKEND
	case $1 in
	kho) modprobe kvmclock_handover backend=kho ;;
	range) modprobe kvmclock_handover backend=range "region=$REGION_ADDR,$REGION_SIZE" ;;
	both) modprobe kvmclock_handover backend=kho "region=$REGION_ADDR,$REGION_SIZE" ;;
	esac
}

preserve_vm() {
	"$KCH/kch-vmm" run --mem "$(vm_mem 0)" --id "$(vm_id 0)" --name vm0 \
		--vcpus 1 --seconds 1 --report /run/vm0 --save-with module &
	wait
	check preserved test "$(tool_says outgoing_vms)" = 1
}

# Loaded for KHO a VM is preserved, so the module has to stay; loaded for the range it may go.
check_unload() { # BACKEND
	if rmmod kvmclock_handover 2>/dev/null; then
		check unloaded test "$1" = range
		load "$1"
		check still_preserved test "$(tool_says outgoing_vms)" = 1
	else
		check held test "$1" = kho
	fi
}

stage_0() {
	_leave=$(param leave nothing)
	wait_settled
	load_kvm
	case $_leave in
	nothing) ;;
	kho | range)
		load "$_leave"
		check_equal backend "$(tool_says backend)" "$_leave"
		preserve_vm
		check_unload "$_leave"
		;;
	*) modprobe kch_kho_entry "wrong=$_leave" ;;
	esac
	note kho "$(echo /sys/kernel/debug/kho/out/sub_fdts/*)"
	do_kexec
}

total_kb() {
	sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo
}

# Only the module's own memory counts: what it allocated for itself is not missing from the total.
check_returned() { # KB BEFORE
	_more=$(($(total_kb) - $2))
	note returned_kb "$_more"
	check returned test "$_more" -eq "$1"
}

# What the module refuses to be loaded with, and why.
check_refused() { # NAME WHY PARAMETER...
	_name=$1 _why=$2
	shift 2
	check "$_name" sh -c '! modprobe kvmclock_handover "$@" 2>/dev/null' sh "$@"
	dmesg >/run/log
	check "$_name-said" grep -q "kvmclock_handover: $_why" /run/log
}

# KHO is there and off: told to use it the module refuses to load, and by itself it does without.
without_kho() {
	check_refused kho-off 'KHO is off: kho=on' backend=kho
	check_refused no-such-backend 'backend=nvram: auto, range' backend=nvram
	check_refused no-range 'backend=range needs region=' backend=range
	check_refused no-label 'backend=reserve_mem needs' backend=reserve_mem "region=$REGION_ADDR,$REGION_SIZE"
	modprobe kvmclock_handover
	check_equal backend "$(tool_says backend)" none
	check_equal error "$(tool_says incoming_error)" ENODEV
	note message "$(tool_says message)"
}

stage_1() {
	wait_settled
	load_kvm
	_look=$(param look kho)
	if [ "$_look" = off ]; then
		without_kho
		return
	fi
	_total=$(total_kb)
	load "$_look"
	case $_look in
	both) check_equal backend "$(tool_says backend)" kho ;;
	*) check_equal backend "$(tool_says backend)" "$_look" ;;
	esac
	_message=$(tool_says message)
	note message "$_message"
	check_equal error "$(tool_says incoming_error)" "$(param expect ENODATA)"
	for _word in $(param words | tr _ ' '); do
		case $_message in
		*"$_word"*) _message=${_message#*"$_word"} ;;
		*) _missing="${_missing-} $_word" ;;
		esac
	done
	check_equal said "${_missing-}" ""
	case $(param leave nothing) in
	empty) check_returned 64 "$_total" ;;
	*) check_returned 0 "$_total" ;;
	esac
	if [ "$(param finish no)" = yes ]; then
		check finish kvmclockctl finish --discard
		check_returned 1024 "$_total"
	fi

	# Loaded again it must find the same.
	check unload rmmod kvmclock_handover
	if [ "$_look" = kho ]; then
		check_refused size-odd 'kho_size=12288: a power of two' backend=kho kho_size=12288
		check_refused size-small 'kho_size=2048: a power of two' backend=kho kho_size=2048
	fi
	load "$_look"
	check_equal error_again "$(tool_says incoming_error)" "$(param again "$(param expect ENODATA)")"
	note message_again "$(tool_says message)"
}
