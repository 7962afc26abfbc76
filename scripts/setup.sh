#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Install what building and testing needs, on Debian 12 and 13, as root or with sudo. Elsewhere it is said what is
# missing.
#
#   scripts/setup.sh [--check | --packages]    also the tools that only `make check` and the fuzzers need; only what
#                                              `make packages` needs before debian/control can be asked for the rest

set -euo pipefail

tree=$(realpath "$(dirname "$0")/..")
if [[ $tree == *[[:space:]]* ]]; then
	echo "setup.sh: there is a blank in the path of this tree: $tree" >&2
	exit 1
fi
needs=(
	# Module, library, tool and tests; the modules for Debian's kernels need the compiler of those.
	gcc gcc-12 libc6-dev make pkgconf python3 perl binutils libsmartcols-dev libjson-c-dev
	# The emulated host: its image with Debian's modules, its user space, and QEMU; the runner calls setpriv.
	xz-utils cpio kmod busybox-static kexec-tools qemu-system-x86 util-linux
	# The emulated host with an Intel CPU, and the disc it is booted from.
	bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso
	# Fetching and building kernels, and QEMU of other releases; mmdebstrap of a user who is not root needs uidmap.
	ca-certificates openssl debian-archive-keyring mmdebstrap uidmap flex bison bc libelf-dev
	# The Debian host: our packages in its root, its disc. The one with Secure Boot: enrolling a key.
	dpkg-dev e2fsprogs mokutil
	# The pictures of make demo-qemu and make bench.
	gnuplot-nox
)
# Static checks, libFuzzer and sanitizers, the format of the documents.
check_needs=(sparse cppcheck shellcheck pyflakes3 clang libclang-rt-dev mandoc python3-docutils)
programs=(gcc make python3 prove objcopy xz cpio depmod busybox kexec qemu-system-x86_64 setpriv bochs xorriso
	apt-get mmdebstrap flex bison bc gnuplot openssl pkg-config)
case ${1-} in
--check) needs+=("${check_needs[@]}") ;;
--packages) needs=(build-essential python3) programs=(dpkg-buildpackage python3) ;;
esac

missing=()
if command -v dpkg-query >/dev/null; then
	for package in "${needs[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] || missing+=("$package")
	done
else
	for name in "${programs[@]}"; do
		command -v "$name" >/dev/null || missing+=("$name")
	done
	[[ ${1-} == --packages ]] || pkg-config --exists smartcols json-c libelf 2>/dev/null || missing+=("headers of smartcols, json-c, libelf")
fi
((${#missing[@]})) || exit 0
as_root=()
((EUID == 0)) || as_root=(sudo -n)
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
	printf 'setup.sh: missing: %s\n' "${missing[@]}" "install it as root, on Debian with apt-get" >&2
	exit 1
fi
# One at a time in this tree: apt does not wait for its lists. For the packages it may have to, as for automatic upgrades.
exec 9<"$0"
flock 9
echo "setup.sh: installing: ${missing[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -oDPkg::Lock::Timeout=600)
"${apt[@]}" update </dev/null 9<&- || echo "setup.sh: apt-get update failed; trying with the lists there are" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2 9<&-
