// SPDX-License-Identifier: GPL-2.0
/* VMs that are watched without keeping them from going away. */
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/pid_namespace.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "kvm/common.h"
#include "watch/watch.h"

/*
 * An MMU notifier would tell when a process ends, but to register one takes all locks
 * of the process's memory at each preserve; and it does not tell of a VM that a process
 * closes before it ends.  Looking once a second is enough.
 */
#define SWEEP_INTERVAL	HZ

/*
 * There is one for each VM, also if the VM was restored from one record and preserved
 * in the next: two would see each other's reference to the file, and never let go.
 * It stays as long as the VM does, for the VM's name.
 */
struct kch_watch {
	struct hlist_node link;
	struct file *file;	/* NULL once let go */
	bool gone;		/* only the watch has it: so it stays */
	unsigned int users;	/* that started it and did not stop it */
	u8 uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
};

static DEFINE_HASHTABLE(watches, 7);	/* by address of the file */
static DEFINE_SPINLOCK(watches_lock);	/* of the table and all in it */
static bool (*look_at_gone)(void);

static void sweep(struct work_struct *work);
static DECLARE_DELAYED_WORK(sweep_work, sweep);

/* Once the watch has the only reference, nobody can get another one. */
static bool is_unused(const struct kch_watch *watch)
{
	return file_count(watch->file) == 1 &&
	       !kch_kvm_has_others(kch_kvm_of(watch->file));
}

static void drop(struct kch_watch *watch)
{
	struct file *file = watch->file;

	WRITE_ONCE(watch->file, NULL);
	fput(file);
	if (watch->users)
		return;
	hash_del(&watch->link);
	kfree(watch);
}

/* Returns whether there is something to look at later. */
static bool look(void)
{
	struct kch_watch *watch;
	struct hlist_node *next;
	unsigned int bucket;
	bool gone = false, more = false;

	spin_lock(&watches_lock);
	hash_for_each(watches, bucket, watch, link) {
		if (!watch->file)
			continue;
		WRITE_ONCE(watch->gone, is_unused(watch));
		gone |= watch->gone;
		more |= !watch->gone;
	}
	spin_unlock(&watches_lock);
	if (!gone || !look_at_gone())
		return more;
	spin_lock(&watches_lock);
	hash_for_each_safe(watches, bucket, next, watch, link)
		if (watch->file && watch->gone)
			drop(watch);
	spin_unlock(&watches_lock);
	return more;
}

static void sweep(struct work_struct *work)
{
	if (look())
		schedule_delayed_work(&sweep_work, SWEEP_INTERVAL);
}

void kch_watch_init(bool (*last_look)(void))
{
	look_at_gone = last_look;
}

void kch_watch_end(void)
{
	cancel_delayed_work_sync(&sweep_work);
	look();
}

void kch_watch_exit(void)
{
	struct kch_watch *watch;
	struct hlist_node *next;
	unsigned int bucket;

	hash_for_each_safe(watches, bucket, next, watch, link)
		drop(watch);
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
	if (!--watch->users && !watch->file) {
		hash_del(&watch->link);
		kfree(watch);
	}
	spin_unlock(&watches_lock);
}

void kch_watch_call(struct kch_watch *watch, const struct kch_rec_vm *entry)
{
	if (!watch)
		return;
	spin_lock(&watches_lock);
	memcpy(watch->uuid, entry->uuid, sizeof(watch->uuid));
	memcpy(watch->name, entry->name, sizeof(watch->name));
	spin_unlock(&watches_lock);
}

void kch_watch_known_as(const struct file *vm_file, struct kch_rec_vm *entry)
{
	struct kch_watch *watch;

	spin_lock(&watches_lock);
	hash_for_each_possible(watches, watch, link, (unsigned long)vm_file) {
		if (watch->file != vm_file)
			continue;
		memcpy(entry->uuid, watch->uuid, sizeof(entry->uuid));
		memcpy(entry->name, watch->name, sizeof(entry->name));
	}
	spin_unlock(&watches_lock);
}

static struct file *get(struct kch_watch *watch, bool also_gone)
{
	struct file *file = NULL;

	if (!watch)
		return NULL;
	spin_lock(&watches_lock);
	if (watch->file && (also_gone || !is_unused(watch)))
		file = get_file(watch->file);
	spin_unlock(&watches_lock);
	return file;
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	return get(watch, false);
}

struct file *kch_watch_get_last(struct kch_watch *watch)
{
	return get(watch, true);
}

bool kch_watch_gone(const struct kch_watch *watch)
{
	return watch && READ_ONCE(watch->gone);
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file)
{
	/* A VM has one file.  The caller's is there, so it is no other's address. */
	return watch && READ_ONCE(watch->file) == vm_file;
}

/* Of iterate_fd(), which is done with the first that is not 0. */
static int take_vm(const void *arg, struct file *file, unsigned int fd)
{
	struct file **found = (struct file **)arg;

	if (kch_kvm_file_kind(file) != KCH_KVM_FILE_VM)
		return 0;
	*found = get_file(file);
	return fd + 1;
}

struct file *kch_watch_next_vm(pid_t pid, unsigned int *fd)
{
	struct task_struct *task;
	struct file *found = NULL;

	rcu_read_lock();
	/* KVM's number for it is that of the first namespace. */
	task = pid_task(find_pid_ns(pid, &init_pid_ns), PIDTYPE_PID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	if (!task)
		return NULL;
	task_lock(task);	/* or it could end and free its table */
	if (task->files)
		*fd = iterate_fd(task->files, *fd, take_vm, &found);
	task_unlock(task);
	put_task_struct(task);
	return found;
}
