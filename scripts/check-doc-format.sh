#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Do the documents format without a warning, are their links and paths good, and do the examples in
# them compile?
#
#   scripts/check-doc-format.sh
#
# rst2html (python3-docutils) and mandoc are used if they are there.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

doc=$KCH_ROOT/Documentation
failed=
work=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT

wrong() {
	msg "$@"
	failed=1
}

command -v man >/dev/null || die "man is not installed (package man-db): man pages not checked"
for page in "$doc"/man/*.[0-9]; do
	MANWIDTH=80 man --warnings -l -- "$page" >/dev/null 2>"$work/warnings" || wrong "${page##*/}: man fails"
	[[ ! -s $work/warnings ]] || wrong "${page##*/}: $(<"$work/warnings")"
done
if command -v mandoc >/dev/null; then
	mandoc -Tlint -Wwarning "$doc"/man/*.[0-9] >&2 || failed=1
else
	msg "mandoc is not installed: man pages only formatted"
fi

for document in "$doc"/*.rst; do
	grep -q '^\.\. SPDX-License-Identifier: ' "$document" || wrong "${document##*/}: no SPDX line"
done
if command -v rst2html >/dev/null; then
	for document in "$doc"/*.rst; do
		rst2html --strict --report=1 "$document" /dev/null || wrong "${document##*/}: see above"
	done
else
	msg "rst2html (python3-docutils) is not installed: format of *.rst not checked"
fi

# Files that are named must be there, but for those with NAME in them. A name without a folder is a
# document's own neighbour.
while read -r path; do
	[[ -e $KCH_ROOT/$path || -e $doc/$path ]] || wrong "no such file: $path"
done < <(grep -hoE '(^|[^A-Za-z0-9_./-])((kernel|userspace|scripts|tests|Documentation)/[A-Za-z0-9_./-]*[A-Za-z0-9_]|[a-z-]+\.rst\b)' \
	"$doc"/*.rst "$doc"/man/* "$KCH_ROOT/README.md" | sed 's/^[^A-Za-z]//' | grep -v NAME | sort -u)

# What stands between the marks of an example, without its indentation.
sed -n '/^\.\. example: userspace$/,/^\.\. end example$/s/^    //p' "$doc/vmm-integration.rst" >"$work/example.c"
grep -q kch_vm_restore "$work/example.c" || wrong "vmm-integration.rst: no example found"
"${CC:-gcc}" -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -I"$KCH_ROOT/userspace/include" \
	-I"$KCH_ROOT/kernel/include/uapi" "$work/example.c" ||
	wrong "vmm-integration.rst: the example does not compile"

[[ ! $failed ]] || die "the documents have faults"
msg "documents are well-formed"
