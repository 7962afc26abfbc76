#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What an ioctl of a wrapped VMM costs, against the same without the wrapper: lines key=value.
#
#   tests/qemu/bench-gate.sh
#
#   instructions_*, branches_*   executed in user space for one KVM_RUN, counted: exact
#   *_ns, ratio                  of the shortest ioctl there is: medians of rounds in one run
#   ratio_quartiles              of the rounds' ratios: how far the median can be trusted

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"

for dir in userspace tests/qemu; do
	make --no-print-directory -s -C "$KCH_ROOT/$dir" >&2
done
for program in steps bench; do
	"$KCH_BUILD/userspace/kvmclock-run" --id 11111111-1111-1111-1111-111111111111 -- \
		"$KCH_BUILD/tests/qemu/gate/$program"
done
