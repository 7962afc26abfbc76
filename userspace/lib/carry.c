// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * To another host, or to the same one after its TSC was reset: a clock as bytes, which the
 * VMM carries with the guest's other state, and the way back.
 *
 * The bytes have kvmclock at a wall clock, and each vCPU's TSC at that kvmclock.  On the other
 * side they become a record of that host: the saved clock, moved to where it is now on that
 * host's TSC.  It is then restored as any other.
 */
#include <inttypes.h>
#include <kvmclock-handover-stock.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "check.h"
#include "kvm.h"
#include "place.h"
#include "policy.h"
#include "restore.h"
#include "slots.h"
#include "stock.h"
#include "wall.h"
#include "weaker.h"

/* A record of this host with that one VM, whose vCPUs are behind the entry. */
static int write_record(struct kch_handle *handle, struct kch_vm *vm, uint32_t host_khz,
			void *buffer, size_t size)
{
	struct kch_rec_header header;
	int err;

	kch_rec_entry_close(&vm->entry);
	kch_fill_header(&header, host_khz);
	err = kch_record_write(buffer, size, &header, &vm->entry,
			       kch_rec_entry_size(vm->vcpu_count), 1);
	return err ? kch_fail(handle, err, "%s", strerror(-err)) : 0;
}

/* By the module, of any process's VM. */
static int export_live(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE],
		       const char name[KCH_NAME_SIZE], void *buffer, size_t *size)
{
	struct kch_live_info live = { .sz = sizeof(live) };
	struct kch_message message;
	size_t room = *size;
	struct kch_vm *vm;
	int err;

	err = kch_vm_read(handle, vm_fd, &vm, &live);
	if (err)
		return err;
	memcpy(vm->entry.uuid, uuid, sizeof(vm->entry.uuid));
	memcpy(vm->entry.name, name, sizeof(vm->entry.name));
	*size = sizeof(struct kch_rec_header) + kch_rec_entry_size(vm->vcpu_count);
	err = kch_entry_exact(&vm->entry, &message);
	if (room < *size)
		err = kch_fail(handle, -ENOBUFS, "%zu bytes, needed are %zu", room, *size);
	else if (err)
		kch_fail(handle, err, "%s%s", message.text, err == -EOPNOTSUPP ?
			 "; only its VMM can export it, by the guest's pages" : "");
	else if (!kch_clock_fill_pairs(&vm->entry, live.kvm_tsc_khz))
		err = kch_fail(handle, -ENODATA, "no vCPU of the VM has run, and KVM does not say its frequency");
	else
		err = write_record(handle, vm, live.kvm_tsc_khz, buffer, *size);
	kch_vm_free(vm);
	return err;
}

int kch_export(struct kch_handle *handle, int vm_fd, const struct kch_stock_vcpu *vcpus,
	       size_t count, const uint8_t uuid[KCH_UUID_SIZE], const char *name, void *buffer,
	       size_t *size)
{
	char name_bytes[KCH_NAME_SIZE];
	int err;

	if (vcpus)
		return kch_stock_save(handle, vm_fd, vcpus, count, uuid, name, buffer, size);
	kch_start(handle);
	err = kch_check_uuid(handle, uuid);
	if (!err)
		err = kch_copy_name(handle, name_bytes, name);
	return err ? err : export_live(handle, vm_fd, uuid, name_bytes, buffer, size);
}

static int check_khz(struct kch_handle *handle, const struct kch_rec_vcpu *vcpu, uint32_t khz)
{
	if (le32_to_cpu(vcpu->virtual_tsc_khz) == khz)
		return 0;
	return kch_fail(handle, -ERANGE,
			"vCPU %u has a TSC of %u kHz, saved was one of %u kHz: the frequency must be set before vCPUs are made",
			le32_to_cpu(vcpu->vcpu_id), le32_to_cpu(vcpu->virtual_tsc_khz), khz);
}

/* What the vCPUs' TSCs are scaled by here, in the entry of *@here: as the module reads it, */
static int read_ratios(struct kch_handle *handle, int vm_fd, const struct kch_vm *saved,
		       struct kch_vm **here)
{
	int err = kch_vm_read(handle, vm_fd, here, NULL);
	uint32_t i;

	for (i = 0; !err && i < saved->vcpu_count && i < (*here)->vcpu_count; i++)
		err = check_khz(handle, &(*here)->vcpus[i],
				le32_to_cpu(saved->vcpus[i].virtual_tsc_khz));
	return err;
}

/* or as KVM computes it. */
static int compute_ratios(struct kch_handle *handle, int vm_fd, const struct kch_vm *saved,
			  uint32_t host_khz, struct kch_vm **result)
{
	uint8_t frac_bits = kch_frac_bits(vm_fd);
	struct kch_vm *here = kch_vm_new(handle, &saved->entry, saved->vcpu_count);
	uint32_t i, khz;

	*result = here;
	if (!here)
		return -ENOMEM;
	here->entry.tsc_scaling_frac_bits = frac_bits;
	for (i = 0; i < saved->vcpu_count; i++) {
		here->vcpus[i] = saved->vcpus[i];
		khz = le32_to_cpu(saved->vcpus[i].virtual_tsc_khz);
		if (!frac_bits && !kch_khz_is_unscaled(khz, host_khz))
			return kch_fail(handle, -ERANGE,
					"vCPU %u has a TSC of %u kHz, this host has one of %u kHz, and its CPU cannot scale it: the guest's TSC would have another frequency",
					le32_to_cpu(saved->vcpus[i].vcpu_id), khz, host_khz);
		here->vcpus[i].tsc_scaling_ratio =
			cpu_to_le64(kch_ratio(khz, host_khz, frac_bits));
	}
	return 0;
}

/* The saved clock becomes one of this host. */
static int place(struct kch_handle *handle, int vm_fd, const struct kch_rec_header *header,
		 struct kch_vm *vm, uint32_t host_khz, const struct kch_restore_opts *opts,
		 struct kch_restore_result *result)
{
	struct kch_message message = {};
	struct kch_passed passed;
	struct kch_wall now;
	uint32_t goes_on_ms;
	struct kch_vm *here = NULL;
	int64_t error_ns;
	int err;

	err = kch_policy_ms(opts->policy, opts->limit_ms, KCH_GOES_ON, &goes_on_ms, &message);
	if (err)
		return kch_fail(handle, err, "%s", message.text);
	kch_policy_of(goes_on_ms, &result->policy, &result->limit_ms);
	kch_wall_now(&now);
	/* Where all of it is hidden, no wall clock matters. */
	err = kch_wall_passed(handle, header, &now,
			      opts->flags & KCH_RESTORE_ANY_WALL || !goes_on_ms, &passed);
	if (err && goes_on_ms)
		return err;
	kch_start(handle);
	result->hidden_ns = kch_policy_hidden_ns(goes_on_ms, passed.ns);
	result->elapsed_ns = passed.ns - result->hidden_ns;
	result->by_tai = passed.tai;
	err = handle->fd < 0 ? -ENXIO : read_ratios(handle, vm_fd, vm, &here);
	/* A module that does not understand this KVM leaves weaker modes. */
	if (err == -ENXIO || err == -ELIBBAD) {
		kch_start(handle);
		err = compute_ratios(handle, vm_fd, vm, host_khz, &here);
	}
	if (!err) {
		struct kch_place to = {
			.here = &here->entry,
			.host_tsc = now.host_tsc,
			.elapsed_ns = result->elapsed_ns,
		};

		err = kch_entry_place(&vm->entry, le64_to_cpu(header->host_tsc), &to, &error_ns,
				      &message);
		if (err)
			kch_fail(handle, err, "%s", message.text);
	}
	kch_vm_free(here);
	if (err)
		return err;
	result->wall_bound_ns = goes_on_ms ? passed.bound_ns : 0;
	if (result->wall_bound_ns != UINT64_MAX)
		result->wall_bound_ns += kch_magnitude(error_ns);
	/* Of the next host, it is a clock that was just read. */
	vm->entry.used = 0;
	return 0;
}

/* The module's descriptor of that clock, as of one in a record of this host; or an errno. */
static int open_clock(struct kch_handle *handle, struct kch_vm *vm, uint32_t host_khz)
{
	size_t size = sizeof(struct kch_rec_header) + kch_rec_entry_size(vm->vcpu_count);
	struct kch_clock_fd clock = { .size = sizeof(clock), .vm_fd = -1, .fd = -1 };
	void *record = calloc(1, size);
	int err = record ? write_record(handle, vm, host_khz, record, size) :
			   kch_fail(handle, -ENOMEM, "no memory for %zu bytes", size);

	if (!err) {
		clock.record = (uintptr_t)record;
		clock.record_bytes = (uint32_t)size;
		memcpy(clock.uuid, vm->entry.uuid, sizeof(clock.uuid));
		err = kch_ioctl(handle, KCH_IOC_CLOCK_FD, &clock, clock.message);
	}
	free(record);
	return err ? err : clock.fd;
}

static int import_by_module(struct kch_handle *handle, int vm_fd, struct kch_vm *vm,
			    uint32_t host_khz, const struct kch_restore_opts *opts,
			    struct kch_restore_result *result)
{
	struct kch_restore restore = {
		.size = sizeof(restore),
		.flags = opts->flags & KCH_RESTORE_CHECK,
		.vm_fd = vm_fd,
		.mode = KCH_MODE_IDENTICAL,
		.outcome.vcpu_id = -1,
		.policy = KCH_POLICY_CONTINUE,
	};
	int fd = open_clock(handle, vm, host_khz), err = 0;

	if (fd < 0)
		return fd;
	memcpy(restore.uuid, vm->entry.uuid, sizeof(restore.uuid));
	if (kch_call(fd, KCH_IOC_RESTORE, &restore) < 0)
		err = kch_fail(handle, -errno, "%s", restore.message[0] ? restore.message :
								 strerror(errno));
	close(fd);
	result->outcome = restore.outcome;
	return err;
}

/* Reads the bytes, and makes them a clock of this host. */
static int take(struct kch_handle *handle, int vm_fd, const void *buffer, size_t size,
		const struct kch_restore_opts *opts, struct kch_vm **vm, uint32_t *host_khz,
		struct kch_restore_result *result)
{
	struct kch_rec_header header;
	int err;

	*vm = NULL;
	if (opts->flags & ~KCH_IMPORT_FLAGS || !strcmp(kch_mode_name(opts->mode), "unknown"))
		return kch_fail(handle, -EINVAL, "flags %#x, or mode %u: not of an import",
				opts->flags, opts->mode);
	/* Between two hosts there is no blackout by one TSC. */
	if (opts->blackout_ms_max)
		return kch_fail(handle, -EINVAL, "blackout_ms_max is %u, expected 0 for an import",
				opts->blackout_ms_max);
	err = kch_stock_parse(handle, buffer, size, &header, vm);
	if (!err)
		err = kch_kvm_khz(handle, host_khz);
	return err ? err : place(handle, vm_fd, &header, *vm, *host_khz, opts, result);
}

int kch_import_fd(struct kch_handle *handle, int vm_fd, const void *buffer, size_t size,
		  const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	struct kch_restore_result out = { .outcome.vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	struct kch_vm *vm;
	uint32_t host_khz;
	int fd;

	kch_start(handle);
	fd = kch_restore_opts_read(handle, opts, result, &restore_opts);
	if (fd)
		return fd;
	fd = take(handle, vm_fd, buffer, size, &restore_opts, &vm, &host_khz, &out);
	if (!fd)
		fd = open_clock(handle, vm, host_khz);
	kch_vm_free(vm);
	kch_restore_output(result, &out, fd < 0 ? fd : 0);
	return fd;
}

int kch_import(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus, size_t count,
	       const void *buffer, size_t size, const struct kch_restore_opts *opts,
	       struct kch_restore_result *result)
{
	struct kch_restore_result out = { .outcome.vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	bool module = handle->fd >= 0;
	char why[KCH_MESSAGE_SIZE];
	uint32_t host_khz, mode;
	struct kch_vm *vm;
	int err, refusal = 0;

	kch_start(handle);
	err = kch_restore_opts_read(handle, opts, result, &restore_opts);
	if (err)
		return err;
	mode = restore_opts.mode ? restore_opts.mode :
	       module ? KCH_MODE_IDENTICAL : KCH_MODE_CONVERGED;
	err = take(handle, vm_fd, buffer, size, &restore_opts, &vm, &host_khz, &out);
	if (!err && module) {
		refusal = import_by_module(handle, vm_fd, vm, host_khz, &restore_opts, &out);
		if (!refusal || mode == KCH_MODE_IDENTICAL || !kch_leaves_weaker_modes(refusal)) {
			kch_vm_free(vm);
			return kch_restore_output(result, &out, refusal);
		}
	}
	snprintf(why, sizeof(why), "%.*s", KCH_MESSAGE_SIZE - 1, handle->message);
	if (!err)
		err = kch_restore_weaker(handle, vm_fd, vcpus, count, vm, true, mode,
					 &restore_opts, kch_note_given, &out);
	kch_vm_free(vm);
	if (err && refusal)
		kch_also(handle, "; the module: %s", why);
	else if (refusal)
		kch_went_weaker(handle, &restore_opts, refusal, why, &out);
	return kch_restore_output(result, &out, err);
}
