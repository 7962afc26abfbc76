#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does what is installed work, where it says it is, and does uninstall remove it? Twice into one
# folder, with two prefixes, both other than the one it was built with; a program is built against
# each by pkg-config, shared and static.
#
#   tests/cli/check-install.sh USERSPACE-SOURCES

set -euo pipefail

source=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
dest=$work/dest
multiarch=/usr/lib/$(gcc -print-multiarch)
usr=(PREFIX=/usr libdir="$multiarch" mandir=/usr/man)
opt=(PREFIX=/opt/kch)
# Of a make that called this.
unset PREFIX prefix DESTDIR MAKEFLAGS MFLAGS MAKELEVEL

fail() {
	printf '%s\n' "$*"
	exit 1
}

run_make() { # ARGUMENT...
	make --no-print-directory -s -C "$source" DESTDIR="$dest" "$@"
}

installed() { # [FOLDER]: files and links
	(cd -- "$dest" && find "./${1:-}" ! -type d | sort)
}

# Names what needs all of the library; runs without module and KVM.
cat >"$work/vmm.c" <<'END'
#include <errno.h>
#include <stdio.h>
#include <kvmclock-handover-stock.h>

int main(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_open_opts opts = { .sz = sizeof(opts), .device = "/nowhere" };
	struct kch_handle *handle = kch_open_stock();
	uint8_t uuid[KCH_UUID_SIZE] = { 1 };
	size_t size = 0;

	if (handle && !kch_open(&opts) && errno == ENOENT &&
	    kch_stock_save(handle, -1, NULL, 0, uuid, NULL, NULL, &size) == -EINVAL &&
	    kch_stock_restore(handle, -1, NULL, 0, NULL, 0, NULL, &result) == -EBADMSG &&
	    kch_vm_restore(handle, -1, NULL, 0, uuid, NULL, &result) == -ENOTTY)
		puts(kch_mode_name(KCH_MODE_IDENTICAL));
	kch_close(handle);
}
END

build_and_run() { # PREFIX LIBDIR
	local flags ldd
	export PKG_CONFIG_LIBDIR=$dest$2/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest LD_LIBRARY_PATH=$dest$2
	[[ $(pkg-config --variable=prefix kvmclock-handover) == *"$1" ]] || fail "$1: pkg-config has another prefix"
	read -ra flags < <(pkg-config --cflags --libs kvmclock-handover)
	gcc -o "$work/shared" "$work/vmm.c" "${flags[@]}"
	[[ $("$work/shared") == identical ]] || fail "$1: the shared program does not work"
	ldd=$(ldd "$work/shared")
	[[ $ldd == *"=> $dest$2/libkvmclock-handover.so.0 "* ]] || fail "$1: the program has another library: $ldd"
	read -ra flags < <(pkg-config --static --cflags --libs kvmclock-handover)
	gcc -static -o "$work/static" "$work/vmm.c" "${flags[@]}"
	[[ $("$work/static") == identical ]] || fail "$1: the static program does not work"
	[[ $("$dest$1/sbin/kvmclockctl" --version) == 'kvmclockctl '* ]] || fail "$1: no tool that works"
}

command -v pkg-config >/dev/null || fail 'no pkg-config here: scripts/setup.sh installs it'
run_make PREFIX=/built/with/another
run_make "${usr[@]}" install
run_make "${opt[@]}" install
in_opt=$(installed opt)
for file in sbin/kvmclockctl lib/libkvmclock-handover.{a,so,so.0} lib/pkgconfig/kvmclock-handover.pc \
	include/kvmclock-handover{,-stock}.h include/linux/kvmclock_handover.h share/man/man8/kvmclockctl.8 \
	share/man/man3/libkvmclock-handover.3; do
	[[ -f $dest/opt/kch/$file ]] || fail "$file is not installed; installed is: $in_opt"
done
[[ -f $dest/usr/man/man8/kvmclockctl.8 ]] || fail "mandir= is ignored: $(installed usr)"
! grep -rlF -e "$work" -e /built/with/another -e /usr/local "$dest" ||
	fail 'a file has a path that it is not installed in'
build_and_run /usr "$multiarch"
build_and_run /opt/kch /opt/kch/lib

# Of others, and so not to be removed.
touch "$dest/usr/include/linux/other.h"
run_make "${usr[@]}" uninstall
[[ $(installed opt) == "$in_opt" ]] || fail "uninstall of /usr changes /opt: $(installed opt)"
run_make "${opt[@]}" uninstall
[[ $(installed) == ./usr/include/linux/other.h ]] || fail "uninstall leaves, or takes: $(installed)"
