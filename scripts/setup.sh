#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Install what building and testing needs.
#
#   scripts/setup.sh [--check] [--dry-run]
#
#   --check    also the tools that only `make check` and the fuzzers need
#   --dry-run  only say what is missing (exit status 1 when something is)
#
# On Debian 12 and 13, as root or with sudo, the missing packages are installed. Elsewhere it is said
# what has to be there, for the reader to install by the names of their distribution.

set -euo pipefail

needs=(
	# Module, library, tool and tests; the modules for Debian's kernels need the compiler of those.
	gcc gcc-12 libc6-dev make pkgconf python3 binutils libsmartcols-dev libjson-c-dev
	# The emulated host: its image with Debian's modules, its user space, and QEMU; the runner calls setpriv.
	xz-utils cpio busybox-static kexec-tools qemu-system-x86 util-linux
	# The emulated host with an Intel CPU, and the disc it is booted from.
	bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso
	# Fetching and building kernels.
	ca-certificates flex bison bc libelf-dev
	# The pictures of make demo-qemu and make bench.
	gnuplot-nox
)
# Static checks, libFuzzer and sanitizers, clean roots for tests/packages.py, the format of the documents.
check_needs=(sparse cppcheck shellcheck pyflakes3 perl clang libclang-rt-dev mmdebstrap mandoc python3-docutils)

dry_run=
for arg; do
	case $arg in
	--check) needs+=("${check_needs[@]}") ;;
	--dry-run) dry_run=1 ;;
	-h | --help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "setup.sh: unknown argument: $arg (see --help)" >&2; exit 1 ;;
	esac
done

missing=()
if ! command -v dpkg-query apt-get >/dev/null; then
	for name in gcc make python3 objcopy xz cpio busybox kexec qemu-system-x86_64 setpriv bochs xorriso flex bison bc \
		gnuplot pkg-config; do
		command -v "$name" >/dev/null || missing+=("$name")
	done
	for name in smartcols json-c libelf; do
		pkg-config --exists "$name" 2>/dev/null || missing+=("headers of $name")
	done
	((${#missing[@]})) || exit 0
	echo "setup.sh: this is no Debian, and missing are:" >&2
	printf '  %s\n' "${missing[@]}" >&2
	exit 1
fi
for package in "${needs[@]}"; do
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] || missing+=("$package")
done
((${#missing[@]})) || { echo "setup.sh: nothing to install" >&2; exit 0; }
as_root=()
((EUID == 0)) || as_root=(sudo -n)
if [[ $dry_run ]] || ! "${as_root[@]}" true 2>/dev/null; then
	echo "setup.sh: missing; as root: apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "setup.sh: installing: ${missing[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
"${apt[@]}" update </dev/null || echo "setup.sh: apt-get update failed; trying with the lists there are" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2
