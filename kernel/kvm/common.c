// SPDX-License-Identifier: GPL-2.0
/* What both ways to reach KVM, stock.c and intree.c, share. */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "kvm/common.h"

struct file *kch_kvm_get_vm(int fd, struct kch_message *message)
{
	struct file *file = fget(fd);

	if (!file) {
		kch_say(message, "descriptor %d is not open", fd);
		return ERR_PTR(-EBADF);
	}
	if (kch_kvm_file_kind(file) != KCH_KVM_FILE_VM) {
		kch_say(message, "descriptor %d is %pD, not a KVM virtual machine", fd, file);
		fput(file);
		return ERR_PTR(-EBADFD);
	}
	return file;
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

int kch_kvm_has_clock(const struct kvm *kvm, struct kch_message *message)
{
	if (kvm->vm_dead || kvm->vm_bugged) {
		kch_say(message, "KVM marked the VM %s: it has no clock any more",
			kvm->vm_dead ? "dead" : "bugged");
		return -EIO;
	}
	if (!atomic_read(&kvm->online_vcpus)) {
		kch_say(message, "the VM has no vCPU, and without one no clock");
		return -ECHILD;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	u32 id_a = le32_to_cpu(((const struct kch_rec_vcpu *)a)->vcpu_id);
	u32 id_b = le32_to_cpu(((const struct kch_rec_vcpu *)b)->vcpu_id);

	return id_a < id_b ? -1 : id_a > id_b;
}

void kch_kvm_read_end(const struct kvm *kvm, u32 count, u8 frac_bits, struct kch_rec_vm *entry)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(entry + 1);
	struct kch_clock clock;

	sort(vcpus, count, sizeof(*vcpus), by_id, NULL);
	entry->vcpu_count = cpu_to_le32(count);
	entry->pid = cpu_to_le32(kvm->userspace_pid);
	entry->tsc_scaling_frac_bits = frac_bits;
	kch_clock_of(entry, vcpus, &clock);
	entry->host_tsc = cpu_to_le64(rdtsc_ordered());
	entry->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, le64_to_cpu(entry->host_tsc)));
}

void kch_kvm_vcpu_state(bool catchup, u32 hw_tsc_khz, u64 system_time_msr,
			struct kch_rec_vcpu *to)
{
	u32 flags = 0;

	if (catchup)
		flags |= KCH_VCPU_CATCHUP;
	if (hw_tsc_khz)
		flags |= KCH_VCPU_PAIR_VALID;
	/* Bit 0 of MSR_KVM_SYSTEM_TIME enables the page at the other bits. */
	if (system_time_msr & 1) {
		flags |= KCH_VCPU_PVCLOCK_ON;
		to->pvclock_gpa = cpu_to_le64(system_time_msr & ~1ULL);
	}
	to->flags = cpu_to_le32(flags);
	to->hw_tsc_khz = cpu_to_le32(hw_tsc_khz);
}

int kch_kvm_check_pending(u32 vcpu_id, bool is_protected, s64 adjustment,
			  const char *why, struct kch_message *message)
{
	if (is_protected) {
		kch_say(message, "vCPU %u has a TSC that the CPU protects (SEV-SNP, TDX): KVM can neither read nor set it",
			vcpu_id);
		return -ENOKEY;
	}
	if (adjustment) {
		kch_say(message, "KVM will move the TSC offset of vCPU %u by %lld cycles when it runs next, as the host's TSC went backwards",
			vcpu_id, adjustment);
		return -EOPNOTSUPP;
	}
	if (why) {
		kch_say(message, "KVM will turn the VM's master clock off when vCPU %u runs next: %s",
			vcpu_id, why);
		return -EOPNOTSUPP;
	}
	return 0;
}

u32 kch_kvm_vcpus_max(void)
{
	return KVM_MAX_VCPUS;
}

/* By @read, into memory of its own. */
static int read_new(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		    struct kch_message *message,
		    int (*read)(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to,
				u32 vcpus, struct kch_message *message))
{
	u32 vcpus = min_t(u32, atomic_read(&kvm->online_vcpus), KVM_MAX_VCPUS);
	int err;

	*entry = kvzalloc(kch_rec_entry_size(vcpus), GFP_KERNEL);
	if (!*entry)
		return -ENOMEM;
	err = read(kvm, frac_bits, *entry, vcpus, message);
	if (!err)
		return 0;
	kvfree(*entry);
	*entry = NULL;
	return err;
}

int kch_kvm_read(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		 struct kch_message *message)
{
	return read_new(kvm, frac_bits, entry, message, kch_kvm_read_to);
}

int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message)
{
	return read_new(kvm, frac_bits, entry, message, kch_kvm_read_exact_to);
}

int kch_kvm_read_exact_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
			  struct kch_message *message)
{
	int tries = 50, err;
	bool again;

	do {
		again = false;
		err = kch_kvm_read_to(kvm, frac_bits, to, vcpus, message) ?:
		      kch_entry_exact(to, message) ?:
		      kch_kvm_pending(kvm, &again, message);
		if (err || !again)
			return err;
		usleep_range(100, 200);
	} while (tries--);
	kch_say(message, "KVM is about to take a new reference of the VM's clock, and does not come to it");
	return -EBUSY;
}

int kch_kvm_write_and_check(struct kvm *kvm, struct kch_kvm_restore *r,
			    const struct kch_rec_vm *before, bool pairs,
			    struct kch_message *message)
{
	size_t size = kch_rec_entry_size(le32_to_cpu(r->saved->vcpu_count));
	struct kch_rec_vm *wanted = kvmalloc(size, GFP_KERNEL), *after = NULL;
	bool hyperv = kch_kvm_hyperv_page(kvm);
	struct kch_instant now;
	int err;

	if (!wanted)
		return -ENOMEM;
	memcpy(wanted, r->saved, size);
	kch_host_instant(&now);
	kch_entry_to_write(wanted, r->facts.kvm_khz, hyperv, &now);
	r->reference_cycles = le64_to_cpu(wanted->master_cycle_now);
	err = kch_kvm_write(kvm, r, wanted, before, pairs, message);
	kvfree(wanted);
	if (err)
		return err;
	err = kch_kvm_read(kvm, r->facts.frac_bits, &after, message) ?:
	      kch_check_written(after, r, message);
	kvfree(after);
	if (!err)
		return 0;
	r->stays = !kch_kvm_put_back(kvm, before, true);
	if (!message->text[0])
		kch_say(message, "the clock could not be read back (%pe)", ERR_PTR(err));
	strlcat(message->text, r->stays ?
		": not undone, the VM keeps the saved clock, which counts as given back" :
		": undone", sizeof(message->text));
	return err;
}
