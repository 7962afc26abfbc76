// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The handle: opening and closing it, ioctls through it, the message of the last
 * call.  And what public functions do with their arguments: structures that grow,
 * the options of a restore, names and ids.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kvmclock-handover-stock.h>
#include "forged.h"
#include "handle.h"

/* Bytes of struct kch_restore_result in its first version. */
#define RESULT_MIN	offsetofend(struct kch_restore_result, outcome)

void kch_start(struct kch_handle *handle)
{
	handle->message[0] = '\0';
}

int kch_error(int err)
{
	errno = -err;
	return err;
}

int kch_fail(struct kch_handle *handle, int err, const char *format, ...)
{
	va_list args;

	if (!handle)
		return kch_error(err);
	va_start(args, format);
	vsnprintf(handle->message, sizeof(handle->message), format, args);
	va_end(args);
	return kch_error(err);
}

void kch_also(struct kch_handle *handle, const char *format, ...)
{
	size_t used = strlen(handle->message);
	va_list args;

	va_start(args, format);
	vsnprintf(handle->message + used, sizeof(handle->message) - used, format, args);
	va_end(args);
}

/*
 * Some ioctls end with EINTR for any signal.  KVM_CREATE_VM is one, and it walks the
 * process's mappings first: under a timer it may never finish.  So only the first try
 * is made with signals enabled.
 */
int kch_call(int fd, unsigned long request, void *arg)
{
	sigset_t all, old;
	int result, err;

	result = ioctl(fd, request, arg);
	if (result >= 0 || errno != EINTR)
		return result;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	do
		result = ioctl(fd, request, arg);
	while (result < 0 && errno == EINTR);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = err;
	return result;
}

/* One VM's clock is asked through its own descriptor, if there is one; all else the device. */
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

int kch_ioctl(struct kch_handle *handle, unsigned long request, void *arg, const char *message)
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
		return kch_fail(handle, err, "%.*s", KCH_MESSAGE_SIZE - 1, message);
	return kch_fail(handle, err, "%s", strerror(-err));
}

int kch_options(struct kch_handle *handle, const char *name, const void *from,
		size_t min, void *to, size_t size)
{
	const uint8_t *bytes = from;
	size_t from_size, i;

	memset(to, 0, size);
	if (!from)
		return 0;
	memcpy(&from_size, from, sizeof(from_size));
	if (from_size < min)
		return kch_fail(handle, -EINVAL, "%s of %zu bytes, expected at least %zu", name,
				from_size, min);
	for (i = size; i < from_size; i++)
		if (bytes[i])
			return kch_fail(handle, -E2BIG, "%s is of a newer version", name);
	memcpy(to, from, from_size < size ? from_size : size);
	return 0;
}

int kch_output(struct kch_handle *handle, const char *name, void *to, size_t min,
	       const void *from, size_t size)
{
	size_t to_size;

	memcpy(&to_size, to, sizeof(to_size));
	if (to_size < min)
		return kch_fail(handle, -EINVAL, "%s of %zu bytes, expected at least %zu", name,
				to_size, min);
	memset(to, 0, to_size);
	memcpy(to, from, to_size < size ? to_size : size);
	memcpy(to, &to_size, sizeof(to_size));
	return 0;
}

int kch_restore_opts_read(struct kch_handle *handle, const struct kch_restore_opts *opts,
			  struct kch_restore_result *result, struct kch_restore_opts *to)
{
	static const struct kch_restore_result none = { .outcome.vcpu_id = -1 };
	int err;

	/* Checked now, because later everything is written already. */
	if (result && result->sz < RESULT_MIN)
		return kch_fail(handle, -EINVAL,
				"struct kch_restore_result of %zu bytes, expected at least %zu",
				result->sz, RESULT_MIN);
	kch_restore_output(result, &none, 0);
	err = kch_options(handle, "struct kch_restore_opts", opts,
			  offsetofend(struct kch_restore_opts, mode), to, sizeof(*to));
	if (err)
		return err;
	if (to->rounds_max > KCH_ROUNDS_MAX)
		return kch_fail(handle, -EINVAL, "%u rounds, expected at most %u",
				to->rounds_max, KCH_ROUNDS_MAX);
	return 0;
}

int kch_restore_output(struct kch_restore_result *result,
		       const struct kch_restore_result *from, int err)
{
	if (result)
		kch_output(NULL, "struct kch_restore_result", result, RESULT_MIN, from,
			   sizeof(*from));
	return err ? kch_error(err) : 0;
}

int kch_copy_name(struct kch_handle *handle, char to[KCH_NAME_SIZE], const char *name)
{
	size_t length = name ? strlen(name) : 0;

	if (length >= KCH_NAME_SIZE)
		return kch_fail(handle, -ENAMETOOLONG, "name of %zu bytes, expected at most %d",
				length, KCH_NAME_SIZE - 1);
	if (kch_printable(name, length) < length)
		return kch_fail(handle, -EINVAL, "name with a control character");
	memset(to, 0, KCH_NAME_SIZE);
	memcpy(to, name ? name : "", length);
	return 0;
}

int kch_check_uuid(struct kch_handle *handle, const uint8_t uuid[KCH_UUID_SIZE])
{
	static const uint8_t zero[KCH_UUID_SIZE];

	if (memcmp(uuid, zero, sizeof(zero)))
		return 0;
	return kch_fail(handle, -EINVAL, "the id of the VM is all zero");
}

struct kch_handle *kch_open_stock(void)
{
	struct kch_handle *handle = calloc(1, sizeof(*handle));

	if (handle) {
		handle->fd = -1;
		handle->kvm_fd = -1;
	}
	return handle;
}

struct kch_handle *kch_open(const struct kch_open_opts *opts)
{
	struct kch_info info = { .size = sizeof(info) };
	struct kch_open_opts open_opts;
	struct kch_handle *handle;
	int err;

	err = kch_options(NULL, "struct kch_open_opts", opts,
			  offsetofend(struct kch_open_opts, device), &open_opts, sizeof(open_opts));
	if (err)
		return NULL;
	if (open_opts.reserved || open_opts.clock_fd < 0) {
		errno = EINVAL;
		return NULL;
	}
	handle = kch_open_stock();
	if (!handle)
		return NULL;
	handle->clock_fd = open_opts.clock_fd;
	handle->fd = open(open_opts.device ? open_opts.device : KCH_DEVICE, O_RDWR | O_CLOEXEC);
	err = handle->fd < 0 ? -errno : 0;
	/*
	 * A process that was given a clock's descriptor may not be able to open the
	 * device.  The question also refuses, with ENOTTY, a file that is not the device.
	 */
	if (!err || (handle->clock_fd && !open_opts.device))
		err = kch_info(handle, &info);
	if (err) {
		kch_close(handle);
		kch_error(err);
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
	 * Not the structure's own message: that tells the state of the record, and
	 * may be set when the ioctl itself is refused.
	 */
	kch_start(handle);
	return kch_ioctl(handle, KCH_IOC_INFO, info, "");
}
