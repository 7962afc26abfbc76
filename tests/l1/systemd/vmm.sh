#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The VMM of vmm.service. What is judged is in its report, when it has been told to end.
set -eu
# shellcheck source=tests/l1/init-lib.sh
. /kch/lib.sh
[ "$(param clock yes)" = yes ] || set -- --no-clock
exec "$KCH/kch-vmm" service --uuid "$(vm_id 1)" --vcpus "$(param vcpus 2)" --seconds 0 --report /run/vmm "$@"
