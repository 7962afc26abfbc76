# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The emulated host under QEMU TCG: an AMD machine, two CPUs, without TSC scaling. Sourced by run.sh;
# lib-l1.sh says what is to be here.

qemu_unusable() {
	return 1
}

# This machine's TSC frequency, which TCG hands to the emulated host as it is; or, with icount=, one
# cycle for each ns.
qemu_tsc_khz() { # PARAM...
	local tool=$KCH_BUILD/nested/host-tsc-khz
	if [[ " $* " == *" icount="* ]]; then
		echo 1000000
		return
	fi
	if [[ ! $tool -nt $NESTED/host-tsc-khz.c ]]; then
		gcc -O2 -Wall -Wextra -Werror -o "$tool.new" "$NESTED/host-tsc-khz.c"
		mv -f -- "$tool.new" "$tool"
	fi
	"$tool"
}

# nohz=off highres=off: a tick that comes by itself. QEMU 7.2's TCG now and then loses the request for
# an interrupt when it is set while a nested guest is entered or left; with a timer that is armed once
# and again the host would sleep forever (in its APIC the vector is pending, the CPU halted with
# interrupts on), with a periodic one it wakes at the next tick.
qemu_words() { # INITRAMFS
	local size
	size=$(stat -L -c %s -- "$1")
	((size <= INITRAMFS_SIZE)) || die "$1: larger than the range reserved for it"
	printf '%s ' nohz=off highres=off "initrdmem=$INITRAMFS_ADDR,$size" \
		"memmap=$INITRAMFS_SIZE\$$INITRAMFS_ADDR"
}

# Sets the array QEMU_ARGS, everything but the serial ports and the limits, and QEMU_TSC, where the TSC
# starts.
qemu_configure() { # DIRECTORY INITRAMFS VMLINUZ CMDLINE PARAM...
	local initramfs=$2 vmlinuz=$3 cmdline=$4 word
	local smp=2 mem cpu=EPYC,+svm,+npt icount=''
	shift 4
	l1_ranges "$@"
	mem=$MEM_MIN
	QEMU_TSC=''
	for word; do
		case $word in
		smp=*) smp=${word#*=} ;;
		mem=*) mem=${word#*=} ;;
		cpu=*) cpu=${word#*=} ;;
		icount=*) icount=${word#*=} ;;
		age=*) QEMU_TSC=$(((${word#*=} + 1) * 86400000 * $(qemu_tsc_khz "$@"))) ;;
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
	# icount=N: time is made of instructions, 2^N ns each, and leaps to the next timer when the host
	# idles. So it is the same on every machine and under any load, and what the emulator does to
	# run an instruction for the first time takes none. Only with smp=1: with two CPUs nested
	# guests do not come on.
	[[ ! $icount ]] || QEMU_ARGS+=(-rtc clock=vm -icount "shift=$icount,sleep=off")
	# A minimal firmware, where the distribution has it: 2 s less.
	if [[ -r /usr/share/qemu/qboot.rom ]]; then
		QEMU_ARGS+=(-bios qboot.rom)
	fi
}

# Where in QEMU's stream of a machine's state PATTERN is; there must be one.
qemu_state_find() { # FILE PATTERN
	local found
	found=$(LC_ALL=C grep -aboP -- "$2" "$1" | tr -d '\0' | LC_ALL=C sed -n 's/^\([0-9]*\):.*/\1/p')
	[[ $found =~ ^[0-9]+$ ]] || die "QEMU's state of a machine is not understood: $2"
	echo "$found"
}

qemu_state_put() { # FILE OFFSET HEX
	local at escaped=''
	for ((at = 0; at < ${#3}; at += 2)); do
		escaped+="\\x${3:at:2}"
	done
	printf '%b' "$escaped" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# The emulated CPU ignores writes to its TSC, which starts at 0. So the state of a machine that has not
# run is written to a file, and there the number is another, and the machine is running; QEMU is then
# started with that.
qemu_older() { # DIRECTORY
	local state=$1/state at
	printf '%s\n' "migrate \"exec:cat >$state\"" quit |
		timeout 60 qemu-system-x86_64 "${QEMU_ARGS[@]}" -serial null -serial null -S \
			-monitor stdio >"$1/older.log" 2>&1 || die "QEMU cannot write its state: $1/older.log"
	at=$(qemu_state_find "$state" '\x05timer\x00{7}\x02\x00{24}')
	qemu_state_put "$state" $((at + 14)) "$(printf '%016x' "$QEMU_TSC")"
	at=$(qemu_state_find "$state" 'prelaunch\x00{80}')
	# "running"
	qemu_state_put "$state" "$at" 72756e6e696e670000
	QEMU_ARGS+=(-incoming "exec:cat $(printf '%q' "$state")")
}

# Under a time limit, so that it dies with us however we die: the limit's process when this shell
# does, QEMU when the limit's process does.
qemu_start() { # DIRECTORY LIMIT
	local dir=$1 limit=$2 qmp
	[[ ! $QEMU_TSC ]] || qemu_older "$dir"
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

qemu_interactive() { # DIRECTORY
	local dir=$1
	[[ ! $QEMU_TSC ]] || qemu_older "$dir"
	setpriv --pdeathsig KILL qemu-system-x86_64 "${QEMU_ARGS[@]}" \
		-serial mon:stdio -serial "file:$dir/verdict.log" 2>"$dir/qemu.log"
}
