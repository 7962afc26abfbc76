/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The handle, its message, and ioctls; structures that grow. */
#ifndef KCH_LIB_HANDLE_H
#define KCH_LIB_HANDLE_H

#include <kvmclock-handover.h>
#include "portable.h"

#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

struct kch_handle {
	int fd;				/* the device; -1: none */
	int clock_fd;			/* the caller's, of one VM's clock; 0: none */
	int kvm_fd;			/* the caller's, of /dev/kvm; -1: none */
	/* Bytes of entries in the module's answers; it may be of another version. */
	uint16_t rec_vm_size, rec_vcpu_size;
	char message[2 * KCH_MESSAGE_SIZE];	/* the module's and the library's */
};

/* Clears the handle's message: each public function does so first. */
void kch_start(struct kch_handle *handle);

/* Sets errno; @err is negative and returned. */
int kch_error(int err);

/* Sets errno and the handle's message; @handle may be NULL. */
__printf(3, 4)
int kch_fail(struct kch_handle *handle, int err, const char *format, ...);

/* Appends to the handle's message. */
__printf(2, 3)
void kch_also(struct kch_handle *handle, const char *format, ...);

/*
 * ioctl() that is repeated with signals held back if a signal interrupted it.  Not
 * for KCH_IOC_WAIT, which a signal is meant to end.
 */
int kch_call(int fd, unsigned long request, void *arg);

/*
 * An ioctl of the device, by kch_call().  After an error the handle's message is
 * @message, the one in the structure, or the errno's text if that is empty.
 */
int kch_ioctl(struct kch_handle *handle, unsigned long request, void *arg, const char *message);

/*
 * Copies a caller's options of the structure @name to @to of @size bytes; zeros for
 * NULL.  -EINVAL: shorter than @min.  -E2BIG: bytes behind @size are not zero.
 */
int kch_options(struct kch_handle *handle, const char *name, const void *from,
		size_t min, void *to, size_t size);

/* Fills in a caller's structure @name.  -EINVAL: shorter than @min. */
int kch_output(struct kch_handle *handle, const char *name, void *to, size_t min,
	       const void *from, size_t size);

/*
 * Reads the caller's options, and checks that @result, if not NULL, is long enough for
 * kch_restore_output(), which then cannot fail.  Until that it says that nothing was restored.
 */
int kch_restore_opts_read(struct kch_handle *handle, const struct kch_restore_opts *opts,
			  struct kch_restore_result *result, struct kch_restore_opts *to);

/* Fills in the caller's result, if it is not NULL; returns @err, with errno set. */
int kch_restore_output(struct kch_restore_result *result,
		       const struct kch_restore_result *from, int err);

/* Copies a VM's name; NULL is none.  -ENAMETOOLONG. */
int kch_copy_name(struct kch_handle *handle, char to[KCH_NAME_SIZE], const char *name);

/* -EINVAL: all zero. */
int kch_check_uuid(struct kch_handle *handle, const uint8_t uuid[KCH_UUID_SIZE]);

#endif /* KCH_LIB_HANDLE_H */
