// SPDX-License-Identifier: GPL-2.0
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "kvm_private.h"
#include "watch.h"

struct kch_watch {
	struct mmu_notifier notifier;
	spinlock_t lock;	/* of @file */
	struct file *file;	/* NULL once dropped */
	struct mm_struct *mm;
};

static void drop(struct kch_watch *watch)
{
	struct file *file;

	spin_lock(&watch->lock);
	file = watch->file;
	WRITE_ONCE(watch->file, NULL);
	spin_unlock(&watch->lock);
	if (file)
		fput(file);
}

static void mm_ends(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	drop(container_of(notifier, struct kch_watch, notifier));
}

static const struct mmu_notifier_ops ops = {
	.release = mm_ends,
};

struct kch_watch *kch_watch_start(struct file *vm_file)
{
	struct mm_struct *mm = kch_kvm_mm(kch_kvm_of(vm_file));
	struct kch_watch *watch;
	int err;

	watch = kzalloc(sizeof(*watch), GFP_KERNEL);
	if (!watch)
		return NULL;
	spin_lock_init(&watch->lock);
	watch->notifier.ops = &ops;
	watch->mm = mm;
	watch->file = get_file(vm_file);
	if (!mmget_not_zero(mm))
		goto gone;
	err = mmu_notifier_register(&watch->notifier, mm);
	mmput(mm);
	if (!err)
		return watch;
gone:
	drop(watch);
	kfree(watch);
	return NULL;
}

void kch_watch_stop(struct kch_watch *watch)
{
	if (!watch)
		return;
	/* Calls mm_ends() itself if the process has not ended yet. */
	mmu_notifier_unregister(&watch->notifier, watch->mm);
	drop(watch);
	kfree(watch);
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	struct file *file;

	if (!watch)
		return NULL;
	spin_lock(&watch->lock);
	file = watch->file;
	if (file)
		get_file(file);
	spin_unlock(&watch->lock);
	if (!file)
		return NULL;
	/* Ours and the caller's are the last: its process has closed it. */
	if (file_count(file) == 2) {
		drop(watch);
		fput(file);
		return NULL;
	}
	return file;
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file)
{
	/* A VM has one file.  The caller's is there, so it is no other's address. */
	return watch && READ_ONCE(watch->file) == vm_file;
}
