# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Every errno of every ioctl and of loading the module, by tests/l1/errno. Parameters:
#
#   groups=A,B       groups of kch-errno, each a check of its own
#   controls=GROUP   the group once more for each thing the test itself can do wrong: it must be
#                    noticed, each by the check that is there for it
#
# The program loads and unloads the module itself, so that it can put records into the region.

# Its output goes to the console, and what failed, or was skipped, into the verdict too.
group() { # GROUP
	try /run/group "$KCH/kch-errno" "$REGION_ADDR" "$REGION_SIZE" "$1"
	cat /run/group >/dev/console
	grep -E '^# (group-|condition|[0-9]+ conditions)|SKIP|^kch-errno' /run/group |
		cut -c1-300 | note_lines "$1"
	# One that died may have left its modules loaded.
	[ "$STATUS" -eq 0 ] || rmmod "$KCH_MODULE" kch_fault 2>/dev/null || true
	_checks=$(sed -n 's/^ok .* # \([0-9]* checks\)$/\1/p' /run/group)
	note "$1" "${_checks:-no checks passed}"
	return "$STATUS"
}

noticed() { # SABOTAGE GROUP TEXT
	if "$KCH/kch-errno" --sabotage "$1" "$REGION_ADDR" "$REGION_SIZE" "$2" >/run/group 2>&1; then
		return 1
	fi
	# What the program could not do at all is no check that failed.
	! grep '^kch-errno' /run/group >/dev/console || return 1
	grep -qF -- "$3" /run/group
}

controls() { # GROUP
	check control-errno noticed errno "$1" "instead of EXDEV"
	check control-message noticed message "$1" 'lacks "words that no message has"'
	check control-clock noticed clock "$1" "changed: clock of VM 0: its clock"
	check control-offset noticed offset "$1" "changed: clock of VM 0: a TSC offset, as KVM says"
	check control-record noticed record "$1" "changed: outgoing record: its header"
	check control-output noticed output "$1" "is what the caller had there"
}

stage_0() {
	leave_module_to kch-errno
	for _group in $(param groups | tr ',' ' '); do
		check "$_group" group "$_group"
	done
	_group=$(param controls)
	[ -z "$_group" ] || controls "$_group"
	# Nothing holds KVM any more.
	check kvm-unloads modprobe -r "$(kvm_module)"
}
