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
# On Debian, as root or with sudo, the missing packages are installed. Elsewhere the missing
# commands and libraries are listed, for the reader to install by the names of their distribution.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

# The one place where needs are written down: package | what proves it is there | why.
# The proof is a command, header:NAME or lib:SONAME, for systems without dpkg.
NEEDS='
gcc                | gcc                  | compiler of module, library and tests
gcc-12             | gcc-12               | the compiler Debian built its 6.1 and 6.12 kernels with; modules need the same
libc6-dev          | header:stdio.h       | C library headers
make               | make                 | build
binutils           | objcopy              | linker; reads the dependencies of kernel modules
libelf1            | lib:libelf.so.1      | objtool in the kernel headers links to it
pkgconf            | pkg-config           | how to compile and link with the installed library
xz-utils           | xz                   | the modules of Debian kernels are xz-compressed
cpio               | cpio                 | makes the initramfs of the emulated host
busybox-static     | busybox              | user space of the emulated host
kexec-tools        | kexec                | runs in the emulated host
qemu-system-x86    | qemu-system-x86_64   | the emulated host
bochs              | bochs                | the emulated host with an Intel CPU
bochs-term         | -                    | its screen, which needs no display
bochsbios          | -                    | its firmware
vgabios            | -                    | its firmware
isolinux           | -                    | boots it
syslinux-common    | -                    | boots it
xorriso            | xorriso              | makes the disc it is booted from
gnuplot-nox        | gnuplot              | the pictures of make demo-qemu and make bench
util-linux         | setpriv              | the emulator dies with the test runner
ca-certificates    | -                    | fetching kernels over https mirrors
flex               | flex                 | build of the 7.3 kernel
bison              | bison                | build of the 7.3 kernel
bc                 | bc                   | build of the 7.3 kernel
libelf-dev         | header:gelf.h        | objtool of the 7.3 kernel
'

CHECK_NEEDS='
sparse             | sparse               | static checks of the module
cppcheck           | cppcheck             | static checks of the C in user space
shellcheck         | shellcheck           | static checks of the scripts
clang-format       | clang-format         | style
clang              | clang                | libFuzzer
libclang-rt-dev    | -                    | libFuzzer and sanitizer run times
man-db             | man                  | checks that the man pages format without warnings
mandoc             | mandoc               | the same, more strictly
python3-docutils   | rst2html             | checks that the documents format without warnings
'

needs=$NEEDS
dry_run=
for arg; do
	case $arg in
	--check) needs+=$CHECK_NEEDS ;;
	--dry-run) dry_run=1 ;;
	-h | --help) sed -n '3,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) die "unknown argument: $arg (see --help)" ;;
	esac
done

list_needs() { # prints "package|proof|why" without the padding
	sed -e '/^$/d' -e 's/[[:space:]]*|[[:space:]]*/|/g' <<<"$needs"
}

have_package() {
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

have_proof() {
	case $1 in
	-) return 0 ;;
	header:*) echo "#include <${1#header:}>" | gcc -E -x c - -o /dev/null 2>/dev/null ;;
	lib:*) PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep -F "${1#lib:} " >/dev/null ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v -- "$1" >/dev/null ;;
	esac
}

is_debian() {
	[[ -r /etc/os-release ]] && (. /etc/os-release && [[ " $ID ${ID_LIKE:-} " == *" debian "* ]]) &&
		command -v dpkg-query >/dev/null && command -v apt-get >/dev/null
}

debian=
is_debian && debian=1

# A package is wanted when it is not installed and what it would bring is not there either.
missing=()
missing_why=
while IFS='|' read -r package proof why; do
	if [[ $debian ]]; then
		have_package "$package" && continue
		# gcc-12 and gcc are wanted as such; anything else may come from another package.
		[[ $proof != - ]] && have_proof "$proof" && continue
	else
		have_proof "$proof" && continue
	fi
	missing+=("$package")
	missing_why+=$(printf '  %-18s %-22s %s' "$package" "$proof" "$why")$'\n'
done < <(list_needs)

if ((${#missing[@]} == 0)); then
	msg "nothing to install"
	exit 0
fi

as_root=()
can_install=
if [[ $debian && ! $dry_run ]]; then
	if ((EUID == 0)); then
		can_install=1
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		can_install=1
		as_root=(sudo -n)
	fi
fi

if [[ ! $can_install ]]; then
	msg "missing (Debian's package name, what is looked for, why):"
	printf '%s' "$missing_why" >&2
	[[ $debian ]] && msg "as root: apt-get install ${missing[*]}"
	exit 1
fi

msg "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)
"${apt[@]}" update </dev/null || msg "apt-get update failed; trying with the lists there are"
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2
msg "done"
