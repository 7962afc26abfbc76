// SPDX-License-Identifier: GPL-2.0
/*
 * Where the driver is part of the kernel: KVM itself reads and sets a VM's clock, and
 * says what it computes clocks from, so that there is no reading of its structures to
 * be checked.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <asm/kvm_clock_state.h>

#include "host/host.h"
#include "kvm/common.h"
#include "kvm/facts.h"

enum kch_kvm_file kch_kvm_file_kind(const struct file *file)
{
	return file_is_kvm((struct file *)file) ? KCH_KVM_FILE_VM :
						  KCH_KVM_FILE_OTHER;
}

bool kch_kvm_sets_vcpus(void) { return true; }

/* Not needed: kch_kvm_restore() itself sets the vCPUs. */
int kch_kvm_vcpu_file_id(const struct file *vcpu_file, const struct kvm *kvm) { return -1; }

static void vcpu_to_entry(const struct kvm_vcpu_clock_state *vcpu, struct kch_rec_vcpu *to)
{
	kch_kvm_vcpu_state(vcpu->catchup, vcpu->hw_tsc_khz, vcpu->system_time_msr, to);
	to->vcpu_id = cpu_to_le32(vcpu->vcpu_id);
	to->tsc_offset = cpu_to_le64(vcpu->tsc_offset);
	to->tsc_scaling_ratio = cpu_to_le64(vcpu->tsc_scaling_ratio);
	to->ia32_tsc_adjust = cpu_to_le64(vcpu->tsc_adjust);
	to->virtual_tsc_khz = cpu_to_le32(vcpu->virtual_tsc_khz);
	to->tsc_to_system_mul = cpu_to_le32(vcpu->pvclock_tsc_mul);
	to->tsc_shift = vcpu->pvclock_tsc_shift;
}

#define NO_MASTER_CLOCK	"the host's clocksource is not the TSC or was seen going backwards, " \
			"or the vCPUs' TSCs do not match"

static int get_state(struct kvm *kvm, struct kvm_clock_state **state, struct kch_message *message)
{
	int err = kch_kvm_has_clock(kvm, message);

	if (err)
		return err;
	*state = kvm_get_clock_state(kvm);
	return PTR_ERR_OR_ZERO(*state);
}

static void reference_to_entry(const struct kvm_clock_state *state, struct kch_rec_vm *to)
{
	u32 flags = le32_to_cpu(to->flags) & ~KCH_VM_MASTER_CLOCK;

	if (state->master_clock)
		flags |= KCH_VM_MASTER_CLOCK;
	to->flags = cpu_to_le32(flags);
	to->master_cycle_now = cpu_to_le64(state->master_cycle_now);
	to->master_kernel_ns = cpu_to_le64(state->master_kernel_ns);
	to->kvmclock_offset = cpu_to_le64(state->kvmclock_offset);
}

void kch_kvm_read_reference(const struct kvm *kvm, struct kch_rec_vm *to)
{
	struct kvm_clock_state *state;

	if (get_state((struct kvm *)kvm, &state, NULL))
		return;
	reference_to_entry(state, to);
	kvfree(state);
}

static void state_to_entry(struct kvm *kvm, const struct kvm_clock_state *state, u8 frac_bits,
			   struct kch_rec_vm *to, u32 room)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(to + 1);
	u32 n;

	memset(to, 0, sizeof(*to));
	for (n = 0; n < min(state->nr_vcpus, room); n++) {
		if (state->vcpus[n].running)
			to->flags |= cpu_to_le32(KCH_VM_RUNNING);
		memset(&vcpus[n], 0, sizeof(vcpus[n]));
		vcpu_to_entry(&state->vcpus[n], &vcpus[n]);
	}
	to->default_tsc_khz = cpu_to_le32(state->default_tsc_khz);
	reference_to_entry(state, to);
	kch_kvm_read_end(kvm, n, frac_bits, to);
}

int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 room,
		    struct kch_message *message)
{
	struct kvm_clock_state *state;
	int err = get_state(kvm, &state, message);

	if (err)
		return err;
	state_to_entry(kvm, state, frac_bits, to, room);
	kvfree(state);
	return 0;
}

int kch_kvm_pending(struct kvm *kvm, bool *again, struct kch_message *message)
{
	struct kvm_clock_state *state;
	int err = get_state(kvm, &state, message);
	u32 i;

	if (err)
		return err;
	for (i = 0; i < state->nr_vcpus && !err; i++) {
		const struct kvm_vcpu_clock_state *vcpu = &state->vcpus[i];
		bool update = vcpu->update_pending;

		err = kch_kvm_check_pending(vcpu->vcpu_id, vcpu->protected,
					    vcpu->tsc_offset_adjustment,
					    update && !state->allows_master_clock ?
						    NO_MASTER_CLOCK : NULL,
					    message);
		if (update && !state->given && vcpu->hw_tsc_khz && vcpu->running && !vcpu->blocking)
			*again = true;
	}
	kvfree(state);
	return err;
}

/* For KVM to set: all of an entry's clock. */
static struct kvm_clock_state *state_of(const struct kch_rec_vm *entry)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(entry + 1);
	u32 count = le32_to_cpu(entry->vcpu_count), i;
	struct kvm_clock_state *state;

	state = kvzalloc(struct_size(state, vcpus, count), GFP_KERNEL_ACCOUNT);
	if (!state)
		return NULL;
	state->nr_vcpus = count;
	state->master_cycle_now = le64_to_cpu(entry->master_cycle_now);
	state->master_kernel_ns = le64_to_cpu(entry->master_kernel_ns);
	state->kvmclock_offset = le64_to_cpu(entry->kvmclock_offset);
	for (i = 0; i < count; i++) {
		struct kvm_vcpu_clock_state *to = &state->vcpus[i];

		to->vcpu_id = le32_to_cpu(vcpus[i].vcpu_id);
		to->virtual_tsc_khz = le32_to_cpu(vcpus[i].virtual_tsc_khz);
		to->pvclock_tsc_mul = le32_to_cpu(vcpus[i].tsc_to_system_mul);
		to->pvclock_tsc_shift = vcpus[i].tsc_shift;
		to->tsc_offset = le64_to_cpu(vcpus[i].tsc_offset);
		to->tsc_scaling_ratio = le64_to_cpu(vcpus[i].tsc_scaling_ratio);
	}
	return state;
}

static int give_clock(struct kvm *kvm, const struct kch_rec_vm *entry, struct kch_message *message)
{
	struct kvm_clock_state *state = state_of(entry);
	int err = state ? kvm_set_clock_state(kvm, state) : -ENOMEM;

	kvfree(state);
	switch (err) {
	case 0:
		/* A vCPU that is added gets it, and the others' TSC only if theirs is the same. */
		if (entry->default_tsc_khz)
			WRITE_ONCE(kvm->arch.default_tsc_khz, le32_to_cpu(entry->default_tsc_khz));
		break;
	case -EBUSY:
		kch_say(message, "a vCPU is running, in an ioctl, or being created");
		break;
	case -ENOENT:
		kch_say(message, "vCPUs came while the clock was being restored");
		return -ELNRNG;
	case -EPERM:
		kch_say(message, "a vCPU has a TSC that the CPU protects (SEV-SNP, TDX)");
		return -EOPNOTSUPP;
	case -EINVAL:
		kch_say(message, "the vCPUs' saved TSCs do not match: KVM makes no master clock of them");
		return -EOPNOTSUPP;
	case -ERANGE:
		kch_say(message, "a vCPU has not the saved TSC scaling ratio, and this CPU does not scale by that");
		break;
	case -EOPNOTSUPP:
		kch_say(message, "KVM has no master clock for this VM: the host's clocksource is not the TSC or was seen going backwards, or the guest uses the first version of kvmclock's MSRs");
		break;
	}
	return err;
}

/* KVM itself looks at all of it first, and sets all of it or nothing. */
int kch_kvm_write(struct kvm *kvm, const struct kch_kvm_restore *r,
		  const struct kch_rec_vm *wanted, const struct kch_rec_vm *before,
		  bool pairs, struct kch_message *message)
{
	return give_clock(kvm, wanted, message);
}

/*
 * KVM takes a clock only as one to keep to, whatever the VMM sets until a vCPU has entered the
 * guest.  What the VM had @before is none: it is for the VMM to set, and without a pair where
 * no vCPU has run.
 */
bool kch_kvm_put_back(struct kvm *kvm, const struct kch_rec_vm *before, bool reference)
{
	return false;
}

int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *r, struct kch_message *message)
{
	struct kch_rec_vm *before = NULL;
	int err;

	r->outcome.vcpu_id = -1;
	err = kch_entry_exact(r->saved, message) ?:
	      kch_kvm_read(kvm, r->facts.frac_bits, &before, message) ?:
	      kch_check_ready(before, r, message);
	if (!err && r->saved->tsc_scaling_frac_bits != r->facts.frac_bits) {
		r->outcome.found = r->facts.frac_bits;
		r->outcome.expected = r->saved->tsc_scaling_frac_bits;
		kch_say(message, "TSC scaling ratios have %llu fraction bits here, saved were %llu: the host has another CPU",
			r->outcome.found, r->outcome.expected);
		err = -ERANGE;
	}
	if (!err && le32_to_cpu(before->flags) & KCH_VM_RUNNING) {
		kch_say(message, "a vCPU is running, or in an ioctl");
		err = -EBUSY;
	}
	/* KVM looks at all that was checked once more, with its locks. */
	if (!err && !r->check_only)
		err = kch_kvm_write_and_check(kvm, r, before, true, message);
	kvfree(before);
	return err;
}

bool kch_kvm_hyperv_page(const struct kvm *kvm)
{
	struct kvm_clock_state *state;
	bool is;

	if (get_state((struct kvm *)kvm, &state, NULL))
		return false;
	is = state->hyperv_page;
	kvfree(state);
	return is;
}

/* KVM does so itself, and KVM_SET_CLOCK is not called. */
int kch_kvm_renew_hyperv_page(struct kvm *kvm, struct kch_message *message) { return 0; }

/*
 * KVM keeps to the clock it was given, whatever the VMM sets, until a vCPU has entered the
 * guest.  So none has to be kept out of it, and nothing has to be done again, or undone.
 */
void kch_kvm_unbar(struct kvm *kvm) { }
bool kch_kvm_entered(struct kvm *kvm) { return true; }

int kch_kvm_restore_again(struct kvm *kvm, struct kch_kvm_restore *r, struct kch_message *message)
{
	return 0;
}

int kch_kvm_keep(struct kvm *kvm, const struct kch_kvm_keep *keep)
{
	struct kvm_clock_state *state, *renewed;
	struct kch_kvm_keep own = *keep;
	struct kch_rec_vm *entry;
	struct kch_instant now;
	int err = get_state(kvm, &state, NULL);

	if (err)
		return err;
	/* It may have been refined between kch_kvm_ask() and the restore. */
	own.facts.kvm_khz = kch_kvm_khz(kvm, &keep->facts);
	entry = kvmalloc(kch_rec_entry_size(state->nr_vcpus), GFP_KERNEL);
	if (!entry) {
		kvfree(state);
		return -ENOMEM;
	}
	state_to_entry(kvm, state, keep->facts.frac_bits, entry, state->nr_vcpus);
	err = kch_entry_exact(entry, NULL);
	kch_host_instant(&now);
	if (!err && kch_entry_renew(entry, &own, state->hyperv_page, &now)) {
		renewed = state_of(entry);
		err = renewed ? kvm_move_clock_reference(kvm, state, renewed) :
				-ENOMEM;
		kvfree(renewed);
	}
	kvfree(entry);
	kvfree(state);
	return err;
}

/* KVM gives a vCPU that was added the mul and shift of the others by itself. */
int kch_kvm_adopt(struct kvm *kvm, const struct kch_kvm_facts *facts,
		  struct kch_adopt *a, struct kch_message *message)
{
	const struct kch_rec_vcpu *vcpu;
	struct kch_rec_vm *entry = NULL;
	u32 n;
	int err;

	err = kch_kvm_read(kvm, facts->frac_bits, &entry, message) ?:
	      kch_entry_exact(entry, message) ?:
	      kch_check_added(entry, a, message);
	if (!err) {
		vcpu = (const struct kch_rec_vcpu *)(entry + 1);
		for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++)
			a->adopted += !(le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID);
	}
	kvfree(entry);
	return err;
}

int kch_kvm_ask(struct kch_kvm_facts *facts, struct kch_message *message)
{
	facts->kvm_khz = kvm_clock_tsc_khz(NULL, &facts->frac_bits);
	if (facts->kvm_khz)
		return 0;
	kch_say(message, "KVM has no vendor module yet: kvm_intel or kvm_amd has to be loaded");
	return -ENXIO;
}

int kch_kvm_known(struct kch_kvm_facts *facts, struct kch_message *message)
{
	return kch_kvm_ask(facts, NULL) ? -ENODATA : 0;
}

u32 kch_kvm_khz(struct kvm *kvm, const struct kch_kvm_facts *facts)
{
	return kvm_clock_tsc_khz(kvm, NULL);
}

int kch_kvm_check_vm(struct file *vm_file, struct file **vcpus, u32 count,
		     const struct kch_kvm_facts *facts, void __user *scratch,
		     struct kch_message *message)
{
	return 0;
}

int kch_kvm_facts_init(void) { return 0; }
void kch_kvm_facts_exit(void) { }
