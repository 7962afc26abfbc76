/* SPDX-License-Identifier: GPL-2.0 */
/* One process's time with a VM, from its start or resume to its save. */
#ifndef KCH_VMM_SESSION_H
#define KCH_VMM_SESSION_H

#include <kvmclock-handover.h>

#include "age.h"
#include "clockmethods.h"
#include "import.h"
#include "passed.h"
#include "sabotage.h"

/**
 * enum hold - what the VM does when the report is written
 * @HOLD_NO: the process ends
 * @HOLD_STOPPED: it stays open, its vCPUs stopped
 * @HOLD_RUNNING: it stays open, its vCPUs running
 */
enum hold {
	HOLD_NO,
	HOLD_STOPPED,
	HOLD_RUNNING,
};

/**
 * struct session - what was asked for
 * @mem: where the VM is, for guestmem_map()
 * @has_uuid: @uuid was given
 * @uuid: the VM's id
 * @name: the VM's name
 * @vcpu_count: vCPUs of a new VM
 * @tsc_khz: its TSC's frequency, kHz; 0 the host's, or what was saved
 * @skew_cycles: how much further each vCPU's TSC is than the one before
 * @skew_khz: how much faster
 * @run_ms: how long it runs, ms; 0 until SIGTERM
 * @iterations: end before that when all vCPUs have made so many; 0 do not
 * @new_life: what is saved is the first save, as its clock was set anew
 * @save_with_module: put the clock into the record when saving
 * @hold: afterwards
 * @method: how to restore the clock; NULL: this is a new VM
 * @reach: the mode that must be reached; 0: what the method is for
 * @restore_flags: KCH_RESTORE_*
 * @import: the other host
 * @passed: what is to come of the time that passed
 * @sabotage: what to spoil
 * @clock_days: how far a new VM's clock is
 * @aged: the record has the reference @aged_host, @aged_ns
 * @aged_host: host TSC, cycles
 * @aged_ns: the guest's clock then, ns
 * @age_now: AGE_*, of KVM's agreement right after the restore,
 * @age_later: and when it has run
 * @hot_add: vCPUs to add half-way
 * @adopt: ask the module to give them the others' clock
 * @service: the VM is in the service manager's store, see service.h,
 * @store_clock: and its clock, too
 */
struct session {
	const char *mem;
	bool has_uuid;
	uint8_t uuid[KCH_UUID_SIZE];
	const char *name;
	uint32_t vcpu_count;
	uint32_t tsc_khz;
	int64_t skew_cycles;
	int32_t skew_khz;
	uint32_t run_ms;
	uint64_t iterations;
	bool new_life;
	bool save_with_module;
	enum hold hold;
	const struct clock_method *method;
	uint32_t reach;
	uint32_t restore_flags;
	struct import import;
	struct passed passed;
	struct sabotage sabotage;
	uint32_t clock_days;
	bool aged;
	uint64_t aged_host;
	uint64_t aged_ns;
	uint32_t age_now;
	uint32_t age_later;
	uint32_t hot_add;
	bool adopt;
	bool service;
	bool store_clock;
};

/*
 * Does it all, writes the report, calls @done with the exit code when that is
 * known, and returns it when the VM is no longer held.
 */
int session_run(const struct session *s, void (*done)(int status));

#endif /* KCH_VMM_SESSION_H */
