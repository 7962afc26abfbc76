# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The emulated host's hardware and the command line of its first kernel. Sourced by run.sh.

# Physical memory of the emulated host, above what the kernel and its programs need. All three
# ranges are hidden from every kernel by memmap=, so they outlive each kexec. A kernel with KASLR
# keeps clear of four such ranges at most.
readonly L1_REGION_ADDR=0x30000000 L1_REGION_SIZE=0x100000
readonly L1_GUEST_ADDR=0x31000000 L1_GUEST_SIZE=0x4000000
readonly L1_INITRAMFS_ADDR=0x36000000 L1_INITRAMFS_SIZE=0x4000000
readonly L1_MEM_MIN=1024 # MB: the ranges end at 0x3a000000

# Where guest memory and initramfs are for a case with part=, which has a program as large as QEMU in
# the initramfs, and a guest as large as Linux.
readonly L1_LARGE_GUEST_ADDR=0x40000000 L1_LARGE_GUEST_SIZE=0x10000000
readonly L1_LARGE_INITRAMFS_ADDR=0x50000000 L1_LARGE_INITRAMFS_SIZE=0x10000000
readonly L1_LARGE_MEM_MIN=2048

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

# This machine's TSC frequency, which is that of the emulated host.
host_tsc_khz() {
	local tool=$KCH_BUILD/nested/host-tsc-khz
	if [[ ! $tool -nt $NESTED/host-tsc-khz.c ]]; then
		gcc -O2 -Wall -Wextra -Werror -o "$tool.new" "$NESTED/host-tsc-khz.c"
		mv -f -- "$tool.new" "$tool"
	fi
	"$tool"
}

# KEY=VALUE parameters of the case go to the kernel as kch.KEY=VALUE, +WORD as WORD.
l1_cmdline() { # INITRAMFS HOST NEXT SCRIPT PARAM...
	local initramfs=$1 host=$2 next=$3 script=$4 word size
	shift 4
	l1_ranges "$@"
	# Told the frequency, and nothing to measure it with. Measured under emulation on a busy
	# machine it may be anything; a case that wants that says calibrate=yes. early_off_khz=N: told
	# it wrong by N kHz, which the refinement puts right.
	case " $* " in
	*" early_off_khz="*)
		for word; do
			[[ $word != early_off_khz=* ]] ||
				printf '%s ' "tsc_early_khz=$(($(host_tsc_khz) + ${word#*=}))"
		done
		;;
	*" calibrate=yes "*) ;;
	*) printf '%s ' "tsc_early_khz=$(host_tsc_khz)" hpet=disable pmtmr=0 ;;
	esac
	size=$(stat -L -c %s -- "$initramfs")
	((size <= INITRAMFS_SIZE)) || die "$initramfs: larger than the range reserved for it"
	# tsc=reliable: no watchdog that finds the emulated HPET at odds with the TSC.
	# panic=-1: a panic resets at once, which ends QEMU. panic_on_warn: no verdict after a warning.
	# nohz=off highres=off: a tick that comes by itself. QEMU 7.2's TCG now and then loses the
	# request for an interrupt when it is set while a nested guest is entered or left; with a
	# timer that is armed once and again the host would sleep forever (in its APIC the vector is
	# pending, the CPU halted with interrupts on), with a periodic one it wakes at the next tick.
	printf '%s ' console=ttyS0,115200 tsc=reliable panic=-1 panic_on_warn=1 nohz=off highres=off \
		"initcall_blacklist=$L1_INITCALLS_SKIPPED" \
		"initrdmem=$INITRAMFS_ADDR,$size" \
		"memmap=$INITRAMFS_SIZE\$$INITRAMFS_ADDR" \
		"memmap=$GUEST_SIZE\$$GUEST_ADDR" \
		"memmap=$L1_REGION_SIZE\$$L1_REGION_ADDR" \
		"kch.region_addr=$L1_REGION_ADDR" "kch.region_size=$L1_REGION_SIZE" \
		"kch.guest_addr=$GUEST_ADDR" "kch.guest_size=$GUEST_SIZE" \
		"kch.host=$host" "kch.next=$next" "kch.script=$script" kch.stage=0
	for word; do
		case $word in
		+*) printf '%s ' "${word#+}" ;;
		*=*) printf '%s ' "kch.$word" ;;
		*) die "parameter $word: neither KEY=VALUE nor +WORD" ;;
		esac
	done
}

# Sets the array QEMU_ARGS: everything but the serial ports and the limits.
l1_qemu_args() { # INITRAMFS VMLINUZ CMDLINE PARAM...
	local initramfs=$1 vmlinuz=$2 cmdline=$3 word
	local smp=2 mem cpu=EPYC,+svm,+npt
	shift 3
	l1_ranges "$@"
	mem=$MEM_MIN
	for word; do
		case $word in
		smp=*) smp=${word#*=} ;;
		mem=*) mem=${word#*=} ;;
		cpu=*) cpu=${word#*=} ;;
		esac
	done
	((mem >= MEM_MIN)) || die "mem=$mem: less than the $MEM_MIN MB that the reserved ranges need"

	# thread=single: with thread=multi, live patching of the emulated kernel's code goes wrong.
	# The initramfs is put into memory by the loader device, not by -initrd, so that it stays.
	# shellcheck disable=SC2054 # the commas are QEMU's
	QEMU_ARGS=(
		-accel tcg,thread=single -machine q35 -cpu "$cpu" -smp "$smp" -m "$mem"
		-nodefaults -no-user-config -no-reboot -display none
		-uuid 6b636821-7465-4573-8174-6d616368696e
		-kernel "$vmlinuz" -append "$cmdline"
		-device "loader,file=$initramfs,addr=$INITRAMFS_ADDR,force-raw=on"
	)
	# A minimal firmware, where the distribution has it: 2 s less.
	if [[ -r /usr/share/qemu/qboot.rom ]]; then
		QEMU_ARGS+=(-bios qboot.rom)
	fi
}

# Runs QEMU under a time limit, so that it dies with us however we die: the limit's process when
# this shell does, QEMU when the limit's process does.
l1_start() { # DIRECTORY LIMIT: in the background; its pid is $!
	local dir=$1 limit=$2 qmp
	printf '%q ' qemu-system-x86_64 "${QEMU_ARGS[@]}" >"$dir/command"
	# QMP, for one thing only: whether the machine was powered off or reset at the end. Its input
	# is a pipe that QEMU itself holds open, as it says no more once that has ended.
	rm -f -- "$dir/qmp.in"
	mkfifo -- "$dir/qmp.in"
	exec {qmp}<>"$dir/qmp.in"
	echo '{"execute": "qmp_capabilities"}' >&"$qmp"
	setpriv --pdeathsig TERM timeout -k 5 "$limit" \
		setpriv --pdeathsig KILL qemu-system-x86_64 "${QEMU_ARGS[@]}" \
		-serial "file:$dir/console.log" -serial "file:$dir/verdict.log" -qmp stdio \
		>"$dir/qmp.log" 2>"$dir/qemu.log" <&"$qmp" &
	exec {qmp}>&-
}

l1_interactive() { # DIRECTORY
	local dir=$1
	setpriv --pdeathsig KILL qemu-system-x86_64 "${QEMU_ARGS[@]}" \
		-serial mon:stdio -serial "file:$dir/verdict.log" 2>"$dir/qemu.log"
}
