#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Run the nested test bed: each case boots an emulated host under QEMU TCG or Bochs, kexecs it, and judges
# what it said on its verdict port.
#
#   tests/nested/run.sh [-j N] [--full]     the short cases, or all
#   tests/nested/run.sh -c PATTERN...       only these, as 'age-*' (comma- or blank-separated, or repeated)
#   tests/nested/run.sh -e NAME             enter the case's emulated host: its console, a shell
#   tests/nested/run.sh -l                  list the cases, or with -c those
#   tests/nested/run.sh --self-test         does the test bed see what it must see?
#
#   -j N    emulated hosts at once, 1 or 2 (default 2, on one CPU 1)
#   -n      use the kernels, modules and initramfs as they are; build nothing
#   -t FILE another case table than cases.tbl
#   -v      print the evidence (note=) of each case
#
# Output is KTAP. The exit status is 0 when at least one case ran, and none failed or was lost.
# Logs are kept in build/nested/NAME/: console.log, verdict.log, qemu.log or bochs.log, status,
# command.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"
NESTED=$KCH_ROOT/tests/nested
# shellcheck source=tests/nested/lib-l1.sh
. "$NESTED/lib-l1.sh"
# shellcheck source=tests/nested/lib-qemu.sh
. "$NESTED/lib-qemu.sh"
# shellcheck source=tests/nested/lib-bochs.sh
. "$NESTED/lib-bochs.sh"
# shellcheck source=tests/nested/lib-judge.sh
. "$NESTED/lib-judge.sh"
# shellcheck source=tests/nested/lib-table.sh
. "$NESTED/lib-table.sh"

usage() {
	sed -n '/^#   tests/,/^# Logs/s/^# \{0,1\}//p' "$0"
}

table=$NESTED/cases.tbl
logs=$KCH_BUILD/nested
jobs_max=2
(($(nproc) > 1)) || jobs_max=1
only=() full='' enter='' list='' build=1 verbose='' self_test=''
while (($#)); do
	case $1 in
	-c) IFS=', ' read -r -a names <<<"${2:?-c needs the name of a case}"; only+=("${names[@]}"); shift ;;
	-e) enter=${2:?-e needs the name of a case}; shift ;;
	-j) jobs_max=${2:?-j needs a number}; shift ;;
	-j[0-9]*) jobs_max=${1#-j} ;;
	-l) list=1 ;;
	-t) table=${2:?-t needs a file}; shift ;;
	-n) build='' ;;
	-v) verbose=1 ;;
	--full) full=1 ;;
	--self-test) self_test=1; table=$NESTED/selftest.tbl; logs=$KCH_BUILD/nested/self-test ;;
	-h | --help) usage; exit 0 ;;
	-*) msg "unknown option: $1"; usage >&2; exit 2 ;;
	# After -c, so that a list of names can follow.
	*) ((${#only[@]})) || { usage >&2; exit 2; }; only+=("$1") ;;
	esac
	shift
done
[[ $jobs_max =~ ^[12]$ ]] || die "-j $jobs_max: 1 or 2"

table_read "$table"

# Which kind of machine, see lib-l1.sh.
machine_of() { # CASE
	table_param "$1" machine qemu
}

# Before anything is run, as the other mistakes of a table are.
for name in "${T_NAMES[@]}"; do
	declare -F "$(machine_of "$name")_start" >/dev/null ||
		die "$table: $name: machine=$(machine_of "$name"): neither qemu nor bochs"
done

if [[ $enter ]]; then
	only=("$enter")
elif [[ $self_test ]]; then
	full=1
fi
[[ ! $list ]] || full=1
table_select "$full" "${only[@]}" # sets SELECTED
if [[ $list ]]; then
	table_list "${SELECTED[@]}"
	exit 0
fi

# Kernels, module and initramfs of the selected cases; each step says nothing when it has nothing to do.
initramfs_of() { # CASE
	local part
	part=$(table_param "$1" part "")
	echo "$KCH_BUILD/nested/initramfs-$(table_lines "$1" | tr '\n' '+' | sed 's/+$//')${part:+-$part}.cpio"
}

# The kernel unpacks one archive after the other. NAME-VARIANT: tests/l1/NAME makes it, told VARIANT.
add_part() { # NAME BASE INITRAMFS LINE...
	local name=$1 base=$2 initramfs=$3 payload
	shift 3
	payload=$KCH_BUILD/nested/part-$name-$(printf '%s\n' "$@" | paste -sd +).cpio
	KCH_VARIANT=${name#"${name%%-*}"} "$KCH_ROOT/tests/l1/${name%%-*}/mk-payload.sh" "$payload" "$@"
	cat -- "$base" "$payload" >"$initramfs.new"
	install_file "$initramfs.new" "$initramfs"
}

# What a case's kernels need: all have our module and the test bed's, those of the errno cases one more.
build_modules() { # LINE SCRIPT
	local name module modules=("$KCH_ROOT/tests/l1"/modules/*/Kbuild)
	[[ $2 != errno ]] || modules+=("$KCH_ROOT/tests/l1/errno/fault/Kbuild")
	for module in "${modules[@]}"; do
		[[ -e $module ]] || continue
		module=${module%/Kbuild}
		name=${module##*/}
		[[ $name != fault ]] || name=kch_fault
		[[ ${module_done[$1 $name]:-} ]] && continue
		module_done[$1 $name]=1
		KCH_MODULE_SRC=$module KCH_MODULE=$name "$KCH_ROOT/scripts/build-module.sh" "$1"
	done
}

# A kernel that has our driver built in is as old as that; the others are what they were when fetched.
get_kernel() { # LINE
	if [[ ! -e $KCH_KERNELS/$1/release ]]; then
		"$KCH_ROOT/scripts/fetch-kernel.sh" "$1"
	elif [[ $1 == *-intree* ]]; then
		"$KCH_ROOT/scripts/fetch-kernel.sh" "$1" 2>&1 | { grep -v ' is here$' >&2 || true; }
	fi
}

# tests/l1/qemu is built with its part of the initramfs.
build_programs() {
	local dir
	for dir in userspace tests/l1/vmm tests/l1/luo tests/l1/bench tests/l1/outside; do
		make --no-print-directory -s -C "$KCH_ROOT/$dir"
	done
	make --no-print-directory -s -C "$KCH_ROOT/tests/l1/errno" program
	make --no-print-directory -s -C "$KCH_ROOT/tests/cli" stock-kvm
}

prepare() {
	local name line initramfs part base broken
	local -A line_done=() module_done=() initramfs_done=()
	build_programs
	for name in "${SELECTED[@]}"; do
		while read -r line; do
			if [[ ! ${line_done[$line]:-} ]]; then
				line_done[$line]=1
				get_kernel "$line"
				"$KCH_ROOT/scripts/build-module.sh" "$line"
			fi
			build_modules "$line" "${T_SCRIPT[$name]}"
			broken=$(table_param "$name" module "")
			if [[ $broken && ! ${module_done[$line $broken]:-} ]]; then
				module_done[$line $broken]=1
				"$NESTED/broken-module.sh" "$broken" "$line"
			fi
		done < <(table_lines "$name")
	done
	for name in "${SELECTED[@]}"; do
		initramfs=$(initramfs_of "$name")
		[[ ${initramfs_done[$initramfs]:-} ]] && continue
		initramfs_done[$initramfs]=1
		part=$(table_param "$name" part "")
		base=${initramfs%"${part:+-$part}.cpio"}.cpio
		# shellcheck disable=SC2046 # one word per line
		"$NESTED/mk-initramfs.sh" "$base" $(table_lines "$name")
		# shellcheck disable=SC2046 # one word per line
		[[ ! $part ]] || add_part "$part" "$base" "$initramfs" $(table_lines "$name")
	done
}

# The judge alone first: it takes no time, and without it nothing below means anything.
if [[ $self_test ]]; then
	"$NESTED/check-judge.sh" | sed 's/^/# judge: /'
fi

mkdir -p "$KCH_BUILD/nested"
[[ ! $build ]] || prepare

# The machine for the case; all but its start.
configure() { # CASE DIRECTORY PARAM...
	local name=$1 dir=$2 machine initramfs cmdline
	shift 2
	machine=$(machine_of "$name")
	initramfs=$(initramfs_of "$name")
	[[ -r $initramfs ]] || die "$initramfs is not there; run without -n"
	cmdline=$(l1_cmdline "$machine" "$initramfs" "${T_HOST[$name]}" "${T_NEXT[$name]}" \
		"${T_SCRIPT[$name]}" "$@")
	echo "$machine" >"$dir/machine"
	"${machine}_configure" "$dir" "$initramfs" "$KCH_KERNELS/${T_HOST[$name]}/vmlinuz" "$cmdline" "$@"
}

if [[ $enter ]]; then
	dir=$logs/$enter
	mkdir -p "$dir"
	read -r -a params <<<"${T_PARAMS[$enter]}"
	machine=$(machine_of "$enter")
	if reason=$("${machine}_unusable"); then
		die "$reason"
	fi
	configure "$enter" "$dir" "${params[@]}" shell=yes
	msg "$enter: verdict lines go to $dir/verdict.log; leave with poweroff -f, or kill it (QEMU: Ctrl-A X)"
	status=0
	"${machine}_interactive" "$dir" || status=$?
	exit $status
fi

declare -A pid_case=() started=()
passed=0 failed=0 skipped=0 number=0

# The machines die with us anyway (NAME_start); this is for an orderly end.
# shellcheck disable=SC2317 # called by the trap
stop_all() {
	trap - EXIT INT TERM
	((${#pid_case[@]} == 0)) || kill -- "${!pid_case[@]}" 2>/dev/null || true
	wait
}
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A case whose machine there is not, or not a right one.
skip_unusable() { # CASE
	local machine reason
	machine=$(machine_of "$1")
	reason=$("${machine}_unusable") || return 1
	number=$((number + 1)) skipped=$((skipped + 1))
	echo "ok $number $1 # SKIP $reason"
}

start_case() { # CASE
	local name=$1 dir=$logs/$1 params
	mkdir -p "$dir"
	rm -f -- "$dir"/{console,verdict,qemu,qmp,bochs,screen}.log "$dir"/{status,outcome}
	: >"$dir/console.log"
	: >"$dir/verdict.log"
	read -r -a params <<<"${T_PARAMS[$name]}"
	configure "$name" "$dir" "${params[@]}" "limit=${T_LIMIT[$name]}"
	"$(machine_of "$name")_start" "$dir" "${T_LIMIT[$name]}"
	pid_case[$!]=$name
	started[$name]=$EPOCHSECONDS
	echo "# $name: started (limit ${T_LIMIT[$name]} s)"
}

show_evidence() { # DIRECTORY
	tr -d '\r' <"$1/verdict.log" | sed -n 's/^stage=/# stage /p; s/^note=/#   /p'
}

show_failure() { # DIRECTORY
	echo "#   logs: ${1#"$KCH_ROOT/"}/"
	sed -nE '/^(check=.* fail|note=|error=)/s/^/#   verdict: /p' "$1/verdict.log" | tail -n 20
	[[ ! -e $1/qemu.log ]] || sed "/TCG doesn't support/d; s/^/#   qemu: /" "$1/qemu.log" | tail -n 5
	[[ ! -e $1/bochs.log ]] || sed -n 's/^.*>>PANIC<</#   bochs:/p' "$1/bochs.log" | tail -n 5
	tail -n 8 "$1/console.log" | tr -d '\r' | cut -c1-160 | sed 's/^/#   console: /'
}

finish_case() { # CASE STATUS
	local name=$1 dir=$logs/$1 seconds=$((EPOCHSECONDS - started[$1])) good=''
	echo "$2" >"$dir/status"
	judge "$dir" "${T_EXPECT[$name]}" "$(table_param "$name" kexecs 1)"
	echo "$OUTCOME: $REASON" >"$dir/outcome"
	number=$((number + 1))
	if [[ $self_test ]]; then
		# Here a case is right when the judge said of it what the table says it must.
		# shellcheck disable=SC2053 # a pattern
		[[ "$OUTCOME: $REASON" != ${T_OUTCOME[$name]} ]] || good=1
	elif [[ $OUTCOME == pass || $OUTCOME == skip ]]; then
		good=1
	fi
	if [[ $good && $OUTCOME == skip && ! $self_test ]]; then
		skipped=$((skipped + 1))
		echo "ok $number $name # SKIP $REASON"
	elif [[ $good ]]; then
		passed=$((passed + 1))
		echo "ok $number $name # $seconds s, $OUTCOME: $REASON"
	else
		failed=$((failed + 1))
		echo "not ok $number $name # $seconds s, $OUTCOME: $REASON"
		[[ ! $self_test ]] || echo "#   wanted: ${T_OUTCOME[$name]}"
		show_failure "$dir"
	fi
	[[ ! $verbose ]] || show_evidence "$dir"
}

wait_one() {
	local pid='' status=0 name
	wait -n -p pid "${!pid_case[@]}" || status=$?
	name=${pid_case[$pid]}
	unset "pid_case[$pid]"
	finish_case "$name" "$status"
}

echo "KTAP version 1"
echo "1..${#SELECTED[@]}"
for name in "${SELECTED[@]}"; do
	! skip_unusable "$name" || continue
	while ((${#pid_case[@]} >= jobs_max)); do
		wait_one
	done
	start_case "$name"
done
while ((${#pid_case[@]})); do
	wait_one
done

echo "# $passed passed, $failed failed, $skipped skipped"
if ((passed + failed == 0)); then
	echo "# no case was run: that is a failure"
	exit 1
fi
((failed == 0)) || exit 1
