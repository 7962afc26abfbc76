// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <kvmclock-handover.h>

#include "clock.h"

#include "../vmm/function.h"
#include "captured.h"

#define VCPUS_MAX	8
#define PVCLOCK_TSC_STABLE_BIT	(1 << 0)

/**
 * struct captured - a VM's clock
 * @vm: as the library has it
 * @info: the VM's part
 * @vcpu: its vCPUs' parts
 * @clock: each one's function of the host TSC
 */
struct captured {
	struct kch_vm *vm;
	struct kch_vm_info info;
	struct kch_vcpu_info vcpu[VCPUS_MAX];
	struct kch_clock clock[VCPUS_MAX];
};

static void captured_clock(struct captured *captured, uint32_t i)
{
	const struct kch_vcpu_info *vcpu = &captured->vcpu[i];

	captured->clock[i] = (struct kch_clock){
		.reference_cycles = captured->info.master_cycle_now,
		.system_time_ns = captured->info.master_kernel_ns +
				  captured->info.kvmclock_offset,
		.tsc_offset = vcpu->tsc_offset,
		.tsc_scaling_ratio = vcpu->tsc_scaling_ratio,
		.tsc_scaling_frac_bits = captured->info.tsc_scaling_frac_bits,
		.tsc_shift = vcpu->tsc_shift,
		.tsc_to_system_mul = vcpu->tsc_to_system_mul,
	};
}

static int captured_of(struct kch_vm *vm, struct captured **captured)
{
	struct captured *c = calloc(1, sizeof(*c));
	uint32_t i;
	int err;

	if (!c)
		return -ENOMEM;
	c->vm = vm;
	c->info.sz = sizeof(c->info);
	err = kch_vm_info(vm, &c->info);
	for (i = 0; !err && i < c->info.vcpu_count && i < VCPUS_MAX; i++) {
		c->vcpu[i].sz = sizeof(c->vcpu[i]);
		err = kch_vm_vcpu(vm, i, &c->vcpu[i]);
		captured_clock(c, i);
		/* Some versions of KVM do not keep them: they follow from the clock. */
		if (!c->vcpu[i].pvclock_flags && captured_master_clock(c))
			c->vcpu[i].pvclock_flags = PVCLOCK_TSC_STABLE_BIT;
	}
	if (err)
		captured_free(c);
	else
		*captured = c;
	return err;
}

int captured_read(struct kch_handle *handle, int vm_fd, struct captured **captured)
{
	struct kch_vm *vm;
	int err = kch_vm_read(handle, vm_fd, &vm, NULL);

	return err ?: captured_of(vm, captured);
}

int captured_get(struct kch_handle *handle, const uint8_t uuid[16],
		 struct captured **captured)
{
	struct kch_vm *vm;
	int err = kch_vm_get(handle, KCH_INCOMING, uuid, &vm);

	return err ?: captured_of(vm, captured);
}

void captured_free(struct captured *captured)
{
	kch_vm_free(captured->vm);
	free(captured);
}

bool captured_spoil(struct captured *captured, const char *what)
{
	uint32_t i;

	for (i = 0; i < captured_vcpus(captured); i++) {
		struct kch_clock *clock = &captured->clock[i];

		if (!strcmp(what, "cycle"))
			clock->tsc_offset++;
		else if (!strcmp(what, "jump"))
			clock->tsc_offset += 1ULL << 40;
		else if (!strcmp(what, "second"))
			clock->system_time_ns += 1000000000;
		else if (!strcmp(what, "ns"))
			clock->system_time_ns++;
		else if (!strcmp(what, "mul"))
			clock->tsc_to_system_mul ^= 1;
		else if (!strcmp(what, "flag"))
			captured->vcpu[i].pvclock_flags ^= 1;
		else if (!strcmp(what, "adjust"))
			captured->vcpu[i].ia32_tsc_adjust++;
		else
			return false;
	}
	return true;
}

bool captured_master_clock(const struct captured *captured)
{
	return captured->info.flags & KCH_VM_INFO_MASTER_CLOCK;
}

uint32_t captured_vcpus(const struct captured *captured)
{
	return captured->info.vcpu_count;
}

void captured_page(const struct captured *captured, uint32_t index,
		   struct captured_page *page)
{
	const struct kch_clock *clock = &captured->clock[index];

	page->tsc_timestamp = kch_clock_tsc(clock, clock->reference_cycles);
	page->system_time = clock->system_time_ns;
	page->mul = clock->tsc_to_system_mul;
	page->shift = clock->tsc_shift;
	page->flags = captured->vcpu[index].pvclock_flags;
}

static struct guest_pvclock pvclock_of(const struct captured_page *page)
{
	return (struct guest_pvclock){
		.tsc_timestamp = page->tsc_timestamp,
		.system_time = page->system_time,
		.tsc_to_system_mul = page->mul,
		.tsc_shift = page->shift,
		.flags = page->flags,
	};
}

bool captured_is_page(const struct captured *captured, uint32_t index,
		      const struct captured_page *page, uint32_t host_khz)
{
	const struct kch_clock *clock = &captured->clock[index];
	struct saved_clock saved = {
		.tsc_offset = clock->tsc_offset,
		.tsc_scaling_ratio = clock->tsc_scaling_ratio,
		.tsc_scaling_frac_bits = clock->tsc_scaling_frac_bits,
	};
	struct guest_pvclock seen = pvclock_of(page);
	struct captured_page made;

	captured_page(captured, index, &made);
	saved.page = pvclock_of(&made);
	if (function_pair_is_kvms(&saved, host_khz))
		return made.tsc_timestamp == page->tsc_timestamp &&
		       made.system_time == page->system_time &&
		       made.mul == page->mul && made.shift == page->shift;
	return function_same(&saved.page, &seen);
}

uint64_t captured_offset(const struct captured *captured, uint32_t index)
{
	return captured->clock[index].tsc_offset;
}

uint64_t captured_adjust(const struct captured *captured, uint32_t index)
{
	return captured->vcpu[index].ia32_tsc_adjust;
}

uint64_t captured_tsc(const struct captured *captured, uint32_t index,
		      uint64_t host_tsc)
{
	return kch_clock_tsc(&captured->clock[index], host_tsc);
}

uint64_t captured_ns(const struct captured *captured, uint32_t index,
		     uint64_t host_tsc)
{
	return kch_clock_ns(&captured->clock[index], host_tsc);
}

uint64_t captured_ns_at(const struct captured *captured, uint32_t index,
			uint64_t tsc)
{
	struct captured_page page;

	captured_page(captured, index, &page);
	return kch_pvclock_ns(page.tsc_timestamp, page.system_time, page.mul,
			      page.shift, tsc);
}

void captured_hyperv(const struct captured *captured, uint32_t index,
		     uint64_t *scale, int64_t *offset)
{
	struct captured_page page;

	captured_page(captured, index, &page);
	/* ns = cycles * mul * 2^(shift - 32); in 100 ns, times 2^64. */
	*scale = ((unsigned __int128)page.mul << (32 + page.shift)) / 100;
	*offset = page.system_time / 100 -
		  (uint64_t)((unsigned __int128)page.tsc_timestamp * *scale >> 64);
}

bool captured_identical(const struct captured *saved, const struct captured *live)
{
	struct kch_vcpu_error error = { .sz = sizeof(error) };
	uint32_t i;

	for (i = 0; i < captured_vcpus(saved); i++)
		if (kch_vm_compare(saved->vm, live->vm, i, 0, &error) ||
		    !error.identical || error.ns || error.cycles)
			return false;
	return captured_vcpus(saved) == captured_vcpus(live);
}
