// SPDX-License-Identifier: LGPL-2.1-or-later
/* A restore by KVM's own ioctls: which mode is true, and the writes for it. */
#include "converge.h"
#include "scaling.h"

/* The same factor may be written with more or with fewer fraction bits. */
static bool same_ratio(const struct kch_target *target, uint32_t index)
{
	const struct kch_clock saved = {
		.tsc_scaling_ratio =
			le64_to_cpu(target->saved->vcpus[index].tsc_scaling_ratio),
		.tsc_scaling_frac_bits = target->saved->entry.tsc_scaling_frac_bits,
	};
	uint64_t ratio = target->vcpus[index].ratio;

	if (saved.tsc_scaling_frac_bits == target->frac_bits)
		return ratio == saved.tsc_scaling_ratio;
	/* Only unscaled ones are written in two ways: by CPUs with scaling or without. */
	return saved.tsc_scaling_ratio == 1ULL << saved.tsc_scaling_frac_bits &&
	       ratio == 1ULL << target->frac_bits;
}

/* The offsets with which no vCPU's TSC jumps, at one host TSC for all. */
static void rederive(struct kch_target *target)
{
	uint64_t now = __builtin_ia32_rdtsc();
	uint32_t i;

	for (i = 0; i < target->count; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];
		struct kch_clock saved;

		kch_vm_clock(target->saved, i, &saved);
		vcpu->new_offset = kch_rederive_offset(&saved, vcpu->ratio,
						       target->frac_bits, now);
	}
}

static int choose(struct kch_handle *handle, struct kch_target *target,
		  uint32_t weakest, uint32_t *mode,
		  struct kch_restore_result *result)
{
	uint32_t i;

	*mode = KCH_MODE_CONVERGED;
	if (weakest > *mode)
		return kch_fail(handle, -ENOSYS,
				"mode %s is not to be had without the module",
				kch_mode_name(weakest));
	for (i = 0; i < target->count && same_ratio(target, i); i++)
		;
	if (i == target->count)
		return 0;
	*mode = KCH_MODE_CONTINUOUS;
	if (weakest <= *mode) {
		rederive(target);
		return 0;
	}
	result->outcome.vcpu_id = (int32_t)target->vcpus[i].vcpu_id;
	result->outcome.found = target->vcpus[i].ratio;
	result->outcome.expected = le64_to_cpu(target->saved->vcpus[i].tsc_scaling_ratio);
	return kch_fail(handle, -ERANGE,
			"vCPU %u has TSC scaling ratio %#llx/2^%u, saved was %#llx/2^%u: its TSC would have another frequency, which only mode continuous allows",
			target->vcpus[i].vcpu_id,
			(unsigned long long)result->outcome.found, target->frac_bits,
			(unsigned long long)result->outcome.expected,
			target->saved->entry.tsc_scaling_frac_bits);
}

int kch_restore_weaker(struct kch_handle *handle, struct kch_target *target,
		       uint32_t weakest, const struct kch_restore_opts *opts,
		       struct kch_restore_result *result)
{
	uint32_t host_khz, mode;
	int err;

	err = kch_kvm_khz(handle, &host_khz);
	if (!err)
		err = kch_target_scaling(handle, target, host_khz);
	if (!err)
		err = choose(handle, target, weakest, &mode, result);
	if (err || opts->flags & KCH_RESTORE_CHECK)
		return err;
	err = kch_target_write_offsets(handle, target);
	if (!err)
		err = kch_target_write_clock(handle, target);
	if (!err)
		err = kch_converge(handle, target, host_khz, mode, opts, result);
	if (err)
		kch_target_put_back(handle, target);
	return err;
}
