/* SPDX-License-Identifier: GPL-2.0 */
/* The module's one instance of everything. */
#ifndef KCH_STATE_H
#define KCH_STATE_H

#include <linux/mutex.h>

#include "restore/incoming.h"
#include "preserve/outgoing.h"
#include "region/region.h"

/**
 * struct kch_state - all of it
 * @lock: of everything below; taken before any lock of KVM's or the mm's
 * @region: where records are kept
 * @incoming: the record from before the kexec
 * @outgoing: the record for the next kernel
 * @too_late: the host is being kexec'ed, and the records stay as they are
 */
struct kch_state {
	struct mutex lock;	/* of all that follows */
	struct kch_region region;
	struct kch_incoming incoming;
	struct kch_outgoing outgoing;
	bool too_late;
};

extern struct kch_state kch;

/* main.c: the lock, for what a kexec waits for; -EBUSY after some seconds. */
int kch_lock_at_kexec(void);

/* device.c */
int kch_device_register(void);
void kch_device_unregister(void);

/**
 * struct kch_ioctl_op - one ioctl
 * @fn: does it, and takes the lock for as long as it needs the state; never while
 *	it uses user memory or waits for a vCPU.  @context is of the open file
 * @size: of its structure, which starts with its size
 * @message: where in the structure the message is, at the end
 */
struct kch_ioctl_op {
	int (*fn)(void *context, void *arg, struct kch_message *message);
	u32 size;
	u32 message;
};

/* Takes the structure from @user, and gives it back with the answer. */
long kch_ioctl_run(const struct kch_ioctl_op *op, void *context, void __user *user);

/*
 * The arguments of KCH_IOC_RESTORE, through whatever file: -EINVAL.  What is not an
 * argument is zeroed.
 */
int kch_restore_check(struct kch_restore *r, struct kch_message *message);

/* Writes an answer to a buffer of the caller's; without the lock.  -ENOBUFS, -EFAULT. */
int kch_give(u64 buffer, u32 *buffer_size, const void *data, size_t size,
	     struct kch_message *message);

/* What KCH_IOC_GET answers from a record that came: with the lock, to be freed. */
int kch_get_incoming(struct kch_incoming *record, const u8 uuid[KCH_UUID_SIZE],
		     void **data, size_t *size, struct kch_message *message);

/* debugfs.c */
void kch_debugfs_register(void);
void kch_debugfs_unregister(void);

#endif /* KCH_STATE_H */
