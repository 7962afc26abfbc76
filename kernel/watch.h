/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM that was shown to the module, watched for audits without keeping it
 * from going away: once nobody else has it, because it was closed or its
 * process has ended, it is let go, within a second or so.
 */
#ifndef KCH_WATCH_H
#define KCH_WATCH_H

struct file;
struct kch_watch;

/* Returns NULL if no memory can be had.  Each start wants its stop. */
struct kch_watch *kch_watch_start(struct file *vm_file);
/* NULL is allowed. */
void kch_watch_stop(struct kch_watch *watch);
/* When all watches were stopped. */
void kch_watch_exit(void);

/* The VM's file with a reference of the caller's own, or NULL: it is gone. */
struct file *kch_watch_get(struct kch_watch *watch);

/* Is it this very VM?  Never true for one that took the address of a dead one. */
bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file);

#endif /* KCH_WATCH_H */
