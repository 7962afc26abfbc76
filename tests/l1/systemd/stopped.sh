#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The end of a stage that has another after it: services stop, and the VMM has.
# shellcheck source=tests/l1/init-lib.sh
. /kch/lib.sh
# shellcheck source=tests/l1/cases/systemd.sh
. /kch/cases/systemd.sh
judge_vmm
end_stage "$NEXT_LINE"
