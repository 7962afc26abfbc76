// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A VM that is being given a saved clock by KVM's own ioctls: the checks, what was
 * there before, the writes, and their undoing.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include "target.h"

/* Are these the vCPUs that were saved? */
static int match(struct kch_handle *handle, const struct kch_target *target)
{
	const struct kch_members *old = &target->old;
	const struct kch_vm *saved = target->saved;
	uint32_t i;

	for (i = 0; i < old->count && i < saved->vcpu_count; i++) {
		uint32_t id = le32_to_cpu(saved->vcpus[i].vcpu_id);

		if (old->vcpus[i].vcpu_id != id)
			return kch_fail(handle, -ELNRNG,
					"vCPU %u was saved, vCPU %u is there instead",
					id, old->vcpus[i].vcpu_id);
	}
	if (old->count != saved->vcpu_count)
		return kch_fail(handle, -ELNRNG, "%u vCPUs were saved, there are %u",
				saved->vcpu_count, old->count);
	return 0;
}

/* What vCPUs will have, but for the ratio. */
static int fill_new(struct kch_handle *handle, struct kch_target *target)
{
	uint32_t i;

	for (i = 0; i < target->old.count; i++) {
		const struct kch_rec_vcpu *saved = &target->saved->vcpus[i];
		const struct kch_vcpu *old = &target->old.vcpus[i];
		struct kch_vcpu *new = &target->vcpus[i];

		if (le32_to_cpu(saved->flags) & KCH_VCPU_CATCHUP)
			return kch_fail(handle, -ENOTRECOVERABLE,
					"vCPU %u was saved in TSC catch-up: KVM moved its TSC offset itself, and what was saved is that of one moment",
					old->vcpu_id);
		*new = *old;
		new->offset = le64_to_cpu(saved->tsc_offset);
		new->khz = le32_to_cpu(saved->virtual_tsc_khz);
		if (old->khz != new->khz && !target->own_khz)
			return kch_fail(handle, -ERANGE,
					"vCPU %u has a TSC of %u kHz, %u kHz was saved: the frequency must be set before vCPUs are made",
					old->vcpu_id, old->khz, new->khz);
	}
	return 0;
}

/*
 * KVM takes every frequency.  One that it can neither scale to nor tolerates makes it move
 * the vCPU's TSC offset from then on, also when another one is set.
 */
static int check_khz(struct kch_handle *handle, const struct kch_vcpu *vcpu,
		     const struct kch_members *members)
{
	if (members->frac_bits || kch_khz_is_unscaled(vcpu->khz, members->host_khz))
		return 0;
	return kch_fail(handle, -ERANGE,
			"vCPU %u: a TSC of %u kHz, on a host that has one of %u kHz, and whose CPU cannot scale it: KVM emulates it by moving the guest's TSC",
			vcpu->vcpu_id, vcpu->khz, members->host_khz);
}

/*
 * The scaling ratios that vCPUs have, from the module if it tells, compared with what
 * KVM does; and those that they will have.
 */
static int read_ratios(struct kch_handle *handle, struct kch_target *target)
{
	struct kch_members *members = &target->old;
	struct kch_vm *live = NULL;
	uint32_t i;
	int err = 0;

	/* Why the module does not tell, if it does not, makes no difference here. */
	if (handle->fd >= 0 && !target->own_khz)
		kch_vm_read(handle, members->fd, &live, NULL);
	if (live && live->vcpu_count != members->count) {
		kch_vm_free(live);
		live = NULL;
	}
	if (live)
		members->frac_bits = live->entry.tsc_scaling_frac_bits;
	for (i = 0; !err && i < members->count; i++) {
		struct kch_vcpu *old = &members->vcpus[i], *new = &target->vcpus[i];

		new->ratio = kch_ratio(new->khz, members->host_khz, members->frac_bits);
		old->ratio = live ? le64_to_cpu(live->vcpus[i].tsc_scaling_ratio) :
				    kch_ratio(old->khz, members->host_khz, members->frac_bits);
		if (new->khz == old->khz)
			new->ratio = old->ratio;
		err = check_khz(handle, old, members) ?: check_khz(handle, new, members);
		if (!err)
			err = kch_check_tsc(handle, old, members->frac_bits, members->host_khz);
	}
	kch_vm_free(live);
	return err;
}

int kch_target_new(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		   size_t count, const struct kch_vm *saved, bool own_khz,
		   struct kch_target **result)
{
	struct kch_members old;
	struct kch_target *target;
	int err;

	*result = NULL;
	err = kch_members_take(handle, vm_fd, vcpus, sizeof(*vcpus), count, &old);
	if (err)
		return err;
	target = calloc(1, sizeof(*target) + count * sizeof(target->vcpus[0]));
	if (!target) {
		free(old.vcpus);
		return kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	}
	target->old = old;
	target->saved = saved;
	target->own_khz = own_khz && kch_vm_other_khz(saved);
	err = match(handle, target);
	if (!err)
		err = kch_members_read(handle, &target->old);
	if (!err)
		err = fill_new(handle, target);
	if (!err)
		err = read_ratios(handle, target);
	if (err)
		kch_target_free(target);
	else
		*result = target;
	return err;
}

void kch_target_free(struct kch_target *target)
{
	free(target->old.vcpus);
	free(target);
}

/* @what could not be set, if it fails. */
static int write_vcpu(const struct kch_target *target, const struct kch_vcpu *vcpu,
		      const char **what)
{
	int err;

	*what = "TSC frequency";
	if (target->own_khz && kch_call(vcpu->fd, KVM_SET_TSC_KHZ,
					(void *)(uintptr_t)vcpu->khz) < 0)
		return -errno;
	*what = "TSC offset";
	err = kch_set_tsc_offset(vcpu->fd, vcpu->offset);
	if (err)
		return err;
	*what = "MSR_IA32_TSC_DEADLINE";
	return kch_rearm_deadline(vcpu->fd);
}

int kch_target_write_vcpus(struct kch_handle *handle, struct kch_target *target)
{
	const char *what;
	int err = 0;

	while (!err && target->written < target->old.count)
		err = write_vcpu(target, &target->vcpus[target->written++], &what);
	if (!err)
		return 0;
	return kch_fail(handle, err, "vCPU %u: its %s cannot be set: %s",
			target->vcpus[target->written - 1].vcpu_id, what, strerror(-err));
}

static int write_clock(struct kch_target *target, uint64_t clock_ns)
{
	struct kvm_clock_data clock = { .clock = clock_ns };

	return kch_call(target->old.fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

int kch_target_write_clock(struct kch_handle *handle, struct kch_target *target)
{
	struct kch_clock clock;
	int err;

	kch_vm_clock(target->saved, 0, &clock);
	target->clock_written = true;
	err = write_clock(target, kch_clock_ns(&clock, __builtin_ia32_rdtsc()));
	return err ? kch_fail(handle, err, "KVM_SET_CLOCK: %s", strerror(-err)) : 0;
}

void kch_target_put_back(struct kch_handle *handle, struct kch_target *target)
{
	const struct kch_reading *clock = &target->old.clock;
	const char *what;
	uint32_t i;
	int err;

	for (i = 0; i < target->written; i++) {
		err = write_vcpu(target, &target->old.vcpus[i], &what);
		if (err)
			kch_also(handle, "; vCPU %u's old %s could not be put back: %s",
				 target->old.vcpus[i].vcpu_id, what, strerror(-err));
	}
	if (!target->clock_written)
		return;
	err = write_clock(target, clock->clock_ns +
			  kch_cycles_to_ns(__builtin_ia32_rdtsc() - clock->host_tsc,
					   target->old.host_khz));
	if (err)
		kch_also(handle, "; the VM's old clock could not be put back: %s", strerror(-err));
}
