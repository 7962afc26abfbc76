# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Random calls of all ioctls, by tests/l1/fuzz; then, with a kexec, the main job on the same kernel, as handover.sh
# does it and with its parameters. Parameters:
#
#   seed=N         of the numbers that look random (1); what else the threads do at the same time is not of them
#   rounds=N       how often the module is loaded for it (4), and
#   steps=N        what each thread does in a round (200),
#   threads=N      of them (3)

# shellcheck source=tests/l1/cases/handover.sh
. /kch/cases/handover.sh

# It puts a record into the region first, and loads the module itself.
before_module() {
	[ "$STAGE" -gt 0 ]
}

fuzz() {
	try /run/fuzz "$KCH/kch-fuzz" -s "$(param seed 1)" -r "$(param rounds 4)" \
		-n "$(param steps 200)" -t "$(param threads 3)" "$REGION_ADDR" "$REGION_SIZE"
	cat /run/fuzz >/dev/console
	cut -c1-300 /run/fuzz | note_lines fuzz
	return "$STATUS"
}

stage_0() {
	leave_module_to kch-fuzz
	check fuzz fuzz
	# Nothing holds the module, or KVM, any more.
	check unloaded test ! -e "/sys/module/$KCH_MODULE"
	check kvm-unloads modprobe -r "$(kvm_module)"
	[ "$KEXECS" -gt 0 ] || return 0
	load_kvm
	load_module
	stage_n 0
}
