#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# systemd-shutdown calls it last, with what follows: of this kernel's log the next one knows nothing.
# shellcheck source=tests/l1/init-lib.sh
. /kch/lib.sh
[ "$1" != kexec ] || dmesg | grep -E 'LUO|fd store|liveupdate|kvmclock' | tail -n 12 | note_lines shutdown
