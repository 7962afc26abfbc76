#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make the second part of the emulated host's initramfs: QEMU with what it needs, an empty image
# for snapshots, and the guest's initramfs. The guest's kernel is that of the host, in /boot.
#
#   tests/l1/qemu/mk-payload.sh OUTPUT
#
#   KCH_VARIANT=-VERSION   that of scripts/fetch-qemu.sh VERSION; default: the machine's own
#   KCH_LKVM=FILE   kvmtool's program, which is no package of Debian's; default: lkvm in PATH, if any

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../../scripts/lib.sh"

output=${1:?usage: mk-payload.sh OUTPUT}
version=${KCH_VARIANT#-}
share=/usr/share/qemu
if [[ $version ]]; then
	"$KCH_ROOT/scripts/fetch-qemu.sh" "$version" 2>&1 | { grep -v ' is here$' >&2 || true; }
	qemu=$KCH_BUILD/qemu/$version
else
	qemu=$(command -v qemu-system-x86_64) || die "no qemu-system-x86_64 here: run scripts/setup.sh"
fi

make --no-print-directory -s -C "$KCH_ROOT/tests/l1/qemu"

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

# Of the 512 MB that a version 3 image with clusters of 64 KB has, all in one table, nothing is there.
make_image() { # FILE
	local magic='QFI\373\0\0\0\003' nothing='\0\0\0\0'
	local cluster_bits='\0\0\0\020' size="$nothing"'\040\0\0\0' l1='\0\0\0\001'"$nothing"'\0\003\0\0'
	local refcounts="$nothing"'\0\001\0\0\0\0\0\001' snapshots="$nothing$nothing$nothing" features
	features=$nothing$nothing$nothing$nothing$nothing$nothing
	printf '%b' "$magic$nothing$nothing$nothing$cluster_bits$size$nothing$l1$refcounts$snapshots" \
		"$features"'\0\0\0\004\0\0\0\150' >"$1"
	truncate -s 64K "$1"
	printf '%b' "$nothing"'\0\002\0\0' >>"$1"
	truncate -s 128K "$1"
	printf '%b' '\0\001\0\001\0\001\0\001' >>"$1"
	truncate -s 256K "$1"
}

if [[ $version ]]; then
	mkdir -p "$root/usr/lib/qemu"
	cp -a -- "$qemu/run" "$qemu/root" "$root/usr/lib/qemu/"
	ln -s ../lib/qemu/run "$root/usr/bin/qemu-system-x86_64"
else
	install -s -- "$qemu" "$root/usr/bin/qemu-system-x86_64"
	add_libraries_of "$qemu"
	for rom in qboot.rom bios-microvm.bin kvmvapic.bin linuxboot_dma.bin; do
		install -m 644 -- "$share/$rom" "$root$share/$rom"
	done
fi
make_image "$root/usr/share/qemu/empty.qcow2"
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
