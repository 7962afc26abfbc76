// SPDX-License-Identifier: GPL-2.0
/*
 * A captured clock is what the guest observes.  The guest reads its clocks
 * between two reads of the host's TSC; they must lie between the captured
 * function's values at these two, and be its value at the guest's own TSC.
 *
 *   capture_test [SCENARIO...]
 *
 * KCH_SPOIL makes something of what was captured wrong (captured_spoil()): it
 * must be noticed.
 */
#include <kvmclock-handover.h>

#include "suite.h"

/* After the capture, and once more: it is no clock of the past. */
static void observe(struct checks *checks, struct machine *machine,
		    const struct captured *captured)
{
	struct turn turns[GUEST_VCPUS_MAX];
	unsigned int round;
	u32 i;

	for (round = 0; round < 2; round++) {
		machine_turn(machine, turns);
		for (i = 0; i < machine->scenario->vcpus; i++)
			check_turn(checks, machine, i, &turns[i], captured);
	}
}

/* There is no one function of the host's TSC: refused, and not touched. */
static void refused(struct checks *checks, struct machine *machine,
		    struct kch_handle *handle, const struct captured *captured)
{
	const struct scenario *scenario = machine->scenario;
	u8 uuid[16];
	int err;

	check_that(checks, !captured_master_clock(captured), "master_clock",
		   "there is one");
	scenario_uuid(scenario, uuid);
	err = kch_vm_save(handle, machine->vm->fd, uuid, scenario->name, NULL);
	check_that(checks, err == -scenario->save_refused, "refused", "%s, expected %s",
		   strerror(-err), strerror(scenario->save_refused));
	check_offsets(checks, machine, captured);
}

static void capture(const struct scenario *scenario, struct kch_handle *handle,
		    struct checks *checks)
{
	struct captured *captured;
	struct machine machine;
	int err;

	machine_begin(&machine, scenario);
	err = captured_read(handle, machine.vm->fd, &captured);
	TEST_ASSERT(!err, "captured_read: %s", kch_last_message(handle));
	if (*spoil())
		TEST_ASSERT(captured_spoil(captured, spoil()), "KCH_SPOIL=%s", spoil());

	check_offsets(checks, &machine, captured);
	if (scenario->save_refused) {
		refused(checks, &machine, handle, captured);
	} else {
		check_that(checks, captured_master_clock(captured), "master_clock",
			   "there is none");
		observe(checks, &machine, captured);
	}
	captured_free(captured);
	machine_free(&machine);
}

int main(int argc, char **argv)
{
	static const struct suite suite = { .name = "capture", .test = capture };

	suite_run(&suite, argc - 1, argv + 1);
}
