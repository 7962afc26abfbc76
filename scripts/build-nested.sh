#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Fetch and build all that the emulated hosts need: kernels, the module for each of them, library,
# tool, test VMM.
#
#   scripts/build-nested.sh [LINE...]     kernel lines, by default 6.12, 6.1 and 7.3; tests that need
#                                         another (7.3-debug, 7.3-intree) get it themselves

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

lines=("$@")
((${#lines[@]})) || lines=(6.12 6.1 7.3)

if [[ ${KERNEL:-}${MODULES:-} ]] && ((${#lines[@]} > 1)); then
	die "KERNEL= is one kernel, wanted are ${#lines[@]}: give it to scripts/fetch-kernel.sh LINE, for each of ${lines[*]} that is not to be fetched, then call this without it"
fi
for line in "${lines[@]}"; do
	"$KCH_ROOT/scripts/fetch-kernel.sh" "$line"
	msg "building the module for $line"
	"$KCH_ROOT/scripts/build-module.sh" "$line"
done
msg "building library, tool and test programs"
for dir in userspace tests/l1/vmm tests/l1/errno tests/l1/luo tests/l1/bench tests/l1/outside; do
	make --no-print-directory -s -j2 -C "$KCH_ROOT/$dir"
done
