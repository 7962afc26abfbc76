// SPDX-License-Identifier: LGPL-2.1-or-later
/* The device handle: opening, ioctls, messages. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "internal.h"

int kch_error(int err)
{
	errno = -err;
	return err;
}

int kch_fail(struct kch_handle *handle, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(handle->message, sizeof(handle->message), format, args);
	va_end(args);
	return kch_error(err);
}

void kch_start(struct kch_handle *handle)
{
	handle->message[0] = '\0';
}

void kch_also(struct kch_handle *handle, const char *format, ...)
{
	size_t used = strlen(handle->message);
	va_list args;

	va_start(args, format);
	vsnprintf(handle->message + used, sizeof(handle->message) - used,
		  format, args);
	va_end(args);
}

/* A clock's descriptor has that one clock; the device has all else, if it is there. */
static int fd_for(const struct kch_handle *handle, unsigned long request)
{
	switch (request) {
	case KCH_IOC_GET:
	case KCH_IOC_RESTORE:
	case KCH_IOC_WAIT:
		return handle->clock_fd ? handle->clock_fd : handle->fd;
	case KCH_IOC_INFO:
		return handle->fd < 0 && handle->clock_fd ? handle->clock_fd :
							    handle->fd;
	default:
		return handle->fd;
	}
}

int kch_ioctl(struct kch_handle *handle, unsigned long request, void *arg,
	      const char *message)
{
	int fd = fd_for(handle, request);
	int err;

	if (fd < 0)
		return kch_fail(handle, -ENOTTY, handle->clock_fd ?
				"this handle is of one clock, without the device" :
				"this handle is without the module");
	if (kch_call(fd, request, arg) >= 0)
		return 0;
	err = -errno;
	if (message[0])
		return kch_fail(handle, err, "%.*s", KCH_MESSAGE_SIZE - 1,
				message);
	return kch_fail(handle, err, "%s", strerror(-err));
}

struct kch_handle *kch_open(const struct kch_open_opts *opts)
{
	struct kch_info info = { .size = sizeof(info) };
	struct kch_open_opts open_opts;
	struct kch_handle *handle;
	int err;

	err = kch_options(opts, offsetofend(struct kch_open_opts, device),
			  &open_opts, sizeof(open_opts));
	if (err)
		return NULL;
	if (open_opts.reserved || open_opts.clock_fd < 0) {
		errno = EINVAL;
		return NULL;
	}
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return NULL;
	handle->clock_fd = open_opts.clock_fd;
	handle->fd = open(open_opts.device ? open_opts.device : KCH_DEVICE,
			  O_RDWR | O_CLOEXEC);
	/* Who was given a clock may have no more than that. */
	if (handle->fd < 0 && (!handle->clock_fd || open_opts.device)) {
		err = errno;
		free(handle);
		errno = err;
		return NULL;
	}
	/* Tells at once a file that is not the device from one that is. */
	err = kch_info(handle, &info);
	if (err) {
		kch_close(handle);
		errno = -err;
		return NULL;
	}
	handle->rec_vm_size = info.rec_vm_size;
	handle->rec_vcpu_size = info.rec_vcpu_size;
	return handle;
}

void kch_close(struct kch_handle *handle)
{
	if (!handle)
		return;
	if (handle->fd >= 0)
		close(handle->fd);
	free(handle);
}

int kch_clock_fd(struct kch_handle *handle, int vm_fd,
		 const uint8_t uuid[KCH_UUID_SIZE], const char *name)
{
	struct kch_clock_fd clock = { .size = sizeof(clock), .vm_fd = vm_fd };
	int err;

	kch_start(handle);
	memcpy(clock.uuid, uuid, sizeof(clock.uuid));
	if (name) {
		if (strlen(name) >= sizeof(clock.name))
			return kch_fail(handle, -ENAMETOOLONG,
					"name of %zu bytes, expected at most %zu",
					strlen(name), sizeof(clock.name) - 1);
		memcpy(clock.name, name, strlen(name));
	}
	err = kch_ioctl(handle, KCH_IOC_CLOCK_FD, &clock, clock.message);
	return err ? err : clock.fd;
}

int kch_fd(const struct kch_handle *handle)
{
	return handle->fd;
}

const char *kch_last_message(const struct kch_handle *handle)
{
	return handle->message;
}

int kch_info(struct kch_handle *handle, struct kch_info *info)
{
	/*
	 * Not the structure's own message: that is the state of the record,
	 * and may be set when the ioctl itself is refused.
	 */
	kch_start(handle);
	return kch_ioctl(handle, KCH_IOC_INFO, info, "");
}

int kch_list(struct kch_handle *handle, enum kch_which which,
	     size_t entry_size, struct kch_entry **entries, uint32_t *count)
{
	struct kch_list list = {
		.size = sizeof(list),
		.which = which,
		.entry_size = (uint32_t)entry_size,
	};
	void *array = NULL;
	int err;

	kch_start(handle);
	*entries = NULL;
	*count = 0;
	/* The list may grow between being asked for its length and read. */
	while (true) {
		uint32_t room = list.count;

		list.entries = (uintptr_t)array;
		err = kch_ioctl(handle, KCH_IOC_LIST, &list, list.message);
		if (!err && list.count <= room)
			break;
		if ((err && err != -ENOBUFS) || list.count <= room) {
			free(array);
			return kch_error(err);
		}
		free(array);
		array = calloc(list.count, entry_size);
		if (!array)
			return kch_fail(handle, -ENOMEM, "no memory for %u entries",
					list.count);
	}
	kch_start(handle);
	if (list.count == 0) {
		free(array);
		return 0;
	}
	*entries = array;
	*count = list.count;
	return 0;
}

int kch_finish(struct kch_handle *handle, uint32_t flags, uint32_t *restored,
	       uint32_t *left)
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
