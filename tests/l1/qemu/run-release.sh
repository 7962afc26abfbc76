#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# QEMU of another Debian release, with the C library and the dynamic linker it was built for; see tests/nested/qemu_releases.py.
here=$(dirname "$(readlink -f "$0")")
exec "$here/root/ld.so" --library-path "$here/root/lib" --argv0 qemu-system-x86_64 \
	"$here/root/usr/bin/qemu-system-x86_64" -L "$here/root/share" "$@"
