# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # what run.sh sets
# Cases of run.sh: kvmclockctl restore, with and without a hold.

case_restore() {
	region saved 0 7 a:2 z:1
	start_vmm 0 -uuid "$(uuid_of a)" -name web1
	FAKE_INCOMING=$work/saved run_fake 0 restore --tsv --id "$(uuid_of a)"
	equal "$(tsv mode)" identical
	equal "$(tsv blackout_ns)" 1234567
	FAKE_INCOMING=$work/saved run_fake 0 restore --json --pid "$vmm_pid" --id "$(uuid_of z)"
	is_json
	FAKE_INCOMING=$work/saved run_fake 3 restore --pid "$vmm_pid" --id "$(uuid_of q)"
	FAKE_INCOMING=$work/saved FAKE_ERROR='6:62:host TSC is behind the saved one (12.3 s < 4021.9 s): the machine was reset' \
		run_fake 4 restore --pid "$vmm_pid"
	has_line err 'kvmclockctl restore: web1: host TSC is behind the saved one (12.3 s < 4021.9 s): the machine was reset; guest clock not changed'
	FAKE_INCOMING=$work/saved FAKE_ERROR='6:45:vCPU 0 has another offset' run_fake 4 restore --pid "$vmm_pid"
	has_line err 'kvmclockctl restore: web1: vCPU 0 has another offset; guest clock not changed'
	region stale 0 7 a:2:0:0::16
	FAKE_INCOMING=$work/stale run_fake 4 restore --pid "$vmm_pid"
	has err 'it may have had another clock since; guest clock not changed'
	FAKE_INCOMING=$work/stale run_fake 0 restore --tsv --pid "$vmm_pid" --stale
	equal "$(tsv mode)" identical
	# A process that has ended is no VM that is not there.
	FAKE_INCOMING=$work/saved FAKE_ERROR="6:3:the VM's process has ended" run_fake 4 restore --pid "$vmm_pid"
	# All its vCPUs were in the tool's hands, and nothing else of them.
	FAKE_INCOMING=$work/saved run_fake 0 restore --tsv --pid "$vmm_pid"
	equal "$(tsv error_cycles)" 2
	equal "$(tsv held)" no
	# Saved under another id: found by its name, if that is one.
	start_vmm 0 -name web2
	region saved 0 7 a:2 web2:1
	FAKE_INCOMING=$work/saved run_fake 0 restore --tsv --pid "$vmm_pid"
	equal "$(tsv uuid)" "$(uuid_of w)"
	region saved 0 7 a:2 web3:1
	FAKE_INCOMING=$work/saved run_fake 3 restore --pid "$vmm_pid"
	stop_vmm
}

case_hold() {
	local holder
	region saved 0 7 a:2
	export FAKE_INCOMING=$work/saved
	start_vmm 0 -uuid "$(uuid_of a)" -name web1
	run_fake 2 restore --pid "$vmm_pid" --wait
	has err '--wait needs --hold'
	local seconds
	for seconds in 0 3601 -1 5s 99999999999; do
		run_fake 2 restore --pid "$vmm_pid" "--hold=$seconds"
		has err "not a number of seconds from 1 to 3600: $seconds"
	done
	# In the foreground: what came of it.
	run_fake 0 restore --tsv --pid "$vmm_pid" --hold --wait
	equal "$(tsv mode)" identical
	equal "$(tsv host_tsc)" 60000
	run_fake 0 restore --tsv --pid "$vmm_pid" --hold=3600 --wait
	equal "$(tsv host_tsc)" 3600000
	FAKE_ERROR='10:110:its VMM did not resume within 60000 ms' run_fake 4 restore --pid "$vmm_pid" --hold --wait
	has_line err "kvmclockctl restore: web1: its VMM did not resume within 60000 ms; the guest's clock is as its VMM left it"
	FAKE_ERROR='10:3:the VM was closed' run_fake 4 restore --pid "$vmm_pid" --hold --wait
	FAKE_ERROR='6:16:vCPU 1 is running' run_fake 4 restore --pid "$vmm_pid" --hold
	has err 'vCPU 1 is running; guest clock not changed'
	# Only asked: nobody is held.
	run_fake 0 restore --tsv --pid "$vmm_pid" --hold --check
	equal "$(tsv held)" no
	equal "$(tsv checked_only)" yes
	# In the background: the tool has ended, its output too, though the hold has not.
	checks=$((checks + 1))
	FAKE_WAIT=1 LD_PRELOAD=$programs/fake.so "$tool" restore --tsv --pid "$vmm_pid" --hold=9 2>&1 |
		timeout 20 cat >"$work/out" || fault "the output has no end"
	equal "$(tsv held)" yes
	equal "$(tsv mode)" -
	holder=$(tsv holder)
	checks=$((checks + 1))
	kill "$holder" || fault "the holder $holder has ended"
	FAKE_WAIT=1 run_fake 0 restore --json --pid "$vmm_pid" --hold
	is_json
	kill "$(sed -n 's/.*"holder": *\([0-9]*\).*/\1/p' "$work/out")"
	stop_vmm
	unset FAKE_INCOMING
}
