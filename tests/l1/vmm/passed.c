// SPDX-License-Identifier: GPL-2.0
/*
 * Hidden is what the offset of the first vCPU says: every other number, of every vCPU, must
 * be by the same number of cycles what was saved.
 */
#include "clock.h"
#include "passed.h"
#include "policy.h"
#include "report.h"

/* What a policy hides of so much; the time itself is known to be from @low_ns to @high_ns. */
static bool is_hidden(const struct passed *p, uint64_t low_ns, uint64_t high_ns, uint64_t ns)
{
	uint64_t goes_on_ns = p->goes_on_ms * 1000000ULL;

	return ns + goes_on_ns >= low_ns && (!ns || ns + goes_on_ns <= high_ns);
}

void passed_check(const struct passed *p, const struct vm *vm, struct baseline *base,
		  const struct kch_restore_result *result)
{
	const struct saved_vm *saved = vm->mem->saved;
	uint64_t cycles = base->saved[0].tsc_offset - base->now[0].tsc_offset, by_offset_ns;
	uint32_t khz = vm_host_khz(vm), i;

	by_offset_ns = kch_cycles_to_ns(cycles, khz);
	report("hidden_ns", "%llu", (unsigned long long)result->hidden_ns);
	report("hidden_cycles", "%llu", (unsigned long long)cycles);
	report_check(result->hidden_ns == by_offset_ns, "hidden_told");
	/* From the end of the save, which is before the seal, to a moment of the restore. */
	report_check(is_hidden(p, result->outcome.blackout_ns,
			       kch_cycles_to_ns(p->restored - saved->host_tsc, khz),
			       by_offset_ns), "policy");
	for (i = 0; i < base->vcpu_count; i++) {
		base->saved[i].tsc_offset -= cycles;
		base->origin[i].tsc_offset -= cycles;
	}
}
