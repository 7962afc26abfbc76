# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The kernel's own selftests of clocks and TSCs: the same results without our module and with it and a VM
# preserved. tests/nested/reports.py makes a table of what is noted here. Parameters (part=selftests
# is needed):
#
#   library=VERSION    of the selftests (default: the kernel line)
#   only=A,B           these tests only
#   change=NAME        the second run of that test is replaced by one of another result: a control

TESTS=$KCH/selftests/$(param library "$HOST_LINE")/kernel
TEST_LIMIT=150

# What a run says that must not change: the exit status, each test's ok, and why it was skipped.
# Numbers of a clock are not among these.
result_of() { # NAME WHICH
	{
		echo "status $_status"
		grep -E '^ *((not )?ok |1\.\.0 # SKIP)' "/run/$1.$2.out" || true
	} >"/run/$1.$2"
}

# Some compare two clocks over a time, and fail when this machine is busy: three tries, each way.
run_one() { # NAME WHICH: without, with
	_program=$TESTS/$1
	[ "$2 $(param change)" != "with $1" ] || _program="sh -c exit\ 97"
	for _try in 1 2 3; do
		_status=0
		_began=$(cut -d' ' -f1 /proc/uptime)
		eval "timeout $TEST_LIMIT $_program" >"/run/$1.$2.out" 2>&1 </dev/null || _status=$?
		echo "$1 $2: status $_status, $_began to $(cut -d' ' -f1 /proc/uptime)" >/dev/console
		case $_status in 0 | 4 | 124 | 143) break ;; esac
	done
	result_of "$1" "$2"
}

# Of a test that did not pass: why, in its own words.
reason_of() { # NAME WHICH
	case $(sed -n 's/^status //p' "/run/$1.$2") in
	0) grep -cE '^ *ok ' "/run/$1.$2" | sed 's/^0$//; s/.\+/& tests/' ;;
	4) sed -n 's/^1\.\.0 # SKIP *-* *//p' "/run/$1.$2.out" | head -n 1 ;;
	124 | 143) echo "longer than $TEST_LIMIT s" ;;
	*) grep -vE '^ *[0-9]+[[:space:]]+0x|^ *$' "/run/$1.$2.out" | tail -n 4 | tr '\n' ' ' | tr -s ' \t' ' ' ;;
	esac
}

compare() { # NAME
	note "$1" "$(sed -n 's/^status //p' "/run/$1.without") $(sed -n 's/^status //p' "/run/$1.with") $(reason_of "$1" without)"
	if ! cmp -s "/run/$1.without" "/run/$1.with"; then
		diff "/run/$1.without" "/run/$1.with" >/dev/console || true
		note "$1-with" "$(reason_of "$1" with)"
		return 1
	fi
}

preserved() {
	kvmclockctl list >/run/list && cat /run/list >/dev/console && grep -q preserved-vm /run/list
}

each_test() { # COMMAND...
	for _test in $NAMES; do
		"$@" "$_test"
	done
}

run_without() {
	run_one "$1" without
}

run_with() {
	run_one "$1" with
}

judge_test() {
	check "$1" compare "$1"
}

stage_0() {
	[ -d "$TESTS" ] || fail "no $TESTS here: part=selftests is needed"
	NAMES=$(param only | tr , ' ')
	[ -n "$NAMES" ] || NAMES=$(cd "$TESTS" && echo *)
	# One of them reads the host's MSRs.
	modprobe msr
	each_test run_without
	load_module || fail "cannot load kvmclock_handover"
	"$KCH/kch-vmm" run --mem "$GUEST_ADDR,0x1000000" --id 00000000-0000-4000-8000-000000000001 \
		--name preserved-vm --vcpus 2 --seconds 1 --report /run/vm --save-with module --hold stopped &
	wait $!
	check preserved preserved
	each_test run_with
	check still-preserved preserved
	each_test judge_test
}
