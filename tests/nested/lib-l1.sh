# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the emulated hosts have in common: physical memory that outlives the kexecs, and the command
# line of the first kernel. Sourced by run.sh.
#
# There are two kinds of machine, chosen by machine= in the case table. lib-NAME.sh has of each:
#
#   NAME_unusable           prints why it cannot be used here, and succeeds; fails if it can be used
#   NAME_tsc_khz PARAM...   prints the TSC frequency it will have
#   NAME_words INITRAMFS PARAM...   prints the words that its kernels need on their command line
#   NAME_configure DIRECTORY INITRAMFS VMLINUZ CMDLINE PARAM...   all but the next two's concern
#   NAME_start DIRECTORY LIMIT      in the background, so that it dies with us; its pid is $!
#   NAME_interactive DIRECTORY      with its console on the terminal

# All ranges are hidden from every kernel by memmap=. A kernel with KASLR keeps clear of four such
# ranges at most.
readonly L1_REGION_ADDR=0x30000000 L1_REGION_SIZE=0x100000
readonly L1_GUEST_ADDR=0x31000000 L1_GUEST_SIZE=0x4000000
readonly L1_INITRAMFS_ADDR=0x36000000 L1_INITRAMFS_SIZE=0x4000000
readonly L1_MEM_MIN=1024 # MB: the ranges end at 0x3a000000

# Where guest memory and initramfs are for a case with part=, which has a program as large as QEMU in
# the initramfs, and a guest as large as Linux.
readonly L1_LARGE_GUEST_ADDR=0x40000000 L1_LARGE_GUEST_SIZE=0x10000000
readonly L1_LARGE_INITRAMFS_ADDR=0x50000000 L1_LARGE_INITRAMFS_SIZE=0x10000000
readonly L1_LARGE_MEM_MIN=2048

# shellcheck disable=SC2034 # for the machines
l1_ranges() { # PARAM...: sets GUEST_ADDR, GUEST_SIZE, INITRAMFS_ADDR, INITRAMFS_SIZE, MEM_MIN
	GUEST_ADDR=$L1_GUEST_ADDR GUEST_SIZE=$L1_GUEST_SIZE
	INITRAMFS_ADDR=$L1_INITRAMFS_ADDR INITRAMFS_SIZE=$L1_INITRAMFS_SIZE
	MEM_MIN=$L1_MEM_MIN
	if [[ " $* " == *" part="* ]]; then
		GUEST_ADDR=$L1_LARGE_GUEST_ADDR GUEST_SIZE=$L1_LARGE_GUEST_SIZE
		INITRAMFS_ADDR=$L1_LARGE_INITRAMFS_ADDR INITRAMFS_SIZE=$L1_LARGE_INITRAMFS_SIZE
		MEM_MIN=$L1_LARGE_MEM_MIN
	fi
}

# Self tests of the kernel that take half a second of each boot under emulation and have nothing
# to do with clocks: the jitter entropy generator's, and checks of BPF type information.
readonly L1_INITCALLS_SKIPPED=jent_mod_init,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init

# KEY=VALUE parameters of the case go to the kernel as kch.KEY=VALUE, +WORD as WORD.
l1_cmdline() { # MACHINE INITRAMFS HOST NEXT SCRIPT PARAM...
	local machine=$1 initramfs=$2 host=$3 next=$4 script=$5 word
	shift 5
	l1_ranges "$@"
	# Told the frequency, and nothing to measure it with. Measured under emulation on a busy
	# machine it may be anything; a case that wants that says calibrate=yes. early_off_khz=N: told
	# it wrong by N kHz, which the refinement puts right.
	case " $* " in
	*" early_off_khz="*)
		for word; do
			[[ $word != early_off_khz=* ]] ||
				printf '%s ' "tsc_early_khz=$(($("${machine}_tsc_khz" "$@") + ${word#*=}))"
		done
		;;
	*" calibrate=yes "*) ;;
	*) printf '%s ' "tsc_early_khz=$("${machine}_tsc_khz" "$@")" hpet=disable pmtmr=0 ;;
	esac
	# tsc=reliable: no watchdog that finds the emulated HPET at odds with the TSC.
	# no_timer_check: the kernel counts timer interrupts for some ms, of which an emulator on a busy
	# machine gives none, and panics.
	# panic=-1: a panic resets at once, which ends the machine. panic_on_warn: no verdict after a
	# warning.
	printf '%s ' console=ttyS0,115200 tsc=reliable no_timer_check panic=-1 panic_on_warn=1 \
		"initcall_blacklist=$L1_INITCALLS_SKIPPED" \
		"memmap=$GUEST_SIZE\$$GUEST_ADDR" \
		"memmap=$L1_REGION_SIZE\$$L1_REGION_ADDR" \
		"kch.region_addr=$L1_REGION_ADDR" "kch.region_size=$L1_REGION_SIZE" \
		"kch.guest_addr=$GUEST_ADDR" "kch.guest_size=$GUEST_SIZE" \
		"kch.host=$host" "kch.next=$next" "kch.script=$script" kch.stage=0
	"${machine}_words" "$initramfs" "$@"
	for word; do
		case $word in
		+*) printf '%s ' "${word#+}" ;;
		*=*) printf '%s ' "kch.$word" ;;
		*) die "parameter $word: neither KEY=VALUE nor +WORD" ;;
		esac
	done
}
