// SPDX-License-Identifier: GPL-2.0
/*
 * Keeping a restored clock young.
 *
 * KVM evaluates a VM's reference with the host's frequency, the guest with that of
 * the kernel it was started under: they drift apart as the reference gets older.
 * Once a second the module moves the reference of each VM that it restored, by a
 * step that no guest can see, and KVM is right again.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "kvm/common.h"
#include "restore/keep.h"
#include "watch/watch.h"

#define KEEP_INTERVAL	nsecs_to_jiffies(KCH_KEEP_INTERVAL_NS)

/**
 * struct kch_kept - one VM
 * @link: in kept
 * @watch: the VM
 * @keep: its clock, and the host's frequency
 */
struct kch_kept {
	struct list_head link;
	struct kch_watch *watch;
	struct kch_kvm_keep keep;
};

static LIST_HEAD(kept_vms);
/* Of the list; no vCPU, and no guest's memory, is waited for under it. */
static DEFINE_MUTEX(kept_lock);

static void look(struct work_struct *work);
static DECLARE_DELAYED_WORK(look_work, look);

void kch_kept_free(struct kch_kept *kept)
{
	if (!kept)
		return;
	kch_watch_stop(kept->watch);
	kfree(kept);
}

struct kch_kept *kch_kept_new(struct file *vm_file)
{
	struct kch_kept *kept = kzalloc(sizeof(*kept), GFP_KERNEL);

	if (!kept)
		return NULL;
	INIT_LIST_HEAD(&kept->link);
	kept->watch = kch_watch_start(vm_file);
	if (kept->watch)
		return kept;
	kfree(kept);
	return NULL;
}

static struct kch_kept *find(const struct file *vm_file)
{
	struct kch_kept *kept;

	list_for_each_entry(kept, &kept_vms, link)
		if (kch_watch_is(kept->watch, vm_file))
			return kept;
	return NULL;
}

/* A VM that is gone is taken out; the next one of the list is returned. */
static struct kch_kept *look_at(struct kch_kept *kept)
{
	struct kch_kept *next = list_next_entry(kept, link);
	struct file *vm_file = kch_watch_get(kept->watch);

	if (!vm_file) {
		list_del(&kept->link);
		kch_kept_free(kept);
		return next;
	}
	/* What was not possible now may be at the next look. */
	kch_kvm_keep(kch_kvm_of(vm_file), &kept->keep);
	fput(vm_file);
	return next;
}

static void look(struct work_struct *work)
{
	struct kch_kept *kept;

	mutex_lock(&kept_lock);
	kept = list_first_entry(&kept_vms, struct kch_kept, link);
	while (!list_entry_is_head(kept, &kept_vms, link))
		kept = look_at(kept);
	if (!list_empty(&kept_vms))
		schedule_delayed_work(&look_work, KEEP_INTERVAL);
	mutex_unlock(&kept_lock);
}

void kch_keep(struct kch_kept *kept, const struct kch_rec_vm *saved,
	      const struct kch_kvm_facts *facts)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(saved + 1);
	struct kch_kept *before;
	struct file *vm_file;
	u32 i;

	kept->keep.facts = *facts;
	kept->keep.ratio = le64_to_cpu(vcpu->tsc_scaling_ratio);
	kept->keep.mul = le32_to_cpu(vcpu->tsc_to_system_mul);
	kept->keep.shift = vcpu->tsc_shift;
	for (i = 1; i < le32_to_cpu(saved->vcpu_count); i++)
		if (vcpu[i].tsc_scaling_ratio == vcpu->tsc_scaling_ratio &&
		    (vcpu[i].tsc_to_system_mul != vcpu->tsc_to_system_mul ||
		     vcpu[i].tsc_shift != vcpu->tsc_shift))
			kept->keep.mul = 0;
	vm_file = kch_watch_get(kept->watch);
	mutex_lock(&kept_lock);
	before = vm_file ? find(vm_file) : NULL;
	if (before) {
		before->keep = kept->keep;
		kch_kept_free(kept);
	} else {
		list_add_tail(&kept->link, &kept_vms);
		schedule_delayed_work(&look_work, KEEP_INTERVAL);
	}
	mutex_unlock(&kept_lock);
	if (vm_file)
		fput(vm_file);
}

bool kch_is_kept(const struct file *vm_file)
{
	bool is;

	mutex_lock(&kept_lock);
	is = find(vm_file);
	mutex_unlock(&kept_lock);
	return is;
}

void kch_keep_exit(void)
{
	struct kch_kept *kept, *next;

	cancel_delayed_work_sync(&look_work);
	list_for_each_entry_safe(kept, next, &kept_vms, link) {
		struct file *vm_file = kch_watch_get(kept->watch);

		if (vm_file) {
			pr_warn_ratelimited("process %d's VM runs on with a restored clock that is not kept any more: what KVM itself says of the clock will drift from it\n",
					    kch_kvm_pid(kch_kvm_of(vm_file)));
			fput(vm_file);
		}
		list_del(&kept->link);
		kch_kept_free(kept);
	}
}
