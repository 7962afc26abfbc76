#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make the second part of the emulated host's initramfs: the KVM selftests of the kernel's source, and ours.
#
#   tests/l1/selftests/mk-payload.sh OUTPUT LINE...     of the versions that the kernel lines name

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../../scripts/lib.sh"

output=${1:?usage: mk-payload.sh OUTPUT LINE...}
shift

work=$(mktemp -d "$KCH_BUILD/.payload.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT
root=$work/root

add_libraries_of() { # PROGRAM
	local library
	ldd -- "$1" | grep -oE '/[^ ]+' | while read -r library; do
		[[ $library == "$KCH_ROOT"/* || -e $root$library ]] ||
			install -D -- "$library" "$root$library"
	done
}

add_version() { # VERSION
	local folder target=$root/usr/libexec/kch/selftests/$1 program
	"$KCH_ROOT/scripts/build-selftests.sh" "$1"
	for folder in kernel ours; do
		mkdir -p "$target/$folder"
		for program in "$KCH_BUILD/selftests/$1/$folder"/*; do
			[[ -x $program ]] || continue
			install -- "$program" "$target/$folder/"
			add_libraries_of "$program"
		done
	done
}

for line; do
	# 6.1 has no library of its own here: it is a host to go to or to come from.
	[[ $line == 6.1 ]] || add_version "${line%%-*}"
done

# What the C library looks for when a thread is cancelled.
library=$(realpath -- "$(gcc -print-file-name=libgcc_s.so.1)")
install -D -- "$library" "$root/usr/lib/libgcc_s.so.1"

# Sorted, no owner, no time: an unchanged tree gives an unchanged file.
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | LC_ALL=C sort -z |
	cpio --quiet --null --reproducible --owner=+0:+0 -o -H newc >"$work/cpio")
mkdir -p "$(dirname -- "$output")"
install_file "$work/cpio" "$output"
