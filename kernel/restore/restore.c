// SPDX-License-Identifier: GPL-2.0
/*
 * Restores, one after the other or at the same time: who may begin one, what came of it,
 * and the holds of open files.
 */
#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "core/machine.h"
#include "core/policy.h"
#include "host/host.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "restore/job.h"
#include "restore/keep.h"
#include "restore/restore.h"
#include "watch/watch.h"

static LIST_HEAD(restorings);	/* under kch_lock, as are the next two */
static bool ending;		/* the host is being kexec'ed */
static struct kch_outgoing *outgoing;

unsigned int kch_goes_on_ms = KCH_GOES_ON;

bool kch_restore_is_busy(const struct kch_incoming *record, const u8 *uuid)
{
	const struct kch_restoring *job;

	list_for_each_entry(job, &restorings, link)
		if (job->record == record &&
		    (!uuid || !memcmp(job->uuid, uuid, sizeof(job->uuid))))
			return true;
	return false;
}

static int take_vcpu(const void *arg, struct file *file, unsigned int fd)
{
	struct kch_restoring *job = (struct kch_restoring *)arg;
	const struct kch_rec_vcpu *vcpu;
	int id;

	if (kch_kvm_file_kind(file) != KCH_KVM_FILE_VCPU)
		return 0;
	id = kch_kvm_vcpu_file_id(file, kch_kvm_of(job->vm_file));
	vcpu = id < 0 ? NULL : kch_entry_vcpu(job->saved, id);
	if (vcpu && !job->vcpus[vcpu - kch_restoring_vcpu(job, 0)])
		job->vcpus[vcpu - kch_restoring_vcpu(job, 0)] = get_file(file);
	return 0;
}

static void note_outcome(struct kch_restoring *job)
{
	mutex_lock(&kch_lock);
	kch_incoming_outcome(job->record, job->uuid, job->vm_file, job->err,
			     job->hidden_cycles);
	if (!job->err && !ending)
		kch_outgoing_replaced(outgoing, job->uuid, job->todo.facts.kvm_khz);
	mutex_unlock(&kch_lock);
	if (job->err && !job->was_held)
		return;
	if (job->err) {
		pr_notice_ratelimited("the hold of %.63s (%pUb) ended (%pe): %s\n",
				      job->name, job->uuid, ERR_PTR(job->err), job->message.text);
		return;
	}
	kch_keep(job->kept, job->saved, &job->todo.facts);
	job->kept = NULL;
}

/*
 * With kch_lock, of a restore that the kexec has ended, or that does not come to its end: the
 * guest waits for the clock that came, and its VM has another one, of its VMM's.
 */
static void forget(const struct kch_restoring *job)
{
	if (job->at_kexec)
		kch_outgoing_forget(outgoing, job->vm_file);
}

static void not_given(struct kch_restoring *job)
{
	kch_restoring_not_used(job);
	mutex_lock(&kch_lock);
	forget(job);
	mutex_unlock(&kch_lock);
}

static int restore_thread(void *data)
{
	struct kch_restoring *job = data;

	/* To be got out of KVM's locks, which the VMM may hold for long. */
	allow_signal(SIGKILL);
	job->err = kch_restoring_run(job);
	if (job->err && !job->todo.stays)
		not_given(job);
	/* Before the guest can go on with it. */
	if (job->err ? job->was_held || job->todo.stays : !(job->flags & KCH_RESTORE_CHECK))
		note_outcome(job);
	kch_kvm_unbar(kch_kvm_of(job->vm_file));
	complete_all(&job->ended);
	complete_all(&job->held);
	return 0;
}

static void job_free(struct kch_restoring *job)
{
	u32 i;

	for (i = 0; job->vcpus && i < kch_restoring_vcpus(job); i++)
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

/* With kch_lock: has another VM than @vm, which may be NULL, that clock already? */
static int check_others(const struct kch_incoming_vm *in, const struct file *vm,
			struct kch_message *message)
{
	struct file *live = kch_watch_get(in->watch);
	bool others = live && live != vm;

	if (others)
		kch_say(message, "restored already, to a VM that process %d still has",
			kch_kvm_pid(kch_kvm_of(live)));
	if (live)
		fput(live);
	return others ? -EALREADY : 0;
}

/* With kch_lock. */
static int not_at_kexec(struct kch_message *message)
{
	if (!ending)
		return 0;
	kch_say(message, "the host is being kexec'ed: the clock is handed on to the next kernel as it is");
	return -ESHUTDOWN;
}

/* Since it was read last: it may have ended long before the seal, or have been carried on. */
static u64 blackout_ns(const struct kch_incoming *record, const struct kch_incoming_vm *in)
{
	u64 now = rdtsc_ordered(), read = le64_to_cpu(in->vm.vm.host_tsc);

	return now < read ? 0 :
	       kch_cycles_to_ns(now - read, le32_to_cpu(record->record.header.tsc_khz));
}

/* With kch_lock: may this VM be restored from this entry, and by nobody else? */
static int may_begin(struct kch_incoming *record, const struct kch_restore *r,
		     const struct file *vm, struct kch_incoming_vm **in,
		     struct kch_outcome *outcome, struct kch_message *message)
{
	const struct kch_restoring *other;
	int err;

	err = not_at_kexec(message) ?:
	      kch_incoming_find(record, r->uuid, in, message) ?:
	      kch_incoming_usable(record, r->flags, outcome, message);
	if (err)
		return err;
	outcome->blackout_ns = blackout_ns(record, *in);
	err = kch_blackout_allowed(outcome, r->blackout_ms_max, message) ?:
	      check_others(*in, NULL, message);
	if (err)
		return err;
	list_for_each_entry(other, &restorings, link) {
		if (other->vm_file != vm &&
		    (other->record != record ||
		     memcmp(other->uuid, r->uuid, sizeof(other->uuid))))
			continue;
		kch_say(message, "the restore of %pUb is under way, to a VM of process %d",
			other->uuid, kch_kvm_pid(kch_kvm_of(other->vm_file)));
		return -EALREADY;
	}
	return 0;
}

/* With kch_lock, under which it is on the list from then on. */
static int job_begin(struct kch_restoring **begun, struct kch_incoming *record,
		     struct kch_restore *r, struct file *vm_file, u32 goes_on_ms,
		     struct kch_message *message)
{
	struct kch_restoring *job;
	struct kch_incoming_vm *in;
	struct kch_rec_vm *saved;
	int err;

	err = may_begin(record, r, vm_file, &in, &r->outcome, message) ?:
	      kch_policy_allowed(goes_on_ms, &record->record.header, &in->vm.vm, message) ?:
	      kch_incoming_saved(&in->vm, r->flags, &saved, message);
	if (err)
		return err;
	/* Last: for this a caller may take a weaker mode, for what is refused above it must not. */
	err = kch_host_tsc_settled(message);
	job = err ? NULL : kzalloc(sizeof(*job), GFP_KERNEL);
	if (!job) {
		kvfree(saved);
		return err ?: -ENOMEM;
	}
	job->record = record;
	job->vm_file = get_file(vm_file);
	memcpy(job->uuid, r->uuid, sizeof(job->uuid));
	strscpy(job->name, in->vm.vm.name, sizeof(job->name));
	job->flags = r->flags;
	job->hold_ms = r->hold_ms;
	job->goes_on_ms = goes_on_ms;
	job->saved_khz = le32_to_cpu(record->record.header.tsc_khz);
	job->saved = saved;
	job->todo.saved = saved;
	job->todo.outcome = r->outcome;
	INIT_DELAYED_WORK(&job->break_off, kch_restoring_break_off);
	init_completion(&job->held);
	init_completion(&job->ended);
	list_add(&job->link, &restorings);
	*begun = job;
	return 0;
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
	mutex_lock(&kch_lock);
	list_del(&job->link);
	mutex_unlock(&kch_lock);
	job_free(job);
}

static int job_outcome(struct kch_restoring *job, struct kch_restore *r,
		       struct kch_message *message)
{
	bool hyperv = kch_kvm_hyperv_page(kch_kvm_of(job->vm_file));

	r->outcome = job->todo.outcome;
	kch_policy_of(job->goes_on_ms, &r->policy, &r->limit_ms);
	if (job->err) {
		r->outcome.page = KCH_PAGE_NONE;
		*message = job->message;
		return job->err;
	}
	r->outcome.found = 0;
	r->outcome.expected = 0;
	r->hidden_ns = kch_cycles_to_ns(job->hidden_cycles, job->saved_khz);
	/* With the reference as it was written, or would be. */
	if (!kch_entry_kvm_agrees(job->saved, job->todo.facts.kvm_khz))
		kch_entry_advance(job->saved, r->outcome.host_tsc, hyperv);
	r->outcome.rebase_bound_ns =
		kch_entry_bound_ns(job->saved, job->todo.facts.kvm_khz, tsc_khz,
				   r->outcome.host_tsc, hyperv);
	if (!(job->flags & KCH_RESTORE_CHECK))
		r->outcome.mode = KCH_MODE_IDENTICAL;
	return 0;
}

static int job_prepare(struct kch_restoring *job, struct kch_message *message)
{
	int err = kch_kvm_ask(&job->todo.facts, message);
	struct task_struct *thread;

	if (err)
		return err;
	job->kept = kch_kept_new(job->vm_file);
	job->vcpus = kvcalloc(kch_restoring_vcpus(job), sizeof(*job->vcpus), GFP_KERNEL);
	if (!job->kept || !job->vcpus)
		return -ENOMEM;
	iterate_fd(current->files, 0, take_vcpu, job);
	thread = kthread_create(restore_thread, job, "kch-restore");
	/* That there are as many threads as there may be would be EAGAIN, and is for now, too. */
	if (IS_ERR(thread))
		return PTR_ERR(thread) == -EINTR ? -EINTR : -ENOMEM;
	get_task_struct(thread);
	mutex_lock(&kch_lock);
	job->thread = thread;
	/* Who ends all restores for a kexec does not wait for one without a thread. */
	err = not_at_kexec(message);
	mutex_unlock(&kch_lock);
	if (!err)
		wake_up_process(thread);
	return err;
}

/* @stays: set if it is refused, but the VM keeps the clock. */
static int restore_vm(struct kch_incoming *record, struct kch_restore *r,
		      struct file *vm_file, u32 goes_on_ms, struct kch_restoring **held,
		      bool *stays, struct kch_message *message)
{
	struct kch_restoring *job;
	int err;

	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = job_begin(&job, record, r, vm_file, goes_on_ms, message);
	mutex_unlock(&kch_lock);
	if (err)
		return err;
	err = job_prepare(job, message);
	if (!err && wait_for_completion_killable(&job->held))
		err = -EINTR;
	/* Also if it has ended by now: what came of it is KCH_IOC_WAIT's to say. */
	if (!err && job->was_held) {
		*held = job;
		return 0;
	}
	if (!err)
		err = job_outcome(job, r, message);
	*stays = job->todo.stays;
	job_end(job);
	return err;
}

void kch_restore_init(struct kch_outgoing *out)
{
	outgoing = out;
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

static void say_refused(const struct kch_restore *r, int err, bool stays,
			const struct kch_message *message)
{
	/* A mere check leaves no trace.  A clock that is given elsewhere is not refused here. */
	if (err == -EINTR || err == -ENOMEM ||
	    r->flags & (KCH_RESTORE_CHECK | KCH_RESTORE_ELSEWHERE))
		return;
	pr_notice_ratelimited("restore of %pUb refused (%pe): %s%s\n", r->uuid, ERR_PTR(err),
			      message->text, stays ? "" : "; its clock was not changed");
}

/* A waiter has the lock for as long as the hold lasts: it is not waited for. */
static int restore_and_keep_hold(struct kch_incoming *record, struct kch_restore *r,
				 struct file *vm_file, u32 goes_on_ms,
				 struct kch_holder *holder, bool *stays,
				 struct kch_message *message)
{
	bool locked = mutex_trylock(&holder->lock);
	int err;

	if (locked && !holder->held) {
		err = restore_vm(record, r, vm_file, goes_on_ms, &holder->held, stays,
				 message);
	} else {
		kch_say(message, "a VM is held by this open file already: KCH_IOC_WAIT ends that");
		err = -EDEADLK;
	}
	if (locked)
		mutex_unlock(&holder->lock);
	return err;
}

/* What was given, and only that: everything else of @r is zeroed. */
static int check_arguments(struct kch_restore *r, u32 *goes_on_ms, struct kch_message *message)
{
	const struct kch_restore in = *r;
	bool hold = in.flags & KCH_RESTORE_HOLD;
	int err;

	memset_startat(r, 0, outcome);
	r->outcome.vcpu_id = -1;
	if (in.flags & ~KCH_RESTORE_FLAGS) {
		kch_say(message, "flags %#x, known are %#x", in.flags,
			KCH_RESTORE_FLAGS);
		return -EINVAL;
	}
	if (in.outcome.page || in.outcome.reserved) {
		kch_say(message, "reserved members are %#x and %#x, must be 0",
			in.outcome.page, in.outcome.reserved);
		return -EINVAL;
	}
	if (hold ? !in.hold_ms || in.hold_ms > KCH_HOLD_MS_MAX : in.hold_ms) {
		kch_say(message, "hold_ms is %u, expected %s", in.hold_ms,
			hold ? "1 to 3600000" : "0 without KCH_RESTORE_HOLD");
		return -EINVAL;
	}
	if (in.flags & KCH_RESTORE_ELSEWHERE && (in.flags != KCH_RESTORE_ELSEWHERE || in.policy)) {
		kch_say(message, "flags %#x, policy %u: KCH_RESTORE_ELSEWHERE stands alone",
			in.flags, in.policy);
		return -EINVAL;
	}
	if (in.mode < KCH_MODE_REALTIME || in.mode > KCH_MODE_IDENTICAL) {
		kch_say(message, "mode %u, there are %u to %u", in.mode,
			KCH_MODE_REALTIME, KCH_MODE_IDENTICAL);
		return -EINVAL;
	}
	err = kch_policy_ms(in.policy, in.limit_ms, READ_ONCE(kch_goes_on_ms), goes_on_ms, message);
	if (!err)
		kch_policy_of(*goes_on_ms, &r->policy, &r->limit_ms);
	return err;
}

/* Its VMM gives the VM a clock by other means: the saved one is used. */
static int note_elsewhere(struct kch_incoming *record, const struct kch_restore *r,
			  struct file *vm_file, struct kch_message *message)
{
	struct kch_incoming_vm *vm;
	int err;

	if (kch_restore_is_busy(record, r->uuid)) {
		kch_say(message, "the VM is being restored from the record");
		return -EBUSY;
	}
	err = kch_incoming_find(record, r->uuid, &vm, message) ?:
	      check_others(vm, vm_file, message) ?:
	      kch_incoming_use(record, r->uuid, true, message);
	if (err < 0)
		return err;
	kch_incoming_outcome(record, r->uuid, vm_file, 0, 0);
	return 0;
}

int kch_restore(struct kch_incoming *record, struct kch_restore *r,
		struct kch_holder *holder, struct kch_message *message)
{
	u32 goes_on_ms;
	int err = check_arguments(r, &goes_on_ms, message);
	struct file *vm_file;
	bool stays = false;

	if (err)
		return err;
	vm_file = kch_kvm_get_vm(r->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	if (r->flags & KCH_RESTORE_ELSEWHERE) {
		mutex_lock(&kch_lock);
		err = note_elsewhere(record, r, vm_file, message);
		mutex_unlock(&kch_lock);
	} else if (r->flags & KCH_RESTORE_HOLD) {
		err = restore_and_keep_hold(record, r, vm_file, goes_on_ms, holder, &stays,
					    message);
	} else {
		err = restore_vm(record, r, vm_file, goes_on_ms, NULL, &stays, message);
	}
	if (err)
		say_refused(r, err, stays, message);
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

/* With kch_lock. */
static bool all_ended(void)
{
	struct kch_restoring *job;
	bool all = true;

	ending = true;
	/* Their owners take them off the list. */
	list_for_each_entry(job, &restorings, link) {
		if (!job->thread || completion_done(&job->ended))
			continue;
		all = false;
		WRITE_ONCE(job->at_kexec, true);
		if (READ_ONCE(job->cancelled))
			continue;
		WRITE_ONCE(job->cancelled, true);
		send_sig(SIGKILL, job->thread, 1);
	}
	return all;
}

/* Nothing that takes long is done under the lock; if it were, a kexec does not wait for ever. */
#define KEXEC_WAIT_MS	10000

int kch_lock_at_kexec(void)
{
	int left_ms;

	for (left_ms = KEXEC_WAIT_MS; !mutex_trylock(&kch_lock); left_ms -= 20) {
		if (left_ms <= 0)
			return -EBUSY;
		msleep(20);
	}
	return 0;
}

int kch_restore_end_all(void)
{
	unsigned long until = jiffies + msecs_to_jiffies(2 * KCH_RESTORING_PATIENCE_MS);
	struct kch_restoring *job;
	bool all;
	int err;

	do {
		err = kch_lock_at_kexec();
		if (err)
			return err;
		all = all_ended();
		mutex_unlock(&kch_lock);
		if (all)
			return 0;
		usleep_range(10000, 20000);
	} while (time_before(jiffies, until));
	pr_err("a restore does not come to its end\n");
	err = kch_lock_at_kexec();
	if (err)
		return err;
	list_for_each_entry(job, &restorings, link)
		if (!completion_done(&job->ended))
			forget(job);
	mutex_unlock(&kch_lock);
	return 0;
}
