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
# On Debian 12 and 13, as root or with sudo, the missing packages are installed. Elsewhere it is listed
# what is missing, for the reader to install by the names of their distribution.

set -euo pipefail

# The one place where needs are written down: package | what proves it is there | why. The proof is a
# command, header:NAME or lib:SONAME; - is for what only a package can prove.
NEEDS='
gcc                | gcc                     | compiler of module, library and tests
gcc-12             | gcc-12                  | the compiler of Debian 12 kernels; their modules need the same
libc6-dev          | header:stdio.h          | C library headers
make               | make                    | build
python3            | python3                 | test bed, reports, checks
binutils           | objcopy                 | linker; reads the dependencies of kernel modules
libelf1            | lib:libelf.so.1         | objtool in the kernel headers links to it
libsmartcols-dev   | header:libsmartcols/libsmartcols.h | tables of kvmclockctl
libjson-c-dev      | header:json-c/json.h    | JSON of kvmclockctl
xz-utils           | xz                      | the modules of Debian kernels are xz-compressed
cpio               | cpio                    | makes the initramfs of the emulated host
busybox-static     | busybox                 | user space of the emulated host
kexec-tools        | kexec                   | runs in the emulated host
qemu-system-x86    | qemu-system-x86_64      | the emulated host
bochs              | bochs                   | the emulated host with an Intel CPU
bochs-term         | -                       | its screen, which needs no display
bochsbios          | -                       | its firmware
vgabios            | -                       | its firmware
isolinux           | -                       | boots it
syslinux-common    | -                       | boots it
xorriso            | xorriso                 | makes the disc it is booted from
gnuplot-nox        | gnuplot                 | the pictures of make demo-qemu and make bench
util-linux         | setpriv                 | the emulator dies with the test runner
ca-certificates    | -                       | fetching kernels over https mirrors
flex               | flex                    | build of kernels
bison              | bison                   | build of kernels
bc                 | bc                      | build of kernels
libelf-dev         | header:gelf.h           | objtool of kernels
'
CHECK_NEEDS='
sparse             | sparse                  | static checks of the module
cppcheck           | cppcheck                | static checks of the C in user space
shellcheck         | shellcheck              | static checks of the scripts
pyflakes3          | pyflakes3               | static checks of the Python
perl               | perl                    | checkpatch and kernel-doc
clang              | clang                   | the second compiler; libFuzzer
libclang-rt-dev    | -                       | libFuzzer and sanitizer run times
groff-base         | groff                   | checks that the man pages format without warnings
mandoc             | mandoc                  | the same, more strictly
mmdebstrap         | mmdebstrap              | clean roots for tests/packages.py
python3-docutils   | rst2html                | checks that the documents format without warnings
'

needs=$NEEDS dry_run=
for arg; do
	case $arg in
	--check) needs+=$CHECK_NEEDS ;;
	--dry-run) dry_run=1 ;;
	-h | --help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "setup.sh: unknown argument: $arg (see --help)" >&2; exit 1 ;;
	esac
done

PATH=$PATH:/usr/sbin:/sbin
debian=
! command -v dpkg-query apt-get >/dev/null || debian=1

is_there() { # PACKAGE PROOF
	[[ ! $debian || $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) != installed ]] || return 0
	case $2 in
	-) [[ ! $debian ]] ;;
	header:*) echo "#include <${2#header:}>" | gcc -E -x c - -o /dev/null 2>/dev/null ;;
	lib:*) ldconfig -p | grep -qF "${2#lib:} " ;;
	*) command -v -- "$2" >/dev/null ;;
	esac
}

missing=() list=
while read -r package proof why; do
	[[ $package ]] || continue
	is_there "$package" "$proof" && continue
	missing+=("$package")
	list+="  $package $proof: $why"$'\n'
done < <(tr -d '|' <<<"$needs")
((${#missing[@]})) || { echo "setup.sh: nothing to install" >&2; exit 0; }

as_root=()
((EUID == 0)) || as_root=(sudo -n)
if [[ ! $debian || $dry_run ]] || ! "${as_root[@]}" true 2>/dev/null; then
	printf 'setup.sh: missing (Debian package, what is looked for, why):\n%s' "$list" >&2
	[[ ! $debian ]] || echo "setup.sh: as root: apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "setup.sh: installing: ${missing[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
"${apt[@]}" update </dev/null || echo "setup.sh: apt-get update failed; trying with the lists there are" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2
