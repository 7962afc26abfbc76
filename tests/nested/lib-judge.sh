# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # OUTCOME and REASON are for run.sh
# The outcome of a case, from what it left in its folder. Sourced by run.sh.
#
#   console.log   first serial port: what the kernels said; looked at for a panic only
#   verdict.log   second serial port: lines KEY=VALUE, below
#   machine       qemu or bochs
#   qmp.log       how QEMU says the machine ended
#   bochs.log     how Bochs says so, among other things
#   status        exit status of the emulator, 124 or 137 at the time limit
#
# verdict.log, line by line; anything else in it makes the case lost:
#
#   stage=N             one per stage, 0 to the number of kexecs, first line of its stage
#   release=TEXT        uname -r
#   check=NAME ok|fail
#   note=KEY TEXT       evidence for people and for reports
#   error=TEXT          the test bed or the script is at fault
#   skip=TEXT
#   taint=N             /proc/sys/kernel/tainted  \ one each per stage, at its end
#   warnings=N          splats in the kernel log  /
#   kexec=LINE          last line of a stage that ends in a kexec
#   verdict=pass|fail|skip    last line of all
#
# Outcomes: pass, fail, skip, and lost: the machine did not come to its verdict by itself, so
# nothing is known about the thing tested. Lost is not passed, and is no control being caught.

# An out-of-tree (4096) module without a signature (8192) is what we are; every other taint is not.
# Under Bochs the kernel is told to leave out CPU features that are wrong there, which taints it (4).
declare -rA TAINT_ALLOWED=([qemu]=$((4096 | 8192)) [bochs]=$((4096 | 8192 | 4)))

judge_set() { # OUTCOME REASON...
	OUTCOME=$1
	shift
	REASON=$*
}

# Reads verdict.log into the V_* variables; false when a line is not of the language above.
judge_read() { # FILE
	local line rest
	V_STAGES=() V_OK=() V_FAILED=() V_ERRORS=() V_TAINTS=() V_WARNINGS=() V_KEXECS=0
	V_SKIP='' V_VERDICT='' V_BAD=''
	while IFS= read -r line || [[ $line ]]; do
		line=${line%$'\r'}
		# Nothing may follow the verdict.
		if [[ $V_VERDICT ]]; then
			V_BAD="after the verdict: $line"
			return 1
		fi
		rest=${line#*=}
		case $line in
		stage=*) [[ $rest =~ ^[0-9]+$ ]] && V_STAGES+=("$rest") ;;
		release=?*) ;;
		check=*)
			if [[ $rest =~ ^([A-Za-z0-9_.-]+)\ (ok|fail)$ ]]; then
				if [[ ${BASH_REMATCH[2]} == ok ]]; then
					V_OK+=("${BASH_REMATCH[1]}")
				else
					V_FAILED+=("${BASH_REMATCH[1]}")
				fi
			else
				false
			fi
			;;
		note=?*) ;;
		error=?*) V_ERRORS+=("$rest") ;;
		skip=?*) V_SKIP=$rest ;;
		taint=*) [[ $rest =~ ^[0-9]+$ ]] && V_TAINTS+=("$rest") ;;
		warnings=*) [[ $rest =~ ^[0-9]+$ ]] && V_WARNINGS+=("$rest") ;;
		kexec=?*) V_KEXECS=$((V_KEXECS + 1)) ;;
		verdict=pass | verdict=fail | verdict=skip) V_VERDICT=$rest ;;
		*) false ;;
		esac || {
			V_BAD=$line
			return 1
		}
	done <"$1"
}

# How the machine ended, if it was not powered off; prints nothing if it was.
judge_end_qemu() { # DIRECTORY STATUS
	if [[ $2 != 0 ]]; then
		echo "QEMU ended with status $2"
	elif ! grep -q '"event": "SHUTDOWN".*"reason": "guest-shutdown"' "$1/qmp.log"; then
		echo "the machine was not powered off: $(grep -o '"reason": "[^"]*"' "$1/qmp.log" | head -n 1)"
	fi
}

# To Bochs a machine that is powered off is a panic of its own, one of several, all with status 1.
judge_end_bochs() { # DIRECTORY STATUS
	local panics
	panics=$(sed -n 's/^.*>>PANIC<< //p' "$1/bochs.log" | tr '\n' ';')
	if [[ $2 != 1 ]]; then
		echo "Bochs ended with status $2"
	elif [[ $panics != 'ACPI control: soft power off;' ]]; then
		echo "the machine was not powered off: ${panics:-Bochs does not say why}"
	fi
}

# Did the machine get to its end by itself? Sets OUTCOME to lost if not.
judge_machine() { # DIRECTORY
	local dir=$1 status panic end
	status=$(<"$dir/status")
	# The first line of a panic says why; the console is read for nothing else.
	panic=$(tr -d '\r' <"$dir/console.log" | sed -n '/Kernel panic - not syncing/{s/.*Kernel panic - not syncing: //p;q}')
	if [[ $panic ]]; then
		judge_set lost "kernel panic: $panic"
	elif [[ $status == 124 || $status == 137 ]]; then
		judge_set lost "time limit"
	elif end=$("judge_end_$(<"$dir/machine")" "$dir" "$status") && [[ $end ]]; then
		judge_set lost "$end"
	elif ! judge_read "$dir/verdict.log"; then
		judge_set lost "not a verdict line: $V_BAD"
	elif [[ ! $V_VERDICT ]]; then
		judge_set lost "the machine ended without a verdict"
	else
		return 0
	fi
	return 1
}

# Faults that no expectation excuses.
judge_faults() { # DIRECTORY
	local value i allowed
	allowed=${TAINT_ALLOWED[$(<"$1/machine")]}
	if ((${#V_ERRORS[@]})); then
		judge_set fail "${V_ERRORS[0]}"
		return 1
	fi
	for value in "${V_TAINTS[@]}"; do
		if ((value & ~allowed)); then
			judge_set fail "kernel tainted: $value"
			return 1
		fi
	done
	for value in "${V_WARNINGS[@]}"; do
		if ((value)); then
			judge_set fail "kernel warnings: $value (see console.log)"
			return 1
		fi
	done
	for ((i = 0; i < ${#V_STAGES[@]}; i++)); do
		if ((V_STAGES[i] != i)); then
			judge_set fail "stages out of order: ${V_STAGES[*]}"
			return 1
		fi
	done
	if ((${#V_STAGES[@]} != V_KEXECS + 1 || ${#V_TAINTS[@]} != ${#V_STAGES[@]} ||
		${#V_WARNINGS[@]} != ${#V_STAGES[@]})); then
		judge_set fail "a stage is incomplete: ${#V_STAGES[@]} stages, $V_KEXECS kexecs," \
			"${#V_TAINTS[@]} taint and ${#V_WARNINGS[@]} warning counts"
		return 1
	fi
}

contains() { # WORD WORDS...
	local word=$1 other
	shift
	for other; do
		[[ $word == "$other" ]] && return
	done
	return 1
}

judge_pass() { # KEXECS
	if ((${#V_FAILED[@]})); then
		judge_set fail "failed checks: ${V_FAILED[*]}"
	elif [[ $V_VERDICT != pass ]]; then
		judge_set fail "verdict=$V_VERDICT"
	elif ((V_KEXECS != $1)); then
		judge_set fail "$V_KEXECS kexecs instead of $1"
	elif ((${#V_OK[@]} == 0)); then
		judge_set fail "nothing was checked"
	else
		judge_set pass "${#V_OK[@]} checks in ${#V_STAGES[@]} stages"
	fi
}

judge_caught() { # CHECK[,CHECK...]
	local wanted=() required=() name
	IFS=, read -r -a wanted <<<"$1"
	for name in "${wanted[@]}"; do
		[[ $name == *\? ]] || required+=("$name")
	done
	((${#required[@]})) || die "caught:$1 names no check that must fail"
	for name in "${required[@]}"; do
		if ! contains "$name" "${V_FAILED[@]}"; then
			judge_set fail "control not caught by the check $name (failed: ${V_FAILED[*]:-none})"
			return
		fi
	done
	for name in "${V_FAILED[@]}"; do
		if ! contains "$name" "${wanted[@]%\?}"; then
			judge_set fail "control caught for another reason too: $name"
			return
		fi
	done
	if [[ $V_VERDICT != fail ]]; then
		judge_set fail "verdict=$V_VERDICT in spite of failed checks"
		return
	fi
	judge_set pass "caught: ${V_FAILED[*]}"
}

# Sets OUTCOME and REASON.
judge() { # DIRECTORY EXPECT KEXECS
	OUTCOME='' REASON=''
	judge_machine "$1" || return 0
	judge_faults "$1" || return 0
	if [[ $V_SKIP || $V_VERDICT == skip ]]; then
		if [[ $V_SKIP && $V_VERDICT == skip ]] && ((${#V_FAILED[@]} == 0)); then
			judge_set skip "$V_SKIP"
		else
			judge_set fail "skipped without a reason, or after a failed check"
		fi
		return
	fi
	case $2 in
	pass) judge_pass "$3" ;;
	caught:?*) judge_caught "${2#caught:}" ;;
	*) die "expectation $2: neither pass nor caught:CHECK" ;;
	esac
}
