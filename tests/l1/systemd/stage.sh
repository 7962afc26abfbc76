#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What ../init does, on a host with systemd: a stage of the case, ../cases/systemd.sh.
# shellcheck source=tests/l1/init-lib.sh
. /kch/lib.sh
stty -F /dev/ttyS1 115200 raw -echo
say stage "$STAGE"
say release "$(uname -r)"
sh /kch/stage.sh
status=$?
# Its last lines are stopped.sh's then.
[ -e /run/kexec-follows ] || verdict $status
