// SPDX-License-Identifier: GPL-2.0
/* KVM's files, and reading a VM's clock out of its private structures. */
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>

#include "host/host.h"
#include "kvm/common.h"
#include "kvm/stock.h"

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

/* KVM has no function for that which a module could call. */
bool kch_kvm_sets_vcpus(void) { return false; }

int kch_kvm_vcpu_file_id(const struct file *vcpu_file, const struct kvm *kvm)
{
	const struct kvm_vcpu *vcpu = vcpu_file->private_data;

	return vcpu->kvm == kvm ? vcpu->vcpu_id : -1;
}

static void read_vcpu_once(const struct kvm_vcpu *vcpu, struct kch_rec_vcpu *to)
{
	memset(to, 0, sizeof(*to));
	kch_kvm_vcpu_state(READ_ONCE(vcpu->arch.tsc_catchup) ||
			   READ_ONCE(vcpu->arch.tsc_always_catchup),
			   READ_ONCE(vcpu->arch.hw_tsc_khz), READ_ONCE(vcpu->arch.time), to);
	to->vcpu_id = cpu_to_le32(vcpu->vcpu_id);
	to->tsc_offset = cpu_to_le64(READ_ONCE(vcpu->arch.l1_tsc_offset));
	to->tsc_scaling_ratio = cpu_to_le64(READ_ONCE(vcpu->arch.l1_tsc_scaling_ratio));
	to->ia32_tsc_adjust = cpu_to_le64(READ_ONCE(vcpu->arch.ia32_tsc_adjust_msr));
	to->virtual_tsc_khz = cpu_to_le32(READ_ONCE(vcpu->arch.virtual_tsc_khz));
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

int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 room,
		    struct kch_message *message)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(to + 1);
	struct kvm_vcpu *vcpu;
	unsigned long i;
	u32 count, n = 0;
	int err;

	err = kch_kvm_has_clock(kvm, message);
	if (err)
		return err;
	count = atomic_read(&kvm->online_vcpus);
	/* No VM has that many: the layout this was built with is not KVM's. */
	if (count > KVM_MAX_VCPUS) {
		kch_say(message, "the VM seems to have %u vCPUs, KVM allows %u: this module does not understand this KVM",
			count, KVM_MAX_VCPUS);
		return -ELIBBAD;
	}
	count = min(count, room);
	memset(to, 0, sizeof(*to));
	/*
	 * KVM counts a vCPU as online once it is stored, and frees none before
	 * the VM: walking them needs no lock, only the count taken before.
	 */
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (n == count)
			break;
		if (mutex_is_locked(&vcpu->mutex))
			to->flags |= cpu_to_le32(KCH_VM_RUNNING);
		read_vcpu(vcpu, &vcpus[n++]);
	}
	to->default_tsc_khz = cpu_to_le32(READ_ONCE(kvm->arch.default_tsc_khz));
	kch_kvm_read_reference(kvm, to);
	kch_kvm_read_end(kvm, n, frac_bits, to);
	return 0;
}

const char *kch_kvm_no_master_clock(const struct kvm *kvm)
{
	const struct kvm_arch *ka = &kvm->arch;

	if (ka->nr_vcpus_matched_tsc + 1 != atomic_read(&kvm->online_vcpus))
		return "its vCPUs' TSCs do not match";
	if (ka->backwards_tsc_observed)
		return "a host TSC was seen going backwards";
	if (ka->boot_vcpu_runs_old_kvmclock)
		return "the guest uses the first version of kvmclock's MSRs";
	return NULL;
}

int kch_kvm_pending(struct kvm *kvm, bool *again, struct kch_message *message)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;
	const char *why;
	bool update;
	int err;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		update = kvm_test_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
		why = update ? kch_kvm_no_master_clock(kvm) : NULL;
		if (update && !why && !kch_host_tsc_is_clocksource())
			why = "the host's clocksource is not the TSC";
		err = kch_kvm_check_pending(vcpu->vcpu_id, vcpu_tsc_protected(vcpu),
					    READ_ONCE(vcpu->arch.tsc_offset_adjustment),
					    why, message);
		if (err)
			return err;
		if (update && vcpu->arch.hw_tsc_khz &&
		    mutex_is_locked(&vcpu->mutex) && !kvm_vcpu_is_blocking(vcpu))
			*again = true;
	}
	return 0;
}
