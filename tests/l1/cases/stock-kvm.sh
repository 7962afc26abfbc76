# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The library without the module, with this host's KVM, by tests/cli/stock-kvm.c: what it promises of
# VMs without a master clock, whose vCPUs it takes, and signals. No kexec is needed for it.
#
# Parameters:
#   readings=N   of the promise (2000)

one() { # CASE
	_status=0
	STOCK_READINGS=$(param readings 2000) "$KCH/stock-kvm" "$1" >/run/out 2>&1 || _status=$?
	cat /run/out >/dev/console
	grep '^#' /run/out | cut -c1-300 | while IFS= read -r _line; do
		note "$1" "$_line"
	done
	return "$_status"
}

stage_0() {
	wait_settled
	for _case in promise members signals; do
		check "$_case" one "$_case"
	done
}
