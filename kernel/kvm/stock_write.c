// SPDX-License-Identifier: GPL-2.0
/*
 * Writing a VM's clock into KVM's private structures: at a restore, to keep it in
 * agreement with KVM, and for an added vCPU.
 */
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "host/host.h"
#include "kvm/common.h"
#include "kvm/stock.h"

/* NULL: all vCPUs are locked now; else one that is @busy, and those before it are. */
static struct kvm_vcpu *trylock_vcpus(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		/* With the VM's lock held lockdep counts them all as one. */
		if (!mutex_trylock_nest_lock(&vcpu->mutex, &kvm->lock))
			return vcpu;
	return NULL;
}

static void unlock_vcpus(struct kvm *kvm, const struct kvm_vcpu *busy)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (vcpu == busy)
			break;
		mutex_unlock(&vcpu->mutex);
	}
}

/*
 * A request that KVM does not know is never done, and a vCPU with a request does not enter
 * the guest: it stays in KVM_RUN until the request is taken back.  That is how KVM keeps
 * vCPUs out of the guest itself while it changes the clock, by KVM_REQ_MCLOCK_INPROGRESS.
 * That one is KVM's to clear, so these are others: one of a restore, and one of the keeper,
 * who must not end a hold.  All ioctls of the vCPU work meanwhile.
 */
#define REQ_RESTORED	63
#define REQ_KEPT	62
/* It has written its page of a clock that is not the VM's any more; bars it, too. */
#define REQ_WROTE	61

#define PAGES_MAX_S	5

static void bar(struct kvm *kvm, unsigned int request, bool barred)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		assign_bit(request, (unsigned long *)&vcpu->requests, barred);
	smp_mb__after_atomic();	/* the request before vcpu->mode is read */
}

static bool is_barred(struct kvm *kvm, unsigned int request)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		if (test_bit(request, (unsigned long *)&vcpu->requests))
			return true;
	return false;
}

void kch_kvm_unbar(struct kvm *kvm)
{
	bar(kvm, REQ_WROTE, false);
	bar(kvm, REQ_RESTORED, false);
}

static void leave_guest(void *unused)
{
}

/* Until no vCPU is in the guest, those that were barred before. */
static int wait_out_of_guest(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	cpumask_var_t cpus;
	unsigned long i;
	int cpu;

	if (!zalloc_cpumask_var(&cpus, GFP_KERNEL))
		return -ENOMEM;
	kvm_for_each_vcpu(i, vcpu, kvm) {
		cpu = READ_ONCE(vcpu->cpu);
		if (READ_ONCE(vcpu->mode) != OUTSIDE_GUEST_MODE && cpu >= 0)
			cpumask_set_cpu(cpu, cpus);
	}
	/* Any interrupt makes a CPU leave the guest; this one is waited for. */
	on_each_cpu_mask(cpus, leave_guest, NULL, true);
	free_cpumask_var(cpus);
	return 0;
}

bool kch_kvm_entered(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	/* KVM_RUN does what was requested, and waits for a halted vCPU. */
	kvm_for_each_vcpu(i, vcpu, kvm)
		if (!kvm_test_request(KVM_REQ_CLOCK_UPDATE, vcpu) || kvm_vcpu_is_blocking(vcpu))
			return true;
	return false;
}

/*
 * @hw_tsc_khz: what KVM will compare with the vCPU's frequency; it computes the pair anew if
 * that is another one.
 */
static void write_pair(struct kvm_vcpu *vcpu, const struct kch_rec_vcpu *wanted, u32 hw_tsc_khz)
{
	vcpu_mul(vcpu) = le32_to_cpu(wanted->tsc_to_system_mul);
	vcpu_shift(vcpu) = wanted->tsc_shift;
	vcpu->arch.hw_tsc_khz = hw_tsc_khz;
}

static void write_reference(struct kvm_arch *ka, const struct kch_rec_vm *entry)
{
	ka->kvmclock_offset = le64_to_cpu(entry->kvmclock_offset);
	ka->master_cycle_now = le64_to_cpu(entry->master_cycle_now);
	ka->master_kernel_ns = le64_to_cpu(entry->master_kernel_ns);
}

/*
 * @mark: vCPUs that have done what was requested before, whose pages are of the clock
 * before.
 */
static void request_pages(struct kvm *kvm, bool mark)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (mark && !kvm_test_request(KVM_REQ_CLOCK_UPDATE, vcpu))
			set_bit(REQ_WROTE, (unsigned long *)&vcpu->requests);
		kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
	}
}

#ifdef KCH_HAVE_KVM_HYPERV
bool kch_kvm_hyperv_page(const struct kvm *kvm)
{
	return kvm->arch.hyperv.hv_tsc_page & HV_X64_MSR_TSC_REFERENCE_ENABLE;
}

/*
 * A vCPU that makes the page has this lock, and it may have it for as long as its VMM likes:
 * the page is the guest's memory, which may not come.  No page is made, and none becomes due,
 * while it is held.
 */
static bool trylock_hyperv(struct kvm *kvm)
{
	return mutex_trylock(&kvm->arch.hyperv.hv_lock);
}

static void unlock_hyperv(struct kvm *kvm)
{
	mutex_unlock(&kvm->arch.hyperv.hv_lock);
}

static bool hyperv_page_is_due(const struct kvm *kvm)
{
	enum hv_tsc_page_status status = kvm->arch.hyperv.hv_tsc_page_status;

	return status == HV_TSC_PAGE_GUEST_CHANGED ||
	       status == HV_TSC_PAGE_HOST_CHANGED;
}

/* KVM makes the page once, and would not again, for the clock it was made of. */
static void make_hyperv_page_due(struct kvm *kvm)
{
	struct kvm_hv *hv = &kvm->arch.hyperv;

	/* With emulation of the old frequency the page is the guest's own. */
	if (hv->hv_tsc_page_status == HV_TSC_PAGE_SET && !hv->hv_tsc_emulation_control)
		hv->hv_tsc_page_status = HV_TSC_PAGE_HOST_CHANGED;
}
#else
bool kch_kvm_hyperv_page(const struct kvm *kvm) { return false; }
static bool trylock_hyperv(struct kvm *kvm) { return true; }
static void unlock_hyperv(struct kvm *kvm) { }
static bool hyperv_page_is_due(const struct kvm *kvm) { return false; }
static void make_hyperv_page_due(struct kvm *kvm) { }
#endif

/* As KVM_SET_CLOCK does it: for the page that KVM makes next. */
int kch_kvm_renew_hyperv_page(struct kvm *kvm, struct kch_message *message)
{
	unsigned long until = jiffies + PAGES_MAX_S * HZ;

	while (!trylock_hyperv(kvm)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, until)) {
			kch_say(message, "a vCPU is making the guest's Hyper-V reference page, and that memory does not come");
			return -EBUSY;
		}
		usleep_range(50, 100);
	}
	make_hyperv_page_due(kvm);
	unlock_hyperv(kvm);
	return 0;
}

/*
 * A vCPU that came to KVM_RUN, but is barred, has written its page of the clock before, or
 * is making the Hyper-V page of it.  Until it has done what was requested since, another
 * one that enters the guest would read that: Linux reads the first vCPU's page on all.
 * It may have left KVM_RUN since, by a signal, to come again.  There may be many more vCPUs
 * than CPUs to do it on.  -EINTR.
 */
static int wait_for_pages(struct kvm *kvm)
{
	unsigned long until = jiffies + PAGES_MAX_S * HZ;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		while ((mutex_is_locked(&vcpu->mutex) ||
			test_bit(REQ_WROTE, (unsigned long *)&vcpu->requests)) &&
		       !kvm_vcpu_is_blocking(vcpu) &&
		       kvm_test_request(KVM_REQ_CLOCK_UPDATE, vcpu) &&
		       time_before(jiffies, until)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			usleep_range(50, 100);
		}
	return 0;
}

/* One that a vCPU was making is of the clock before. */
static int remake_hyperv_page(struct kvm *kvm, struct kch_message *message)
{
	int err;

	if (!kch_kvm_hyperv_page(kvm))
		return 0;
	err = wait_for_pages(kvm) ?: kch_kvm_renew_hyperv_page(kvm, message);
	if (!err)
		request_pages(kvm, false);
	return err;
}

bool kch_kvm_put_back(struct kvm *kvm, const struct kch_rec_vm *before, bool reference)
{
	bool master = le32_to_cpu(before->flags) & KCH_VM_MASTER_CLOCK;
	const struct kch_rec_vcpu *was;
	struct kvm_arch *ka = &kvm->arch;
	struct kvm_vcpu *vcpu;
	unsigned long i, flags;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	write_seqcount_begin(&ka->pvclock_sc);
	/* A reference that is not in use, or was not, is none. */
	if (reference && master == ka->use_master_clock)
		write_reference(ka, before);
	ka->default_tsc_khz = le32_to_cpu(before->default_tsc_khz);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		was = kch_entry_vcpu(before, vcpu->vcpu_id);
		if (!was)
			continue;
		vcpu_mul(vcpu) = le32_to_cpu(was->tsc_to_system_mul);
		vcpu_shift(vcpu) = was->tsc_shift;
		vcpu->arch.hw_tsc_khz = le32_to_cpu(was->hw_tsc_khz);
	}
	write_seqcount_end(&ka->pvclock_sc);
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);
	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
	return true;
}

/* The vCPUs are locked, or barred with their pairs as wanted already. */
int kch_kvm_write(struct kvm *kvm, const struct kch_kvm_restore *r,
		  const struct kch_rec_vm *wanted, const struct kch_rec_vm *before,
		  bool pairs, struct kch_message *message)
{
	struct kvm_arch *ka = &kvm->arch;
	const struct kch_rec_vcpu *pair;
	struct kvm_vcpu *vcpu;
	unsigned long i, flags;
	const char *why;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	why = kch_kvm_no_master_clock(kvm);
	if (why || !ka->use_master_clock)
		goto unlock;
	write_seqcount_begin(&ka->pvclock_sc);
	write_reference(ka, wanted);
	/* A vCPU that is added gets it, and the others' TSC only if theirs is the same. */
	if (pairs && wanted->default_tsc_khz)
		ka->default_tsc_khz = le32_to_cpu(wanted->default_tsc_khz);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		pair = pairs ? kch_entry_vcpu(wanted, vcpu->vcpu_id) : NULL;
		if (pair)
			write_pair(vcpu, pair,
				   kch_scale_tsc(r->facts.kvm_khz,
						 vcpu->arch.l1_tsc_scaling_ratio,
						 r->facts.frac_bits));
		/* Left by its creation; would take a new reference at KVM_RUN. */
		kvm_clear_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
	}
	write_seqcount_end(&ka->pvclock_sc);
unlock:
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);
	request_pages(kvm, !pairs);
	/* The one reason that is not under the lock, and may have come since. */
	if (!why && !kch_host_tsc_is_clocksource())
		why = "the host's clocksource is not the TSC";
	if (!why)
		return 0;
	kch_say(message, "KVM will turn the VM's master clock off when it runs: %s", why);
	kch_kvm_put_back(kvm, before, true);
	return -EOPNOTSUPP;
}

int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *r, struct kch_message *message)
{
	struct kch_rec_vm *before = NULL;
	struct kvm_vcpu *busy;
	int err;

	r->outcome.vcpu_id = -1;
	/* Held over all: no vCPU is created, none runs.  KVM's own lock order. */
	if (mutex_lock_killable(&kvm->lock))
		return -EINTR;
	busy = trylock_vcpus(kvm);
	if (busy) {
		kch_say(message, "vCPU %d is running, or in an ioctl", busy->vcpu_id);
		r->outcome.vcpu_id = busy->vcpu_id;
		err = -EBUSY;
	} else if (kvm->created_vcpus != atomic_read(&kvm->online_vcpus)) {
		kch_say(message, "a vCPU is being created");
		err = -EBUSY;
	} else {
		err = kch_entry_exact(r->saved, message) ?:
		      kch_kvm_read(kvm, r->facts.frac_bits, &before, message) ?:
		      kch_check_ready(before, r, message);
	}
	if (!err && !r->check_only) {
		err = kch_kvm_renew_hyperv_page(kvm, message) ?:
		      kch_kvm_write_and_check(kvm, r, before, true, message);
		/* While they are locked: none is in KVM_RUN. */
		if (!err)
			bar(kvm, REQ_RESTORED, true);
	}
	unlock_vcpus(kvm, busy);
	mutex_unlock(&kvm->lock);
	kvfree(before);
	return err;
}

/* The VMM has come to KVM_RUN since, and may have set the clock anew, or more. */
int kch_kvm_restore_again(struct kvm *kvm, struct kch_kvm_restore *r, struct kch_message *message)
{
	struct kch_rec_vm *before = NULL;
	int err;

	r->outcome.vcpu_id = -1;
	if (mutex_lock_killable(&kvm->lock))
		return -EINTR;
	err = kch_kvm_read(kvm, r->facts.frac_bits, &before, message) ?:
	      kch_check_ready(before, r, message);
	/* Also where it is as saved: the offset is of an earlier moment. */
	if (!err || err == -EALREADY)
		err = kch_kvm_write_and_check(kvm, r, before, false, message);
	if (!err) {
		err = remake_hyperv_page(kvm, message) ?: wait_for_pages(kvm);
		if (err)
			kch_kvm_put_back(kvm, before, true);
	}
	kvfree(before);
	mutex_unlock(&kvm->lock);
	return err;
}

/* False: KVM has taken another reference since @was was read. */
static bool write_kept(struct kvm *kvm, const struct kch_rec_vm *was,
		       const struct kch_rec_vm *entry)
{
	struct kvm_arch *ka = &kvm->arch;
	const struct kch_rec_vcpu *pair;
	struct kvm_vcpu *vcpu;
	unsigned long i, flags;
	bool same;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	same = ka->use_master_clock &&
	       ka->master_cycle_now == le64_to_cpu(was->master_cycle_now) &&
	       ka->master_kernel_ns == le64_to_cpu(was->master_kernel_ns) &&
	       ka->kvmclock_offset == le64_to_cpu(was->kvmclock_offset);
	if (same) {
		write_seqcount_begin(&ka->pvclock_sc);
		write_reference(ka, entry);
		kvm_for_each_vcpu(i, vcpu, kvm) {
			pair = kch_entry_vcpu(entry, vcpu->vcpu_id);
			/* One that never ran may be computing its own just now. */
			if (pair && vcpu->arch.hw_tsc_khz)
				write_pair(vcpu, pair, le32_to_cpu(pair->hw_tsc_khz));
		}
		write_seqcount_end(&ka->pvclock_sc);
	}
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);
	return same;
}

int kch_kvm_keep(struct kvm *kvm, const struct kch_kvm_keep *keep)
{
	struct kch_rec_vm *entry, was;
	struct kch_instant now;
	int err;

	/* It is to have another clock than the one that is kept. */
	if (is_barred(kvm, REQ_RESTORED))
		return -EBUSY;
	err = kch_kvm_read(kvm, keep->facts.frac_bits, &entry, NULL);
	if (err)
		return err;
	was = *entry;
	kch_host_instant(&now);
	err = kch_entry_exact(entry, NULL);
	if (err || !kch_entry_renew(entry, keep, kch_kvm_hyperv_page(kvm), &now))
		goto out;
	/*
	 * Old and new page agree at every TSC.  But KVM reads the offset after the
	 * rest of the reference, without a lock: no vCPU is in the guest while
	 * one of them may make a page of the old reference and the new offset.
	 */
	bar(kvm, REQ_KEPT, true);
	err = wait_out_of_guest(kvm);
	/* Nor does one make the Hyper-V page meanwhile.  Else at the next look. */
	if (!err && trylock_hyperv(kvm)) {
		if (!hyperv_page_is_due(kvm) && write_kept(kvm, &was, entry))
			request_pages(kvm, false);
		unlock_hyperv(kvm);
	}
	bar(kvm, REQ_KEPT, false);
out:
	kvfree(entry);
	return err;
}

int kch_kvm_adopt(struct kvm *kvm, const struct kch_kvm_facts *facts,
		  struct kch_adopt *a, struct kch_message *message)
{
	const struct kch_rec_vcpu *pair;
	struct kch_rec_vm *entry = NULL;
	struct kvm_vcpu *vcpu;
	unsigned long i, done;
	int err;

	/* No vCPU is added meanwhile. */
	if (mutex_lock_killable(&kvm->lock))
		return -EINTR;
	err = kch_kvm_read(kvm, facts->frac_bits, &entry, message) ?:
	      kch_entry_exact(entry, message) ?:
	      kch_check_added(entry, a, message);
	if (err)
		goto unlock;
	/* From here on a vCPU that has not run does not start to. */
	done = ULONG_MAX;
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (vcpu->arch.hw_tsc_khz)
			continue;
		if (!mutex_trylock(&vcpu->mutex)) {
			kch_say(message, "vCPU %d is new, but in an ioctl, or running already",
				vcpu->vcpu_id);
			a->vcpu_id = vcpu->vcpu_id;
			err = -EBUSY;
			done = i;
			break;
		}
		/* Its first run was just ending. */
		if (vcpu->arch.hw_tsc_khz)
			mutex_unlock(&vcpu->mutex);
	}
	kch_clock_fill_pairs(entry, facts->kvm_khz);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (i == done)
			break;
		if (vcpu->arch.hw_tsc_khz)
			continue;
		if (!err) {
			pair = kch_entry_vcpu(entry, vcpu->vcpu_id);
			/* As of the vCPU it is from: KVM may be about to change that. */
			write_pair(vcpu, pair, le32_to_cpu(pair->hw_tsc_khz));
			/* Left by its creation; would take a new reference. */
			kvm_clear_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
			kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
			a->adopted++;
		}
		mutex_unlock(&vcpu->mutex);
	}
unlock:
	mutex_unlock(&kvm->lock);
	kvfree(entry);
	return err;
}
