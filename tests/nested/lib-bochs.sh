# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The emulated host under Bochs: an Intel machine, one CPU, with EPT and TSC scaling. Sourced by
# run.sh; lib-l1.sh says what is to be here.
#
# Time in it is counted in instructions, and leaps to the next timer when it idles: `sleep` costs
# nothing, and one run is like the other.

readonly BOCHS_MODEL=corei7_icelake_u
readonly BOCHS_MEM=1024 # MB

# Instructions a second, its own; also the TSC frequency. Few, so that a guest that runs for two
# seconds is done soon; and not round, so that nothing in a clock is.
readonly BOCHS_TSC_KHZ=51317

# Versions known to emulate wrongly what the tests are about.
declare -rA BOCHS_WRONG=(
	[3.1]='it divides wrongly, and clocks are made by that'
)

readonly BOCHS_ISOLINUX=/usr/lib/ISOLINUX/isolinux.bin
readonly BOCHS_LDLINUX=/usr/lib/syslinux/modules/bios/ldlinux.c32
readonly BOCHS_BIOS=/usr/share/bochs/BIOS-bochs-latest
readonly BOCHS_VGABIOS=/usr/share/vgabios/vgabios.bin
BOCHS_FILES=("$BOCHS_ISOLINUX" "$BOCHS_LDLINUX" "$BOCHS_BIOS" "$BOCHS_VGABIOS")

bochs_version() {
	bochs --help 2>&1 | sed -n 's/.*Bochs x86 Emulator \([0-9.]*\).*/\1/p' | head -n 1
}

bochs_unusable() {
	local version file
	for file in bochs xorriso; do
		command -v "$file" >/dev/null || { echo "no $file here: run scripts/setup.sh"; return; }
	done
	for file in "${BOCHS_FILES[@]}"; do
		[[ -r $file ]] || { echo "no $file here: run scripts/setup.sh"; return; }
	done
	version=$(bochs_version)
	[[ $version ]] || { echo "bochs does not say its version"; return; }
	if [[ ${BOCHS_WRONG[$version]:-} ]]; then
		echo "Bochs $version: ${BOCHS_WRONG[$version]}"
	elif [[ $(bochs --help cpu 2>&1) != *"$BOCHS_MODEL"* ]]; then
		echo "Bochs $version does not know the CPU $BOCHS_MODEL"
	else
		return 1
	fi
}

bochs_tsc_khz() {
	echo "$BOCHS_TSC_KHZ"
}

# clearcpuid: 2.7 has XSAVEC and XSAVES wrong, and says of itself that it has eight cores.
# reboot=t: a reset by a triple fault is one that ends Bochs; after another it would boot again.
# quiet: a character on the console takes as long as one of 115200 baud.
# retain_initrd: the initramfs is handed on by kexec.
# tsc_adjust: a kernel that sees it undoes what was done to the TSC before. notscdeadline: Bochs takes a
# deadline for one of a TSC that started at 0.
bochs_words() { # INITRAMFS PARAM...
	local hidden=xsaves,xsavec,ht timer=""
	[[ " $* " != *" age="* ]] || { hidden+=,tsc_adjust; timer=lapic=notscdeadline; }
	printf '%s ' "clearcpuid=$hidden" $timer reboot=t quiet retain_initrd kch.smp=1
}

# Makes the disc it boots from, and the file with its hardware but for the serial ports.
bochs_configure() { # DIRECTORY INITRAMFS VMLINUZ CMDLINE PARAM...
	local dir=$1 initramfs=$2 vmlinuz=$3 cmdline=$4 word tsc=''
	shift 4
	for word; do
		case $word in
		age=*) tsc=$(((${word#*=} + 1) * 86400000 * BOCHS_TSC_KHZ)) ;;
		smp=* | mem=* | cpu=* | part=*) die "$word: not for machine=bochs" ;;
		esac
	done
	printf '%s\n' 'DEFAULT l1' 'PROMPT 0' 'LABEL l1' 'KERNEL /vmlinuz' 'INITRD /initrd' \
		"APPEND $cmdline" >"$dir/isolinux.cfg"
	xorriso -as mkisofs -quiet -o "$dir/boot.iso" -graft-points \
		-b isolinux/isolinux.bin -c isolinux/boot.cat \
		-no-emul-boot -boot-load-size 4 -boot-info-table \
		"isolinux/isolinux.bin=$BOCHS_ISOLINUX" "isolinux/ldlinux.c32=$BOCHS_LDLINUX" \
		"isolinux/isolinux.cfg=$dir/isolinux.cfg" \
		"vmlinuz=$vmlinuz" "initrd=$initramfs" 2>"$dir/xorriso.log" ||
		{ cat "$dir/xorriso.log" >&2; die "cannot make $dir/boot.iso"; }
	# The power switch is a panic of Bochs's own, too, and so is a triple fault.
	cat >"$dir/bochsrc" <<-END
		config_interface: textconfig
		display_library: term
		romimage: file=$BOCHS_BIOS
		vgaromimage: file=$BOCHS_VGABIOS
		megs: $BOCHS_MEM
		cpu: model=$BOCHS_MODEL, count=1, ips=${BOCHS_TSC_KHZ}000, reset_on_triple_fault=0
		clock: sync=none
		ata0-master: type=cdrom, path="$dir/boot.iso", status=inserted
		boot: cdrom
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		com2: enabled=1, mode=file, dev="$dir/verdict.log"
		log: "$dir/bochs.log"
		panic: action=fatal
		error: action=ignore
		info: action=report
		debug: action=ignore
	END
	# For the prompt of its debugger, which it starts with.
	{
		[[ ! $tsc ]] || bochs_older "$tsc"
		echo c
	} >"$dir/debugger"
}

# What makes the debugger set the TSC before anything is booted: where the firmware enters the boot sector,
# at 07c0:0000, it is sent through code of our own, behind what was loaded.
bochs_older() { # TSC
	local code at word
	# push eax, ecx, edx; mov ecx, 0x10 (the TSC); mov eax, ...
	code=66506651665266b91000000066b8$(little_endian $(($1 & 0xffffffff)))
	# mov edx, ...; wrmsr; pop edx, ecx, eax; jmpf 0x07c0:0x0000
	code+=66ba$(little_endian $(($1 >> 32)))0f30665a66596658ea0000c007000000
	printf '%s\n' 'pb 0x7c00' c
	for ((at = 0; at < ${#code}; at += 2)); do
		word=${code:at:2}
		printf 'setpmem 0x%x 1 0x%s\n' $((0x8c00 + at / 2)) "$word"
	done
	printf '%s\n' 'd 1' 'set rip=0x1000'
}

little_endian() { # NUMBER
	printf '%02x%02x%02x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# Bochs wants a terminal for its screen, which script has for it.
bochs_command() { # DIRECTORY COM1: sets BOCHS_COMMAND
	local command
	printf -v command '%q ' exec setpriv --pdeathsig KILL env TERM=linux \
		bochs -f "$1/bochsrc" -rc "$1/debugger" "com1: enabled=1, $2"
	BOCHS_COMMAND=(script -qec "$command" /dev/null)
}

bochs_start() { # DIRECTORY LIMIT
	local dir=$1 limit=$2
	bochs_command "$dir" "mode=file, dev=\"$dir/console.log\""
	printf '%q ' "${BOCHS_COMMAND[@]}" >"$dir/command"
	setpriv --pdeathsig TERM timeout -k 5 "$limit" \
		setpriv --pdeathsig KILL "${BOCHS_COMMAND[@]}" >"$dir/screen.log" 2>&1 </dev/null &
}

bochs_interactive() { # DIRECTORY
	local dir=$1
	bochs_command "$dir" "mode=term, dev=$(tty)"
	setpriv --pdeathsig KILL "${BOCHS_COMMAND[@]}" >"$dir/screen.log" 2>&1 </dev/null
}
