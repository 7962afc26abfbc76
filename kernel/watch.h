/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM that was shown to the module, watched for audits without keeping it
 * from going away: the reference is dropped when its process ends, or when the
 * process has closed the VM.
 */
#ifndef KCH_WATCH_H
#define KCH_WATCH_H

struct file;
struct kch_watch;

/* Returns NULL if the VM's process is ending, or no memory can be had. */
struct kch_watch *kch_watch_start(struct file *vm_file);
/* Waits for a callback under way; not under a spinlock.  NULL is allowed. */
void kch_watch_stop(struct kch_watch *watch);

/* The VM's file with a reference of the caller's own, or NULL: it is gone. */
struct file *kch_watch_get(struct kch_watch *watch);

/* Is it this very VM?  Never true for one that took the address of a dead one. */
bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file);

#endif /* KCH_WATCH_H */
