// SPDX-License-Identifier: LGPL-2.1-or-later
/* Comparing two clocks, as functions, at one host TSC. */
#include <stdlib.h>
#include "internal.h"

#define SIBLINGS_MAX	256U

static bool has_run(const struct kch_rec_vcpu *vcpu)
{
	return le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID;
}

bool kch_vm_clock(const struct kch_vm *vm, uint32_t index,
		  struct kch_clock *clock)
{
	const struct kch_rec_vcpu *vcpu = &vm->vcpus[index];
	uint32_t khz = le32_to_cpu(vcpu->virtual_tsc_khz);
	uint32_t i;

	kch_clock_of(&vm->entry, vcpu, clock);
	if (has_run(vcpu))
		return true;
	/*
	 * KVM will give it what it gave its siblings of the same frequency.  A VM has
	 * one or a few: they are not looked for in all of its vCPUs, for each of them.
	 */
	for (i = 0; i < vm->vcpu_count && i < SIBLINGS_MAX; i++) {
		const struct kch_rec_vcpu *other = &vm->vcpus[i];

		if (has_run(other) &&
		    other->virtual_tsc_khz == vcpu->virtual_tsc_khz &&
		    other->tsc_scaling_ratio == vcpu->tsc_scaling_ratio) {
			clock->tsc_to_system_mul =
				le32_to_cpu(other->tsc_to_system_mul);
			clock->tsc_shift = other->tsc_shift;
			return false;
		}
	}
	if (khz)
		kch_pvclock_pair(khz, &clock->tsc_to_system_mul,
				 &clock->tsc_shift);
	return false;
}

static int compare_ids(const void *id, const void *vcpu)
{
	uint32_t a = *(const uint32_t *)id;
	uint32_t b = le32_to_cpu(((const struct kch_rec_vcpu *)vcpu)->vcpu_id);

	return (a > b) - (a < b);
}

/*
 * KVM's clock of a VM that has no master clock, against the saved one, at the one
 * instant at which it is known.  How fast it runs is the host's clocksource's affair.
 */
static int compare_without_master(const struct kch_rec_vm *live,
				  const struct kch_clock *saved,
				  uint64_t host_tsc, struct kch_vcpu_error *out)
{
	if (!live->kvmclock_slack_ns || host_tsc != le64_to_cpu(live->host_tsc))
		return -EOPNOTSUPP;
	out->slack_ns = le32_to_cpu(live->kvmclock_slack_ns);
	out->ns = (int64_t)(le64_to_cpu(live->kvmclock_ns) -
			    kch_clock_ns(saved, host_tsc));
	out->rate_ppb = INT64_MAX;
	out->identical = 0;
	return 0;
}

int kch_vm_compare(const struct kch_vm *saved, const struct kch_vm *live,
		   uint32_t index, uint64_t host_tsc,
		   struct kch_vcpu_error *result)
{
	struct kch_vcpu_error out = {};
	struct kch_clock saved_clock, live_clock;
	bool saved_has_run, live_has_run;
	const struct kch_rec_vcpu *same;
	struct kch_clock_error error;
	bool master_clock;
	uint32_t id;

	if (index >= saved->vcpu_count)
		return kch_error(-EINVAL);
	id = le32_to_cpu(saved->vcpus[index].vcpu_id);
	same = bsearch(&id, live->vcpus, live->vcpu_count, sizeof(*same),
		       compare_ids);
	if (!same)
		return kch_error(-ENOENT);
	/* One that is out of date had a master clock when it was read. */
	if (!(le32_to_cpu(saved->entry.flags) &
	      (KCH_VM_MASTER_CLOCK | KCH_VM_STALE)))
		return kch_error(-EOPNOTSUPP);
	master_clock = le32_to_cpu(live->entry.flags) & KCH_VM_MASTER_CLOCK;
	saved_has_run = kch_vm_clock(saved, index, &saved_clock);
	live_has_run = kch_vm_clock(live, (uint32_t)(same - live->vcpus),
				    &live_clock);
	if (!host_tsc)
		host_tsc = le64_to_cpu(live->entry.host_tsc);
	/* There KVM counts cycles since the reference, unsigned: there is no clock before. */
	if (host_tsc < saved_clock.reference_cycles ||
	    (master_clock && host_tsc < live_clock.reference_cycles))
		return kch_error(-EINVAL);
	kch_clock_compare(&saved_clock, &live_clock, host_tsc, &error);
	out.vcpu_id = id;
	/* A pair that KVM has still to compute is not yet the saved one. */
	out.identical = error.identical && (live_has_run || !saved_has_run);
	out.ns = error.ns;
	out.cycles = error.cycles;
	out.rate_ppb = error.rate_ppb;
	if (!master_clock) {
		int err = compare_without_master(&live->entry, &saved_clock,
						 host_tsc, &out);

		if (err)
			return kch_error(err);
	}
	return kch_output(result, offsetofend(struct kch_vcpu_error, rate_ppb),
			  &out, sizeof(out));
}
