// SPDX-License-Identifier: GPL-2.0
/*
 * Restoring a VM.
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
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "restore/keep.h"
#include "kvm/calls.h"
#include "kvm/common.h"
#include "restore/restore.h"
#include "kvm/facts.h"
#include "state/state.h"
#include "watch/watch.h"

/* A vCPU that the VMM starts spins until it is noticed. */
#define HOLD_POLL_US	200

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
 * @kept: to be handed on
 * @saved: the entry, as it is to be
 * @before: the VM's clock as it was
 * @facts: what KVM computes clocks from
 * @todo: what is written, and its outcome
 * @thread: does it
 * @break_off: ends what waits for KVM
 * @held: the VM is held, or it has ended
 * @ended: it has ended
 * @cancelled: it is to end
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
	struct kch_kept *kept;
	struct kch_rec_vm *saved;
	struct kch_rec_vm *before;
	struct kch_kvm_facts facts;
	struct kch_kvm_restore todo;
	struct task_struct *thread;
	struct delayed_work break_off;
	struct completion held;
	struct completion ended;
	bool cancelled;
	int err;
	struct kch_message message;
};

static LIST_HEAD(restorings);		/* under kch.lock */

static struct kvm *kvm_of(const struct kch_restoring *job)
{
	return kch_kvm_of(job->vm_file);
}

bool kch_restore_is_busy(const struct kch_incoming *record, const u8 *uuid)
{
	const struct kch_restoring *job;

	list_for_each_entry(job, &restorings, link)
		if (job->record == record &&
		    (!uuid || !memcmp(job->uuid, uuid, sizeof(job->uuid))))
			return true;
	return false;
}

static u32 vcpus_saved(const struct kch_restoring *job)
{
	return le32_to_cpu(job->saved->vcpu_count);
}

static const struct kch_rec_vcpu *saved_vcpu(const struct kch_restoring *job, u32 i)
{
	return (const struct kch_rec_vcpu *)(job->saved + 1) + i;
}

static int take_vcpu(const void *arg, struct file *file, unsigned int fd)
{
	struct kch_restoring *job = (struct kch_restoring *)arg;
	const struct kch_rec_vcpu *vcpu;
	int id;

	if (kch_kvm_file_kind(file) != KCH_KVM_FILE_VCPU)
		return 0;
	id = kch_kvm_vcpu_file_id(file, kvm_of(job));
	vcpu = id < 0 ? NULL : kch_entry_vcpu(job->saved, id);
	if (vcpu && !job->vcpus[vcpu - saved_vcpu(job, 0)])
		job->vcpus[vcpu - saved_vcpu(job, 0)] = get_file(file);
	return 0;
}

/* What is not as saved is set by the vCPU's file; so there must be one. */
static int check_files(struct kch_restoring *job)
{
	struct kch_outcome *r = &job->todo.outcome;
	u32 i;

	for (i = 0; i < vcpus_saved(job); i++) {
		const struct kch_rec_vcpu *want = saved_vcpu(job, i);
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
	job->todo.outcome.vcpu_id = le32_to_cpu(saved_vcpu(job, i)->vcpu_id);
	kch_say(&job->message, "%s of vCPU %d failed (%d)", what,
		job->todo.outcome.vcpu_id, err);
	return err == -EINTR || err == -EIO ? err : refusal;
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

	for (i = 0; i < vcpus_saved(job) && !err; i++) {
		u32 id = le32_to_cpu(saved_vcpu(job, i)->vcpu_id);
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
	for (i = 0; offset && i < vcpus_saved(job) && !err; i++) {
		u32 id = le32_to_cpu(saved_vcpu(job, i)->vcpu_id);
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

	for (i = 0; i < vcpus_saved(job) && !err; i++)
		if (job->vcpus[i])
			err = vcpu_error(job, i, "MSR_IA32_TSC_DEADLINE",
					 kch_kvm_rearm_deadline(job->vcpus[i], user),
					 -EIO);
	return err;
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
	return kch_clock_kvm_ns(&clock, job->facts.kvm_khz, now.host_tsc);
}

/*
 * An ioctl of ours waits for a vCPU that its VMM has started just now, maybe for
 * ever; where the vCPU is barred, that waits for us.
 */
#define PATIENCE	(2 * HZ)

static void break_off(struct work_struct *work)
{
	struct kch_restoring *job =
		container_of(work, struct kch_restoring, break_off.work);

	send_sig(SIGKILL, job->thread, 1);
}

/*
 * The VM as its VMM left it; its clock too, unless the VMM has set it since, and to the
 * bit, unless one of its vCPUs @runs.
 */
static void put_back(struct kch_restoring *job, bool clock, bool runs, void __user *user)
{
	struct kch_rec_vm *now = NULL;
	int err;

	flush_signals(current);
	schedule_delayed_work(&job->break_off, PATIENCE);
	err = kch_kvm_read(kvm_of(job), job->facts.frac_bits, &now, NULL);
	if (!err)
		err = set_vcpus(job, now, job->before, user);
	if (!err && clock)
		err = kch_kvm_set_clock(job->vm_file, clock_now(job), user);
	/* That is late by what it takes, and the vCPUs have our rates. */
	if (!err && !runs)
		kch_kvm_put_back(kvm_of(job), job->before, clock);
	if (!err)
		err = rearm(job, user);
	cancel_delayed_work_sync(&job->break_off);
	kvfree(now);
	if (err)
		pr_err("kvmclock_handover: %.63s (%pUb): the clock could not be put back as its VMM had set it (%d)\n",
		       job->name, job->uuid, err);
}

/* For KVM to take a reference by; the exact clock is written over it. */
static u64 saved_ns(const struct kch_restoring *job)
{
	struct kch_clock clock;

	kch_clock_of(job->saved, saved_vcpu(job, 0), &clock);
	return kch_clock_ns(&clock, rdtsc_ordered());
}

static int restore_now(struct kch_restoring *job, void __user *user)
{
	struct kch_kvm_restore *r = &job->todo;
	struct kvm *kvm = kvm_of(job);
	int err;

	err = kch_kvm_read(kvm, job->facts.frac_bits, &job->before, &job->message);
	if (err)
		return err;
	/* First all that can refuse. */
	r->check_only = true;
	r->sets_vcpus = true;
	err = kch_kvm_restore(kvm, r, &job->message) ?:
	      (kch_kvm_sets_vcpus() ? 0 : check_files(job)) ?:
	      kch_kvm_check_vm(job->vm_file, job->vcpus, vcpus_saved(job),
			       &job->facts, user, &job->message);
	if (err || job->flags & KCH_RESTORE_CHECK)
		return err;
	r->check_only = false;
	r->sets_vcpus = kch_kvm_sets_vcpus();
	if (r->sets_vcpus)
		return kch_kvm_restore(kvm, r, &job->message);
	/*
	 * KVM takes a reference at once; at the first KVM_RUN it would undo this.
	 * The last step bars the vCPUs: one that its VMM starts then is in KVM_RUN
	 * until they are let in, and no other ioctl of it comes to its end.
	 */
	schedule_delayed_work(&job->break_off, PATIENCE);
	err = set_vcpus(job, job->before, job->saved, user) ?:
	      rearm(job, user) ?:
	      kch_kvm_set_clock(job->vm_file, saved_ns(job), user) ?:
	      kch_kvm_restore(kvm, r, &job->message);
	cancel_delayed_work_sync(&job->break_off);
	if (err == -EINTR && !READ_ONCE(job->cancelled)) {
		kch_say(&job->message, "a vCPU was started while the clock was being restored");
		err = -EBUSY;
	}
	if (err)
		put_back(job, true, err == -EBUSY, user);
	return err;
}

/* Until the VMM comes to KVM_RUN.  Without the VM's memory, so that it can go. */
static int wait_for_vmm(struct kch_restoring *job)
{
	unsigned long until = jiffies + msecs_to_jiffies(job->hold_ms);
	struct kvm *kvm = kvm_of(job);

	complete_all(&job->held);
	while (!kch_kvm_entered(kvm)) {
		if (READ_ONCE(job->cancelled)) {
			kch_say(&job->message, "the hold was ended before the VMM resumed: the guest goes on as its VMM left it");
			return -ECANCELED;
		}
		/* Our own reference and the watch's are left. */
		if (!atomic_read(&kch_kvm_mm(kvm)->mm_users) ||
		    file_count(job->vm_file) <= 2) {
			kch_say(&job->message, "the VM was closed, or its process ended, while it was held");
			return -ESRCH;
		}
		if (time_after(jiffies, until)) {
			kch_say(&job->message, "its VMM did not resume within %u ms: the guest goes on as its VMM left it",
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
	page = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(page)) {
		err = -ENOMEM;
	} else {
		err = fn(job, (void __user *)page);
		vm_munmap(page, PAGE_SIZE);
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

static int restore_and_hold(struct kch_restoring *job)
{
	struct kvm *kvm = kvm_of(job);
	int err;

	err = in_memory_of_vm(job, restore_now);
	if (err || !(job->flags & KCH_RESTORE_HOLD) ||
	    job->flags & KCH_RESTORE_CHECK)
		return err;
	err = wait_for_vmm(job);
	/* The VMM may have changed more than the clock: that is refused again. */
	if (!err)
		return kch_kvm_restore_again(kvm, &job->todo, &job->message);
	/* The signal that ended the hold must not end this, too. */
	flush_signals(current);
	if (err != -ESRCH && in_memory_of_vm(job, put_back_held) == -ENOMEM)
		pr_err("kvmclock_handover: %.63s (%pUb): no memory to put the clock back as its VMM had set it\n",
		       job->name, job->uuid);
	return err;
}

static void note_outcome(struct kch_restoring *job)
{
	mutex_lock(&kch.lock);
	kch_incoming_outcome(job->record, job->uuid, job->vm_file, job->err);
	mutex_unlock(&kch.lock);
	if (job->err) {
		pr_notice_ratelimited("kvmclock_handover: the hold of %.63s (%pUb) ended (%d): %s\n",
				      job->name, job->uuid, job->err, job->message.text);
		return;
	}
	kch_keep(job->kept, job->saved, &job->facts);
	job->kept = NULL;
}

static int restore_thread(void *data)
{
	struct kch_restoring *job = data;

	/* To be got out of KVM's locks, which the VMM may hold for long. */
	allow_signal(SIGKILL);
	job->err = restore_and_hold(job);
	/* Before the guest can go on with it. */
	if (job->err ? completion_done(&job->held) :
		       !(job->flags & KCH_RESTORE_CHECK))
		note_outcome(job);
	kch_kvm_unbar(kvm_of(job));
	/* Whoever sees it held and not ended takes it for a hold. */
	complete_all(&job->ended);
	complete_all(&job->held);
	return 0;
}

static void job_free(struct kch_restoring *job)
{
	u32 i;

	for (i = 0; job->vcpus && i < vcpus_saved(job); i++)
		if (job->vcpus[i])
			fput(job->vcpus[i]);
	kvfree(job->vcpus);
	kvfree(job->saved);
	kvfree(job->before);
	kch_kept_free(job->kept);
	if (job->vm_file)
		fput(job->vm_file);
	kfree(job);
}

/* With kch.lock: may this VM be restored from this entry, and by nobody else? */
static int job_begin(struct kch_restoring *job, struct kch_message *message)
{
	const struct kch_restoring *other;
	struct kch_incoming_vm *in;
	struct file *vm_file;
	int err;

	if (kch.too_late) {
		kch_say(message, "the host is being kexec'ed: the clock is handed on to the next kernel as it is");
		return -ESHUTDOWN;
	}
	err = kch_incoming_find(job->record, job->uuid, &in, message) ?:
	      kch_incoming_usable(job->record, job->flags, &job->todo.outcome,
				  message);
	if (err)
		return err;
	vm_file = kch_watch_get(in->watch);
	if (vm_file) {
		kch_say(message, "restored already, to a VM that process %d still has",
			kch_kvm_pid(kch_kvm_of(vm_file)));
		fput(vm_file);
		return -EALREADY;
	}
	list_for_each_entry(other, &restorings, link) {
		if (other->vm_file != job->vm_file &&
		    (other->record != job->record ||
		     memcmp(other->uuid, job->uuid, sizeof(job->uuid))))
			continue;
		kch_say(message, "the restore of %pUb is under way, to a VM of process %d",
			other->uuid, kch_kvm_pid(kvm_of(other)));
		return -EALREADY;
	}
	strscpy(job->name, in->vm.vm.name, sizeof(job->name));
	err = kch_incoming_saved(&in->vm, job->flags, &job->saved, message);
	if (!err)
		list_add(&job->link, &restorings);
	return err;
}

static void job_end(struct kch_restoring *job)
{
	if (job->thread) {
		if (!completion_done(&job->ended)) {
			WRITE_ONCE(job->cancelled, true);
			send_sig(SIGKILL, job->thread, 1);
		}
		kthread_stop(job->thread);
		put_task_struct(job->thread);
	}
	mutex_lock(&kch.lock);
	list_del(&job->link);
	mutex_unlock(&kch.lock);
	job_free(job);
}

static int job_outcome(struct kch_restoring *job, struct kch_restore *r,
		       struct kch_message *message)
{
	bool hyperv = kch_kvm_hyperv_page(kvm_of(job));

	r->outcome = job->todo.outcome;
	/* What was in the way of a first try is no message of a restore that went well. */
	if (job->err) {
		r->outcome.page = KCH_PAGE_NONE;
		*message = job->message;
		return job->err;
	}
	r->outcome.found = 0;
	r->outcome.expected = 0;
	/* With the reference as it was written, or would be. */
	if (!kch_entry_kvm_agrees(job->saved, job->facts.kvm_khz))
		kch_entry_advance(job->saved, r->outcome.host_tsc, hyperv);
	r->outcome.rebase_bound_ns =
		kch_entry_bound_ns(job->saved, job->facts.kvm_khz, tsc_khz,
				   r->outcome.host_tsc, hyperv);
	if (!(job->flags & KCH_RESTORE_CHECK))
		r->outcome.mode = KCH_MODE_IDENTICAL;
	return 0;
}

static int job_prepare(struct kch_restoring *job, struct kch_message *message)
{
	int err = kch_kvm_ask(&job->facts, message);

	if (err)
		return err;
	job->todo.saved = job->saved;
	job->todo.facts = job->facts;
	job->kept = kch_kept_new(job->vm_file);
	job->vcpus = kvcalloc(vcpus_saved(job), sizeof(*job->vcpus), GFP_KERNEL);
	if (!job->kept || !job->vcpus)
		return -ENOMEM;
	iterate_fd(current->files, 0, take_vcpu, job);
	job->thread = kthread_create(restore_thread, job, "kch-restore");
	if (IS_ERR(job->thread)) {
		err = PTR_ERR(job->thread);
		job->thread = NULL;
		return err;
	}
	get_task_struct(job->thread);
	wake_up_process(job->thread);
	return 0;
}

static int restore_vm(struct kch_incoming *record, struct kch_restore *r,
		      struct file *vm_file, struct kch_restoring **held,
		      struct kch_message *message)
{
	struct kch_restoring *job = kzalloc(sizeof(*job), GFP_KERNEL);
	int err;

	if (!job)
		return -ENOMEM;
	job->record = record;
	job->vm_file = get_file(vm_file);
	memcpy(job->uuid, r->uuid, sizeof(job->uuid));
	job->flags = r->flags;
	job->hold_ms = r->hold_ms;
	job->todo.outcome.vcpu_id = -1;
	INIT_DELAYED_WORK(&job->break_off, break_off);
	init_completion(&job->held);
	init_completion(&job->ended);
	if (mutex_lock_killable(&kch.lock)) {
		job_free(job);
		return -EINTR;
	}
	err = job_begin(job, message);
	mutex_unlock(&kch.lock);
	r->outcome = job->todo.outcome;
	if (err) {
		job_free(job);
		return err;
	}
	err = job_prepare(job, message);
	if (!err && wait_for_completion_killable(&job->held))
		err = -EINTR;
	if (!err && !completion_done(&job->ended)) {
		*held = job;
		return 0;
	}
	if (!err)
		err = job_outcome(job, r, message);
	job_end(job);
	return err;
}

void kch_holder_init(struct kch_holder *holder)
{
	mutex_init(&holder->lock);
	holder->held = NULL;
}

void kch_holder_exit(struct kch_holder *holder)
{
	if (holder->held)
		job_end(holder->held);
	holder->held = NULL;
}

static void say_refused(const struct kch_restore *r, int err,
			const struct kch_message *message)
{
	/* Who has a clock's descriptor needs no capability to be refused. */
	static DEFINE_RATELIMIT_STATE(refusals, 5 * HZ, 10);

	/* One that only asks is answered, and needs no trace. */
	if (err == -EINTR || err == -ENOMEM || r->flags & KCH_RESTORE_CHECK)
		return;
	if (ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN) ||
	    __ratelimit(&refusals))
		pr_notice("kvmclock_handover: restore of %pUb refused (%d): %s; its clock was not changed\n",
			  r->uuid, err, message->text);
}

/* Somebody may wait for the hold that there is, maybe for long. */
static int restore_and_keep_hold(struct kch_incoming *record, struct kch_restore *r,
				 struct file *vm_file, struct kch_holder *holder,
				 struct kch_message *message)
{
	bool locked = mutex_trylock(&holder->lock);
	int err;

	if (locked && !holder->held) {
		err = restore_vm(record, r, vm_file, &holder->held, message);
	} else {
		kch_say(message, "a VM is held by this open file already: KCH_IOC_WAIT ends that");
		err = -EDEADLK;
	}
	if (locked)
		mutex_unlock(&holder->lock);
	return err;
}

int kch_restore(struct kch_incoming *record, struct kch_restore *r,
		struct kch_holder *holder, struct kch_message *message)
{
	int err = kch_restore_check(r, message);
	struct file *vm_file;

	if (err)
		return err;
	vm_file = kch_kvm_get_vm(r->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	if (r->flags & KCH_RESTORE_HOLD)
		err = restore_and_keep_hold(record, r, vm_file, holder, message);
	else
		err = restore_vm(record, r, vm_file, NULL, message);
	if (err)
		say_refused(r, err, message);
	fput(vm_file);
	return err;
}

int kch_restore_wait(struct kch_holder *holder, struct kch_restore *r,
		     struct kch_message *message)
{
	int err;

	memset_startat(r, 0, flags);
	r->vm_fd = -1;
	r->outcome.vcpu_id = -1;
	if (mutex_lock_interruptible(&holder->lock))
		return -EINTR;
	if (!holder->held) {
		kch_say(message, "this open file has no hold");
		err = -ENOLINK;
	} else if (wait_for_completion_interruptible(&holder->held->ended)) {
		err = -EINTR;
	} else {
		memcpy(r->uuid, holder->held->uuid, sizeof(r->uuid));
		r->flags = holder->held->flags;
		err = job_outcome(holder->held, r, message);
		kch_holder_exit(holder);
	}
	mutex_unlock(&holder->lock);
	return err;
}

/* With kch.lock. */
static bool all_ended(void)
{
	struct kch_restoring *job;
	bool all = true;

	/* Their owners take them off the list. */
	list_for_each_entry(job, &restorings, link) {
		if (!job->thread || completion_done(&job->ended))
			continue;
		all = false;
		if (!job->cancelled)
			send_sig(SIGKILL, job->thread, 1);
		WRITE_ONCE(job->cancelled, true);
	}
	return all;
}

void kch_restore_end_all(void)
{
	int tries = 100;
	bool all;

	do {
		mutex_lock(&kch.lock);
		all = all_ended();
		mutex_unlock(&kch.lock);
		if (all)
			return;
		usleep_range(10000, 20000);
	} while (tries--);
	pr_err("kvmclock_handover: a restore does not come to its end\n");
}
