# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# What cannot be restored: QEMU's guest comes back all the same, as it would with QEMU alone, and one
# line says why and what its clock is; with --require it does not run. The parameters are those of
# qemu.sh, and so is the first stage.

# shellcheck source=tests/nested/cases/qemu.sh
. /kch/cases/qemu.sh

# A QEMU that has ended must not end the script by its monitor.
trap '' PIPE

# NAME, the line's TEXT, then options of QEMU: started without --require, and with it.
refused() {
	_case=$1
	_text=$2
	shift 2
	start_qemu "$_case" kvmclock-run --id "$VM_ID" --wait 0 -- -incoming "exec:cat $CARRIED/state" "$@"
	check "$_case-runs" wait_for 100 grep -q "^S " "/run/$_case.data"
	monitor quit
	wait_for 20 gone || true
	check "$_case-said" grep -q "clock not restored: .*$_text.*; the guest's kvmclock is [0-9.]* s" \
		"/run/$_case.err"
	note "$_case" "$(grep '^kvmclock-run.*not restored' "/run/$_case.err" | head -n 1)"

	start_qemu "$_case-required" kvmclock-run --id "$VM_ID" --wait 0 --require -- \
		-incoming "exec:cat $CARRIED/state" "$@"
	wait "$QEMU_PID" && _status=0 || _status=$?
	check_equal "$_case-required-status" "$_status" 4
	check "$_case-required-silent" test ! -s "/run/$_case-required.data"
}

stage_1() {
	carry_in
	at carried
	refused vcpus "1 vCPUs were saved, there are 2" -smp 2
	at vcpus
	# QEMU refuses another TSC frequency than the migrated one itself.
	rmmod kvmclock_handover
	refused module "the module kvmclock_handover is not loaded"
	load_module
	at module
	# None of that has spoilt the record.
	start_qemu good kvmclock-run --id "$VM_ID" -v -- -incoming "exec:cat $CARRIED/state"
	wait_for 100 grep -q "^S " /run/good.data || lost_guest good "the guest did not come back"
	check good grep -q "clock restored: identical" /run/good.err
	# The same id a second time, while the first has saved its clock.
	monitor stop
	check good-saved wait_for 20 grep -q "clock saved" /run/good.err
	_good=$QEMU_PID
	exec 4>&3
	start_qemu twin kvmclock-run --id "$VM_ID" -v --
	check twin-runs wait_for 200 grep -q "^G ready" /run/twin.data
	monitor stop
	check twin-said wait_for 20 grep -q "clock not saved: process $_good has another VM of this id" \
		/run/twin.err
	note twin "$(grep '^kvmclock-run.*not saved' /run/twin.err | head -n 1)"
	monitor quit
	wait_for 20 gone || true
	QEMU_PID=$_good
	echo quit >&4
	wait_for 20 gone || true
	at twin
	check finish kvmclockctl finish
	refused deleted "the record was finished with"
}
