// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Public functions that are one ioctl of the device each: saving a VM, a clock's
 * descriptor, the list of a record's VMs, the record's header, added vCPUs, the end.
 */
#include <stdlib.h>
#include <linux/kvmclock_handover_record.h>
#include "device.h"
#include "handle.h"

int kch_vm_save(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE],
		const char *name, const struct kch_save_opts *opts)
{
	struct kch_preserve preserve = {
		.size = sizeof(preserve),
		.vm_fd = vm_fd,
	};
	struct kch_save_opts save_opts;
	int err;

	kch_start(handle);
	err = kch_options(handle, "struct kch_save_opts", opts,
			  offsetofend(struct kch_save_opts, reserved), &save_opts,
			  sizeof(save_opts));
	if (!err)
		err = kch_copy_name(handle, preserve.name, name);
	if (err)
		return err;
	if (save_opts.reserved)
		return kch_fail(handle, -EINVAL, "struct kch_save_opts: reserved is not zero");
	preserve.flags = save_opts.flags;
	memcpy(preserve.uuid, uuid, sizeof(preserve.uuid));
	err = kch_ioctl(handle, KCH_IOC_PRESERVE, &preserve, preserve.message);
	/* The message then tells of a VM that is gone and was replaced. */
	if (!err)
		snprintf(handle->message, sizeof(handle->message), "%.*s",
			 KCH_MESSAGE_SIZE - 1, preserve.message);
	return err;
}

int kch_vm_unsave(struct kch_handle *handle, const uint8_t uuid[KCH_UUID_SIZE])
{
	struct kch_unpreserve unpreserve = { .size = sizeof(unpreserve) };

	kch_start(handle);
	memcpy(unpreserve.uuid, uuid, sizeof(unpreserve.uuid));
	return kch_ioctl(handle, KCH_IOC_UNPRESERVE, &unpreserve, unpreserve.message);
}

int kch_clock_fd(struct kch_handle *handle, int vm_fd,
		 const uint8_t uuid[KCH_UUID_SIZE], const char *name)
{
	struct kch_clock_fd clock = { .size = sizeof(clock), .vm_fd = vm_fd };
	int err;

	kch_start(handle);
	err = kch_copy_name(handle, clock.name, name);
	if (err)
		return err;
	memcpy(clock.uuid, uuid, sizeof(clock.uuid));
	err = kch_ioctl(handle, KCH_IOC_CLOCK_FD, &clock, clock.message);
	return err ? err : clock.fd;
}

int kch_list(struct kch_handle *handle, enum kch_which which, size_t entry_size,
	     struct kch_entry **entries, uint32_t *count)
{
	struct kch_list list = {
		.size = sizeof(list),
		.which = which,
		.entry_size = (uint32_t)entry_size,
	};
	void *array = NULL;
	uint32_t room;
	int err;

	kch_start(handle);
	*entries = NULL;
	*count = 0;
	/* The list may grow between being asked for its length and read. */
	do {
		room = list.count;
		free(array);
		array = calloc(room, entry_size);
		if (!array && room)
			return kch_fail(handle, -ENOMEM, "no memory for %u entries", room);
		list.entries = (uintptr_t)array;
		err = kch_ioctl(handle, KCH_IOC_LIST, &list, list.message);
	} while (list.count > room && (!err || err == -ENOBUFS));
	if (err || !list.count) {
		free(array);
		array = NULL;
	}
	if (err)
		return kch_error(err);
	kch_start(handle);
	*entries = array;
	*count = list.count;
	return 0;
}

int kch_header(struct kch_handle *handle, enum kch_which which, struct kch_rec_header *header)
{
	uint8_t buffer[KCH_REC_SIZE_MAX] = {};
	struct kch_get get = {
		.size = sizeof(get),
		.which = which,
		.buffer_size = sizeof(buffer),
		.buffer = (uintptr_t)buffer,
	};
	int err;

	err = kch_ioctl(handle, KCH_IOC_GET, &get, get.message);
	if (err)
		return err;
	if (get.buffer_size < KCH_REC_HEADER_SIZE)
		return kch_fail(handle, -EBADMSG, "record header of %u bytes, expected at least %u",
				get.buffer_size, KCH_REC_HEADER_SIZE);
	memcpy(header, buffer, sizeof(*header));
	return 0;
}

int kch_host(struct kch_handle *handle, enum kch_which which, struct kch_host_info *host)
{
	struct kch_host_info info = {};
	struct kch_rec_header header;
	int err;

	kch_start(handle);
	err = kch_header(handle, which, &header);
	if (err)
		return err;
	info.vm_count = le32_to_cpu(header.vm_count);
	info.sealed = !!(le32_to_cpu(header.flags) & KCH_REC_SEALED);
	info.sequence = le64_to_cpu(header.sequence);
	info.generation = le64_to_cpu(header.generation);
	info.host_tsc = le64_to_cpu(header.host_tsc);
	info.realtime_ns = le64_to_cpu(header.realtime_ns);
	info.tai_ns = le64_to_cpu(header.tai_ns);
	info.boottime_ns = le64_to_cpu(header.boottime_ns);
	info.raw_ns = le64_to_cpu(header.raw_ns);
	info.tsc_khz = le32_to_cpu(header.tsc_khz);
	info.kvm_tsc_khz = le32_to_cpu(header.kvm_tsc_khz);
	info.tsc_source = le32_to_cpu(header.tsc_source);
	info.cpu_signature = le32_to_cpu(header.cpu_signature);
	memcpy(info.boot_id, header.boot_id, sizeof(info.boot_id));
	memcpy(info.machine_id, header.machine_id, sizeof(info.machine_id));
	memcpy(info.cpu_vendor, header.cpu_vendor, sizeof(header.cpu_vendor));
	memcpy(info.kernel_release, header.kernel_release, sizeof(info.kernel_release) - 1);
	memcpy(info.module_version, header.module_version, sizeof(info.module_version) - 1);
	info.wall_maxerror_us = le32_to_cpu(header.wall_maxerror_us);
	info.wall_flags = le32_to_cpu(header.wall_flags);
	return kch_output(handle, "struct kch_host_info", host,
			  offsetofend(struct kch_host_info, module_version), &info, sizeof(info));
}

int kch_finish(struct kch_handle *handle, uint32_t flags, uint32_t *restored, uint32_t *left)
{
	struct kch_finish finish = { .size = sizeof(finish), .flags = flags };
	int err;

	kch_start(handle);
	err = kch_ioctl(handle, KCH_IOC_FINISH, &finish, finish.message);
	if (restored)
		*restored = finish.restored;
	if (left)
		*left = finish.left;
	return err;
}

int kch_vm_adopt(struct kch_handle *handle, int vm_fd, uint32_t *adopted)
{
	struct kch_adopt adopt = { .size = sizeof(adopt), .vm_fd = vm_fd };
	int err;

	kch_start(handle);
	err = kch_ioctl(handle, KCH_IOC_ADOPT, &adopt, adopt.message);
	if (adopted)
		*adopted = adopt.adopted;
	return err;
}
