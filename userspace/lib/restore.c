// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * After the kexec: giving a VM its saved clock.  What KVM's own ioctls can set
 * is set here, by the process that owns the VM; the exact clock function is
 * then set by the module.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"

/**
 * struct vcpu_state - a vCPU while it is being restored
 * @fd: its file descriptor
 * @vcpu_id: its id
 * @old_offset: its TSC offset before, cycles
 * @new_offset: its saved TSC offset, cycles
 */
struct vcpu_state {
	int fd;
	uint32_t vcpu_id;
	uint64_t old_offset;
	uint64_t new_offset;
};

/**
 * struct vm_state - a VM while it is being restored
 * @fd: its file descriptor
 * @saved: its saved clock
 * @count: vCPUs it has
 * @written: vCPUs whose offset was written, from the first
 * @clock_written: KVM_SET_CLOCK was done
 * @old_clock_ns: kvmclock before, ns
 * @old_time_ns: CLOCK_MONOTONIC_RAW when @old_clock_ns was read, ns
 * @vcpus: ascending by vcpu_id
 */
struct vm_state {
	int fd;
	struct kch_vm *saved;
	uint32_t count;
	uint32_t written;
	bool clock_written;
	uint64_t old_clock_ns;
	uint64_t old_time_ns;
	struct vcpu_state vcpus[];
};

static uint64_t raw_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int tsc_offset_ioctl(int vcpu_fd, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu_fd, request, &attr) < 0 ? -errno : 0;
}

/*
 * KVM has no ioctl to ask a vCPU for its id, but names its file after it.
 * -1: that cannot be told.
 */
static int vcpu_id_of(int fd)
{
	char path[64], target[64];
	ssize_t length;
	int id;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	return sscanf(target, "anon_inode:kvm-vcpu:%d", &id) == 1 ? id : -1;
}

static int compare_ids(const void *a, const void *b)
{
	const struct vcpu_state *x = a, *y = b;

	return (x->vcpu_id > y->vcpu_id) - (x->vcpu_id < y->vcpu_id);
}

/* Are these the vCPUs that were saved, each under its own id? */
static int match_vcpus(struct kch_handle *handle, struct vm_state *state)
{
	const struct kch_vm *saved = state->saved;
	uint32_t i;

	qsort(state->vcpus, state->count, sizeof(state->vcpus[0]), compare_ids);
	for (i = 0; i < state->count; i++) {
		const struct vcpu_state *vcpu = &state->vcpus[i];
		int id = vcpu_id_of(vcpu->fd);

		if (i && vcpu->vcpu_id == vcpu[-1].vcpu_id)
			return kch_fail(handle, -EINVAL, "vCPU %u is given twice",
					vcpu->vcpu_id);
		if (id >= 0 && (uint32_t)id != vcpu->vcpu_id)
			return kch_fail(handle, -EINVAL,
					"file descriptor %d is vCPU %d, given as vCPU %u",
					vcpu->fd, id, vcpu->vcpu_id);
	}
	for (i = 0; i < state->count && i < saved->vcpu_count; i++) {
		uint32_t id = le32_to_cpu(saved->vcpus[i].vcpu_id);

		if (state->vcpus[i].vcpu_id != id)
			return kch_fail(handle, -ELNRNG,
					"vCPU %u was saved, vCPU %u is there instead",
					id, state->vcpus[i].vcpu_id);
	}
	if (state->count != saved->vcpu_count)
		return kch_fail(handle, -ELNRNG,
				"%u vCPUs were saved, there are %u",
				saved->vcpu_count, state->count);
	return 0;
}

/* Reads what will be overwritten, and checks what KVM tells on the way. */
static int remember(struct kch_handle *handle, struct vm_state *state)
{
	struct kvm_clock_data clock = {};
	uint32_t i;

	for (i = 0; i < state->count; i++) {
		struct vcpu_state *vcpu = &state->vcpus[i];
		const struct kch_rec_vcpu *saved = &state->saved->vcpus[i];
		int err, khz;

		err = tsc_offset_ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR,
				       &vcpu->old_offset);
		if (err == -EBADF)
			return kch_fail(handle, err, "vCPU %u: %d is not an open file",
					vcpu->vcpu_id, vcpu->fd);
		if (err == -ENOTTY || err == -EINVAL)
			return kch_fail(handle, -EBADFD,
					"vCPU %u: file descriptor %d is not a vCPU",
					vcpu->vcpu_id, vcpu->fd);
		if (err == -ENXIO)
			return kch_fail(handle, -ENOSYS,
					"this kernel has no KVM_VCPU_TSC_OFFSET");
		if (err == -EIO)
			return kch_fail(handle, err,
					"vCPU %u: the VM was not made by this process, or is dead",
					vcpu->vcpu_id);
		if (err)
			return kch_fail(handle, err,
					"vCPU %u: its TSC offset cannot be read: %s",
					vcpu->vcpu_id, strerror(-err));
		vcpu->new_offset = le64_to_cpu(saved->tsc_offset);

		khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
		if (khz > 0 && (uint32_t)khz != le32_to_cpu(saved->virtual_tsc_khz))
			return kch_fail(handle, -ERANGE,
					"vCPU %u has a TSC of %d kHz, %u kHz was saved: the frequency must be set before vCPUs are made",
					vcpu->vcpu_id, khz,
					le32_to_cpu(saved->virtual_tsc_khz));
	}
	if (ioctl(state->fd, KVM_GET_CLOCK, &clock) < 0)
		return kch_fail(handle, -errno, "KVM_GET_CLOCK: %s",
				strerror(errno));
	state->old_clock_ns = clock.clock;
	state->old_time_ns = raw_time_ns();
	return 0;
}

static int set_clock(int vm_fd, uint64_t clock_ns)
{
	struct kvm_clock_data clock = { .clock = clock_ns };

	return ioctl(vm_fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

/*
 * The first writes.  One and the same offset on all vCPUs, written one after
 * the other, keeps their TSCs matched in KVM's eyes, and KVM_SET_CLOCK then
 * takes a master clock reference at once; without it KVM would do that at the
 * first KVM_RUN, and undo the restore.
 */
static int write_all(struct kch_handle *handle, struct vm_state *state)
{
	struct kch_clock clock;
	uint32_t i;
	int err;

	for (i = 0; i < state->count; i++) {
		struct vcpu_state *vcpu = &state->vcpus[i];

		state->written = i + 1;
		err = tsc_offset_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR,
				       &vcpu->new_offset);
		if (err)
			return kch_fail(handle, err,
					"vCPU %u: its TSC offset cannot be set: %s",
					vcpu->vcpu_id, strerror(-err));
	}
	kch_vm_clock(state->saved, 0, &clock);
	state->clock_written = true;
	err = set_clock(state->fd,
			kch_clock_ns(&clock, __builtin_ia32_rdtsc()));
	if (err)
		return kch_fail(handle, err, "KVM_SET_CLOCK: %s", strerror(-err));
	return 0;
}

/* Puts back what was there.  Says so if it cannot, and goes on. */
static void write_back(struct kch_handle *handle, struct vm_state *state)
{
	uint32_t i;
	int err;

	for (i = 0; i < state->written; i++) {
		struct vcpu_state *vcpu = &state->vcpus[i];

		err = tsc_offset_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR,
				       &vcpu->old_offset);
		if (err)
			kch_also(handle, "; vCPU %u's old TSC offset could not be put back: %s",
				 vcpu->vcpu_id, strerror(-err));
	}
	if (!state->clock_written)
		return;
	err = set_clock(state->fd, state->old_clock_ns + raw_time_ns() -
				   state->old_time_ns);
	if (err)
		kch_also(handle, "; the VM's old clock could not be put back: %s",
			 strerror(-err));
}

static int ask_module(struct kch_handle *handle, int vm_fd,
		      const uint8_t uuid[KCH_UUID_SIZE],
		      const struct kch_restore_opts *opts, uint32_t flags,
		      struct kch_restore_result *result)
{
	struct kch_restore restore = {
		.size = sizeof(restore),
		.flags = opts->flags | flags,
		.vm_fd = vm_fd,
		.mode = opts->mode ? opts->mode : KCH_MODE_IDENTICAL,
		.vcpu_id = -1,
	};
	int err;

	memcpy(restore.uuid, uuid, sizeof(restore.uuid));
	err = kch_ioctl(handle, KCH_IOC_RESTORE, &restore, restore.message);
	result->mode = err ? KCH_MODE_NONE : restore.mode;
	result->vcpu_id = restore.vcpu_id;
	result->host_tsc = restore.host_tsc;
	result->error_ns = restore.error_ns;
	result->error_cycles = restore.error_cycles;
	result->error_rate_ppb = restore.error_rate_ppb;
	result->rebase_rate_ppb = restore.rebase_rate_ppb;
	result->blackout_ns = restore.blackout_ns;
	result->found = restore.found;
	result->expected = restore.expected;
	return err;
}

static int restore_vcpus(struct kch_handle *handle, struct vm_state *state,
			 const uint8_t uuid[KCH_UUID_SIZE],
			 const struct kch_restore_opts *opts,
			 struct kch_restore_result *result)
{
	int err;

	err = match_vcpus(handle, state);
	if (err)
		return err;
	err = remember(handle, state);
	if (err)
		return err;
	/*
	 * All other refusals of the module are better had before the first
	 * write.  These two are what the writes are for.
	 */
	err = ask_module(handle, state->fd, uuid, opts, KCH_RESTORE_CHECK, result);
	if (err && err != -EL2NSYNC && err != -EOPNOTSUPP)
		return err;
	if (opts->flags & KCH_RESTORE_CHECK) {
		kch_start(handle);
		return 0;
	}
	err = write_all(handle, state);
	if (!err)
		err = ask_module(handle, state->fd, uuid, opts, 0, result);
	if (err)
		write_back(handle, state);
	else
		kch_start(handle);
	return err;
}

static int restore_with(struct kch_handle *handle, int vm_fd,
			const struct kch_vcpu_fd *vcpus, size_t count,
			const uint8_t uuid[KCH_UUID_SIZE],
			const struct kch_restore_opts *opts,
			struct kch_restore_result *result)
{
	struct vm_state *state;
	size_t i;
	int err;

	if (!count || count > KCH_REC_VCPUS_MAX)
		return kch_fail(handle, -EINVAL, "%zu vCPUs, expected 1 to %u",
				count, KCH_REC_VCPUS_MAX);
	state = calloc(1, sizeof(*state) + count * sizeof(state->vcpus[0]));
	if (!state)
		return kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	state->fd = vm_fd;
	state->count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		state->vcpus[i].fd = vcpus[i].fd;
		state->vcpus[i].vcpu_id = vcpus[i].vcpu_id;
	}
	err = kch_vm_get(handle, KCH_INCOMING, uuid, &state->saved);
	if (!err)
		err = restore_vcpus(handle, state, uuid, opts, result);
	kch_vm_free(state->saved);
	free(state);
	return kch_error(err);
}

int kch_vm_restore(struct kch_handle *handle, int vm_fd,
		   const struct kch_vcpu_fd *vcpus, size_t count,
		   const uint8_t uuid[KCH_UUID_SIZE],
		   const struct kch_restore_opts *opts,
		   struct kch_restore_result *result)
{
	const size_t result_min = offsetofend(struct kch_restore_result, expected);
	struct kch_restore_result out = { .vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	int err;

	kch_start(handle);
	err = kch_options(opts, offsetofend(struct kch_restore_opts, mode),
			  &restore_opts, sizeof(restore_opts));
	if (err)
		return kch_fail(handle, err, "struct kch_restore_opts is %s",
				err == -E2BIG ? "of a newer version" : "too short");
	/* Now, not when everything was written. */
	if (result && result->sz < result_min)
		return kch_fail(handle, -EINVAL,
				"struct kch_restore_result of %zu bytes, expected at least %zu",
				result->sz, result_min);
	if (!vcpus && count)
		return kch_fail(handle, -EINVAL, "%zu vCPUs at no address", count);
	if (vcpus)
		err = restore_with(handle, vm_fd, vcpus, count, uuid,
				   &restore_opts, &out);
	else
		err = ask_module(handle, vm_fd, uuid, &restore_opts, 0, &out);
	if (result)
		kch_output(result, result_min, &out, sizeof(out));
	/* kch_output() cannot fail here, but sets errno when it would. */
	return err ? kch_error(err) : 0;
}
