#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Get a kernel and the headers to build modules for it, without installing either.
#
#   scripts/fetch-kernel.sh [--update] LINE      LINE: 6.1, 6.12, 7.3, 7.3-debug, 7.3-intree
#
#   --update   look for a newer version also when one is there already, or one was given
#
# For 6.x the newest Debian cloud kernel of the line is taken with apt from the mirrors this machine
# already uses; 7.x is built from Debian's source package (see build-kernel.sh: some minutes). apt's
# lists are kept under build/: nothing of the system's is changed, and no root is needed. Result, in
# build/kernels/LINE/:
#
#   release    what `uname -r` will say
#   package    the Debian package and its version, or where it came from
#   vmlinuz    the image
#   modules/   its /lib/modules/RELEASE
#   headers/   for `make -C build/kernels/LINE/headers M=...`
#
# On other distributions, or for a kernel of one's own (all three, LINE is any name):
#   KERNEL=/boot/vmlinuz-X MODULES=/lib/modules/X KDIR=/lib/modules/X/build scripts/fetch-kernel.sh LINE

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/lib-apt.sh
. "$KCH_ROOT/scripts/lib-apt.sh"

update=
line=
for arg; do
	case $arg in
	--update) update=1 ;;
	-h | --help) sed -n '3,23s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) die "unknown option: $arg (see --help)" ;;
	*) line=$arg ;;
	esac
done
[[ $line =~ ^[a-z0-9][a-z0-9._-]*$ ]] || die "which kernel line? (see --help)"

dest=$KCH_KERNELS/$line

take_given() {
	local release
	[[ -r ${KERNEL:?KERNEL= is not set} ]] || die "KERNEL=$KERNEL: not readable"
	[[ -d ${MODULES:?MODULES= is not set}/kernel ]] || die "MODULES=$MODULES: no kernel/ in it"
	[[ -e ${KDIR:?KDIR= is not set}/Module.symvers ]] || die "KDIR=$KDIR: no Module.symvers in it"
	release=$(make -s -C "$KDIR" kernelrelease)
	mkdir -p "$dest"
	rm -rf -- "$dest"/{vmlinuz,modules,headers,recipe}
	ln -s -- "$(realpath -- "$KERNEL")" "$dest/vmlinuz"
	ln -s -- "$(realpath -- "$MODULES")" "$dest/modules"
	ln -s -- "$(realpath -- "$KDIR")" "$dest/headers"
	echo "given: $KERNEL" >"$dest/package"
	echo "$release" >"$dest/release"
	msg "$line: $release, as given by KERNEL= MODULES= KDIR="
}

depends_of() { # PACKAGE: names it depends on
	private_apt apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$1" 2>/dev/null | sed -n 's/^ *|\{0,1\}Depends: //p'
}

# The image a meta package of this line points to; without such, the highest version there is.
newest_image() {
	local meta image pattern="^linux-image-${line//./\\.}[.-][0-9].*-cloud-amd64\$"
	for meta in "linux-image-$line-cloud-amd64" linux-image-cloud-amd64; do
		image=$(depends_of "$meta" | grep -E "$pattern" | head -n 1) || true
		[[ $image ]] && echo "$image" && return
	done
	private_apt apt-cache pkgnames "linux-image-$line" | grep -E "$pattern" | sort -V | tail -n 1
}

take_debian() {
	local image release package common kbuild work version
	msg "$line: looking for the newest Debian cloud kernel"
	refresh_lists
	image=$(newest_image) || true
	[[ $image ]] || die "$line: the mirrors of this machine have no cloud kernel of this line"
	version=$(version_of "$image")
	if [[ -e $dest/package && $(<"$dest/package") == "$image $version" ]]; then
		msg "$line: $image $version is the newest, and here"
		return
	fi

	release=${image#linux-image-}
	common=$(depends_of "linux-headers-$release" | grep -E '^linux-headers-.*-common$') ||
		die "$line: linux-headers-$release names no -common package"
	kbuild=$(depends_of "linux-headers-$release" | grep -E '^linux-kbuild-') ||
		die "$line: linux-headers-$release names no linux-kbuild package"

	work=$(mktemp -d "$KCH_KERNELS/.$line.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf -- '$work' '$work.old'" EXIT
	mkdir "$work/deb"
	# As root, apt-get download warns that it cannot drop privileges for a folder of ours.
	(cd "$work/deb" && private_apt apt-get download "$image" "linux-headers-$release" \
		"$common" "$kbuild" >"$KCH_BUILD/apt/download.log" 2>&1) ||
		{ cat "$KCH_BUILD/apt/download.log" >&2; die "$line: download failed"; }
	for package in "$work"/deb/*.deb; do
		dpkg-deb -x "$package" "$work/root"
	done
	rm -rf -- "$work/deb"
	# Merged /usr: trixie's packages have their modules in /usr/lib.
	if [[ -d $work/root/usr/lib/modules ]]; then
		mkdir -p "$work/root/lib"
		mv -- "$work/root/usr/lib/modules" "$work/root/lib/modules"
	fi
	relocate_headers "$work/root" "$release"

	ln -s "root/boot/vmlinuz-$release" "$work/vmlinuz"
	ln -s "root/lib/modules/$release" "$work/modules"
	ln -s "root/usr/src/linux-headers-$release" "$work/headers"
	for package in vmlinuz modules/kernel headers/Module.symvers headers/scripts/mod/modpost; do
		[[ -e $work/$package ]] || die "$line: $image $version: no $package after extraction"
	done
	echo "$release" >"$work/release"
	echo "$image $version" >"$work/package"
	chmod 755 "$work"
	replace_folder "$work" "$dest"
	trap - EXIT
	msg "$line: took $image $version"
}

# Debian's header packages name each other by absolute path. Name them relative to the file
# instead; the symbolic links between them already are.
relocate_headers() { # ROOT RELEASE
	local makefile=$1/usr/src/linux-headers-$2/Makefile leftover
	# The text is make's, not the shell's.
	# shellcheck disable=SC2016
	sed -i 's|^include /usr/src/|include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../|' "$makefile"
	# Only for BTF in modules, which needs pahole, and is stripped again.
	rm -f -- "$1/usr/src/linux-headers-$2/vmlinux"
	# The links of the image package to the headers are absolute and of no use here.
	rm -f -- "$1/lib/modules/$2/build" "$1/lib/modules/$2/source"
	leftover=$(grep -rlE --include=Makefile --include=Kbuild --include='*.mk' --include='Makefile.*' \
		--include=.kernelvariables '(^|[^.])/usr/(src|lib)/linux-' \
		"$1/usr/src/linux-headers-$2" "$1"/usr/lib/linux-kbuild-*) || true
	[[ -z $leftover ]] || die "$line: absolute paths left in: $leftover"
}

mkdir -p "$KCH_KERNELS"
# One at a time: the result is replaced as a whole.
exec 9>"$KCH_KERNELS/.$line.lock"
flock 9
# KDIR= by itself is for `make`, which hands it on.
if [[ ${KERNEL:-}${MODULES:-} ]]; then
	take_given
elif [[ $line == 7.* && ($update || $(cat -- "$dest/package" 2>/dev/null) != given:*) ]]; then
	"$KCH_ROOT/scripts/build-kernel.sh" ${update:+--update} "$line"
elif [[ -e $dest/release && ! $update ]]; then
	msg "$line: $(<"$dest/package") is here"
else
	case $line in
	6.*) take_debian ;;
	*) die "$line: no recipe for this line (see --help)" ;;
	esac
fi
