#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What differs from the unit that is an example in some cases (see ../cases/systemd.sh); for systemd.generator(7).
grep -qw kch.session=yes /proc/cmdline || exit 0
mkdir -p "$1/vmm.service.d"
printf '[Service]\nLUOSession=guest\n' >"$1/vmm.service.d/session.conf"
