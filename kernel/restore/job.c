// SPDX-License-Identifier: GPL-2.0
/*
 * What is done to a VM that is restored.
 *
 * A kernel thread takes on the VM's memory and does to its vCPUs what a VMM would:
 * it sets their frequency and TSC offset, has KVM take a reference, writes the
 * exact clock over that, and arms the deadlines of their timers anew.  No vCPU
 * enters the guest meanwhile.
 *
 * Some VMMs set a stale clock of their own when they resume.  For these the VM is
 * held: its vCPUs stay barred from the guest, though not from any ioctl, until the
 * VMM comes to KVM_RUN.  The clock is then written once more, and they are let in.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "core/place.h"
#include "core/policy.h"
#include "host/host.h"
#include "kvm/calls.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "restore/incoming.h"
#include "restore/job.h"

/* A vCPU that the VMM starts spins until it is noticed. */
#define HOLD_POLL_US	200

static struct kvm *kvm_of(const struct kch_restoring *job)
{
	return kch_kvm_of(job->vm_file);
}

/* What is not as saved is set by the vCPU's file; so there must be one. */
static int check_files(struct kch_restoring *job)
{
	struct kch_outcome *r = &job->todo.outcome;
	int err;
	u32 i;

	for (i = 0; i < kch_restoring_vcpus(job); i++) {
		const struct kch_rec_vcpu *want = kch_restoring_vcpu(job, i);
		u32 id = le32_to_cpu(want->vcpu_id);
		const struct kch_rec_vcpu *has = kch_entry_vcpu(job->before, id);

		if (!has)
			continue;
		r->found = le32_to_cpu(has->virtual_tsc_khz);
		r->expected = le32_to_cpu(want->virtual_tsc_khz);
		if (r->found != r->expected &&
		    !kch_kvm_can_set_khz(job->vm_file, r->expected)) {
			r->vcpu_id = id;
			kch_say(&job->message, "vCPU %u has %llu kHz, saved was %llu kHz, which this host cannot scale its TSC to",
				id, r->found, r->expected);
			return -ERANGE;
		}
		/* KVM makes it of the frequency, and nobody sets one that is right. */
		err = r->found == r->expected ?
			kch_check_ratio(job->before, has, want, &job->todo, &job->message) : 0;
		if (err)
			return err;
		if (job->vcpus[i])
			continue;
		if (r->found != r->expected) {
			r->vcpu_id = id;
			kch_say(&job->message, "vCPU %u was given %llu kHz, saved was %llu kHz, and the caller has no descriptor of it to set that by",
				id, r->found, r->expected);
			return -ERANGE;
		}
		r->found = le64_to_cpu(has->tsc_offset);
		r->expected = le64_to_cpu(want->tsc_offset);
		if (r->found != r->expected) {
			r->vcpu_id = id;
			kch_say(&job->message, "vCPU %u has TSC offset %lld, saved was %lld, and the caller has no descriptor of it to set that by",
				id, (s64)r->found, (s64)r->expected);
			return -EL2NSYNC;
		}
	}
	return 0;
}

/* One of KVM's ioctls on vCPU @i; @refusal is what it means that it failed. */
static int vcpu_error(struct kch_restoring *job, u32 i, const char *what, int err,
		      int refusal)
{
	if (err >= 0)
		return 0;
	job->todo.outcome.vcpu_id = le32_to_cpu(kch_restoring_vcpu(job, i)->vcpu_id);
	kch_say(&job->message, "%s of vCPU %d failed (%pe)", what,
		job->todo.outcome.vcpu_id, ERR_PTR(err));
	switch (err) {
	case -EINTR:
	case -EIO:
	case -ENOMEM:
	case -EFAULT:	/* the VM's process has taken away the page that is used for it */
		return err;
	default:
		return refusal;
	}
}

/*
 * Sets frequency and offset of the vCPUs that have others than @to says.  One and
 * the same offset on all of them, written one after the other, keeps their TSCs
 * matched in KVM's eyes.
 */
static int set_vcpus(struct kch_restoring *job, const struct kch_rec_vm *from,
		     const struct kch_rec_vm *to, void __user *user)
{
	bool offset = false;
	int err = 0;
	u32 i;

	for (i = 0; i < kch_restoring_vcpus(job) && !err; i++) {
		u32 id = le32_to_cpu(kch_restoring_vcpu(job, i)->vcpu_id);
		const struct kch_rec_vcpu *has = kch_entry_vcpu(from, id);
		const struct kch_rec_vcpu *want = kch_entry_vcpu(to, id);

		if (!job->vcpus[i] || !has || !want)
			continue;
		offset |= has->tsc_offset != want->tsc_offset;
		if (has->virtual_tsc_khz == want->virtual_tsc_khz)
			continue;
		err = vcpu_error(job, i, "KVM_SET_TSC_KHZ",
				 kch_kvm_set_khz(job->vcpus[i],
						 le32_to_cpu(want->virtual_tsc_khz)),
				 -ERANGE);
		/* KVM keeps the guest's TSC where it is, by another offset. */
		offset = true;
	}
	for (i = 0; offset && i < kch_restoring_vcpus(job) && !err; i++) {
		u32 id = le32_to_cpu(kch_restoring_vcpu(job, i)->vcpu_id);
		const struct kch_rec_vcpu *want = kch_entry_vcpu(to, id);

		if (job->vcpus[i] && want)
			err = vcpu_error(job, i, "KVM_VCPU_TSC_OFFSET",
					 kch_kvm_set_offset(job->vcpus[i],
							    le64_to_cpu(want->tsc_offset),
							    user), -EL2NSYNC);
	}
	return err;
}

static int rearm(struct kch_restoring *job, void __user *user)
{
	int err = 0;
	u32 i;

	for (i = 0; i < kch_restoring_vcpus(job) && !err; i++)
		if (job->vcpus[i])
			err = vcpu_error(job, i, "MSR_IA32_TSC_DEADLINE",
					 kch_kvm_rearm_deadline(job->vcpus[i], user),
					 -EIO);
	return err;
}

static int set_clock(struct kch_restoring *job, u64 ns, void __user *user)
{
	int err = kch_kvm_renew_hyperv_page(kvm_of(job), &job->message);

	if (err)
		return err;
	job->clock_set = true;
	return kch_kvm_set_clock(job->vm_file, ns, user);
}

/*
 * What KVM_GET_CLOCK would have said now: KVM's own frequency, as no vCPU needs to
 * have run; without a master clock KVM's host clock and an offset.
 */
static u64 clock_now(const struct kch_restoring *job)
{
	const struct kch_rec_vm *before = job->before;
	struct kch_instant now;
	struct kch_clock clock;

	kch_host_instant(&now);
	if (!(le32_to_cpu(before->flags) & KCH_VM_MASTER_CLOCK))
		return now.kvm_ns + le64_to_cpu(before->kvmclock_offset);
	kch_clock_of(before, (const void *)(before + 1), &clock);
	return kch_clock_kvm_ns(&clock, job->todo.facts.kvm_khz, now.host_tsc);
}

void kch_restoring_break_off(struct work_struct *work)
{
	struct kch_restoring *job =
		container_of(work, struct kch_restoring, break_off.work);

	send_sig(SIGKILL, job->thread, 1);
}

/* Between these two, what waits for somebody else is broken off. */
static void patience_begins(struct kch_restoring *job)
{
	schedule_delayed_work(&job->break_off, msecs_to_jiffies(KCH_RESTORING_PATIENCE_MS));
}

static void patience_ends(struct kch_restoring *job)
{
	cancel_delayed_work_sync(&job->break_off);
	/* Come too late to break this off, it would break off what follows. */
	if (!READ_ONCE(job->cancelled))
		flush_signals(current);
}

/* The guest goes on with the saved clock, or some of it: nobody else is given that. */
static void not_put_back(struct kch_restoring *job, int err)
{
	pr_err_ratelimited("%.63s (%pUb): the clock could not be put back as its VMM had set it (%pe)\n",
			   job->name, job->uuid, ERR_PTR(err));
	/* It goes on in the next kernel, with the clock that came. */
	if (READ_ONCE(job->at_kexec))
		return;
	job->todo.stays = true;
	strlcat(job->message.text,
		": not put back, the VM keeps all or some of the saved clock, which counts as given back",
		sizeof(job->message.text));
}

static bool same_vcpus(const struct kch_rec_vm *now, const struct kch_rec_vm *before)
{
	const struct kch_rec_vcpu *was = (const void *)(before + 1), *is = (const void *)(now + 1);
	u32 n = le32_to_cpu(before->vcpu_count);
	bool same = now->vcpu_count == before->vcpu_count;

	for (; same && n; n--, was++, is++)
		same = is->tsc_offset == was->tsc_offset &&
		       is->virtual_tsc_khz == was->virtual_tsc_khz;
	return same;
}

/*
 * Makes the VM what its VMM had made of it.  @clock: also its clock, which the VMM has not
 * set since.  @runs: one of its vCPUs is in KVM_RUN, so that this cannot be to the bit.
 */
static void put_back(struct kch_restoring *job, bool clock, bool runs, void __user *user)
{
	const struct kch_message why = job->message;
	struct kch_rec_vm *now = NULL;
	int err, late = 0;

	flush_signals(current);
	patience_begins(job);
	err = kch_kvm_read(kvm_of(job), job->todo.facts.frac_bits, &now, NULL);
	/* Nothing was set yet: nobody is to be waited for. */
	if (!err && !job->clock_set && same_vcpus(now, job->before))
		goto out;
	if (!err)
		err = set_vcpus(job, now, job->before, user);
	if (!err && clock)
		err = set_clock(job, clock_now(job), user);
	/* KVM_SET_CLOCK is late by the time it took, and leaves the vCPUs our rates. */
	if (!err && !runs)
		kch_kvm_put_back(kvm_of(job), job->before, clock);
	if (!err)
		late = rearm(job, user);
out:
	patience_ends(job);
	kvfree(now);
	job->message = why;
	if (err)
		not_put_back(job, err);
	if (late)
		pr_err_ratelimited("%.63s (%pUb): timers that were armed may be late or early, once (%pe)\n",
				   job->name, job->uuid, ERR_PTR(late));
}

/* For KVM to take a reference by; the exact clock is written over it. */
static u64 saved_ns(const struct kch_restoring *job)
{
	struct kch_clock clock;

	kch_clock_of(job->saved, kch_restoring_vcpu(job, 0), &clock);
	return kch_clock_ns(&clock, rdtsc_ordered());
}

/* Before the guest can run on the clock. */
static int mark_used(struct kch_restoring *job)
{
	int err;

	mutex_lock(&kch_lock);
	err = kch_incoming_use(job->record, job->uuid, true, &job->message);
	mutex_unlock(&kch_lock);
	/* A mark of a restore before this one is not ours to take away. */
	job->marked = !err;
	return min(err, 0);
}

void kch_restoring_not_used(struct kch_restoring *job)
{
	struct kch_message none;

	if (!job->marked)
		return;
	mutex_lock(&kch_lock);
	kch_incoming_use(job->record, job->uuid, false, &none);
	mutex_unlock(&kch_lock);
}

/* The saved clock becomes the one that the guest is to have, by the policy. */
static void hide(struct kch_restoring *job)
{
	u64 passed_cycles = rdtsc_ordered() - le64_to_cpu(job->saved->host_tsc);

	job->hidden_cycles = kch_policy_hidden_cycles(job->goes_on_ms, passed_cycles,
						      job->saved_khz);
	kch_entry_hide(job->saved, job->hidden_cycles);
}

/*
 * @step is broken off where it waits for a vCPU that was started behind our look at it: that
 * is in KVM_RUN for as long as it likes.
 */
static int unless_started(struct kch_restoring *job, void __user *user,
			  int (*step)(struct kch_restoring *job, void __user *user))
{
	int err;

	patience_begins(job);
	err = step(job, user);
	patience_ends(job);
	if (err != -EINTR || READ_ONCE(job->cancelled))
		return err;
	kch_say(&job->message, "a vCPU was started while the clock was being restored");
	return -EBUSY;
}

/* Everything that can refuse comes before the first write. */
static int check(struct kch_restoring *job, void __user *user)
{
	struct kch_kvm_restore *r = &job->todo;

	r->check_only = true;
	r->sets_vcpus = true;
	return kch_kvm_restore(kvm_of(job), r, &job->message) ?:
	       (kch_kvm_sets_vcpus() ? 0 : check_files(job)) ?:
	       kch_kvm_check_vm(job->vm_file, job->vcpus, kch_restoring_vcpus(job), &r->facts,
				user, &job->message);
}

/*
 * KVM takes a reference at once; at the first KVM_RUN it would undo this.  The last step
 * bars the vCPUs: one that its VMM starts then is in KVM_RUN until they are let in, and no
 * other ioctl of it comes to its end.
 */
static int set(struct kch_restoring *job, void __user *user)
{
	return set_vcpus(job, job->before, job->saved, user) ?:
	       rearm(job, user) ?:
	       set_clock(job, saved_ns(job), user) ?:
	       kch_kvm_restore(kvm_of(job), &job->todo, &job->message);
}

static int restore_now(struct kch_restoring *job, void __user *user)
{
	struct kch_kvm_restore *r = &job->todo;
	int err;

	err = kch_kvm_read(kvm_of(job), r->facts.frac_bits, &job->before, &job->message);
	if (err)
		return err;
	hide(job);
	err = unless_started(job, user, check);
	if (err || job->flags & KCH_RESTORE_CHECK)
		return err;
	err = mark_used(job);
	if (err)
		return err;
	r->check_only = false;
	r->sets_vcpus = kch_kvm_sets_vcpus();
	if (r->sets_vcpus)
		return kch_kvm_restore(kvm_of(job), r, &job->message);
	err = unless_started(job, user, set);
	if (err)
		put_back(job, true, err == -EBUSY, user);
	return err;
}

/* Until the VMM comes to KVM_RUN.  Without the VM's memory, so that it can go. */
static int wait_for_vmm(struct kch_restoring *job)
{
	unsigned long until = jiffies + msecs_to_jiffies(job->hold_ms);
	struct kvm *kvm = kvm_of(job);

	job->was_held = true;
	complete_all(&job->held);
	while (!kch_kvm_entered(kvm)) {
		if (READ_ONCE(job->cancelled)) {
			kch_say(&job->message, "the hold was ended before the VMM resumed");
			return -ECANCELED;
		}
		/* Only our own reference and the watch's are left. */
		if (!atomic_read(&kch_kvm_mm(kvm)->mm_users) ||
		    file_count(job->vm_file) <= 2) {
			kch_say(&job->message, "the VM was closed, or its process ended, while it was held");
			return -ESRCH;
		}
		if (time_after(jiffies, until)) {
			kch_say(&job->message, "its VMM did not resume within %u ms",
				job->hold_ms);
			return -ETIMEDOUT;
		}
		usleep_range(HOLD_POLL_US, 2 * HOLD_POLL_US);
	}
	return 0;
}

/* With the VM's memory taken on; @fn needs a page of it. */
static int in_memory_of_vm(struct kch_restoring *job,
			   int (*fn)(struct kch_restoring *job, void __user *user))
{
	struct mm_struct *mm = kch_kvm_mm(kvm_of(job));
	unsigned long page;
	int err;

	if (!mmget_not_zero(mm)) {
		kch_say(&job->message, "the VM's process has ended");
		return -ESRCH;
	}
	kthread_use_mm(mm);
	patience_begins(job);
	page = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	patience_ends(job);
	if (IS_ERR_VALUE(page)) {
		err = -ENOMEM;
	} else {
		err = fn(job, (void __user *)page);
		/* Its VMM may have made it wait until a message about it is read (userfaultfd). */
		flush_signals(current);
		patience_begins(job);
		vm_munmap(page, PAGE_SIZE);
		patience_ends(job);
	}
	kthread_unuse_mm(mm);
	mmput(mm);
	return err;
}

static int put_back_held(struct kch_restoring *job, void __user *user)
{
	struct kch_rec_vm now = { };

	/* Another reference than ours was taken by KVM_SET_CLOCK since. */
	kch_kvm_read_reference(kvm_of(job), &now);
	put_back(job, le64_to_cpu(now.master_cycle_now) ==
			      job->todo.reference_cycles, false, user);
	return 0;
}

int kch_restoring_run(struct kch_restoring *job)
{
	struct kvm *kvm = kvm_of(job);
	struct kch_message why;
	int err, back;

	err = in_memory_of_vm(job, restore_now);
	if (err || !(job->flags & KCH_RESTORE_HOLD) ||
	    job->flags & KCH_RESTORE_CHECK)
		return err;
	err = wait_for_vmm(job);
	if (!err) {
		err = kch_kvm_restore_again(kvm, &job->todo, &job->message);
		if (err == -EINTR) {
			kch_say(&job->message, "the hold was ended while its VMM resumed: the guest goes on as its VMM left it");
			err = -ECANCELED;
		} else if (err == -ENOMEM) {
			kch_say(&job->message, "the kernel has no memory to write the clock once more: the guest goes on as its VMM left it");
		}
		/*
		 * The VMM may have changed more than the clock.  That is refused, but now
		 * the guest runs with what it has: a TSC offset is set by an ioctl of a
		 * vCPU, which would wait for its KVM_RUN.
		 */
		if (err)
			job->todo.stays = true;
		return err;
	}
	/* The signal that ended the hold must not end this, too. */
	flush_signals(current);
	/* vCPUs can run on without a descriptor of the VM, but not without its process. */
	why = job->message;
	back = in_memory_of_vm(job, put_back_held);
	if (back == -ESRCH)
		job->message = why;
	else if (back == -ENOMEM)
		not_put_back(job, back);
	if (back != -ESRCH && !job->todo.stays)
		strlcat(job->message.text, ": the guest goes on as its VMM left it",
			sizeof(job->message.text));
	return err;
}
