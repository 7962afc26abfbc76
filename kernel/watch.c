// SPDX-License-Identifier: GPL-2.0
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "watch.h"

/*
 * To be told by an MMU notifier that a process ends would hold up each
 * preserve, as it takes all locks of the process's memory, and say nothing of a
 * VM that a process closes before.  Nobody is waiting for an answer: to look
 * once a second does.
 */
#define SWEEP_INTERVAL	HZ

/*
 * One for each VM, as the references of two would keep each other from letting
 * go: a VM may have been restored from one record and preserved in the next.
 */
struct kch_watch {
	struct hlist_node link;
	struct file *file;	/* NULL once let go */
	unsigned int users;	/* that started it and did not stop it */
};

static DEFINE_HASHTABLE(watches, 7);	/* by address of the file */
static DEFINE_SPINLOCK(watches_lock);	/* of the table and all its files */

static void sweep(struct work_struct *work);
static DECLARE_DELAYED_WORK(sweep_work, sweep);

/*
 * @others: references that are neither the VM's users' nor the watch's.  Nobody
 * can get a new one who has none, so what is nobody's stays so.
 */
static bool let_go_if_unused(struct kch_watch *watch, int others)
{
	struct file *file = watch->file;

	if (file_count(file) > 1 + others)
		return false;
	WRITE_ONCE(watch->file, NULL);
	fput(file);
	return true;
}

static void sweep(struct work_struct *work)
{
	struct kch_watch *watch;
	unsigned int bucket;
	bool again = false;

	spin_lock(&watches_lock);
	hash_for_each(watches, bucket, watch, link)
		if (watch->file && !let_go_if_unused(watch, 0))
			again = true;
	spin_unlock(&watches_lock);
	if (again)
		schedule_delayed_work(&sweep_work, SWEEP_INTERVAL);
}

struct kch_watch *kch_watch_start(struct file *vm_file)
{
	struct kch_watch *new = kzalloc(sizeof(*new), GFP_KERNEL);
	struct kch_watch *watch;

	if (!new)
		return NULL;
	spin_lock(&watches_lock);
	hash_for_each_possible(watches, watch, link, (unsigned long)vm_file) {
		if (watch->file == vm_file) {
			watch->users++;
			spin_unlock(&watches_lock);
			kfree(new);
			return watch;
		}
	}
	new->file = get_file(vm_file);
	new->users = 1;
	hash_add(watches, &new->link, (unsigned long)vm_file);
	spin_unlock(&watches_lock);
	schedule_delayed_work(&sweep_work, SWEEP_INTERVAL);
	return new;
}

void kch_watch_stop(struct kch_watch *watch)
{
	if (!watch)
		return;
	spin_lock(&watches_lock);
	if (--watch->users) {
		spin_unlock(&watches_lock);
		return;
	}
	hash_del(&watch->link);
	spin_unlock(&watches_lock);
	if (watch->file)
		fput(watch->file);
	kfree(watch);
}

void kch_watch_exit(void)
{
	cancel_delayed_work_sync(&sweep_work);
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	struct file *file;

	if (!watch)
		return NULL;
	spin_lock(&watches_lock);
	file = watch->file;
	if (file)
		get_file(file);
	if (file && let_go_if_unused(watch, 1)) {
		fput(file);
		file = NULL;
	}
	spin_unlock(&watches_lock);
	return file;
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file)
{
	/* A VM has one file.  The caller's is there, so it is no other's address. */
	return watch && READ_ONCE(watch->file) == vm_file;
}
