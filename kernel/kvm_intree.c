// SPDX-License-Identifier: GPL-2.0
/*
 * In place of kvm_private.c and selfcheck.c where the driver is part of the
 * kernel: KVM itself reads and sets a VM's clock, and says what it computes
 * clocks from, so that there is no reading of its structures to be checked.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/kvm_clock_state.h>

#include "check.h"
#include "selfcheck.h"

enum kch_kvm_file kch_kvm_file_kind(const struct file *file)
{
	return file_is_kvm((struct file *)file) ? KCH_KVM_FILE_VM :
						  KCH_KVM_FILE_OTHER;
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

bool kch_kvm_has_others(const struct kvm *kvm)
{
	return refcount_read(&kvm->users_count) > 1;
}

static void vcpu_to_entry(const struct kvm_vcpu_clock_state *vcpu,
			  struct kch_rec_vcpu *to)
{
	u32 flags = 0;

	memset(to, 0, sizeof(*to));
	if (vcpu->catchup)
		flags |= KCH_VCPU_CATCHUP;
	if (vcpu->hw_tsc_khz)
		flags |= KCH_VCPU_PAIR_VALID;
	/* Bit 0 of MSR_KVM_SYSTEM_TIME enables the page at the other bits. */
	if (vcpu->system_time_msr & 1) {
		flags |= KCH_VCPU_PVCLOCK_ON;
		to->pvclock_gpa = cpu_to_le64(vcpu->system_time_msr & ~1ULL);
	}
	to->vcpu_id = cpu_to_le32(vcpu->vcpu_id);
	to->flags = cpu_to_le32(flags);
	to->tsc_offset = cpu_to_le64(vcpu->tsc_offset);
	to->tsc_scaling_ratio = cpu_to_le64(vcpu->tsc_scaling_ratio);
	to->ia32_tsc_adjust = cpu_to_le64(vcpu->tsc_adjust);
	to->virtual_tsc_khz = cpu_to_le32(vcpu->virtual_tsc_khz);
	to->hw_tsc_khz = cpu_to_le32(vcpu->hw_tsc_khz);
	to->tsc_to_system_mul = cpu_to_le32(vcpu->pvclock_tsc_mul);
	to->tsc_shift = vcpu->pvclock_tsc_shift;
}

int kch_kvm_read(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		 struct kch_message *message)
{
	struct kvm_clock_state *state = kvm_get_clock_state(kvm);
	struct kch_rec_vcpu *vcpus;
	struct kch_clock clock;
	struct kch_rec_vm *to;
	u32 n, at, flags = 0;

	if (PTR_ERR_OR_ZERO(state) == -EIO) {
		kch_say(message, "KVM marked the VM %s: it has no clock any more",
			kvm->vm_dead ? "dead" : "bugged");
		return -EIO;
	}
	if (PTR_ERR_OR_ZERO(state) == -ENODEV) {
		kch_say(message, "the VM has no vCPU, and without one no clock");
		return -ECHILD;
	}
	if (IS_ERR(state))
		return PTR_ERR(state);
	to = kvzalloc(kch_rec_entry_size(state->nr_vcpus), GFP_KERNEL);
	if (!to) {
		kvfree(state);
		return -ENOMEM;
	}
	vcpus = (struct kch_rec_vcpu *)(to + 1);
	for (n = 0; n < state->nr_vcpus; n++) {
		const struct kvm_vcpu_clock_state *vcpu = &state->vcpus[n];

		if (vcpu->running)
			flags |= KCH_VM_RUNNING;
		for (at = n; at && le32_to_cpu(vcpus[at - 1].vcpu_id) >
				   vcpu->vcpu_id; at--)
			vcpus[at] = vcpus[at - 1];
		vcpu_to_entry(vcpu, &vcpus[at]);
	}
	if (state->master_clock)
		flags |= KCH_VM_MASTER_CLOCK;
	to->flags = cpu_to_le32(flags);
	to->vcpu_count = cpu_to_le32(state->nr_vcpus);
	to->pid = cpu_to_le32(kvm->userspace_pid);
	to->default_tsc_khz = cpu_to_le32(state->default_tsc_khz);
	to->tsc_scaling_frac_bits = frac_bits;
	to->master_cycle_now = cpu_to_le64(state->master_cycle_now);
	to->master_kernel_ns = cpu_to_le64(state->master_kernel_ns);
	to->kvmclock_offset = cpu_to_le64(state->kvmclock_offset);
	kvfree(state);
	kch_clock_of(to, vcpus, &clock);
	to->host_tsc = cpu_to_le64(rdtsc_ordered());
	to->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock,
						   le64_to_cpu(to->host_tsc)));
	*entry = to;
	return 0;
}

/* For KVM to set: all of an entry's clock, the pairs as they are there. */
static struct kvm_clock_state *state_of(const struct kch_rec_vm *entry)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(entry + 1);
	u32 count = le32_to_cpu(entry->vcpu_count), i;
	struct kvm_clock_state *state;

	state = kvzalloc(struct_size(state, vcpus, count), GFP_KERNEL);
	if (!state)
		return NULL;
	state->nr_vcpus = count;
	state->master_clock = true;
	state->master_cycle_now = le64_to_cpu(entry->master_cycle_now);
	state->master_kernel_ns = le64_to_cpu(entry->master_kernel_ns);
	state->kvmclock_offset = le64_to_cpu(entry->kvmclock_offset);
	for (i = 0; i < count; i++) {
		struct kvm_vcpu_clock_state *to = &state->vcpus[i];

		to->vcpu_id = le32_to_cpu(vcpus[i].vcpu_id);
		to->hw_tsc_khz = le32_to_cpu(vcpus[i].hw_tsc_khz);
		to->virtual_tsc_khz = le32_to_cpu(vcpus[i].virtual_tsc_khz);
		to->pvclock_tsc_mul = le32_to_cpu(vcpus[i].tsc_to_system_mul);
		to->pvclock_tsc_shift = vcpus[i].tsc_shift;
		to->tsc_offset = le64_to_cpu(vcpus[i].tsc_offset);
		to->tsc_scaling_ratio = le64_to_cpu(vcpus[i].tsc_scaling_ratio);
	}
	return state;
}

static int set_clock(struct kvm *kvm, const struct kvm_clock_state *state,
		     struct kch_message *message)
{
	int err = kvm_set_clock_state(kvm, state);

	switch (err) {
	case -EBUSY:
		kch_say(message, "a vCPU is running, in an ioctl, or being created");
		break;
	case -ENOENT:
		kch_say(message, "vCPUs came while the clock was being restored");
		return -ELNRNG;
	case -EINVAL:
		kch_say(message, "a vCPU's TSC was changed while the clock was being restored");
		return -EL2NSYNC;
	case -ERANGE:
		kch_say(message, "a vCPU has not the saved TSC scaling ratio, and this CPU does not scale by that");
		break;
	case -EOPNOTSUPP:
		kch_say(message, "KVM turned the VM's master clock off while the clock was being restored");
		break;
	}
	return err;
}

static int write_clock(struct kvm *kvm, const struct kch_kvm_restore *r,
		       const struct kch_rec_vm *before,
		       struct kch_message *message)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(r->saved + 1);
	struct kvm_clock_state *state = state_of(r->saved);
	struct kch_clock clock;
	int err;

	if (!state)
		return -ENOMEM;
	/*
	 * KVM's reference of this moment stays the base of the offset, so that
	 * a reference it takes later lands on the saved clock.
	 */
	kch_clock_of(r->saved, vcpus, &clock);
	state->kvmclock_offset =
		kch_clock_ns(&clock, le64_to_cpu(before->master_cycle_now)) -
		le64_to_cpu(before->master_kernel_ns);
	state->master_kernel_ns = clock.system_time_ns - state->kvmclock_offset;
	err = set_clock(kvm, state, message);
	kvfree(state);
	return err;
}

static void put_back(struct kvm *kvm, const struct kch_rec_vm *before)
{
	struct kvm_clock_state *state = state_of(before);
	int err = state ? kvm_set_clock_state(kvm, state) : -ENOMEM;

	kvfree(state);
	if (err)
		pr_err("kvmclock_handover: the clock of process %d's VM could not be put back (%d)\n",
		       kvm->userspace_pid, err);
}

int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *r,
		    struct kch_message *message)
{
	struct kch_rec_vm *before = NULL, *after = NULL;
	int err;

	r->vcpu_id = -1;
	r->sets_ratio = true;
	err = kch_kvm_entry_exact(r->saved, message) ?:
	      kch_kvm_read(kvm, r->frac_bits, &before, message);
	if (err)
		return err;
	if (le32_to_cpu(before->flags) & KCH_VM_RUNNING) {
		kch_say(message, "a vCPU is running, or in an ioctl");
		err = -EBUSY;
		goto out;
	}
	err = kch_check_ready(before, r, message);
	if (err || r->check_only)
		goto out;

	/* KVM looks at all that was checked once more, with its locks. */
	err = write_clock(kvm, r, before, message);
	if (err)
		goto out;
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

int kch_kvm_adopt(struct kvm *kvm, struct kch_kvm_adopt *a,
		  struct kch_message *message)
{
	struct kvm_clock_state *state = NULL;
	struct kch_rec_vm *entry;
	struct kch_rec_vcpu *vcpus;
	u32 i, n = 0;
	int err;

	a->vcpu_id = -1;
	a->adopted = 0;
	err = kch_kvm_read(kvm, a->frac_bits, &entry, message);
	if (err)
		return err;
	err = kch_kvm_entry_exact(entry, message) ?:
	      kch_check_added(entry, a, message);
	if (err)
		goto out;
	/* Only those that are new: the others keep what they have, and may run. */
	vcpus = (struct kch_rec_vcpu *)(entry + 1);
	state = state_of(entry);
	err = state ? 0 : -ENOMEM;
	if (err)
		goto out;
	kch_clock_fill_pairs(entry, a->kvm_khz);
	for (i = 0; i < le32_to_cpu(entry->vcpu_count); i++) {
		if (state->vcpus[i].hw_tsc_khz)
			continue;
		state->vcpus[n] = state->vcpus[i];
		state->vcpus[n].hw_tsc_khz = le32_to_cpu(vcpus[i].hw_tsc_khz);
		state->vcpus[n].pvclock_tsc_mul =
			le32_to_cpu(vcpus[i].tsc_to_system_mul);
		state->vcpus[n].pvclock_tsc_shift = vcpus[i].tsc_shift;
		n++;
	}
	state->nr_vcpus = n;
	state->master_clock = false;
	err = n ? set_clock(kvm, state, message) : 0;
	if (!err)
		a->adopted = n;
out:
	kvfree(state);
	kvfree(entry);
	return err;
}

int kch_selfcheck(struct kch_kvm_facts *facts, struct kch_message *message)
{
	facts->kvm_khz = kvm_clock_tsc_khz(&facts->frac_bits);
	if (facts->kvm_khz)
		return 0;
	kch_say(message, "KVM has no vendor module yet: kvm_intel or kvm_amd has to be loaded");
	return -ENXIO;
}

int kch_selfcheck_known(struct kch_kvm_facts *facts, struct kch_message *message)
{
	return kch_selfcheck(facts, NULL) ? -ENODATA : 0;
}

int kch_selfcheck_vm(struct file *vm_file, const struct kch_kvm_facts *facts,
		     void __user *scratch, struct kch_message *message)
{
	return 0;
}

int kch_selfcheck_init(void)
{
	return 0;
}

void kch_selfcheck_exit(void)
{
}
