# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The library without the module, with this host's KVM, by tests/cli/stock-kvm.c: what it promises of
# VMs without a master clock, whose vCPUs it takes, an armed timer, and signals. No kexec is needed for it.
#
# Parameters:
#   readings=N   of the promise (2000)

one() { # CASE
	try /run/out env STOCK_READINGS="$(param readings 2000)" "$KCH/stock-kvm" "$1"
	cat /run/out >/dev/console
	grep '^#' /run/out | cut -c1-300 | note_lines "$1"
	return "$STATUS"
}

stage_0() {
	wait_settled
	for _case in promise members deadline signals; do
		check "$_case" one "$_case"
	done
}
