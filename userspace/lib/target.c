// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A VM that is being given a saved clock by KVM's own ioctls: the checks, what was
 * there before, the writes, and their undoing.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include "members.h"
#include "target.h"

/* Are these the vCPUs that were saved? */
static int match(struct kch_handle *handle, struct kch_target *target)
{
	const struct kch_vm *saved = target->saved;
	uint32_t i;
	int err;

	err = kch_sort_vcpus(handle, target->vcpus, sizeof(target->vcpus[0]),
			     target->count);
	if (err)
		return err;
	for (i = 0; i < target->count && i < saved->vcpu_count; i++) {
		uint32_t id = le32_to_cpu(saved->vcpus[i].vcpu_id);

		if (target->vcpus[i].old.vcpu_id != id)
			return kch_fail(handle, -ELNRNG,
					"vCPU %u was saved, vCPU %u is there instead",
					id, target->vcpus[i].old.vcpu_id);
	}
	if (target->count != saved->vcpu_count)
		return kch_fail(handle, -ELNRNG,
				"%u vCPUs were saved, there are %u",
				saved->vcpu_count, target->count);
	return 0;
}

/* Rarely do a VM's vCPUs differ in frequency; KVM has no master clock then. */
static bool khz_differ(const struct kch_vm *saved)
{
	uint32_t i;

	for (i = 1; i < saved->vcpu_count; i++)
		if (saved->vcpus[i].virtual_tsc_khz !=
		    saved->vcpus[0].virtual_tsc_khz)
			return true;
	return false;
}

static int read_old(struct kch_handle *handle, struct kch_target *target)
{
	uint32_t i;
	int err;

	for (i = 0; i < target->count; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];
		const struct kch_rec_vcpu *saved = &target->saved->vcpus[i];

		err = kch_read_vcpu(handle, &vcpu->old);
		if (err)
			return err;
		vcpu->new = vcpu->old;
		vcpu->new.offset = le64_to_cpu(saved->tsc_offset);
		vcpu->new.khz = le32_to_cpu(saved->virtual_tsc_khz);
		if (vcpu->old.khz != vcpu->new.khz && !target->own_khz)
			return kch_fail(handle, -ERANGE,
					"vCPU %u has a TSC of %u kHz, %u kHz was saved: the frequency must be set before vCPUs are made",
					vcpu->old.vcpu_id, vcpu->old.khz,
					vcpu->new.khz);
	}
	err = kch_read_clock(handle, target->fd, target->host_khz,
			     &target->old_clock);
	return err ? err : kch_check_members(handle, target->fd, target->vcpus,
					     sizeof(target->vcpus[0]), target->count);
}

/*
 * The scaling ratios that vCPUs have, from the module if it tells, compared with what
 * KVM does; and those that they will have.
 */
static int read_ratios(struct kch_handle *handle, struct kch_target *target)
{
	struct kch_vm *live = NULL;
	uint32_t i;
	int err = 0;

	/* Why the module does not tell, if it does not, makes no difference here. */
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

		vcpu->old.ratio = live ? le64_to_cpu(live->vcpus[i].tsc_scaling_ratio) :
					 kch_ratio(vcpu->old.khz, target->host_khz,
						   target->frac_bits);
		vcpu->new.ratio = vcpu->old.ratio;
		if (vcpu->new.khz != vcpu->old.khz)
			vcpu->new.ratio = kch_ratio(vcpu->new.khz, target->host_khz,
						    target->frac_bits);
		err = kch_check_tsc(handle, &vcpu->old, target->frac_bits,
				    target->host_khz);
	}
	kch_vm_free(live);
	return err;
}

int kch_target_new(struct kch_handle *handle, int vm_fd,
		   const struct kch_vcpu_fd *vcpus, size_t count,
		   const struct kch_vm *saved, bool own_khz,
		   struct kch_target **result)
{
	struct kch_target *target;
	size_t i;
	int err;

	*result = NULL;
	err = kch_check_count(handle, vcpus, count);
	if (err)
		return err;
	target = calloc(1, sizeof(*target) + count * sizeof(target->vcpus[0]));
	if (!target)
		return kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	target->fd = vm_fd;
	target->saved = saved;
	target->own_khz = own_khz && khz_differ(saved);
	target->count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		target->vcpus[i].old.vcpu_id = vcpus[i].vcpu_id;
		target->vcpus[i].old.fd = vcpus[i].fd;
	}
	err = match(handle, target);
	if (!err)
		err = kch_kvm_khz(handle, &target->host_khz);
	if (!err)
		err = read_old(handle, target);
	if (!err)
		err = read_ratios(handle, target);
	if (err)
		free(target);
	else
		*result = target;
	return err;
}

static int write_vcpu(const struct kch_target *target, const struct kch_vcpu *vcpu)
{
	if (target->own_khz && kch_call(vcpu->fd, KVM_SET_TSC_KHZ,
					(void *)(uintptr_t)vcpu->khz) < 0)
		return -errno;
	return kch_set_tsc_offset(vcpu->fd, vcpu->offset);
}

int kch_target_write_offsets(struct kch_handle *handle, struct kch_target *target)
{
	int err = 0;

	while (!err && target->written < target->count)
		err = write_vcpu(target, &target->vcpus[target->written++].new);
	if (!err)
		return 0;
	return kch_fail(handle, err, "vCPU %u: its TSC offset%s cannot be set: %s",
			target->vcpus[target->written - 1].new.vcpu_id,
			target->own_khz ? " or frequency" : "", strerror(-err));
}

static int write_clock(struct kch_target *target, uint64_t clock_ns)
{
	struct kvm_clock_data clock = { .clock = clock_ns };

	return kch_call(target->fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
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
	const struct kch_reading *clock = &target->old_clock;
	uint32_t i;
	int err;

	for (i = 0; i < target->written; i++) {
		err = write_vcpu(target, &target->vcpus[i].old);
		if (err)
			kch_also(handle, "; vCPU %u's old TSC offset could not be put back: %s",
				 target->vcpus[i].old.vcpu_id, strerror(-err));
	}
	if (!target->clock_written)
		return;
	err = write_clock(target, clock->clock_ns +
			  kch_cycles_to_ns(__builtin_ia32_rdtsc() - clock->host_tsc,
					   target->host_khz));
	if (err)
		kch_also(handle, "; the VM's old clock could not be put back: %s",
			 strerror(-err));
}
