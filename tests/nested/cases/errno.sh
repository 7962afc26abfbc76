# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Every errno of every ioctl and of loading the module, by tests/errno. Parameters:
#
#   groups=A,B       groups of kch-errno, each a check of its own
#   sabotage=WHAT    the test itself does something wrong: its checks must fail
#
# The program loads and unloads the module itself, so that it can put records into the region.

# Its output goes to the console, and what failed, or was skipped, into the verdict too.
group() { # GROUP
	_status=0
	# shellcheck disable=SC2046 # no words if there is no sabotage
	"$KCH/kch-errno" $(param sabotage | sed 's/./--sabotage &/') \
		"$REGION_ADDR" "$REGION_SIZE" "$1" >/run/group 2>&1 || _status=$?
	cat /run/group >/dev/console
	grep -E '^# (group-|condition|[0-9]+ conditions)|SKIP|^kch-errno' /run/group |
		cut -c1-300 | while IFS= read -r _line; do
		note "$1" "$_line"
	done
	_checks=$(sed -n 's/^ok .* # \([0-9]* checks\)$/\1/p' /run/group)
	note "$1" "${_checks:-no checks passed}"
	return $_status
}

stage_0() {
	[ -x "$KCH/kch-errno" ] || fail "no kch-errno here: make -C tests/errno"
	# For what the module depends on; kch-errno loads just the module.
	load_module
	rmmod kvmclock_handover
	for _group in $(param groups | tr ',' ' '); do
		check "$_group" group "$_group"
	done
	# Nothing holds KVM any more.
	check kvm-unloads modprobe -r kvm-amd
}
