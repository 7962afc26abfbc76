// SPDX-License-Identifier: LGPL-2.1-or-later
#include <linux/kvm.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "target.h"

static uint64_t raw_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int kch_tsc_offset(int vcpu_fd, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return kch_call(vcpu_fd, request, &attr) < 0 ? -errno : 0;
}

int kch_read_tsc_offset(struct kch_handle *handle, int fd, uint32_t vcpu_id,
			uint64_t *offset)
{
	int err = kch_tsc_offset(fd, KVM_GET_DEVICE_ATTR, offset);

	switch (err) {
	case 0:
		return 0;
	case -EBADF:
		return kch_fail(handle, err, "vCPU %u: %d is not an open file",
				vcpu_id, fd);
	case -ENOTTY:
	case -EINVAL:
		return kch_fail(handle, -EBADFD,
				"vCPU %u: file descriptor %d is not a vCPU",
				vcpu_id, fd);
	case -ENXIO:
		return kch_fail(handle, -ENOSYS,
				"this kernel has no KVM_VCPU_TSC_OFFSET");
	case -EIO:
		return kch_fail(handle, err,
				"vCPU %u: the VM was not made by this process, or is dead",
				vcpu_id);
	default:
		return kch_fail(handle, err,
				"vCPU %u: its TSC offset cannot be read: %s",
				vcpu_id, strerror(-err));
	}
}

/* KVM has no ioctl to ask a vCPU for its id, but names its file after it. */
int kch_vcpu_id_of(int fd)
{
	char path[64], target[64];
	ssize_t length;
	int id;

	snprintf(path, sizeof(path), KCH_FD_DIR "/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	return sscanf(target, "anon_inode:kvm-vcpu:%d", &id) == 1 ? id : -1;
}

int kch_check_vcpu_id(struct kch_handle *handle, int fd, uint32_t vcpu_id)
{
	int id = kch_vcpu_id_of(fd);

	if (id < 0 || (uint32_t)id == vcpu_id)
		return 0;
	return kch_fail(handle, -EINVAL,
			"file descriptor %d is vCPU %d, given as vCPU %u", fd,
			id, vcpu_id);
}

int kch_check_vcpus(struct kch_handle *handle, const void *vcpus, size_t count)
{
	if (!count || count > KCH_REC_VCPUS_MAX)
		return kch_fail(handle, -EINVAL, "%zu vCPUs, expected 1 to %u",
				count, KCH_REC_VCPUS_MAX);
	if (!vcpus)
		return kch_fail(handle, -EINVAL, "%zu vCPUs at no address", count);
	return 0;
}

int kch_target_new(struct kch_handle *handle, int vm_fd,
		   const struct kch_vcpu_fd *vcpus, size_t count,
		   struct kch_target **result)
{
	struct kch_target *target;
	size_t i;
	int err;

	err = kch_check_vcpus(handle, vcpus, count);
	if (err)
		return err;
	target = calloc(1, sizeof(*target) + count * sizeof(target->vcpus[0]));
	if (!target)
		return kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	target->fd = vm_fd;
	target->count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		target->vcpus[i].fd = vcpus[i].fd;
		target->vcpus[i].vcpu_id = vcpus[i].vcpu_id;
	}
	*result = target;
	return 0;
}

void kch_target_free(struct kch_target *target)
{
	if (!target)
		return;
	kch_vm_free(target->saved);
	free(target);
}

static int compare_ids(const void *a, const void *b)
{
	const struct kch_target_vcpu *x = a, *y = b;

	return (x->vcpu_id > y->vcpu_id) - (x->vcpu_id < y->vcpu_id);
}

int kch_target_match(struct kch_handle *handle, struct kch_target *target)
{
	const struct kch_vm *saved = target->saved;
	uint32_t i;
	int err;

	qsort(target->vcpus, target->count, sizeof(target->vcpus[0]),
	      compare_ids);
	for (i = 0; i < target->count; i++) {
		const struct kch_target_vcpu *vcpu = &target->vcpus[i];

		if (i && vcpu->vcpu_id == vcpu[-1].vcpu_id)
			return kch_fail(handle, -EINVAL, "vCPU %u is given twice",
					vcpu->vcpu_id);
		err = kch_check_vcpu_id(handle, vcpu->fd, vcpu->vcpu_id);
		if (err)
			return err;
	}
	for (i = 0; i < target->count && i < saved->vcpu_count; i++) {
		uint32_t id = le32_to_cpu(saved->vcpus[i].vcpu_id);

		if (target->vcpus[i].vcpu_id != id)
			return kch_fail(handle, -ELNRNG,
					"vCPU %u was saved, vCPU %u is there instead",
					id, target->vcpus[i].vcpu_id);
	}
	if (target->count != saved->vcpu_count)
		return kch_fail(handle, -ELNRNG,
				"%u vCPUs were saved, there are %u",
				saved->vcpu_count, target->count);
	return 0;
}

/* One VM's vCPUs seldom differ in frequency; KVM then has no master clock. */
static bool khz_differ(const struct kch_vm *saved)
{
	uint32_t i;

	for (i = 1; i < saved->vcpu_count; i++)
		if (saved->vcpus[i].virtual_tsc_khz !=
		    saved->vcpus[0].virtual_tsc_khz)
			return true;
	return false;
}

int kch_target_remember(struct kch_handle *handle, struct kch_target *target,
			bool own_khz)
{
	struct kvm_clock_data clock = {};
	uint32_t i;

	target->own_khz = own_khz && khz_differ(target->saved);
	for (i = 0; i < target->count; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];
		const struct kch_rec_vcpu *saved = &target->saved->vcpus[i];
		int err, khz;

		err = kch_read_tsc_offset(handle, vcpu->fd, vcpu->vcpu_id,
					  &vcpu->old_offset);
		if (err)
			return err;
		vcpu->new_offset = le64_to_cpu(saved->tsc_offset);
		vcpu->khz = le32_to_cpu(saved->virtual_tsc_khz);

		khz = kch_call(vcpu->fd, KVM_GET_TSC_KHZ, NULL);
		vcpu->old_khz = khz > 0 ? (uint32_t)khz : 0;
		if (khz > 0 && (uint32_t)khz != vcpu->khz && !target->own_khz)
			return kch_fail(handle, -ERANGE,
					"vCPU %u has a TSC of %d kHz, %u kHz was saved: the frequency must be set before vCPUs are made",
					vcpu->vcpu_id, khz,
					le32_to_cpu(saved->virtual_tsc_khz));
	}
	if (kch_call(target->fd, KVM_GET_CLOCK, &clock) < 0)
		return kch_fail_clock(handle, target->fd, -errno);
	target->old_clock_ns = clock.clock;
	target->old_time_ns = raw_time_ns();
	return kch_check_members(handle, target->fd, target->vcpus,
				 sizeof(target->vcpus[0]), target->count);
}

static int set_khz(const struct kch_target *target,
		   const struct kch_target_vcpu *vcpu, uint32_t khz)
{
	if (!target->own_khz || !khz)
		return 0;
	return kch_call(vcpu->fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz) < 0 ?
		       -errno : 0;
}

int kch_target_write_offsets(struct kch_handle *handle,
			     struct kch_target *target)
{
	uint32_t i;
	int err;

	for (i = 0; i < target->count; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];

		target->written = i + 1;
		err = set_khz(target, vcpu, vcpu->khz);
		if (err)
			return kch_fail(handle, err,
					"vCPU %u: KVM_SET_TSC_KHZ of %u kHz: %s",
					vcpu->vcpu_id, vcpu->khz, strerror(-err));
		err = kch_tsc_offset(vcpu->fd, KVM_SET_DEVICE_ATTR,
				     &vcpu->new_offset);
		if (err)
			return kch_fail(handle, err,
					"vCPU %u: its TSC offset cannot be set: %s",
					vcpu->vcpu_id, strerror(-err));
	}
	return 0;
}

static int set_clock(int vm_fd, uint64_t clock_ns)
{
	struct kvm_clock_data clock = { .clock = clock_ns };

	return kch_call(vm_fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

int kch_target_write_clock(struct kch_handle *handle, struct kch_target *target)
{
	struct kch_clock clock;
	int err;

	kch_vm_clock(target->saved, 0, &clock);
	target->clock_written = true;
	err = set_clock(target->fd, kch_clock_ns(&clock, __builtin_ia32_rdtsc()));
	if (err)
		return kch_fail(handle, err, "KVM_SET_CLOCK: %s", strerror(-err));
	return 0;
}

void kch_target_put_back(struct kch_handle *handle, struct kch_target *target)
{
	uint32_t i;
	int err;

	for (i = 0; i < target->written; i++) {
		struct kch_target_vcpu *vcpu = &target->vcpus[i];

		err = set_khz(target, vcpu, vcpu->old_khz);
		if (!err)
			err = kch_tsc_offset(vcpu->fd, KVM_SET_DEVICE_ATTR,
					     &vcpu->old_offset);
		if (err)
			kch_also(handle, "; vCPU %u's old TSC offset could not be put back: %s",
				 vcpu->vcpu_id, strerror(-err));
	}
	if (!target->clock_written)
		return;
	err = set_clock(target->fd, target->old_clock_ns + raw_time_ns() -
				    target->old_time_ns);
	if (err)
		kch_also(handle, "; the VM's old clock could not be put back: %s",
			 strerror(-err));
}
