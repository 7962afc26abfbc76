/* SPDX-License-Identifier: GPL-2.0 */
/* One restore, and what a kernel thread does for it. */
#ifndef KCH_RESTORE_JOB_H
#define KCH_RESTORE_JOB_H

#include <linux/completion.h>
#include <linux/workqueue.h>

#include "core/check.h"

/*
 * An ioctl of ours waits for a vCPU that its VMM has started just now, maybe for ever;
 * where the vCPU is barred, that waits for us.  Who waits for a restore waits for longer.
 */
#define KCH_RESTORING_PATIENCE_MS	2000

struct file;
struct kch_incoming;
struct kch_kept;
struct task_struct;

/**
 * struct kch_restoring - one restore
 * @link: in restorings
 * @record: the record that it is from
 * @uuid: the entry's id
 * @name: its name
 * @vm_file: the VM
 * @vcpus: the caller's files of its vCPUs, in the order of @saved; NULL where it
 *	has none
 * @flags: KCH_RESTORE_*
 * @hold_ms: how long it is held at most
 * @goes_on_ms: its policy, see core/policy.h
 * @saved_khz: of the TSC that the record is in
 * @hidden_cycles: what was hidden by that policy, so that @saved is later
 * @kept: to be handed on
 * @saved: the entry, as it is to be
 * @before: the VM's clock as it was
 * @todo: what is written, and its outcome
 * @thread: does it
 * @break_off: ends what waits for KVM
 * @held: the VM is held, or it has ended
 * @was_held: the former, whatever came after it; from @held on
 * @ended: it has ended
 * @cancelled: it is to end
 * @at_kexec: as the host is being kexec'ed
 * @clock_set: KVM_SET_CLOCK was called for it
 * @marked: it has marked the entry as used, and takes that back if it fails
 * @err: outcome
 * @message: why
 */
struct kch_restoring {
	struct list_head link;
	struct kch_incoming *record;
	u8 uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
	struct file *vm_file;
	struct file **vcpus;
	u32 flags;
	u32 hold_ms;
	u32 goes_on_ms;
	u32 saved_khz;
	u64 hidden_cycles;
	struct kch_kept *kept;
	struct kch_rec_vm *saved;
	struct kch_rec_vm *before;
	struct kch_kvm_restore todo;
	struct task_struct *thread;
	struct delayed_work break_off;
	struct completion held;
	struct completion ended;
	bool was_held;
	bool cancelled;
	bool at_kexec;
	bool clock_set;
	bool marked;
	int err;
	struct kch_message message;
};

static inline u32 kch_restoring_vcpus(const struct kch_restoring *job)
{
	return le32_to_cpu(job->saved->vcpu_count);
}

static inline const struct kch_rec_vcpu *
kch_restoring_vcpu(const struct kch_restoring *job, u32 i)
{
	return (const struct kch_rec_vcpu *)(job->saved + 1) + i;
}

/*
 * Restores the VM; if it is to be held, holds it and restores it once more.  In a kernel
 * thread that allows SIGKILL: it breaks off what waits for KVM.  The vCPUs are barred from
 * the guest afterwards.
 */
int kch_restoring_run(struct kch_restoring *job);

/* The clock was put back: it may be given once more, unless it was given before. */
void kch_restoring_not_used(struct kch_restoring *job);

void kch_restoring_break_off(struct work_struct *work);

#endif /* KCH_RESTORE_JOB_H */
