#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# First process of a kernel whose initramfs has an agent of its own, which keeps /dev/liveupdate open (rdinit=).
mount -t devtmpfs devtmpfs /dev
sleep 1000000 8<>/dev/liveupdate &
exec /usr/lib/systemd/systemd
