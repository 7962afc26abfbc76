#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Control of check.sh: in a copy of the tree each kind of fault is planted once, and every check must
# find the one that is meant for it.
#
#   scripts/check-control.sh

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

# Not below the tree: git would be asked there, and there it is ignored.
copy=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$copy'" EXIT
(cd "$KCH_ROOT" && tar -cf - --exclude=./build --exclude=./.git .) | tar -xf - -C "$copy"
mkdir -p "$copy/build/check"
for shared in kernels source check/checkpatch; do
	[[ ! -e $KCH_BUILD/$shared ]] || ln -s -- "$(realpath -- "$KCH_BUILD/$shared")" "$copy/build/$shared"
done
cd -- "$copy"

spdx='SPDX-License-Identifier:'
printf '%s\n' '# no licence' >planted-licences.txt
printf '%s\n' "# $spdx GPL-2.0" 'white space ' >planted-text.txt
printf '%s\n' "# $spdx GPL-2.0" 'see http:/''/planted-places.example.org/' >planted-places.txt
printf '%s\n' '#!/bin/sh' "# $spdx GPL-2.0" 'exit' >planted-modes.sh
# The shell's text, not ours.
# shellcheck disable=SC2016
printf '%s\n' '#!/bin/sh' "# $spdx GPL-2.0" 'ls $1' >planted-shellcheck.sh
printf '%s\n' "// $spdx GPL-2.0" 'int planted;;' >userspace/planted-checkpatch.c
# Into a file that is built.
printf '%s\n' 'u32 planted(__le32 n);' 'u32 planted(__le32 n)' '{' '	return n;' '}' >>kernel/core/clock.c
printf '%s\n' "// $spdx GPL-2.0" 'int planted(void)' '{' '	int n[2] = { 0 };' '' \
	'	return n[2];' '}' >userspace/planted-cppcheck.c
printf '%s\n' "/* $spdx LGPL-2.1-or-later */" 'int planted(int new);' >userspace/include/planted-headers.h
printf '%s\n' "/* $spdx GPL-2.0 */" '/**' ' * struct planted - a thing' ' * @one: a number' ' */' \
	'struct planted {' '	int one;' '	int two;' '};' >kernel/planted-kernel_doc.h
printf '%s\n' ".\\\" $spdx GPL-2.0" '.TH planted 8' '.SH NAME' '.NOSUCHMACRO' >Documentation/man/planted-documents.8

# An ioctl that is not in the table.
sed -i '/^..KCH_IOC_ADOPT../d' Documentation/user-abi.rst

# An example that does not compile.
sed -i 's/^        struct kch_handle \*kch = /        struct planted_handle *kch = /' Documentation/vmm-integration.rst

# Where a check looks at several things, what else it must find.
more_marks() { # CHECK
	case $1 in
	documents) printf '%s\n' "not documented: KCH_IOC_ADOPT" "vmm-integration.rst: the example does not compile" ;;
	esac
}

KCH_BUILD=$copy/build scripts/check.sh >build/output 2>&1 || true
passed=0 failed=0
result() { # CHECK MARK
	if grep -qx "not ok - $1" build/output && grep -q -- "$2" "build/check/$1.log"; then
		passed=$((passed + 1))
		echo "ok - $1 # $(grep -m 1 -- "$2" "build/check/$1.log")"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "build/check/$1.log"
		echo "not ok - $1: what was planted for it was not found: $2"
	fi
}
while IFS= read -r check; do
	mark=planted-$check
	[[ $check != sparse ]] || mark='kernel/core/clock.c'
	result "$check" "$mark"
	while IFS= read -r mark; do
		result "$check" "$mark"
	done < <(more_marks "$check")
done < <(scripts/check.sh --list)
echo "# $passed passed, $failed failed, 0 skipped"
if ((failed || passed == 0)); then
	exit 1
fi
