/* SPDX-License-Identifier: GPL-2.0 */
/* What all ioctls share: taking their structure from user space, and giving it back. */
#ifndef KCH_IOCTL_H
#define KCH_IOCTL_H

#include "core/record.h"

/* One ioctl.  Its structure @arg starts with its size. */
struct kch_ioctl_op {
	/*
	 * Takes the lock for as long as it needs the state; never while it uses user
	 * memory or waits for a vCPU.  @context is of the open file.
	 */
	int (*fn)(void *context, void *arg, struct kch_message *message);
	/*
	 * Where there is one: what @fn has left behind the structure, in KCH_IOCTL_REST
	 * bytes that were zero, is to be given or taken back, once the answer was given.
	 */
	void (*end)(void *arg, bool given);
	u32 size;	/* of the structure */
	u32 first;	/* of its first version, which is the least there is */
	u32 message;	/* where in it the message is */
};

#define KCH_IOCTL_REST	sizeof(void *)

/* Every structure's first version ended with its message, which the kernel only writes. */
#define KCH_IOCTL_OP(does, type) {					\
	.fn = does,							\
	.size = sizeof(struct type),					\
	.first = offsetofend(struct type, message),			\
	.message = offsetof(struct type, message),			\
}

/*
 * The ioctl of number @cmd, one of @count @ops: takes its structure from user space, and
 * gives it back with the answer.  -ENOTTY.
 */
long kch_ioctl_run(const struct kch_ioctl_op *ops, unsigned int count, void *context,
		   unsigned int cmd, unsigned long user_arg);

/* -EINVAL unless there are only @known flags; unless it is 0. */
int kch_ioctl_flags(u32 flags, u32 known, struct kch_message *message);
int kch_ioctl_reserved(u32 reserved, struct kch_message *message);

/* -EINVAL unless a VM can go by that id and that name. */
int kch_ioctl_names(const u8 uuid[KCH_UUID_SIZE], const char name[KCH_NAME_SIZE],
		    struct kch_message *message);

/* Writes to user memory; without the lock.  @what it is, for people.  -EFAULT. */
int kch_ioctl_give_bytes(u64 to, const void *data, size_t size, const char *what,
			 struct kch_message *message);

/* The same to a buffer that has *@buffer_size bytes; makes that @size.  Also -ENOBUFS. */
int kch_ioctl_give(u64 buffer, u32 *buffer_size, const void *data, size_t size,
		   struct kch_message *message);

#endif /* KCH_IOCTL_H */
