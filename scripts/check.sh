#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Style and static checks of the whole tree; `make check` calls it.
#
#   scripts/check.sh [NAME...]     all checks, or those named; --list lists them
#
# check-control.sh plants a fault for each and demands that it is found.
#
# A check that lacks its tool or its input has failed: it says what to install or fetch.
#
# clang-format is not among them, on purpose: version 14 with the kernel's configuration re-flows
# what the kernel's own style aligns by hand (columns of macro values, trailing comments, tables),
# and the kernel does not demand it either. checkpatch is the judge of style, as it is there.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
cd -- "$KCH_ROOT"

LINES_MAX=800
COLUMNS_MAX=100
work=$KCH_BUILD/check

# Complains once per missing tool; the caller fails by it.
need() { # COMMAND...
	local tool
	for tool; do
		command -v -- "$tool" >/dev/null ||
			{ echo "no $tool here: scripts/setup.sh --check installs it"; return 1; }
	done
}

# The tree's own files: what git tracks or would; in an unpacked archive, all but build/.
tree_files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -z --cached --others --exclude-standard
	else
		find . -path ./build -prune -o -type f "${NO_ARTEFACT[@]}" -printf '%P\0'
	fi | while IFS= read -r -d '' file; do
		# A file removed but not yet committed is still listed.
		[[ ! -f $file ]] || printf '%s\n' "$file"
	done
}

c_files() { grep -E '\.[chS]$' "$work/files"; }
# A picture is what a tool made of a run.
text_files() { grep -vE '\.(bin|svg)$' "$work/files"; }

shell_files() {
	local file first
	while IFS= read -r file; do
		first=
		IFS= read -r first 2>/dev/null <"$file" || true
		[[ $file == *.sh || $first =~ ^'#!'.*[/\ ](ba|da)?sh$ ]] && printf '%s\n' "$file"
	done < <(text_files)
	return 0
}

# As grep, but to find nothing is no error.
matches() { # GREP-ARGUMENT...
	grep "$@" || (($? == 1))
}

# Fails when there is any; shows them.
none() { # WHAT < LINES
	local lines
	lines=$(cat)
	[[ -z $lines ]] && return
	printf '%s:\n%s\n' "$1" "$lines"
	return 1
}

# ---- licences

# The licence that a file must name: by where it is, which says what it is built into.
licence_of() { # FILE
	case $1 in
	# A patch is of the files it changes; the others become part of one.
	COPYING | LICENSES/* | *.bin | *.svg | *.patch | kernel/intree/MAINTAINERS | kernel/intree/message)
		echo none ;;
	kernel/include/uapi/*) echo 'GPL-2.0 WITH Linux-syscall-note' ;;
	kernel/include/linux/* | kernel/core/*)
		echo 'GPL-2.0 OR BSD-2-Clause' ;;
	userspace/lib/* | userspace/include/*) echo 'LGPL-2.1-or-later' ;;
	*.md | README* | Documentation/*) echo any ;;
	*) echo 'GPL-2.0' ;;
	esac
}

check_licences() {
	local file want found bad=0
	while IFS= read -r file; do
		want=$(licence_of "$file")
		[[ $want == none ]] && continue
		found=$(sed -n '1,3s/^.*SPDX-License-Identifier: *//p' "$file" |
			sed -E 's/ *(\*\/|-->) *$//' | head -n 1)
		[[ $found == "$want" || ($want == any && $found) ]] && continue
		echo "$file: licence '${found:-none}', expected '$want', in the first three lines"
		bad=1
	done <"$work/files"
	return "$bad"
}

# ---- text

check_text() {
	local file bad=0 count
	while IFS= read -r file; do
		# In a patch an empty line of context is a blank.
		[[ $file == COPYING || $file == LICENSES/* || $file == *.patch ]] && continue
		count=$(wc -l <"$file")
		if ((count > LINES_MAX)) && [[ $file != .clang-format ]]; then
			echo "$file: $count lines, at most $LINES_MAX: what is in it that has a name of its own?"
			bad=1
		fi
		[[ -s $file && $(tail -c 1 -- "$file" | od -An -tx1) != ' 0a' ]] &&
			{ echo "$file: does not end with a line"; bad=1; }
		matches -nE '[[:space:]]$' "$file" | sed "s|^|$file:|" |
			none "white space at the end of a line" || bad=1
	done < <(text_files)
	return "$bad"
}

# Nothing of one machine: no mirror or registry, no path that only its author has.
check_places() {
	local bad=0 hosts
	local -a files
	hosts='www\.kernel\.org|docs\.kernel\.org|lore\.kernel\.org|git\.kernel\.org|www\.gnu\.org'
	hosts+='|spdx\.org|github\.com|clang\.llvm\.org|www\.debian\.org|www\.apache\.org'
	hosts+='|json-schema\.org|en\.wikipedia\.org'
	mapfile -t files < <(text_files | grep -vE '^(COPYING$|LICENSES/)')
	matches -noE '(https?|ftp)://[A-Za-z0-9.-]+' "${files[@]}" |
		matches -vE "://($hosts)$" | none "hosts that the project has no business with" || bad=1
	# The brackets keep the pattern from finding itself.
	matches -nE '(^|[^A-Za-z0-9_.])/(w[o]rk|h[o]me/[a-z]+)/|/t[m]p/k(ch)?/' "${files[@]}" |
		none "paths of somebody's machine" || bad=1
	return "$bad"
}

check_modes() {
	local file bad=0 first
	while IFS= read -r file; do
		first=
		IFS= read -r -n 2 first 2>/dev/null <"$file" || true
		if [[ $first == '#!' && ! -x $file ]]; then
			echo "$file: starts with #! but is not executable"
			bad=1
		elif [[ $first != '#!' && -x $file ]]; then
			echo "$file: executable, but does not start with #!"
			bad=1
		fi
	done < <(text_files)
	return "$bad"
}

# ---- scripts

check_shellcheck() {
	need shellcheck || return
	shell_files >"$work/shell"
	[[ -s $work/shell ]] || { echo "no shell script found"; return 1; }
	# All together, so that each sees what it sources; -x follows.
	tr '\n' '\0' <"$work/shell" | xargs -0 shellcheck -x
}

# ---- C: style

# What is not asked for, and why:
# LONG_LINE_STRING      a message is one piece, so that it can be searched for
# BIT_MACRO             the headers with flags are for user space, too
# UNSPECIFIED_INT       takes `unsigned __int128` for a bare `unsigned`
# ALLOC_WITH_SIZEOF     the helpers it prefers are newer than the oldest kernel we build for
# MACRO_ARG_REUSE, MACRO_ARG_PRECEDENCE   the arguments are member names
IGNORED=LONG_LINE_STRING,BIT_MACRO,UNSPECIFIED_INT,ALLOC_WITH_SIZEOF,MACRO_ARG_REUSE
IGNORED+=,MACRO_ARG_PRECEDENCE
# In user space, what it prefers does not exist, or the C library's name is the name.
IGNORED_USER=PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,PREFER_FALLTHROUGH,CAMELCASE
IGNORED_USER+=,ARRAY_SIZE,STRCPY,VOLATILE,MEMORY_BARRIER,AVOID_EXTERNS,SPLIT_STRING,ENOSYS

check_checkpatch() {
	local checkpatch bad=0 portable=kernel/core/portable.h
	need perl || return
	checkpatch=$(scripts/check-fetch-checkpatch.sh) || return
	run_checkpatch() { # IGNORED < FILES
		tr '\n' '\0' | xargs -0 perl "$checkpatch" --no-tree --strict --terse --show-types \
			--no-summary --max-line-length="$COLUMNS_MAX" --ignore "$1" -f 2>&1
	}
	c_files | grep '^kernel/' | grep -vx "$portable" | run_checkpatch "$IGNORED" || bad=1
	# Half of it is user space's.
	{ echo "$portable"; c_files | grep -v '^kernel/'; } |
		run_checkpatch "$IGNORED,$IGNORED_USER" || bad=1
	# It keeps notes where it is called.
	rm -f -- .checkpatch-camelcase.*
	return "$bad"
}

# ---- C: static analysis

check_sparse() {
	local line=${KCH_CHECK_KERNEL:-6.12} dir compiled
	need sparse make gcc || return
	[[ -e $KCH_KERNELS/$line/headers ]] || scripts/fetch-kernel.sh "$line" || return
	# A copy: objects must not come to lie next to the sources, and C=2 checks each file.
	dir=$work/sparse
	rm -rf -- "$dir"
	cp -r -- kernel "$dir"
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$KCH_KERNELS/$line/headers" M="$dir" \
		C=2 CHECK=sparse CC=gcc -j"${KCH_JOBS:-2}" modules >"$dir/log" 2>&1 ||
		{ cat "$dir/log"; return 1; }
	# Or a change in Kbuild would make this check nothing. Some files are for other kernels.
	compiled=$(find "$dir" -name '*.o' ! -name '.*' ! -name '*.mod.o' ! -name kvmclock_handover.o | wc -l)
	if ((compiled < 10 || $(grep -c '^  CHECK ' "$dir/log") < compiled)); then
		cat "$dir/log"
		echo "not all of $compiled compiled files were checked"
		return 1
	fi
	matches -E 'warning:|error:' "$dir/log" | sed "s|^$dir/|kernel/|" | none "sparse, $line"
}

check_cppcheck() {
	local suppress
	need cppcheck || return
	# It follows neither what a system call writes through an address in a structure, nor
	# that symbols of the linker's script bound one object, nor that one test has record.c in
	# it compiled in a way of its own.
	suppress=(--suppress=missingIncludeSystem --suppress=missingInclude
		--suppress='uninitvar:tests/l1/vmm/vm.c' --suppress='comparePointers:tests/l1/vmm/guestmem.c'
		--suppress='comparePointers:tests/l1/outside/wait.c'
		--suppress='ctunullpointer:tests/unit/test-write.c'
		--suppress='ctuPointerArith:tests/unit/test-write.c')
	cppcheck -q --std=c11 --language=c --platform=unix64 --inline-suppr \
		--enable=warning,performance,portability --error-exitcode=1 \
		--template='{file}:{line}: {severity}: {message} [{id}]' "${suppress[@]}" \
		-Ikernel/include -Ikernel/include/uapi -Iuserspace/include -Ikernel/core -Itests/l1/errno -Itests/l1/lib \
		kernel/core/record.c kernel/core/clock.c userspace tests 2>&1
}

# ---- headers

# Each header others include, alone: as C and as C++, by a compiler in a pedantic mood.
check_headers() {
	local header bad=0 mode
	local -a modes=('gcc -x c -std=c99' 'clang -x c -std=c99' 'clang -x c++ -std=c++11')
	need gcc clang || return
	for header in kernel/include/uapi/linux/*.h kernel/include/linux/*.h userspace/include/*.h; do
		[[ -e $header ]] || { echo "no $header"; bad=1; continue; }
		for mode in "${modes[@]}"; do
			# Twice: the guard against being included again.
			printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
				$mode -pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only -I. \
					-Ikernel/include/uapi -Ikernel/include -Iuserspace/include - ||
				{ echo "$header: $mode"; bad=1; }
		done
	done
	return "$bad"
}

# The comments of structures and functions name every member and no other.
check_kernel_doc() {
	local line=${KCH_CHECK_KERNEL:-6.12} kernel_doc
	need perl || return
	[[ -e $KCH_KERNELS/$line/headers ]] || scripts/fetch-kernel.sh "$line" || return
	kernel_doc=$KCH_KERNELS/$line/headers/scripts/kernel-doc
	# Later ones are in Python, which is not asked for.
	head -n 1 "$kernel_doc" | grep -q perl || { echo "$kernel_doc is not in Perl"; return 1; }
	c_files | grep '\.h$' | tr '\n' '\0' |
		{ xargs -0 perl "$kernel_doc" -none 2>&1 || true; } | matches -vE 'No structured comments|^[0-9]+ ' |
		none "kernel-doc"
}

# ---- documents

check_documents() {
	local bad=0
	scripts/check-doc-layout.sh 2>&1 || bad=1
	scripts/check-doc-names.sh 2>&1 || bad=1
	need man || return
	scripts/check-doc-format.sh 2>&1 || bad=1
	return "$bad"
}

CHECKS=(licences text places modes shellcheck checkpatch sparse cppcheck headers kernel_doc documents)

if [[ ${1:-} == --list ]]; then
	printf '%s\n' "${CHECKS[@]}"
	exit
fi
for name; do
	[[ " ${CHECKS[*]} " == *" $name "* ]] || die "no check $name (see --list)"
done
(($#)) || set -- "${CHECKS[@]}"

mkdir -p "$work"
tree_files | sort -u >"$work/files"
passed=0 failed=0
for name; do
	if (check_"$name") >"$work/$name.log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		echo "ok - $name"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$work/$name.log"
		echo "not ok - $name"
	fi
done
echo "# $passed passed, $failed failed, 0 skipped"
if ((failed || passed == 0)); then
	exit 1
fi
