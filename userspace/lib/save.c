// SPDX-License-Identifier: LGPL-2.1-or-later
/* Before the kexec: putting VMs into the record. */
#include "internal.h"

int kch_vm_save(struct kch_handle *handle, int vm_fd,
		const uint8_t uuid[KCH_UUID_SIZE], const char *name,
		const struct kch_save_opts *opts)
{
	struct kch_preserve preserve = {
		.size = sizeof(preserve),
		.vm_fd = vm_fd,
	};
	struct kch_save_opts save_opts;
	int err;

	kch_start(handle);
	err = kch_options(opts, offsetofend(struct kch_save_opts, reserved),
			  &save_opts, sizeof(save_opts));
	if (err)
		return kch_fail(handle, err, "struct kch_save_opts is %s",
				err == -E2BIG ? "of a newer version" : "too short");
	if (save_opts.reserved)
		return kch_fail(handle, -EINVAL,
				"struct kch_save_opts: reserved is not zero");
	preserve.flags = save_opts.flags;
	memcpy(preserve.uuid, uuid, sizeof(preserve.uuid));
	if (name) {
		if (strlen(name) >= sizeof(preserve.name))
			return kch_fail(handle, -ENAMETOOLONG,
					"name of %zu bytes, expected at most %zu",
					strlen(name), sizeof(preserve.name) - 1);
		memcpy(preserve.name, name, strlen(name));
	}
	err = kch_ioctl(handle, KCH_IOC_PRESERVE, &preserve, preserve.message);
	/* It may have taken the place of one that is gone. */
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
	return kch_ioctl(handle, KCH_IOC_UNPRESERVE, &unpreserve,
			 unpreserve.message);
}
