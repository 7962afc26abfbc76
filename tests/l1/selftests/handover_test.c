// SPDX-License-Identifier: GPL-2.0
/*
 * Guests over a kexec.  One program, as a guest's code is the program's.
 *
 *   handover_test preserve [SCENARIO...]
 *
 * Before: every scenario's guest gets its clocks, and both are put aside: the
 * clocks into the record, the guest into a file.
 *
 *   handover_test restore [SCENARIO...]
 *
 * After: the guests go on in new VMs, with the clocks of the record.  What they
 * see is measured against what was saved; and they themselves must not see a
 * page change or a clock go back.  KCH_SPOIL does something wrong after the
 * restore, which must be noticed:
 *
 *   none     nothing is restored
 *   cycle    the last vCPU's TSC offset, by one cycle
 *   clock    KVM_SET_CLOCK
 *   adjust   MSR_IA32_TSC_ADJUST, by one cycle
 *   flags    PVCLOCK_GUEST_STOPPED in every page
 */
#include <stdlib.h>
#include <kvmclock-handover.h>

#include "carry.h"
#include "suite.h"

static const char *preserve_unmet(const struct scenario *scenario)
{
	return scenario->save_refused ? "cannot be saved: see capture_test" : NULL;
}

static void do_preserve(const struct scenario *scenario, struct kch_handle *handle,
			struct checks *checks)
{
	struct machine machine;
	u8 uuid[16];
	int err;

	machine_begin(&machine, scenario);
	scenario_uuid(scenario, uuid);
	err = kch_vm_save(handle, machine.vm->fd, uuid, scenario->name, NULL);
	check_that(checks, !err, "saved", "%s", err ? kch_last_message(handle) : "");
	carry_save(&machine);
	machine_free(&machine);
}

static const char *restore_unmet(const struct scenario *scenario)
{
	return preserve_unmet(scenario) ?:
	       carry_exists(scenario) ? NULL : "the kernel before could not have it";
}

static int restore_clock(struct machine *machine, struct kch_handle *handle,
			 const u8 uuid[16], struct kch_restore_result *result)
{
	struct kch_vcpu_fd fds[GUEST_VCPUS_MAX];
	u32 i;

	for (i = 0; i < machine->scenario->vcpus; i++) {
		fds[i].vcpu_id = i;
		fds[i].fd = machine->vcpu[i]->fd;
	}
	result->sz = sizeof(*result);
	return kch_vm_restore(handle, machine->vm->fd, fds, i, uuid, NULL, result);
}

static void do_wrong(struct machine *machine, const char *what)
{
	u32 i, last = machine->scenario->vcpus - 1;
	struct kvm_clock_data clock;

	if (!strcmp(what, "cycle")) {
		machine_set_offset(machine, last, machine_offset(machine, last) + 1);
	} else if (!strcmp(what, "clock")) {
		vm_ioctl(machine->vm, KVM_GET_CLOCK, &clock);
		clock.flags = 0;
		vm_ioctl(machine->vm, KVM_SET_CLOCK, &clock);
	} else if (!strcmp(what, "adjust")) {
		for (i = 0; i <= last; i++)
			vcpu_set_msr(machine->vcpu[i], MSR_IA32_TSC_ADJUST,
				     vcpu_get_msr(machine->vcpu[i], MSR_IA32_TSC_ADJUST) + 1);
	} else if (!strcmp(what, "flags")) {
		for (i = 0; i <= last; i++)
			machine_guest(machine, i)->kvmclock.page.flags ^=
				PVCLOCK_GUEST_STOPPED;
	} else {
		TEST_FAIL("KCH_SPOIL=%s", what);
	}
}

static void observe(struct checks *checks, struct machine *machine,
		    struct kch_handle *handle, const struct captured *saved)
{
	struct turn turns[GUEST_VCPUS_MAX];
	struct captured *live;
	unsigned int round;
	int err;
	u32 i;

	/* Nothing but the flag may change by that. */
	if (machine->scenario->stopped_later) {
		machine_stopped(machine);
		machine_turn(machine, turns);
		machine_mark(machine);
	}
	for (round = 0; round < 2; round++) {
		machine_turn(machine, turns);
		for (i = 0; i < machine->scenario->vcpus; i++)
			check_turn(checks, machine, i, &turns[i], saved);
	}
	check_offsets(checks, machine, saved);
	err = captured_read(handle, machine->vm->fd, &live);
	TEST_ASSERT(!err, "captured_read: %s", kch_last_message(handle));
	check_that(checks, captured_identical(saved, live), "identical",
		   "the live clock is not the saved one");
	captured_free(live);
}

static void restored(struct checks *checks, const struct kch_restore_result *result)
{
	check_that(checks, result->outcome.mode == KCH_MODE_IDENTICAL, "mode", "%s",
		   kch_mode_name(result->outcome.mode));
	check_that(checks, !result->outcome.error_ns && !result->outcome.error_cycles &&
		   !result->outcome.error_rate_ppb, "error", "%lld ns, %lld cycles, %lld ppb",
		   (long long)result->outcome.error_ns, (long long)result->outcome.error_cycles,
		   (long long)result->outcome.error_rate_ppb);
}

static void do_restore(const struct scenario *scenario, struct kch_handle *handle,
		       struct checks *checks)
{
	bool skipped = !strcmp(spoil(), "none");
	struct kch_restore_result result = { 0 };
	struct captured *saved;
	struct machine machine;
	u8 uuid[16];
	int err;

	scenario_uuid(scenario, uuid);
	err = captured_get(handle, uuid, &saved);
	TEST_ASSERT(!err, "captured_get: %s", kch_last_message(handle));
	machine_open(&machine, scenario);
	err = kch_vm_prepare(handle, machine.vm->fd, uuid);
	TEST_ASSERT(!err, "kch_vm_prepare: %s", kch_last_message(handle));
	machine_add_vcpus(&machine);
	carry_load(&machine);
	machine_attach(&machine);
	machine.was_stopped = scenario->stopped;

	err = skipped ? 0 : restore_clock(&machine, handle, uuid, &result);
	check_that(checks, err == -scenario->restore_refused, "answer", "%s, expected %s",
		   err ? kch_last_message(handle) : "done",
		   strerror(scenario->restore_refused));
	if (err) {
		printf("# restore.%s cannot be restored: %s\n", scenario->name,
		       kch_last_message(handle));
	} else {
		if (!skipped)
			restored(checks, &result);
		if (!skipped && *spoil())
			do_wrong(&machine, spoil());
		observe(checks, &machine, handle, saved);
	}
	captured_free(saved);
	machine_free(&machine);
}

int main(int argc, char **argv)
{
	static const struct suite suites[] = {
		{ .name = "preserve", .unmet = preserve_unmet, .test = do_preserve },
		{ .name = "restore", .unmet = restore_unmet, .test = do_restore },
	};
	int i;

	for (i = 0; argc > 1 && i < ARRAY_SIZE(suites); i++)
		if (!strcmp(argv[1], suites[i].name))
			suite_run(&suites[i], argc - 2, argv + 2);
	fprintf(stderr, "usage: %s preserve|restore [SCENARIO...]\n", argv[0]);
	return KSFT_FAIL;
}
