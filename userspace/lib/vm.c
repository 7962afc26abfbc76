// SPDX-License-Identifier: LGPL-2.1-or-later
/* One VM's clock, out of a record or live. */
#include <stdlib.h>
#include "internal.h"

/* Enough for 60 vCPUs; a larger VM takes a second call. */
#define FIRST_BUFFER_SIZE	4096
/* A VM may gain vCPUs between two calls, but not for ever. */
#define BUFFER_TRIES		8

static bool is_zero(const uint8_t uuid[KCH_UUID_SIZE])
{
	static const uint8_t zero[KCH_UUID_SIZE];

	return !memcmp(uuid, zero, sizeof(zero));
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = le32_to_cpu(((const struct kch_rec_vcpu *)a)->vcpu_id);
	uint32_t y = le32_to_cpu(((const struct kch_rec_vcpu *)b)->vcpu_id);

	return (x > y) - (x < y);
}

/*
 * An answer of the module, which may be of another version, as structures of
 * this one.  It has the module's sizes, whoever wrote the record.
 */
static int parse(struct kch_handle *handle, const uint8_t *buffer, size_t size,
		 struct kch_vm **result)
{
	size_t vm_size = handle->rec_vm_size, vcpu_size = handle->rec_vcpu_size;
	struct kch_rec_vm entry;
	struct kch_vm *vm;
	uint32_t count, i;
	int err;

	if (vm_size < KCH_REC_VM_SIZE || vcpu_size < KCH_REC_VCPU_SIZE)
		return kch_fail(handle, -EBADMSG,
				"the module says that its VM and vCPU entries have %zu and %zu bytes, expected at least %u and %u",
				vm_size, vcpu_size, KCH_REC_VM_SIZE,
				KCH_REC_VCPU_SIZE);
	if (size < sizeof(entry))
		return kch_fail(handle, -EBADMSG,
				"VM entry of %zu bytes, expected at least %zu",
				size, sizeof(entry));
	memcpy(&entry, buffer, sizeof(entry));
	count = le32_to_cpu(entry.vcpu_count);
	if (count > KCH_REC_VCPUS_MAX || entry.tsc_scaling_frac_bits > 63)
		return kch_fail(handle, -EBADMSG,
				"VM entry with %u vCPUs and %u fraction bits",
				count, entry.tsc_scaling_frac_bits);
	if (size != vm_size + count * vcpu_size)
		return kch_fail(handle, -EBADMSG,
				"VM entry with %u vCPUs of %zu bytes, expected %zu",
				count, size, vm_size + count * vcpu_size);
	vm = malloc(sizeof(*vm) + count * sizeof(vm->vcpus[0]));
	if (!vm)
		return kch_fail(handle, -ENOMEM, "no memory for %u vCPUs", count);
	vm->entry = entry;
	vm->entry.name[sizeof(vm->entry.name) - 1] = '\0';
	vm->vcpu_count = count;
	for (i = 0; i < count; i++) {
		struct kch_rec_vcpu *vcpu = &vm->vcpus[i];

		memcpy(vcpu, buffer + vm_size + i * vcpu_size,
		       sizeof(*vcpu));
		if (vcpu->tsc_shift < -31 || vcpu->tsc_shift > 31) {
			err = vcpu->tsc_shift;
			free(vm);
			return kch_fail(handle, -EBADMSG,
					"vCPU entry %u with shift %d, expected -31 to 31",
					i, err);
		}
	}
	/* They are, unless a record was forged; to look one up relies on it. */
	qsort(vm->vcpus, count, sizeof(vm->vcpus[0]), compare_ids);
	*result = vm;
	return 0;
}

/* Calls @request until the buffer is large enough. */
static int fetch(struct kch_handle *handle, unsigned long request, void *arg,
		 uint32_t *buffer_size, __u64 *buffer, const char *message,
		 uint8_t **result)
{
	uint32_t size = FIRST_BUFFER_SIZE;
	uint8_t *bytes = NULL;
	int err = -ENOBUFS;
	int tries;

	for (tries = 0; tries < BUFFER_TRIES; tries++) {
		free(bytes);
		bytes = calloc(1, size);
		if (!bytes)
			return kch_fail(handle, -ENOMEM, "no memory for %u bytes",
					size);
		*buffer_size = size;
		*buffer = (uintptr_t)bytes;
		err = kch_ioctl(handle, request, arg, message);
		if (err != -ENOBUFS || *buffer_size <= size)
			break;
		size = *buffer_size;
	}
	if (err) {
		free(bytes);
		return kch_error(err);
	}
	if (*buffer_size > size) {
		free(bytes);
		return kch_fail(handle, -EBADMSG,
				"answer of %u bytes in a buffer of %u",
				*buffer_size, size);
	}
	kch_start(handle);
	*result = bytes;
	return 0;
}

int kch_vm_get(struct kch_handle *handle, enum kch_which which,
	       const uint8_t uuid[KCH_UUID_SIZE], struct kch_vm **vm)
{
	struct kch_get get = { .size = sizeof(get), .which = which };
	uint8_t *bytes;
	int err;

	kch_start(handle);
	*vm = NULL;
	if (is_zero(uuid))
		return kch_fail(handle, -EINVAL, "the id of the VM is all zero");
	memcpy(get.uuid, uuid, sizeof(get.uuid));
	err = fetch(handle, KCH_IOC_GET, &get, &get.buffer_size, &get.buffer,
		    get.message, &bytes);
	if (err)
		return err;
	err = parse(handle, bytes, get.buffer_size, vm);
	free(bytes);
	return err;
}

int kch_vm_read(struct kch_handle *handle, int vm_fd, struct kch_vm **vm,
		struct kch_live_info *live)
{
	struct kch_read read = { .size = sizeof(read), .vm_fd = vm_fd };
	struct kch_live_info info = {};
	uint8_t *bytes;
	int err;

	kch_start(handle);
	*vm = NULL;
	err = fetch(handle, KCH_IOC_READ, &read, &read.buffer_size,
		    &read.buffer, read.message, &bytes);
	if (err)
		return err;
	if (live) {
		info.host_tsc = read.host_tsc;
		info.rebase_step_ns = read.rebase_step_ns;
		info.rebase_bound_ns = read.rebase_bound_ns;
		info.pid = read.pid;
		info.kvm_tsc_khz = read.kvm_tsc_khz;
		err = kch_output(live, offsetofend(struct kch_live_info, kvm_tsc_khz),
				 &info, sizeof(info));
		if (err) {
			free(bytes);
			return kch_fail(handle, err,
					"struct kch_live_info of %zu bytes",
					live->sz);
		}
	}
	err = parse(handle, bytes, read.buffer_size, vm);
	free(bytes);
	return err;
}

void kch_vm_free(struct kch_vm *vm)
{
	free(vm);
}

int kch_vm_info(const struct kch_vm *vm, struct kch_vm_info *result)
{
	const struct kch_rec_vm *entry = &vm->entry;
	struct kch_vm_info info = {
		.vcpu_count = vm->vcpu_count,
		.flags = le32_to_cpu(entry->flags),
		.master_cycle_now = le64_to_cpu(entry->master_cycle_now),
		.master_kernel_ns = le64_to_cpu(entry->master_kernel_ns),
		.kvmclock_offset = (int64_t)le64_to_cpu(entry->kvmclock_offset),
		.host_tsc = le64_to_cpu(entry->host_tsc),
		.kvmclock_ns = le64_to_cpu(entry->kvmclock_ns),
		.tsc_scaling_frac_bits = entry->tsc_scaling_frac_bits,
		.default_tsc_khz = le32_to_cpu(entry->default_tsc_khz),
		.pid = (int32_t)le32_to_cpu(entry->pid),
		.kvmclock_slack_ns = le32_to_cpu(entry->kvmclock_slack_ns),
	};

	memcpy(info.uuid, entry->uuid, sizeof(info.uuid));
	memcpy(info.name, entry->name, sizeof(info.name));
	return kch_output(result, offsetofend(struct kch_vm_info, pid), &info,
			  sizeof(info));
}

int kch_vm_vcpu(const struct kch_vm *vm, uint32_t index,
		struct kch_vcpu_info *result)
{
	struct kch_vcpu_info info = {};
	const struct kch_rec_vcpu *vcpu;

	if (index >= vm->vcpu_count)
		return kch_error(-EINVAL);
	vcpu = &vm->vcpus[index];
	info.vcpu_id = le32_to_cpu(vcpu->vcpu_id);
	info.flags = le32_to_cpu(vcpu->flags);
	info.tsc_offset = le64_to_cpu(vcpu->tsc_offset);
	info.tsc_scaling_ratio = le64_to_cpu(vcpu->tsc_scaling_ratio);
	info.ia32_tsc_adjust = (int64_t)le64_to_cpu(vcpu->ia32_tsc_adjust);
	info.pvclock_gpa = le64_to_cpu(vcpu->pvclock_gpa);
	info.virtual_tsc_khz = le32_to_cpu(vcpu->virtual_tsc_khz);
	info.hw_tsc_khz = le32_to_cpu(vcpu->hw_tsc_khz);
	info.tsc_to_system_mul = le32_to_cpu(vcpu->tsc_to_system_mul);
	info.tsc_shift = vcpu->tsc_shift;
	info.pvclock_flags = vcpu->pvclock_flags;
	return kch_output(result, offsetofend(struct kch_vcpu_info, pvclock_flags),
			  &info, sizeof(info));
}
