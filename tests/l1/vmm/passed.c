// SPDX-License-Identifier: GPL-2.0
/*
 * Hidden is what the offset of the first vCPU says: every other number, of every vCPU, must
 * be by the same number of cycles what was saved.
 */
#include <kvmclock-handover-stock.h>

#include "clock.h"
#include "passed.h"
#include "policy.h"
#include "report.h"

/* The saved instant: the host's TSC when the clock was read last, as the record has it. */
static uint64_t saved_instant(const struct saved_vm *saved, bool module, uint64_t hidden_cycles)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_handle *handle = module ? kch_open(NULL) : kch_open_stock();
	struct kch_vm *vm = NULL;

	if (!handle || (module ? kch_vm_get(handle, KCH_INCOMING, saved->uuid, &vm) :
			kch_stock_vm(handle, saved->stock, saved->stock_size, &vm)))
		die("no record has the clock");
	kch_vm_info(vm, &info);
	/* The module's is the clock that was given back: so much later. */
	if (module)
		info.host_tsc -= hidden_cycles;
	kch_vm_free(vm);
	kch_close(handle);
	return info.host_tsc;
}

/* Are these what the policy hides of the time from @saved to a moment of the restore? */
static bool is_hidden(const struct passed *p, uint64_t saved, uint32_t khz, uint64_t cycles)
{
	uint64_t goes_on = (uint64_t)p->goes_on_ms * khz;

	if (!cycles)
		return p->ready - saved <= goes_on;
	return saved + goes_on + cycles >= p->ready && saved + goes_on + cycles <= p->restored;
}

void passed_check(const struct passed *p, const struct vm *vm, struct baseline *base,
		  const struct kch_restore_result *result)
{
	const struct saved_vm *saved = vm->mem->saved;
	const struct saved_clock *clock = &base->saved[0];
	uint64_t guest_cycles = clock->tsc_offset - base->now[0].tsc_offset;
	uint64_t cycles = kch_unscale_tsc(guest_cycles, clock->tsc_scaling_ratio,
					  clock->tsc_scaling_frac_bits), least = cycles;
	uint32_t khz = vm_host_khz(vm), i;

	/* Scaled, two or three numbers of the host's are the same to the guest. */
	if (clock->tsc_scaling_frac_bits && cycles) {
		least--;
		cycles++;
	}
	while (cycles > least && kch_cycles_to_ns(cycles, khz) != result->hidden_ns)
		cycles--;
	report("hidden_ns", "%llu", (unsigned long long)result->hidden_ns);
	report("hidden_cycles", "%llu", (unsigned long long)cycles);
	report_check(result->hidden_ns == kch_cycles_to_ns(cycles, khz), "hidden_told");
	report_check(is_hidden(p, saved_instant(saved, result->outcome.mode == KCH_MODE_IDENTICAL,
						cycles), khz, cycles), "policy");
	for (i = 0; i < base->vcpu_count; i++) {
		base->saved[i].tsc_offset -= guest_cycles;
		base->origin[i].tsc_offset -= guest_cycles;
	}
}
