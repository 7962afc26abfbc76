// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cpuid.h>
#include <linux/kvm.h>
#include <x86intrin.h>
#include "scaling.h"

#define MSR_IA32_TSC		0x10

#define INTEL_FRAC_BITS		48
#define AMD_FRAC_BITS		32

/* KVM's default for the module parameter tsc_tolerance_ppm */
#define KVM_TSC_TOLERANCE_PPM	250

bool kch_khz_is_unscaled(uint32_t khz, uint32_t host_khz)
{
	uint32_t ppm = kch_kvm_parameter("tsc_tolerance_ppm",
					 KVM_TSC_TOLERANCE_PPM);
	/* adjust_tsc_khz() of KVM, so that the borders are the same. */
	uint64_t low = (uint64_t)host_khz * (1000000 - ppm) / 1000000;
	uint64_t high = (uint64_t)host_khz * (1000000 + ppm) / 1000000;

	return khz >= low && khz <= high;
}

uint8_t kch_frac_bits(int vm_fd)
{
	unsigned int a, b, c, d;

	if (kch_call(vm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_TSC_CONTROL) <= 0)
		return 0;
	__cpuid(0, a, b, c, d);
	return b == signature_INTEL_ebx ? INTEL_FRAC_BITS : AMD_FRAC_BITS;
}

uint64_t kch_ratio(uint32_t khz, uint32_t host_khz, uint8_t frac_bits)
{
	uint64_t one = 1ULL << frac_bits;

	if (!frac_bits || kch_khz_is_unscaled(khz, host_khz))
		return one;
	return kch_mul_div(one, khz, host_khz);
}

bool kch_get_msr(int vcpu_fd, uint32_t index, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = index };
	int done = kch_call(vcpu_fd, KVM_GET_MSRS, &msr);

	*value = msr.entry.data;
	return done == 1;
}

int kch_check_tsc(struct kch_handle *handle, const struct kch_target_vcpu *vcpu,
		  uint64_t offset, uint8_t frac_bits, uint32_t host_khz)
{
	uint64_t before, after, tsc;

	_mm_lfence();
	before = kch_scale_tsc(__rdtsc(), vcpu->ratio, frac_bits) + offset;
	if (!kch_get_msr(vcpu->fd, MSR_IA32_TSC, &tsc))
		return kch_fail(handle, -EBADFD,
				"vCPU %u: MSR_IA32_TSC cannot be read",
				vcpu->vcpu_id);
	_mm_lfence();
	after = kch_scale_tsc(__rdtsc(), vcpu->ratio, frac_bits) + offset;
	if (tsc - before <= after - before)
		return 0;
	return kch_fail(handle, -ELIBBAD,
			"vCPU %u: KVM has a TSC of %llu, by its offset and %u kHz on a host of %u kHz it is %llu to %llu",
			vcpu->vcpu_id, (unsigned long long)tsc, vcpu->khz,
			host_khz, (unsigned long long)before,
			(unsigned long long)after);
}

int kch_target_scaling(struct kch_handle *handle, struct kch_target *target,
		       uint32_t host_khz)
{
	struct kch_vm *live = NULL;
	uint32_t i;
	int err = 0;

	/* The module sees what KVM has; why it may not, does not matter here. */
	if (handle->fd >= 0 && !target->own_khz)
		kch_vm_read(handle, target->fd, &live, NULL);
	if (live && live->vcpu_count != target->count) {
		kch_vm_free(live);
		live = NULL;
	}
	target->frac_bits = live ? live->entry.tsc_scaling_frac_bits :
				   kch_frac_bits(target->fd);
	for (i = 0; !err && i < target->count; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];

		uint32_t khz = target->own_khz ? vcpu->old_khz : vcpu->khz;

		vcpu->ratio = live ? le64_to_cpu(live->vcpus[i].tsc_scaling_ratio) :
				     kch_ratio(khz, host_khz, target->frac_bits);
		err = kch_check_tsc(handle, vcpu, vcpu->old_offset,
				    target->frac_bits, host_khz);
		/* Its own frequency is still to be set. */
		if (target->own_khz)
			vcpu->ratio = kch_ratio(vcpu->khz, host_khz,
						target->frac_bits);
	}
	kch_vm_free(live);
	return err;
}
