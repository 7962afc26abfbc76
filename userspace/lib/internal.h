/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the library share. */
#ifndef KCH_LIB_INTERNAL_H
#define KCH_LIB_INTERNAL_H

#include <kvmclock-handover.h>
#include "clock.h"

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

struct kch_handle {
	int fd;
	int clock_fd;
	/* Of the structures that the module answers; it may be of another version. */
	uint16_t rec_vm_size, rec_vcpu_size;
	char message[2 * KCH_MESSAGE_SIZE];
};

struct kch_vm {
	struct kch_rec_vm entry;
	uint32_t vcpu_count;
	struct kch_rec_vcpu vcpus[];
};

/* Sets errno; for functions without a handle. */
int kch_error(int err);

/* Sets errno and the handle's message; @err is negative and returned. */
__printf(3, 4)
int kch_fail(struct kch_handle *handle, int err, const char *format, ...);

/* Clears the handle's message: each public function does so first. */
void kch_start(struct kch_handle *handle);

/* Appends to the handle's message. */
__printf(2, 3)
void kch_also(struct kch_handle *handle, const char *format, ...);

/*
 * ioctl() that is done again, with signals held back, if one interrupted it.  Not for
 * KCH_IOC_WAIT, which a signal is to end.
 */
int kch_call(int fd, unsigned long request, void *arg);

/*
 * An ioctl of the device, by kch_call().  After an error the handle's
 * message is the structure's @message, or the errno's text if that was left empty.
 */
int kch_ioctl(struct kch_handle *handle, unsigned long request, void *arg,
	      const char *message);

/*
 * Copies the caller's options (or, for NULL, zeros) to @to of @size bytes.
 * -EINVAL: shorter than @min.  -E2BIG: unknown bytes are set.
 */
int kch_options(const void *from, size_t min, void *to, size_t size);

/* Fills in a growable output structure.  -EINVAL: shorter than @min. */
int kch_output(void *to, size_t min, const void *from, size_t size);

/* The clock function of vCPU @index.  False: of another one that has run. */
bool kch_vm_clock(const struct kch_vm *vm, uint32_t index,
		  struct kch_clock *clock);

/* Bytes of struct kch_restore_result in its first version. */
#define KCH_RESTORE_RESULT_MIN	offsetofend(struct kch_restore_result, outcome)

/*
 * The caller's options as @to, whatever version they are of; and whether
 * @result, if it is not NULL, is long enough.
 */
int kch_restore_opts_read(struct kch_handle *handle,
			  const struct kch_restore_opts *opts,
			  const struct kch_restore_result *result,
			  struct kch_restore_opts *to);

/* MODULE parameter of kvm; @fallback if it cannot be read. */
uint32_t kch_kvm_parameter(const char *name, uint32_t fallback);

#endif /* KCH_LIB_INTERNAL_H */
