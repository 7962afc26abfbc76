// SPDX-License-Identifier: LGPL-2.1-or-later
/* The host part of a record: its header. */
#include "internal.h"

static int get_header(struct kch_handle *handle, enum kch_which which,
		      struct kch_rec_header *header)
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
		return kch_fail(handle, -EBADMSG,
				"record header of %u bytes, expected at least %u",
				get.buffer_size, KCH_REC_HEADER_SIZE);
	memcpy(header, buffer, sizeof(*header));
	return 0;
}

int kch_host(struct kch_handle *handle, enum kch_which which,
	     struct kch_host_info *host)
{
	struct kch_host_info info = {};
	struct kch_rec_header header;
	int err;

	kch_start(handle);
	err = get_header(handle, which, &header);
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
	memcpy(info.kernel_release, header.kernel_release,
	       sizeof(info.kernel_release) - 1);
	memcpy(info.module_version, header.module_version,
	       sizeof(info.module_version) - 1);
	err = kch_output(host, offsetofend(struct kch_host_info, module_version),
			 &info, sizeof(info));
	if (err)
		return kch_fail(handle, err, "struct kch_host_info of %zu bytes",
				host->sz);
	return 0;
}
