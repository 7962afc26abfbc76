// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "check.h"
#include "kch_probed.h"

/*
 * Since "KVM: x86: Remove per-vCPU pvclock cache" the vCPU keeps only the pair
 * of numbers, before it the whole page as last written.  The flags byte can be
 * had only there.
 */
#ifdef KCH_HAVE_VCPU_HV_CLOCK
#define vcpu_mul(vcpu)		((vcpu)->arch.hv_clock.tsc_to_system_mul)
#define vcpu_shift(vcpu)	((vcpu)->arch.hv_clock.tsc_shift)
#define vcpu_page_flags(vcpu)	((vcpu)->arch.hv_clock.flags)
#else
#define vcpu_mul(vcpu)		((vcpu)->arch.pvclock_tsc_mul)
#define vcpu_shift(vcpu)	((vcpu)->arch.pvclock_tsc_shift)
#define vcpu_page_flags(vcpu)	((void)(vcpu), 0)
#endif

/*
 * KVM's functions that were met, by kind.  To find the name of one takes longer
 * than all else that an ioctl of ours does.  A file keeps KVM loaded, so what
 * is remembered with one open is right until KVM goes.
 */
static const void *known_ioctl[KCH_KVM_FILE_VCPU + 1];

void kch_kvm_forget_files(void)
{
	enum kch_kvm_file kind;

	for (kind = KCH_KVM_FILE_DEV; kind <= KCH_KVM_FILE_VCPU; kind++)
		WRITE_ONCE(known_ioctl[kind], NULL);
}

static enum kch_kvm_file kind_by_name(const void *function)
{
	static const char * const names[] = {
		[KCH_KVM_FILE_DEV] = "kvm_dev_ioctl",
		[KCH_KVM_FILE_VM] = "kvm_vm_ioctl",
		[KCH_KVM_FILE_VCPU] = "kvm_vcpu_ioctl",
	};
	char name[KSYM_NAME_LEN];
	enum kch_kvm_file kind;

	/*
	 * file_is_kvm() is KVM's own business from 6.15 on, f_op->owner is not
	 * set before 6.2; the name of the function is there in every kernel.
	 * "[kvm]" follows it where KVM is a module.
	 */
	snprintf(name, sizeof(name), "%ps", function);
	name[strcspn(name, " ")] = '\0';
	for (kind = KCH_KVM_FILE_DEV; kind <= KCH_KVM_FILE_VCPU; kind++)
		if (!strcmp(name, names[kind]))
			return kind;
	return KCH_KVM_FILE_OTHER;
}

enum kch_kvm_file kch_kvm_file_kind(const struct file *file)
{
	const void *function = file->f_op->unlocked_ioctl, *known;
	enum kch_kvm_file kind;
	bool all_known = true;

	if (!function)
		return KCH_KVM_FILE_OTHER;
	for (kind = KCH_KVM_FILE_DEV; kind <= KCH_KVM_FILE_VCPU; kind++) {
		known = READ_ONCE(known_ioctl[kind]);
		if (known == function)
			return kind;
		all_known &= !!known;
	}
	if (all_known)
		return KCH_KVM_FILE_OTHER;
	kind = kind_by_name(function);
	if (kind != KCH_KVM_FILE_OTHER)
		WRITE_ONCE(known_ioctl[kind], function);
	return kind;
}

struct kvm *kch_kvm_of(const struct file *vm_file)
{
	return vm_file->private_data;
}

struct mm_struct *kch_kvm_mm(const struct kvm *kvm)
{
	return kvm->mm;
}

pid_t kch_kvm_pid(const struct kvm *kvm)
{
	return kvm->userspace_pid;
}

int kch_kvm_vcpu_file_id(const struct file *vcpu_file, const struct kvm *kvm)
{
	const struct kvm_vcpu *vcpu = vcpu_file->private_data;

	return vcpu->kvm == kvm ? vcpu->vcpu_id : -1;
}

static void read_vcpu_once(const struct kvm_vcpu *vcpu, struct kch_rec_vcpu *to)
{
	u32 flags = 0;

	memset(to, 0, sizeof(*to));
	if (READ_ONCE(vcpu->arch.tsc_catchup) ||
	    READ_ONCE(vcpu->arch.tsc_always_catchup))
		flags |= KCH_VCPU_CATCHUP;
	if (READ_ONCE(vcpu->arch.hw_tsc_khz))
		flags |= KCH_VCPU_PAIR_VALID;
	/* Bit 0 of MSR_KVM_SYSTEM_TIME enables the page at the other bits. */
	if (READ_ONCE(vcpu->arch.time) & 1) {
		flags |= KCH_VCPU_PVCLOCK_ON;
		to->pvclock_gpa = cpu_to_le64(READ_ONCE(vcpu->arch.time) & ~1ULL);
	}
	to->vcpu_id = cpu_to_le32(vcpu->vcpu_id);
	to->flags = cpu_to_le32(flags);
	to->tsc_offset = cpu_to_le64(READ_ONCE(vcpu->arch.l1_tsc_offset));
	to->tsc_scaling_ratio =
		cpu_to_le64(READ_ONCE(vcpu->arch.l1_tsc_scaling_ratio));
	to->ia32_tsc_adjust =
		cpu_to_le64(READ_ONCE(vcpu->arch.ia32_tsc_adjust_msr));
	to->virtual_tsc_khz = cpu_to_le32(READ_ONCE(vcpu->arch.virtual_tsc_khz));
	to->hw_tsc_khz = cpu_to_le32(READ_ONCE(vcpu->arch.hw_tsc_khz));
	to->tsc_to_system_mul = cpu_to_le32(READ_ONCE(vcpu_mul(vcpu)));
	to->tsc_shift = READ_ONCE(vcpu_shift(vcpu));
	to->pvclock_flags = vcpu_page_flags(vcpu);
}

static void read_vcpu(const struct kvm_vcpu *vcpu, struct kch_rec_vcpu *to)
{
	struct kch_rec_vcpu again;

	/*
	 * A running vCPU may be computing its pair just now.  It does so only
	 * when the host's frequency changed, so two equal readings are whole.
	 */
	read_vcpu_once(vcpu, to);
	for (;;) {
		smp_rmb();	/* no part of the 2nd reading before the 1st */
		read_vcpu_once(vcpu, &again);
		if (!memcmp(to, &again, sizeof(again)))
			return;
		*to = again;
		cpu_relax();
	}
}

void kch_kvm_read_reference(const struct kvm *kvm, struct kch_rec_vm *to)
{
	const struct kvm_arch *ka = &kvm->arch;
	u32 flags = le32_to_cpu(to->flags) & ~KCH_VM_MASTER_CLOCK;
	unsigned int seq;

	do {
		seq = read_seqcount_begin(&ka->pvclock_sc);
		if (ka->use_master_clock)
			flags |= KCH_VM_MASTER_CLOCK;
		else
			flags &= ~KCH_VM_MASTER_CLOCK;
		to->master_cycle_now = cpu_to_le64(ka->master_cycle_now);
		to->master_kernel_ns = cpu_to_le64(ka->master_kernel_ns);
		to->kvmclock_offset = cpu_to_le64(ka->kvmclock_offset);
	} while (read_seqcount_retry(&ka->pvclock_sc, seq));
	to->flags = cpu_to_le32(flags);
}

int kch_kvm_read(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		 struct kch_message *message)
{
	struct kch_rec_vcpu *vcpus;
	struct kch_clock clock;
	struct kvm_vcpu *vcpu;
	struct kch_rec_vm *to;
	u32 count, n = 0, at;
	unsigned long i;

	if (kvm->vm_dead || kvm->vm_bugged) {
		kch_say(message, "KVM marked the VM %s: it has no clock any more",
			kvm->vm_dead ? "dead" : "bugged");
		return -EIO;
	}
	count = atomic_read(&kvm->online_vcpus);
	if (!count) {
		kch_say(message, "the VM has no vCPU, and without one no clock");
		return -ECHILD;
	}
	/* No VM has that many: the layout this was built with is not KVM's. */
	if (count > KVM_MAX_VCPUS) {
		kch_say(message, "the VM seems to have %u vCPUs, KVM allows %u: this module does not understand this KVM",
			count, KVM_MAX_VCPUS);
		return -ELIBBAD;
	}
	to = kvzalloc(kch_rec_entry_size(count), GFP_KERNEL);
	if (!to)
		return -ENOMEM;
	vcpus = (struct kch_rec_vcpu *)(to + 1);
	/*
	 * KVM counts a vCPU as online once it is stored, and frees none before
	 * the VM: walking them needs no lock, only the count taken before.
	 */
	kvm_for_each_vcpu(i, vcpu, kvm) {
		struct kch_rec_vcpu one;

		if (n == count)
			break;
		if (mutex_is_locked(&vcpu->mutex))
			to->flags |= cpu_to_le32(KCH_VM_RUNNING);
		read_vcpu(vcpu, &one);
		for (at = n; at && le32_to_cpu(vcpus[at - 1].vcpu_id) >
				   le32_to_cpu(one.vcpu_id); at--)
			vcpus[at] = vcpus[at - 1];
		vcpus[at] = one;
		n++;
	}
	to->vcpu_count = cpu_to_le32(n);
	to->pid = cpu_to_le32(kvm->userspace_pid);
	to->default_tsc_khz = cpu_to_le32(READ_ONCE(kvm->arch.default_tsc_khz));
	to->tsc_scaling_frac_bits = frac_bits;
	kch_kvm_read_reference(kvm, to);
	kch_clock_of(to, vcpus, &clock);
	to->host_tsc = cpu_to_le64(rdtsc_ordered());
	to->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock,
						   le64_to_cpu(to->host_tsc)));
	*entry = to;
	return 0;
}

/* How many vCPUs were locked: all, or those before @busy. */
static u32 trylock_vcpus(struct kvm *kvm, struct kvm_vcpu **busy)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;
	u32 locked = 0;

	*busy = NULL;
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (!mutex_trylock(&vcpu->mutex)) {
			*busy = vcpu;
			break;
		}
		locked++;
	}
	return locked;
}

static void unlock_vcpus(struct kvm *kvm, u32 locked)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (!locked--)
			break;
		mutex_unlock(&vcpu->mutex);
	}
}

static void write_pair(struct kvm_vcpu *vcpu, const struct kch_rec_vcpu *wanted,
		       u32 kvm_khz, u8 frac_bits)
{
	vcpu_mul(vcpu) = le32_to_cpu(wanted->tsc_to_system_mul);
	vcpu_shift(vcpu) = wanted->tsc_shift;
	/* What KVM will compare with: it computes the pair anew if not. */
	vcpu->arch.hw_tsc_khz = kch_scale_tsc(kvm_khz,
					      vcpu->arch.l1_tsc_scaling_ratio,
					      frac_bits);
}

/* A new page at the next KVM_RUN, but of the reference that is there. */
static void keep_reference(struct kvm_vcpu *vcpu)
{
	/* Left by vCPU creation; would take a new reference at KVM_RUN. */
	kvm_clear_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
	kvm_make_request(KVM_REQ_CLOCK_UPDATE, vcpu);
}

static const struct kch_rec_vcpu *find_vcpu(const struct kch_rec_vm *entry, u32 id)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	u32 n = le32_to_cpu(entry->vcpu_count);

	for (; n; n--, vcpu++)
		if (le32_to_cpu(vcpu->vcpu_id) == id)
			return vcpu;
	return NULL;
}

static void write_clock(struct kvm *kvm, const struct kch_kvm_restore *r)
{
	const struct kch_rec_vcpu *wanted = (const void *)(r->saved + 1);
	struct kvm_arch *ka = &kvm->arch;
	struct kvm_vcpu *vcpu;
	unsigned long i, flags;
	struct kch_clock clock;
	u64 offset;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	write_seqcount_begin(&ka->pvclock_sc);
	/*
	 * KVM's reference of this moment stays the base of the offset, so that
	 * a reference it takes later lands on the saved clock; then the pair
	 * is moved back to the saved one, which the guest's page is made of.
	 */
	kch_clock_of(r->saved, wanted, &clock);
	offset = kch_clock_ns(&clock, ka->master_cycle_now) -
		 ka->master_kernel_ns;
	ka->kvmclock_offset = offset;
	ka->master_cycle_now = clock.reference_cycles;
	ka->master_kernel_ns = clock.system_time_ns - offset;
	kvm_for_each_vcpu(i, vcpu, kvm) {
		wanted = find_vcpu(r->saved, vcpu->vcpu_id);
		if (wanted)
			write_pair(vcpu, wanted, r->kvm_khz, r->frac_bits);
	}
	write_seqcount_end(&ka->pvclock_sc);
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);

	kvm_for_each_vcpu(i, vcpu, kvm)
		keep_reference(vcpu);
}

static void put_back(struct kvm *kvm, const struct kch_rec_vm *before)
{
	const struct kch_rec_vcpu *was;
	struct kvm_arch *ka = &kvm->arch;
	struct kvm_vcpu *vcpu;
	unsigned long i, flags;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	write_seqcount_begin(&ka->pvclock_sc);
	ka->kvmclock_offset = le64_to_cpu(before->kvmclock_offset);
	ka->master_cycle_now = le64_to_cpu(before->master_cycle_now);
	ka->master_kernel_ns = le64_to_cpu(before->master_kernel_ns);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		was = find_vcpu(before, vcpu->vcpu_id);
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
}

static int restore_locked(struct kvm *kvm, struct kch_kvm_restore *r,
			  struct kch_message *message)
{
	struct kch_rec_vm *before = NULL, *after = NULL;
	int err;

	err = kch_kvm_entry_exact(r->saved, message) ?:
	      kch_kvm_read(kvm, r->frac_bits, &before, message);
	if (err)
		return err;
	err = kch_check_ready(before, r, message);
	if (err || r->check_only)
		goto out;

	write_clock(kvm, r);

	err = kch_kvm_read(kvm, r->frac_bits, &after, message);
	if (!err && !kch_check_identical(after, r)) {
		kch_say(message, "vCPU %d reads back %lld ns, %lld cycles, %lld ppb from the saved clock: undone",
			r->vcpu_id, r->error.ns, r->error.cycles,
			r->error.rate_ppb);
		err = -EOVERFLOW;
	}
	if (err)
		put_back(kvm, before);
out:
	kvfree(before);
	kvfree(after);
	return err;
}

int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *r,
		    struct kch_message *message)
{
	struct kvm_vcpu *busy;
	u32 locked;
	int err;

	r->vcpu_id = -1;
	/* Held over all: no vCPU is created, none runs.  KVM's own lock order. */
	if (mutex_lock_killable(&kvm->lock))
		return -EINTR;
	locked = trylock_vcpus(kvm, &busy);
	if (busy) {
		kch_say(message, "vCPU %d is running, or in an ioctl",
			busy->vcpu_id);
		r->vcpu_id = busy->vcpu_id;
		err = -EBUSY;
	} else if (kvm->created_vcpus != atomic_read(&kvm->online_vcpus)) {
		kch_say(message, "a vCPU is being created");
		err = -EBUSY;
	} else {
		err = restore_locked(kvm, r, message);
	}
	unlock_vcpus(kvm, locked);
	mutex_unlock(&kvm->lock);
	return err;
}

/* Under the VM's lock: no vCPU is added meanwhile. */
static int adopt_locked(struct kvm *kvm, struct kch_kvm_adopt *a,
			struct kch_message *message)
{
	struct kch_rec_vm *entry;
	struct kvm_vcpu *vcpu;
	unsigned long i, done;
	int err;

	err = kch_kvm_read(kvm, a->frac_bits, &entry, message);
	if (err)
		return err;
	err = kch_kvm_entry_exact(entry, message) ?:
	      kch_check_added(entry, a, message);
	if (err)
		goto free;
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
	kch_clock_fill_pairs(entry, a->kvm_khz);
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (i == done)
			break;
		if (vcpu->arch.hw_tsc_khz)
			continue;
		if (!err) {
			write_pair(vcpu, find_vcpu(entry, vcpu->vcpu_id),
				   a->kvm_khz, a->frac_bits);
			keep_reference(vcpu);
			a->adopted++;
		}
		mutex_unlock(&vcpu->mutex);
	}
free:
	kvfree(entry);
	return err;
}

int kch_kvm_adopt(struct kvm *kvm, struct kch_kvm_adopt *a,
		  struct kch_message *message)
{
	int err;

	a->vcpu_id = -1;
	a->adopted = 0;
	if (mutex_lock_killable(&kvm->lock))
		return -EINTR;
	err = adopt_locked(kvm, a, message);
	mutex_unlock(&kvm->lock);
	return err;
}
