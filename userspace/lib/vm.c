// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One VM's clock, from a record or live: asking the module for it, its members, and
 * how far one clock is from another.
 */
#include <stdlib.h>
#include "vm.h"

/* Enough for 60 vCPUs; a larger VM takes a second call. */
#define FIRST_BUFFER_SIZE	4096
/* A VM may gain vCPUs between two calls, but not without end. */
#define BUFFER_TRIES		8

/* A vCPU that has not run is compared with this many others, at most. */
#define SIBLINGS_MAX		256U

struct kch_vm *kch_vm_new(struct kch_handle *handle,
			  const struct kch_rec_vm *entry, uint32_t vcpu_count)
{
	struct kch_vm *vm = malloc(sizeof(*vm) + vcpu_count * sizeof(vm->vcpus[0]));

	if (!vm) {
		kch_fail(handle, -ENOMEM, "no memory for %u vCPUs", vcpu_count);
		return NULL;
	}
	vm->entry = *entry;
	vm->entry.name[sizeof(vm->entry.name) - 1] = '\0';
	vm->vcpu_count = vcpu_count;
	return vm;
}

void kch_vm_free(struct kch_vm *vm)
{
	free(vm);
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = le32_to_cpu(((const struct kch_rec_vcpu *)a)->vcpu_id);
	uint32_t y = le32_to_cpu(((const struct kch_rec_vcpu *)b)->vcpu_id);

	return (x > y) - (x < y);
}

/*
 * Takes an answer of the module apart.  The module may be of another version than
 * the library: entries have the sizes it gave, whichever version wrote the record.
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
				vm_size, vcpu_size, KCH_REC_VM_SIZE, KCH_REC_VCPU_SIZE);
	if (size < sizeof(entry))
		return kch_fail(handle, -EBADMSG, "VM entry of %zu bytes, expected at least %zu",
				size, sizeof(entry));
	memcpy(&entry, buffer, sizeof(entry));
	count = le32_to_cpu(entry.vcpu_count);
	if (count > KCH_REC_VCPUS_MAX || entry.tsc_scaling_frac_bits > 63)
		return kch_fail(handle, -EBADMSG, "VM entry with %u vCPUs and %u fraction bits",
				count, entry.tsc_scaling_frac_bits);
	if (size != vm_size + count * vcpu_size)
		return kch_fail(handle, -EBADMSG,
				"VM entry with %u vCPUs of %zu bytes, expected %zu",
				count, size, vm_size + count * vcpu_size);
	vm = kch_vm_new(handle, &entry, count);
	if (!vm)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		struct kch_rec_vcpu *vcpu = &vm->vcpus[i];

		memcpy(vcpu, buffer + vm_size + i * vcpu_size, sizeof(*vcpu));
		if (vcpu->tsc_shift < -31 || vcpu->tsc_shift > 31) {
			err = vcpu->tsc_shift;
			free(vm);
			return kch_fail(handle, -EBADMSG,
					"vCPU entry %u with shift %d, expected -31 to 31", i, err);
		}
	}
	/* Only a forged record is not in this order; kch_vm_compare() relies on it. */
	qsort(vm->vcpus, count, sizeof(vm->vcpus[0]), compare_ids);
	*result = vm;
	return 0;
}

/* Calls @request until the buffer is large enough. */
static int fetch(struct kch_handle *handle, unsigned long request, void *arg, uint32_t *buffer_size,
		 __u64 *buffer, const char *message, uint8_t **result)
{
	uint32_t size = FIRST_BUFFER_SIZE;
	uint8_t *bytes = NULL;
	int err = -ENOBUFS;
	int tries;

	for (tries = 0; tries < BUFFER_TRIES; tries++) {
		free(bytes);
		bytes = calloc(1, size);
		if (!bytes)
			return kch_fail(handle, -ENOMEM, "no memory for %u bytes", size);
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
		return kch_fail(handle, -EBADMSG, "answer of %u bytes in a buffer of %u",
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
	err = kch_check_uuid(handle, uuid);
	if (err)
		return err;
	memcpy(get.uuid, uuid, sizeof(get.uuid));
	err = fetch(handle, KCH_IOC_GET, &get, &get.buffer_size, &get.buffer, get.message, &bytes);
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
		err = kch_output(handle, "struct kch_live_info", live,
				 offsetofend(struct kch_live_info, kvm_tsc_khz),
				 &info, sizeof(info));
	}
	if (!err)
		err = parse(handle, bytes, read.buffer_size, vm);
	free(bytes);
	return err;
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
		.used = le64_to_cpu(entry->used),
	};

	memcpy(info.uuid, entry->uuid, sizeof(info.uuid));
	memcpy(info.name, entry->name, sizeof(info.name));
	return kch_output(NULL, NULL, result, offsetofend(struct kch_vm_info, pid),
			  &info, sizeof(info));
}

int kch_vm_vcpu(const struct kch_vm *vm, uint32_t index, struct kch_vcpu_info *result)
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
	return kch_output(NULL, NULL, result, offsetofend(struct kch_vcpu_info, pvclock_flags),
			  &info, sizeof(info));
}

const struct kch_rec_vcpu *kch_vm_other_khz(const struct kch_vm *vm)
{
	uint32_t i;

	for (i = 1; i < vm->vcpu_count; i++)
		if (vm->vcpus[i].virtual_tsc_khz != vm->vcpus[0].virtual_tsc_khz)
			return &vm->vcpus[i];
	return NULL;
}

static bool has_run(const struct kch_rec_vcpu *vcpu)
{
	return le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID;
}

bool kch_vm_clock(const struct kch_vm *vm, uint32_t index, struct kch_clock *clock)
{
	const struct kch_rec_vcpu *vcpu = &vm->vcpus[index];
	uint32_t khz = le32_to_cpu(vcpu->virtual_tsc_khz);
	uint32_t i;

	kch_clock_of(&vm->entry, vcpu, clock);
	if (has_run(vcpu))
		return true;
	/*
	 * KVM will give it what it gave the others of the same frequency.  A VM's vCPUs
	 * have one frequency or a few, so one of the first has it: looking through all
	 * of them for each would take quadratic time.
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
		kch_pvclock_pair(khz, &clock->tsc_to_system_mul, &clock->tsc_shift);
	return false;
}

/*
 * The live VM has no master clock: its kvmclock is known only at the instant it was
 * read.  It is compared there; its rate is that of the host's clocksource, unknown.
 */
static int compare_without_master(const struct kch_rec_vm *live, const struct kch_clock *saved,
				  uint64_t host_tsc, struct kch_vcpu_error *out)
{
	if (!live->kvmclock_slack_ns || host_tsc != le64_to_cpu(live->host_tsc))
		return -EOPNOTSUPP;
	out->slack_ns = le32_to_cpu(live->kvmclock_slack_ns);
	out->ns = (int64_t)(le64_to_cpu(live->kvmclock_ns) - kch_clock_ns(saved, host_tsc));
	out->rate_ppb = INT64_MAX;
	out->identical = 0;
	return 0;
}

int kch_vm_compare(const struct kch_vm *saved, const struct kch_vm *live, uint32_t index,
		   uint64_t host_tsc, struct kch_vcpu_error *result)
{
	struct kch_vcpu_error out = {};
	struct kch_clock saved_clock, live_clock;
	bool saved_has_run, live_has_run;
	const struct kch_rec_vcpu *same;
	struct kch_clock_error error;
	bool master_clock;
	int err;

	if (index >= saved->vcpu_count)
		return kch_error(-EINVAL);
	same = bsearch(&saved->vcpus[index], live->vcpus, live->vcpu_count,
		       sizeof(*same), compare_ids);
	if (!same)
		return kch_error(-ENOENT);
	/* A clock that is marked out of date had a master clock when it was read. */
	if (!(le32_to_cpu(saved->entry.flags) & (KCH_VM_MASTER_CLOCK | KCH_VM_STALE)))
		return kch_error(-EOPNOTSUPP);
	master_clock = le32_to_cpu(live->entry.flags) & KCH_VM_MASTER_CLOCK;
	saved_has_run = kch_vm_clock(saved, index, &saved_clock);
	live_has_run = kch_vm_clock(live, (uint32_t)(same - live->vcpus), &live_clock);
	if (!host_tsc)
		host_tsc = le64_to_cpu(live->entry.host_tsc);
	/* KVM counts cycles since the reference, unsigned: before it there is no clock. */
	if (host_tsc < saved_clock.reference_cycles ||
	    (master_clock && host_tsc < live_clock.reference_cycles))
		return kch_error(-EINVAL);
	kch_clock_compare(&saved_clock, &live_clock, host_tsc, &error);
	out.vcpu_id = le32_to_cpu(same->vcpu_id);
	/* mul and shift that KVM has yet to compute may differ from the saved ones. */
	out.identical = error.identical && (live_has_run || !saved_has_run);
	out.ns = error.ns;
	out.cycles = error.cycles;
	out.rate_ppb = error.rate_ppb;
	if (!master_clock) {
		err = compare_without_master(&live->entry, &saved_clock, host_tsc, &out);
		if (err)
			return kch_error(err);
	}
	return kch_output(NULL, NULL, result, offsetofend(struct kch_vcpu_error, rate_ppb), &out,
			  sizeof(out));
}
