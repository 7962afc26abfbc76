/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The whole restore of a VM, from outside: frequency, TSC offsets, clock, and
 * armed deadlines, by a kernel thread that acts for the VMM.
 */
#ifndef KCH_RESTORE_H
#define KCH_RESTORE_H

#include <linux/mutex.h>

#include "restore/incoming.h"

struct file;
struct kch_restoring;

/**
 * struct kch_holder - the hold of an open file
 * @lock: of @held; a waiter has it
 * @held: NULL if there is none
 */
struct kch_holder {
	struct mutex lock;	/* of @held */
	struct kch_restoring *held;
};

/* @out: in which it is noted what becomes of a restore. */
void kch_restore_init(struct kch_outgoing *out);

void kch_holder_init(struct kch_holder *holder);
/* Ends the hold, if there is one. */
void kch_holder_exit(struct kch_holder *holder);

/* KCH_IOC_RESTORE from @record, and KCH_IOC_WAIT; without kch_lock. */
int kch_restore(struct kch_incoming *record, struct kch_restore *r,
		struct kch_holder *holder, struct kch_message *message);
int kch_restore_wait(struct kch_holder *holder, struct kch_restore *r,
		     struct kch_message *message);

/* What KCH_POLICY_DEFAULT is: see core/policy.h. */
extern unsigned int kch_goes_on_ms;

/* Takes kch_lock, for what a kexec waits for; -EBUSY after some seconds. */
int kch_lock_at_kexec(void);

/*
 * Ends all of them: the host is being kexec'ed.  Their VMs are not preserved any more, as their
 * guests wait for what came.  -EBUSY: as there.
 */
int kch_restore_end_all(void);

/* With kch_lock: is a VM being restored from @record; from @uuid, if not NULL? */
bool kch_restore_is_busy(const struct kch_incoming *record, const u8 *uuid);

#endif /* KCH_RESTORE_H */
