# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The comparison of `make bench` and `make demo`: VMs with the same guest live through the same kexecs, each
# restored in another way every time. Parameters:
#
#   vcpus=N          vCPUs of each VM (2)
#   methods=A,B...   of kch-vmm; each has a VM (all)
#   seconds=S        how long they run in each stage (1)
#   shift_khz=N      each kernel is told a TSC frequency N kHz above or, in turn, below the first
#                    one's; without it each measures its own
#   swap=METHOD      a control: the VM that is to be judged as "identical" is restored so
#
# The judge: in the column "identical" every number is 0, in all other columns some are not.

METHODS=$(param methods none,by-value,realtime,recipe,converged,identical | tr ',' ' ')
VCPUS=$(param vcpus 2)
# More than there are methods.
SHARES=8

each_method() { # COMMAND...: with number and name of each method
	_number=0
	for _method in $METHODS; do
		"$@" $_number "$_method"
		_number=$((_number + 1))
	done
}

how_to_save() { # METHOD: where its clock is kept besides what every VMM saves
	case $1 in
	identical) echo module ;;
	*) echo none ;;
	esac
}

how_to_restore() { # METHOD
	case $1 in
	identical) param swap identical ;;
	*) echo "$1" ;;
	esac
}

start_vm() { # NUMBER METHOD
	"$KCH/kch-vmm" run --mem "$(vm_mem "$1" $SHARES)" --name "$2" --vcpus "$VCPUS" \
		--seconds "$(param seconds 1)" --id "$(vm_id "$1")" \
		--save-with "$(how_to_save "$2")" --report "/run/$2" &
}

resume_vm() { # NUMBER METHOD
	"$KCH/kch-vmm" resume --mem "$(vm_mem "$1" $SHARES)" --method "$(how_to_restore "$2")" \
		--seconds "$(param seconds 1)" --save-with "$(how_to_save "$2")" --report "/run/$2" &
}

tell() { # NUMBER METHOD
	note_lines "$2" <"/run/$2"
}

# Every number of a column is 0, and the page is the same; on a host of another frequency, its function is.
is_exact() { # METHOD
	if [ "$(reported "$1" frequency_same)" = 1 ]; then
		[ "$(reported "$1" page_identical)" = 1 ] || return 1
	else
		[ "$(reported "$1" page_function)" = 1 ] || return 1
	fi
	for _key in error_now_ns error_end_ns error_hour_ns rate_ppb tsc_error_cycles \
		total_error_ns total_error_hour_ns total_error_cycles peer_disagreements; do
		[ "$(reported "$1" $_key)" = 0 ] || return 1
	done
}

judge() { # NUMBER METHOD
	check "resumed-$2" test -n "$(reported "$2" error_now_ns)"
	if [ "$2" = identical ]; then
		check exact is_exact "$2"
	elif is_exact "$2"; then
		check "not-exact-$2" false
	else
		check "not-exact-$2" true
	fi
}

next_words() {
	_shift=$(param shift_khz)
	[ -n "$_shift" ] || return 0
	[ $((STAGE % 2)) -eq 0 ] || _shift=0
	_khz=$(sed -n 's/.*kch\.first_khz=\([0-9]*\).*/\1/p' /proc/cmdline)
	_khz=${_khz:-$(field status tsc_khz)}
	echo "kch.first_khz=$_khz $(told_khz $((_khz + _shift)))"
}

stage_n() {
	wait_settled
	note tsc_khz "$(field status tsc_khz)"
	if [ "$1" -eq 0 ]; then
		each_method start_vm
	else
		each_method resume_vm
	fi
	wait
	if [ "$1" -eq 0 ]; then
		for _method in $METHODS; do
			check "started-$_method" test -z "$(reported "$_method" failed)"
			check "saved-$_method" test "$(reported "$_method" saved)" = 1
		done
	else
		each_method tell
		skip_if_mismeasured
		each_method judge
		[ -n "$(param swap)" ] || check finish kvmclockctl finish
	fi
	if [ "$1" -lt "$KEXECS" ]; then
		# shellcheck disable=SC2046 # words
		do_kexec "$NEXT_LINE" $(next_words)
	fi
}
