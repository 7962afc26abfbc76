// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clockmethods.h"
#include "report.h"
#include "state.h"

static void set_clock(struct vm *vm, const struct kvm_clock_data *data)
{
	if (ioctl(vm->fd, KVM_SET_CLOCK, data))
		die("KVM_SET_CLOCK: %s", strerror(errno));
}

/* The new VM's TSC and kvmclock start where KVM starts those of any VM. */
static void restore_nothing(struct vm *vm, uint32_t flags, struct handover *h)
{
	(void)vm;
	(void)flags;
	(void)h;
}

/*
 * As QEMU does it: each vCPU's TSC value of when it was saved, which is stale by
 * the time it is written, and kvmclock's value likewise.
 */
static void restore_by_value(struct vm *vm, uint32_t flags, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kvm_clock_data data = { .clock = saved->clock.clock };
	uint32_t i;

	(void)flags;
	(void)h;
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_set_msr(&vm->vcpu[i], MSR_IA32_TSC, saved->vcpu[i].tsc);
	set_clock(vm, &data);
}

/*
 * The best the stock ioctls offer: the TSC goes on by its offset, kvmclock goes
 * on by the wall clock.
 */
static void restore_realtime(struct vm *vm, uint32_t flags, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kvm_clock_data data = {
		.clock = saved->clock.clock,
		.flags = KVM_CLOCK_REALTIME,
		.realtime = saved->clock.realtime,
	};
	uint32_t i;

	(void)flags;
	if (!(saved->clock.flags & KVM_CLOCK_REALTIME)) {
		h->error = -ENODATA;
		snprintf(h->message, sizeof(h->message),
			 "KVM_GET_CLOCK gave no wall clock time");
		return;
	}
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_set_tsc_offset(&vm->vcpu[i],
				    saved->vcpu[i].clock.tsc_offset);
	set_clock(vm, &data);
}

/*
 * The algorithm that the kernel describes in Documentation/virt/kvm/devices/
 * vcpu.rst for KVM_VCPU_TSC_OFFSET, step by step.  Steps 1 to 3 are
 * state_save(): tsc_src, guest_src and host_src are KVM_GET_CLOCK's, ofs_src the
 * offsets, freq is KVM_GET_TSC_KHZ's.
 */
static void restore_recipe(struct vm *vm, uint32_t flags, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	const struct kvm_clock_data *src = &saved->clock;
	struct kvm_clock_data dest = {
		.clock = src->clock,
		.flags = KVM_CLOCK_REALTIME,
		.realtime = src->realtime,
	};
	int64_t guest_ns, cycles;
	uint32_t i;

	(void)flags;
	if (!(src->flags & KVM_CLOCK_REALTIME) ||
	    !(src->flags & KVM_CLOCK_HOST_TSC)) {
		h->error = -ENODATA;
		snprintf(h->message, sizeof(h->message),
			 "KVM_GET_CLOCK gave no wall clock time, or no host TSC");
		return;
	}
	/* Step 4. */
	set_clock(vm, &dest);
	/* Step 5. */
	dest = vm_clock(vm);
	if (!(dest.flags & KVM_CLOCK_HOST_TSC)) {
		h->error = -ENODATA;
		snprintf(h->message, sizeof(h->message),
			 "KVM_GET_CLOCK gives no host TSC now");
		return;
	}
	/* Step 6; freq is in kHz, the clocks in ns. */
	guest_ns = src->clock - dest.clock;
	cycles = (__int128)guest_ns * saved->tsc_khz / 1000000;
	for (i = 0; i < vm->vcpu_count; i++)
		/* Step 7. */
		vcpu_set_tsc_offset(&vm->vcpu[i],
				    saved->vcpu[i].clock.tsc_offset - cycles +
				    (src->host_tsc - dest.host_tsc));
}

static void prepare_identical(struct vm *vm, struct handover *h)
{
	handover_prepare(vm, h);
}

static void restore_identical(struct vm *vm, uint32_t flags, struct handover *h)
{
	handover_restore(vm, flags, h);
}

/* By a descriptor of this one clock. */
static void prepare_descriptor(struct vm *vm, struct handover *h)
{
	handover_take_clock(vm, h);
	if (!h->error)
		handover_prepare(vm, h);
}

static void restore_descriptor(struct vm *vm, uint32_t flags, struct handover *h)
{
	handover_restore(vm, flags, h);
	handover_use_clock(0);
}

/* By the tool, from outside; it says itself why it could not. */
static void run_tool(const struct vm *vm, const char *option, struct handover *h)
{
	char id[KCH_UUID_TEXT_SIZE], command[128];

	kch_uuid_format(vm->mem->saved->uuid, id);
	snprintf(command, sizeof(command), "kvmclockctl restore --pid %d --id %s %s >&2",
		 getpid(), id, option);
	if (!system(command))
		return;
	h->error = -ECHILD;
	snprintf(h->message, sizeof(h->message), "%s failed", command);
}

static void restore_outside(struct vm *vm, uint32_t flags, struct handover *h)
{
	(void)flags;
	run_tool(vm, "", h);
}

/* The same for a VMM that sets its clock when it resumes, and is held until then. */
static void restore_held(struct vm *vm, uint32_t flags, struct handover *h)
{
	struct kvm_clock_data data = { .clock = vm->mem->saved->clock.clock };

	(void)flags;
	run_tool(vm, "--hold", h);
	if (!h->error)
		set_clock(vm, &data);
}

static void prepare_converged(struct vm *vm, struct handover *h)
{
	handover_stock_prepare(vm, h);
}

static void restore_converged(struct vm *vm, uint32_t flags, struct handover *h)
{
	handover_stock_restore(vm, flags, h);
}

static void restore_import(struct vm *vm, uint32_t flags, struct handover *h)
{
	handover_import(vm, false, flags, h);
}

static void restore_import_module(struct vm *vm, uint32_t flags, struct handover *h)
{
	handover_import(vm, true, flags, h);
}

static const struct clock_method methods[] = {
	{ "none", KCH_MODE_NONE, NULL, restore_nothing },
	{ "by-value", KCH_MODE_NONE, NULL, restore_by_value },
	{ "realtime", KCH_MODE_NONE, NULL, restore_realtime },
	{ "recipe", KCH_MODE_NONE, NULL, restore_recipe },
	{ "converged", KCH_MODE_CONVERGED, prepare_converged,
	  restore_converged },
	{ "identical", KCH_MODE_IDENTICAL, prepare_identical,
	  restore_identical },
	{ "descriptor", KCH_MODE_IDENTICAL, prepare_descriptor,
	  restore_descriptor },
	{ "import", KCH_MODE_CONVERGED, prepare_converged, restore_import },
	{ "import-module", KCH_MODE_IDENTICAL, prepare_converged, restore_import_module },
	{ "outside", KCH_MODE_NONE, NULL, restore_outside },
	{ "held", KCH_MODE_NONE, NULL, restore_held },
	{ NULL, KCH_MODE_NONE, NULL, NULL },
};

const struct clock_method *clock_method_find(const char *name)
{
	const struct clock_method *method;

	for (method = methods; method->name; method++)
		if (!strcmp(method->name, name))
			return method;
	return NULL;
}
