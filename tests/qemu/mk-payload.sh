#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make the second part of the emulated host's initramfs: the machine's own QEMU with what it needs,
# the wrapper, and the guest's initramfs. The guest's kernel is that of the host, in /boot.
#
#   tests/qemu/mk-payload.sh OUTPUT
#
#   KCH_LKVM=FILE   kvmtool's program, which is no package of Debian's; default: lkvm in PATH, if any

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"

output=${1:?usage: mk-payload.sh OUTPUT}
qemu=$(command -v qemu-system-x86_64) || die "no qemu-system-x86_64 here: run scripts/setup.sh"
share=/usr/share/qemu

make --no-print-directory -s -C "$KCH_ROOT/userspace"
make --no-print-directory -s -C "$KCH_ROOT/tests/qemu"

work=$(mktemp -d "$KCH_BUILD/.payload.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT
root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib,libexec/kch,share/qemu}

# Sorted, no owner, no time: an unchanged tree gives an unchanged file.
pack() { # FOLDER FILE
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . -print0 | LC_ALL=C sort -z |
		cpio --quiet --null --reproducible --owner=+0:+0 -o -H newc >"$2")
}

add_libraries_of() { # PROGRAM
	local library
	ldd -- "$1" | grep -oE '/[^ ]+' | while read -r library; do
		[[ $library == "$KCH_ROOT"/* || -e $root$library ]] ||
			install -D -- "$library" "$root$library"
	done
}

install -s -- "$qemu" "$root/usr/bin/qemu-system-x86_64"
add_libraries_of "$qemu"
for rom in qboot.rom bios-microvm.bin kvmvapic.bin linuxboot_dma.bin; do
	install -m 644 -- "$share/$rom" "$root$share/$rom"
done
install -- "$KCH_BUILD/userspace/kvmclock-run" "$root/usr/sbin/"
install -- "$KCH_BUILD/userspace/libkvmclock-run.so" "$root/usr/lib/"
for program in "$KCH_BUILD"/tests/qemu/*; do
	[[ -f $program && $program != */guest ]] || continue
	install -- "$program" "$root/usr/libexec/kch/"
	add_libraries_of "$program"
done

lkvm=${KCH_LKVM:-$(command -v lkvm || true)}
if [[ $lkvm ]]; then
	install -s -- "$lkvm" "$root/usr/bin/lkvm"
	add_libraries_of "$lkvm"
fi

mkdir -p "$work/guest/dev"
install -s -- "$KCH_BUILD/tests/qemu/guest" "$work/guest/init"
pack "$work/guest" "$root/boot-guest.cpio"
mkdir -p "$root/boot"
mv -- "$root/boot-guest.cpio" "$root/boot/guest.cpio"

pack "$root" "$work/cpio"
mkdir -p "$(dirname -- "$output")"
install_file "$work/cpio" "$output"
