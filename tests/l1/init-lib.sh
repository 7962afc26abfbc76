# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Functions of the emulated host's init and of case scripts. The interface is at the top of init.
# shellcheck disable=SC2013,SC2120 # words of a command line; arguments that case scripts give

param() { # NAME [DEFAULT]
	_value=${2-}
	for _word in $(cat /proc/cmdline); do
		case $_word in
		"kch.$1="*) _value=${_word#*=} ;;
		esac
	done
	echo "$_value"
}

# shellcheck disable=SC2034 # some are for the case scripts
{
	STAGE=$(param stage 0)
	# A reset, and the second of two hosts, start from the first command line: the stage is left behind the guests' memory.
	if [ "$(param resets no)" != no ] || [ "$(param machine)" = two ]; then
		STAGE_AT=$((($(param guest_addr) + $(param guest_size)) / 4096 - 1))
		_left=$((0$(dd if=/dev/mem bs=4096 skip=$STAGE_AT count=1 2>/dev/null | tr -cd 0-9) + 0))
		[ "$_left" -le "$STAGE" ] || STAGE=$_left
	fi
	KEXECS=$(param kexecs 1)
	SCRIPT=$(param script)
	HOST_LINE=$(param host)
	NEXT_LINE=$(param next)
	REGION_ADDR=$(param region_addr)
	REGION_SIZE=$(param region_size)
	GUEST_ADDR=$(param guest_addr)
	GUEST_SIZE=$(param guest_size)
	KCH=/usr/libexec/kch
}

# One line, one write; closing the port waits until it is out, so that a kexec loses nothing.
say() { # KEY VALUE
	printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr -c ' -~' ' ')" >/dev/ttyS1
}

note() { # KEY TEXT
	_key=$1
	shift
	say note "$_key $*"
}

# Each line is a note.
note_lines() { # KEY < LINES
	while IFS= read -r _line; do
		note "$1" "$_line"
	done
}

problem() { # TEXT: the case has failed through a fault of the test bed or the script
	say error "$1"
	: >/run/problem
}

fail() { # REASON
	problem "$*"
	: >/run/ended
	exit 1
}

skip() { # REASON
	say skip "$*"
	: >/run/skipped
	: >/run/ended
	exit 0
}

check() { # NAME CMD...
	_name=$1
	shift
	if "$@"; then
		say check "$_name ok"
	else
		say check "$_name fail"
		echo "$_name" >>/run/failed-checks
	fi
}

check_equal() { # NAME A B
	if [ "$2" = "$3" ]; then
		say check "$1 ok"
	else
		note "$1" "$2 is not $3"
		say check "$1 fail"
		echo "$1" >>/run/failed-checks
	fi
}

# Its output goes to the file, its exit status to STATUS.
try() { # FILE CMD...
	_file=$1
	shift
	# shellcheck disable=SC2034 # for the case scripts
	"$@" >"$_file" 2>&1 && STATUS=0 || STATUS=$?
}

# Until CMD succeeds, for so many tenths of a second; fails when it did not.
wait_until() { # TENTHS CMD...
	_left=$1
	shift
	until "$@"; do
		_left=$((_left - 1))
		[ $_left -gt 0 ] || return 1
		sleep 0.1
	done
}

# Of a report of kch-vmm or the like, which has lines KEY=VALUE.
reported() { # NAME KEY: of /run/NAME
	sed -n "s/^$2=//p" "/run/$1"
}

# What /run/NAME says, as notes; and as checks what it says has failed, or the one that nothing has.
judge_report() { # NAME [KEY [FAILED]]: key of the notes, and what has failed besides
	if [ ! -s "/run/$1" ]; then
		check report false
		return
	fi
	grep -v '^failed=' "/run/$1" | note_lines "${2:-$1}"
	_failed="$(reported "$1" failed) ${3-}"
	for _check in $_failed; do
		check "$_check" false
	done
	[ -n "${_failed% }" ] || check clocks true
}

# Of several VMs in the reserved range.
vm_id() { # NUMBER
	printf '00000000-0000-4000-8000-%012d' "$1"
}

vm_mem() { # NUMBER [SHARES]: its share of the range, of 4
	_share=$((GUEST_SIZE / ${2:-4} / 65536 * 65536))
	printf '0x%x,%d' $((GUEST_ADDR + $1 * _share)) $_share
}

# What outlives the kexec besides the record: the folder CARRIED, as a tar file in the reserved range of guest
# memory, for cases whose guests are saved to files.
CARRIED=/run/carried

# The next kernel is to have what this prints on its command line.
carry_out() {
	tar -c -C "$CARRIED" . | dd of=/dev/mem bs=64k seek=$((GUEST_ADDR >> 16)) 2>/run/dd
	# Of files with holes all is carried.
	find "$CARRIED" -type f -exec stat -c %s {} + |
		awk '{ sum += $1 + 1024 } END { printf "kch.carried_mb=%d", sum / 1048576 + 2 }'
}

carry_in() {
	mkdir -p "$CARRIED"
	dd if=/dev/mem bs=1M skip=$((GUEST_ADDR >> 20)) count="$(param carried_mb 200)" 2>/run/dd |
		tar -x -C "$CARRIED"
}

# What of the kernel log is evidence of a fault of the kernel, rather than talk.
SPLAT='cut here \]|WARNING: ([^ ]+:[0-9]+ at|CPU|possible|inconsistent|suspicious)|BUG: |kernel BUG at|Oops: |general protection fault|invalid opcode|INFO: task .* blocked|INFO: trying to register non-static key|UBSAN: |KASAN: |nable to handle'

# Before the log is lost, by kexec or at the end.
report_kernel_state() {
	_taint=$(cat /proc/sys/kernel/tainted)
	# A feature that the emulator has, and does not tell.
	! grep -q ' setcpuid=' /proc/cmdline || _taint=$((_taint & ~4))
	say taint "$_taint"
	# Races are judged by the case that looks for them: fuzz.sh.
	dmesg -r | grep -v 'BUG: KCSAN' >/run/dmesg
	_splats=$(grep -cE "$SPLAT" /run/dmesg || true)
	say warnings "$_splats"
	# Everything the kernel calls a warning or worse goes to the console log, as evidence.
	if [ "$_splats" -ne 0 ]; then
		# The console may be cut off by the end of the machine.
		grep -E "$SPLAT" /run/dmesg | head -n 3 | while IFS= read -r _line; do
			note splat "$_line"
		done
		cat /run/dmesg
	else
		grep -E '^<([0-4]|[0-9]*[08][0-4])>' /run/dmesg
	fi >/dev/console || true
}

# The clocksource is "tsc-early" until the frequency has been refined, or it was found that there
# is nothing to refine it with.
wait_settled() {
	wait_until 150 grep -qx tsc /sys/devices/system/clocksource/clocksource0/current_clocksource ||
		fail "the clocksource did not become tsc within 15 s"
}

kvm_module() {
	if grep -qw vmx /proc/cpuinfo; then
		echo kvm-intel
	elif grep -qw svm /proc/cpuinfo; then
		echo kvm-amd
	else
		fail "the CPU has neither VMX nor SVM"
	fi
}

load_kvm() {
	_kvm=$(kvm_module)
	modprobe "$_kvm" || fail "cannot load $_kvm"
	[ -c /dev/kvm ] || fail "no /dev/kvm after $_kvm was loaded"
}

# The one the case is about, or one that was broken on purpose.
module_name() {
	_broken=$(param module)
	case $_broken:,$(param module_at "$STAGE"), in
	?*:*,"$STAGE",*) echo "kch_$_broken" | tr - _ ;;
	*) echo kvmclock_handover ;;
	esac
}

load_module() { # ARG...
	case $(param backend range) in
	range) set -- "region=$REGION_ADDR,$REGION_SIZE" "$@" ;;
	kho) set -- backend=kho "$@" ;;
	auto) ;;
	*) fail "backend=$(param backend): not range, kho or auto" ;;
	esac
	# A kexec of a host that is emulated on a busy machine may take minutes.
	modprobe "$(module_name)" "kexec_seconds_max=$(param gap 600)" "$@"
}

# What the module depends on stays loaded; the program loads just the module.
leave_module_to() { # PROGRAM
	[ -x "$KCH/$1" ] || fail "no $1 here: make -C tests/l1/${1#kch-}"
	load_module
	KCH_MODULE=$(module_name)
	export KCH_MODULE
	rmmod "$KCH_MODULE"
}

have_module() {
	[ -e "/lib/modules/$(uname -r)/$(module_name).ko" ]
}

field() { # FILE KEY: of the module's debugfs
	sed -n "s/^$2: //p" "/sys/kernel/debug/kvmclock_handover/$1" | head -n 1
}

# Words that tell the next kernel its TSC frequency, and leave it nothing to measure it with.
told_khz() { # KHZ
	echo "tsc_early_khz=$1 hpet=disable pmtmr=0"
}

# The same, that of this kernel and N more, for a case with the parameter NAME_khz=N or NAME_ppm=N.
shifted_khz() { # NAME
	_khz=$(field status tsc_khz)
	_more=$(param "$1_khz")
	[ -z "$(param "$1_ppm")" ] || _more=$((_khz * $(param "$1_ppm") / 1000000))
	[ -z "$_more" ] || told_khz $((_khz + _more))
}

far_apart() { # KHZ KHZ: beyond KVM's tsc_tolerance_ppm, 250
	_apart=$(($1 > $2 ? $1 - $2 : $2 - $1))
	[ $((_apart * 1000000 / $2)) -gt 250 ]
}

# An emulated host that is left to measure its TSC frequency on a busy machine may be out by far
# more than any real one. KVM then runs vCPUs in catch-up, and the module rightly refuses them
# (tests/l1/errno has that case); such a case has nothing to show.
skip_if_mismeasured() {
	[ "$(param calibrate no)" = yes ] || return 0
	_khz=$(field status tsc_khz)
	_saved_khz=$(field incoming tsc_khz)
	if [ -n "$_saved_khz" ] && far_apart "$_khz" "$_saved_khz"; then
		skip "the emulated host measured $_khz kHz after $_saved_khz kHz: over 250 ppm"
	fi
}

# What every stage needs before its script: init calls this, and one can by hand.
prepare_stage() {
	case $(param kvm settled) in
	settled)
		wait_settled
		load_kvm
		;;
	early) load_kvm ;;
	none) ;;
	*) fail "kvm=$(param kvm): not settled, early or none" ;;
	esac
	_load=$(param handover yes)
	if type before_module 2>/dev/null | grep -q function; then
		before_module || _load=no
	fi
	if [ "$_load" = yes ] && have_module; then
		# shellcheck disable=SC2119
		load_module || fail "cannot load kvmclock_handover"
	fi
	if type prepare 2>/dev/null | grep -q function; then
		prepare
	fi
}

# The present command line with the stage counted up and WORDS in place of their like.
next_cmdline() { # WORDS
	_next=
	for _word in $(cat /proc/cmdline); do
		_keep=yes
		for _new in "kch.stage=$((STAGE + 1))" "$@"; do
			case $_new in
			"$_word") _keep=no ;;
			memmap=*) ;; # may be given any number of times
			*=*) [ "${_word%%=*}" != "${_new%%=*}" ] || _keep=no ;;
			esac
		done
		[ $_keep = no ] || _next="$_next $_word"
	done
	echo "${_next# } kch.stage=$((STAGE + 1)) $*"
}

stop_if_failed() {
	[ -e /run/failed-checks ] || return 0
	: >/run/ended
	exit 1
}

# Into memory, as `kexec -l` or, for a panic, `kexec -p`.
load_kernel() { # -l|-p [LINE] [WORDS]
	_how=$1
	_line=${2:-$NEXT_LINE}
	shift
	[ $# -eq 0 ] || shift
	[ "$STAGE" -lt "$KEXECS" ] || fail "a kexec in the last stage ($KEXECS)"
	[ -r "/boot/vmlinuz-$_line" ] || fail "no kernel of line $_line in the initramfs"
	stop_if_failed
	# shellcheck disable=SC2048,SC2086 # split on purpose: WORDS may come as one string
	_cmdline=$(next_cmdline $*)
	# Without -i the purgatory takes the checksum of everything loaded: 2 s under emulation.
	case $(param kexec load) in
	load) set -- -i -c ;;
	file) set -- -s ;;
	*) fail "kexec=$(param kexec): neither load nor file" ;;
	esac
	# Where it is not in a reserved range; there only with retain_initrd.
	[ ! -e /sys/firmware/initrd ] || set -- "$@" --initrd=/sys/firmware/initrd
	kexec "$@" "$_how" "/boot/vmlinuz-$_line" --command-line="$_cmdline" ||
		fail "kexec $* $_how vmlinuz-$_line failed"
}

# For who starts from the first command line again.
leave_stage() {
	printf '%-4096d' $((STAGE + 1)) | dd of=/dev/mem bs=4096 seek="$STAGE_AT" 2>/dev/null
}

# Of machine=two: how far the first host's TSC is ahead of this one's, in cycles, and how far off that may be; in stage 0
# nothing yet. With the arguments the wall clock is synchronised, and in stage 1 set.
other_host() { # [MAXERROR_US TAI_S ERROR_NS KHZ]
	"$KCH/kch-other-host" $((STAGE_AT * 4096 - 4096)) "$STAGE" "$@" || fail "kch-other-host failed"
}

# The last lines of a stage that has another after it.
end_stage() { # LINE
	report_kernel_state
	say kexec "$1"
}

do_kexec() { # [LINE] [WORDS]
	if [ "$(param machine)" = two ]; then
		stop_if_failed
		leave_stage
		end_stage "$NEXT_LINE"
		reboot -f
		sleep 60
	fi
	load_kernel -l "$@"
	end_stage "$_line"
	if type before_kexec 2>/dev/null | grep -q function; then
		before_kexec
	fi
	kexec -e
	fail "kexec -e came back"
}

# The last lines of a case, and the end of the machine.
verdict() { # STATUS of its script
	# do_kexec does not return, and what ends a case early has said so in this file.
	if [ -e /run/ended ]; then
		:
	elif [ "$1" -ne 0 ]; then
		problem "the script of stage $STAGE ended with status $1"
	elif [ "$STAGE" -ne "$KEXECS" ]; then
		problem "stage $STAGE of $KEXECS ended without a kexec"
	fi
	report_kernel_state
	if [ -e /run/problem ]; then
		say verdict fail
	elif [ -e /run/skipped ]; then
		say verdict skip
	elif [ -e /run/failed-checks ]; then
		say verdict fail
	else
		say verdict pass
	fi
	sync
	poweroff -f
}
