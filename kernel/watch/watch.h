/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM that was shown to the module, watched without keeping it from going
 * away: once nobody else has it, because it was closed or its process has
 * ended, it is let go, within a second or so.  The watch also remembers by which
 * id and name the VM goes, for as long as it lives.
 */
#ifndef KCH_WATCH_H
#define KCH_WATCH_H

#include <linux/types.h>

struct file;
struct kch_rec_vm;
struct kch_watch;

/*
 * @last_look: called when VMs have gone and are about to be let go.  May sleep,
 * and ask kch_watch_gone() which ones.  False: it has not looked, and they stay.
 */
void kch_watch_init(bool (*last_look)(void));
/* One last look; from then on none is let go.  No watch is started any more. */
void kch_watch_end(void);
/* When all watches were stopped: all is let go, and forgotten. */
void kch_watch_exit(void);

/* Returns NULL if no memory can be had.  Each start wants its stop. */
struct kch_watch *kch_watch_start(struct file *vm_file);
/* NULL is allowed. */
void kch_watch_stop(struct kch_watch *watch);

/* The VM goes by the id and the name of that entry.  NULL is allowed. */
void kch_watch_call(struct kch_watch *watch, const struct kch_rec_vm *entry);
/* Fills in the id and the name this very VM goes by, if it has any. */
void kch_watch_known_as(const struct file *vm_file, struct kch_rec_vm *entry);

/* The VM's file with a reference of the caller's own, or NULL: it is gone. */
struct file *kch_watch_get(struct kch_watch *watch);

/*
 * The same, also of one that is gone but was not let go yet: KVM's structures
 * are there as long as its file is.
 */
struct file *kch_watch_get_last(struct kch_watch *watch);

/* It is about to be let go.  False for NULL. */
bool kch_watch_gone(const struct kch_watch *watch);

/* Is it this very VM?  Never true for one that took the address of a dead one. */
bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file);

/*
 * A process's VMs, one after the other: the file of the next one with a
 * reference, or NULL.  @fd starts at 0 and is moved on.
 */
struct file *kch_watch_next_vm(pid_t pid, unsigned int *fd);

#endif /* KCH_WATCH_H */
