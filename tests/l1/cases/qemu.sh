# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# QEMU as Debian packages it, with a Linux guest: the guest is saved to a file by QEMU, the host kexecs, and
# another QEMU goes on with it. The guest is tests/l1/qemu/guest.c on the host's first kernel; what
# it saw of its clocks is judged by tests/l1/qemu/analyse.c.
#
# Parameters (part=qemu is needed, or part=qemu-VERSION, and smp=1: with more CPUs QEMU 7.2's TCG now and then delivers an
# injected interrupt of a nested guest twice, which a test guest survives and Linux does not):
#   vcpus=N        of the guest (1)
#   methods=A,B    ways to come back, one after the other from the same file (ours): alone: QEMU
#                  and nothing else; realtime: KVM's stock ioctls with the wall clock; ours: QEMU
#                  is held by kvmclockctl until it resumes; without-hold: it is not. With machine=two: imported, which
#                  is held, too, and imported-without-hold
#   wall=US wall_error=NS   of machine=two: both wall clocks are said to be off by this at most, the second is
#   save=NAME      how QEMU saves the guest: migrate (default), to a file; snapshot: savevm, loadvm;
#                  cpr-reboot: its RAM is a file that is not copied
#   judge=A        the method whose failures are those of the case (ours)
#   before=S after=S    how long the guest is watched (6, 8)
#   points=yes     the error over time goes into the notes
#   guest=LINE     its kernel (that of the host's first)
#   guest_machine=NAME   of the guest (microvm)
#   guest_mb=N     its memory (96)
#   clocksource=NAME     that it has (kvm-clock)
#   guest_khz=N    the guest is given a TSC frequency N kHz above the host's, by QEMU's option
#   host_khz=N     the next kernel takes the TSC for N kHz faster than this one; host_ppm=N

VCPUS=$(param vcpus 1)
METHODS=$(param methods ours | tr , ' ')
BEFORE=$(param before 6)
AFTER=$(param after 8)
MACHINE=$(param guest_machine microvm)
SAVE=$(param save migrate)
GUEST_LINE=$(param guest "$HOST_LINE")
# For the guest's kernel, besides those that it always has.
GUEST_WORDS=console=ttyS0
GUEST_INITRD=/boot/guest.cpio
# Options of QEMU's.
GUEST_DEVICES=
# What QEMU is started by, where nothing else is said.
WRAPPER=
VM_ID=00000000-0000-4000-8000-0000000051e0

at() { # WHAT: when, in seconds after the boot
	note at_s "$(cut -d' ' -f1 /proc/uptime) $1"
}

# QEMU's own firmware for microvm, and the same for the others: one that is quick.
firmware() {
	[ "$MACHINE" = microvm ] || echo "-bios qboot.rom"
}

guest_cpu() {
	if [ -n "$(param guest_khz)" ]; then
		# As it was when the guest was started.
		[ -s "$CARRIED/guest-khz" ] || echo $(($(field status tsc_khz) + $(param guest_khz))) >"$CARRIED/guest-khz"
		echo "host,tsc-frequency=$(cat "$CARRIED/guest-khz")000"
	else
		echo host
	fi
}

# What the guest is saved in, or its RAM.
storage() {
	case $SAVE in
	snapshot) echo "-drive if=none,id=saved,format=qcow2,file=$CARRIED/image" ;;
	cpr-reboot)
		echo "-object memory-backend-file,id=ram,size=96M,mem-path=$CARRIED/ram,share=on"
		echo "-machine memory-backend=ram"
		;;
	esac
}

# Its state goes to the file; that of cpr-reboot has no RAM in it.
save_guest() {
	case $SAVE in
	migrate) monitor "migrate \"exec:cat >$CARRIED/state && touch /run/saved\"" ;;
	snapshot)
		monitor "stop"
		monitor "savevm kch"
		;;
	cpr-reboot)
		monitor "migrate_set_parameter mode cpr-reboot"
		monitor "migrate_set_capability x-ignore-shared on"
		monitor "migrate \"exec:cat >$CARRIED/state && touch /run/saved\""
		;;
	*) fail "save=$SAVE: not migrate, snapshot or cpr-reboot" ;;
	esac
}

# Where the guest's data go to.
serial() { # NAME
	echo "-serial file:/run/$1.data"
}

# What is done with the guest before it is saved.
before_save() {
	sleep "$BEFORE"
}

# In the background; its monitor reads /run/NAME.in, the guest's data go to /run/NAME.data.
start_qemu() { # NAME WRAPPER... -- QEMU-OPTION...
	_name=$1
	shift
	_wrapper=$WRAPPER
	while [ "$1" != -- ]; do
		_wrapper="$_wrapper $1"
		shift
	done
	shift
	rm -f "/run/$_name.in"
	mkfifo "/run/$_name.in"
	: >"/run/$_name.data"
	# shellcheck disable=SC2046,SC2086 # words
	$_wrapper qemu-system-x86_64 -accel kvm -machine "$MACHINE" -cpu "$(guest_cpu)" \
		-smp "$VCPUS" -m "$(param guest_mb 96)" $(firmware) $(storage) \
		-nodefaults -no-user-config -display none \
		-kernel "/boot/vmlinuz-$GUEST_LINE" -initrd "$GUEST_INITRD" $GUEST_DEVICES \
		-append "quiet panic=-1 mitigations=off initcall_blacklist=jent_mod_init $GUEST_WORDS" \
		$(serial "$_name") \
		-monitor stdio "$@" <>"/run/$_name.in" >"/run/$_name.monitor" 2>"/run/$_name.err" &
	QEMU_PID=$! QEMU_NAME=$_name
	exec 3>"/run/$_name.in"
}

# Whether QEMU is still there to read it is seen by what comes of it.
monitor() { # COMMAND
	echo "$1" >&3 || true
}

running() {
	[ -d "/proc/$QEMU_PID" ] && ! grep -q '^State:.*Z' "/proc/$QEMU_PID/status"
}

gone() {
	! running
}

wait_for() { # SECONDS COMMAND...: until COMMAND succeeds; false when QEMU has ended before
	_tenths=$(($1 * 10))
	shift
	wait_until $_tenths so_or_ended "$@" || true
	"$@"
}

so_or_ended() { # COMMAND...
	"$@" || ! running
}

tsc_offset() {
	cat /sys/kernel/debug/kvm/"$QEMU_PID"-*/vcpu0/tsc-offset
}

quit_qemu() { # NAME
	monitor quit
	wait_for 20 gone || note "$1" "QEMU does not quit"
}

lost_guest() { # NAME WHAT
	for _file in err data monitor; do
		tail -n 5 "/run/$1.$_file" | tr -d '\r' >/dev/console
	done
	fail "$1: $2"
}

# Stopped, with all that comes before it.
is_paused() {
	monitor "info status"
	sleep 0.3
	case $(tr -d '\r' <"/run/$QEMU_NAME.monitor" | grep "^VM status:" | tail -n 1) in
	*inmigrate*) false ;;
	*paused*) ;;
	*) false ;;
	esac
}

is_saved() {
	if [ "$SAVE" = snapshot ]; then
		is_paused
	else
		[ -e /run/saved ]
	fi
}

saved_host_tsc() {
	kvmclockctl show --json --id "$VM_ID" --outgoing |
		sed -n 's/.*"host_tsc": *"\{0,1\}\([0-9]*\).*/\1/p' | head -n 1
}

start_first() {
	[ "$SAVE" != snapshot ] || cp /usr/share/qemu/empty.qcow2 "$CARRIED/image"
	case " $METHODS " in
	*" realtime "*)
		export KCH_STOCK_FILE="$CARRIED/stock"
		start_qemu first env LD_PRELOAD="$KCH/stock.so" --
		;;
	*) start_qemu first -- ;;
	esac
}

# The region, out into a file, or as it was in that.
region() { # in|out
	case $1 in
	out) dd if=/dev/mem of=/run/region bs=64k skip=$((REGION_ADDR >> 16)) count=$((REGION_SIZE >> 16)) 2>/run/dd ;;
	in) dd if=/run/region of=/dev/mem bs=64k seek=$((REGION_ADDR >> 16)) 2>/run/dd ;;
	esac
}

# For another host; and the same with a bit changed, one of the first vCPU's that mean nothing: only the checksum tells.
export_clock() {
	other_host "$(param wall)" 0 0 "$(field status tsc_khz)"
	check export kvmclockctl export --pid "$QEMU_PID" --id "$VM_ID" "$CARRIED/clock"
	cp "$CARRIED/clock" "$CARRIED/changed"
	printf '\001' | dd of="$CARRIED/changed" bs=1 seek=566 conv=notrunc 2>/run/dd
}

# What comes of it is known: the wall clock's error, which all of the guest's clocks have. It is told as a bound.
imported() { # NAME OPTION...
	load_guest "$1"
	shift
	_khz=$(field status tsc_khz)
	_set=$(kch-host-tsc)
	_other=$(other_host "$(param wall)" 0 "$(param wall_error)" "$_khz")
	try "/run/$QEMU_NAME.changed" kvmclockctl import --pid "$QEMU_PID" "$@" "$CARRIED/changed"
	note changed "$(cat "/run/$QEMU_NAME.changed")"
	check_equal changed "$STATUS" 4
	try "/run/$QEMU_NAME.import" kvmclockctl import --json --pid "$QEMU_PID" "$@" "$CARRIED/clock"
	_set=$(($(kch-host-tsc) - _set))
	note_lines import <"/run/$QEMU_NAME.import"
	check_equal import "$STATUS" 0
	monitor cont
}

judge_imported() { # NAME
	_passed_ns=$(sed -n 's/.*"elapsed_ns": *"\{0,1\}\([0-9]*\).*/\1/p' "/run/$1.import")
	# shellcheck disable=SC2086 # cycles that the first host's TSC is ahead, how exactly, the wall clock in ns, kHz
	set -- "$1" $_other
	_off=$(($(tsc_offset) - $(cat "$CARRIED/tsc-offset") - $2))
	_known=$(($(param wall_error) * _khz / 1000000))
	_apart_khz=$((_khz > $5 ? _khz - $5 : $5 - _khz))
	# Readings of clocks, a step of the first clock's multiplier, and from when the second was set that it has another rate.
	_slack=$(($3 + ($4 + 4000 + _passed_ns / 4000000) * _khz / 1000000 + _set * _apart_khz / _khz))
	note imported "guest's TSC $_off cycles off, $((_off * 1000000 / _khz)) ns, by the wall clock $_known, +-$_slack"
	check import_error test $((_off - _known)) -le $_slack -a $((_known - _off)) -le $_slack
	_bound=$(sed -n 's/.*"wall_bound_ns": *"\{0,1\}\([0-9]*\).*/\1/p' "/run/$1.import")
	check import_bound test $((${_off#-} * 1000000 / _khz)) -le "${_bound:-0}"
	# The guest's own TSC is the axis of all that is judged now.
	cat "$CARRIED/tsc-offset" >"/run/$1.offset"
}

stage_0() {
	mkdir -p "$CARRIED"
	start_first
	wait_for 200 grep -q "^G ready" /run/first.data || lost_guest first "the guest did not come up"
	at "guest up"
	note guest "$(grep '^G ' /run/first.data | cut -c3- | tr '\n' ' ')"
	check clocksource grep -q "^G clocksource $(param clocksource kvm-clock)" /run/first.data
	before_save
	tsc_offset >"$CARRIED/tsc-offset"
	field status tsc_khz >"$CARRIED/khz"
	kch-host-tsc >"$CARRIED/stopping"
	save_guest
	wait_for 100 is_saved || lost_guest first "it was not saved"
	kch-host-tsc >"$CARRIED/saved"
	at "guest saved"
	[ "$(param machine)" != two ] || export_clock
	check save kvmclockctl save --pid "$QEMU_PID" --id "$VM_ID" --name linux
	saved_host_tsc >"$CARRIED/stopped"
	quit_qemu first
	cp /run/first.data "$CARRIED/before"
	_words="$(shifted_khz host) $(carry_out)"
	# shellcheck disable=SC2086 # words
	do_kexec "$NEXT_LINE" $_words
}

# The guest's own view: all of it as evidence, and what does not hold as checks.
judge_guest() { # METHOD
	_points=
	[ "$(param points no)" = no ] || _points=--points
	# shellcheck disable=SC2086 # no word, or one
	"$KCH/kch-qemu-analyse" "$CARRIED/before" "/run/$1.data" "$(cat "$CARRIED/tsc-offset")" \
		"$(cat "/run/$1.offset")" "$(cat "$CARRIED/stopped")" $_points \
		"$(field status kvm_tsc_khz)" >"/run/$1.result" || true
	if [ "$1" != "$(param judge ours)" ]; then
		note_lines "$1" <"/run/$1.result"
	elif grep -q '^failed=' "/run/$1.result"; then
		judge_report "$1.result" "$1"
	else
		judge_report "$1.result" "$1" analyse
	fi
}

# QEMU as it is, with its state loaded and the guest not yet running.
load_guest() { # NAME
	case $SAVE in
	migrate) start_qemu "$1" -- -S -incoming "exec:cat $CARRIED/state" ;;
	snapshot) start_qemu "$1" -- -S -loadvm kch ;;
	cpr-reboot)
		start_qemu "$1" -- -S -incoming defer
		monitor "migrate_set_parameter mode cpr-reboot"
		monitor "migrate_set_capability x-ignore-shared on"
		monitor "migrate_incoming \"exec:cat $CARRIED/state\""
		;;
	esac
	wait_for 100 is_paused || lost_guest "$1" "its state was not loaded"
}

# As a script does it, which then tells the VMM to resume, or lets somebody else do that.
restored() { # NAME OPTION...
	load_guest "$1"
	shift
	try "/run/$QEMU_NAME.restore" kvmclockctl restore --pid "$QEMU_PID" --id "$VM_ID" "$@"
	check_equal restore "$STATUS" 0
	# What QEMU asks of a vCPU is answered, held or not.
	monitor "info registers"
	check registers wait_for 20 grep -q "^RIP=" "/run/$QEMU_NAME.monitor"
	monitor cont
}

come_back() { # METHOD
	_incoming="exec:cat $CARRIED/state"
	case $1 in
	alone) start_qemu "$1" -- -incoming "$_incoming" ;;
	realtime)
		start_qemu "$1" env LD_PRELOAD="$KCH/stock.so" KCH_STOCK_FILE="$CARRIED/stock" -- \
			-incoming "$_incoming"
		;;
	ours) restored "$1" --hold ;;
	without-hold) restored "$1" ;;
	imported) imported "$1" --hold ;;
	imported-without-hold) imported "$1" ;;
	*) fail "no method $1" ;;
	esac
	wait_for 100 grep -q "^S " "/run/$1.data" || lost_guest "$1" "the guest did not come back"
	at "$1 is back"
	tsc_offset >"/run/$1.offset"
	case $1 in imported*) judge_imported "$1" ;; esac
	sleep "$AFTER"
	[ "$1" != ours ] || check verify kvmclockctl verify
	quit_qemu "$1"
	judge_guest "$1"
}

stage_1() {
	carry_in
	at carried
	for _method in $METHODS; do
		come_back "$_method"
	done
}
