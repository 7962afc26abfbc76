/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All this module knows of KVM's private structures.  Nothing else includes
 * linux/kvm_host.h, and no symbol of KVM is used: structures are read by the
 * layout of the headers the module is built with, functions are reached
 * through the file operations KVM itself installed.  selfcheck.c compares the
 * result with KVM's own answers before it is believed.
 */
#ifndef KCH_KVM_PRIVATE_H
#define KCH_KVM_PRIVATE_H

#include "clock.h"
#include "record.h"

struct file;
struct kvm;
struct mm_struct;

/* What kind of KVM file this is, by the function its ioctls go to. */
enum kch_kvm_file {
	KCH_KVM_FILE_OTHER,
	KCH_KVM_FILE_DEV,
	KCH_KVM_FILE_VM,
	KCH_KVM_FILE_VCPU,
};

enum kch_kvm_file kch_kvm_file_kind(const struct file *file);

/* KVM is being unloaded, so that none of its files is open any more. */
void kch_kvm_forget_files(void);

/* The VM of a KCH_KVM_FILE_VM; it lives as long as the file does. */
struct kvm *kch_kvm_of(const struct file *vm_file);
struct mm_struct *kch_kvm_mm(const struct kvm *kvm);
pid_t kch_kvm_pid(const struct kvm *kvm);

/* The vCPU id of a KCH_KVM_FILE_VCPU that belongs to @kvm, or -1. */
int kch_kvm_vcpu_file_id(const struct file *vcpu_file, const struct kvm *kvm);

/* The VM's master clock alone, with the flag whether it is in use. */
void kch_kvm_read_reference(const struct kvm *kvm, struct kch_rec_vm *to);

/*
 * Reads a VM's clock into an entry of the record's form, uuid and name empty,
 * not closed.  Needs no lock and waits for nobody, so that it also works in
 * the reboot path.  The caller frees @entry with kvfree().
 *
 * -EIO dead, -ECHILD no vCPU, -ELIBBAD more vCPUs than there can be, -ENOMEM.  A
 * VM without master clock or with a vCPU in catch-up is read like any other; its
 * flags say so.
 */
int kch_kvm_read(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		 struct kch_message *message);

/* -EOPNOTSUPP, -ENOTRECOVERABLE for an entry that cannot be restored exactly. */
int kch_kvm_entry_exact(const struct kch_rec_vm *entry,
			struct kch_message *message);

/**
 * struct kch_kvm_restore - one restore, see kch_kvm_restore()
 * @saved: in: the entry to restore, in this version's layout, every vCPU's
 *	pair filled in
 * @kvm_khz: in: frequency this host's KVM uses, kHz
 * @frac_bits: in: fraction bits of its scaling ratios
 * @sets_ratio: in: another scaling ratio than the saved one is no reason to
 *	refuse: it is written, too.  KVM's own ioctls only take a frequency
 * @check_only: in: stop before the first write
 * @host_tsc: out: where the outcome was evaluated
 * @error: out: the worst of all vCPUs
 * @rebase_rate_ppb: out: see struct kch_read; the worst of all vCPUs
 * @vcpu_id: out: the vCPU a refusal is about, -1 none
 * @found: out: number found
 * @expected: out: number expected
 */
struct kch_kvm_restore {
	const struct kch_rec_vm *saved;
	u32 kvm_khz;
	u8 frac_bits;
	bool sets_ratio;
	bool check_only;
	u64 host_tsc;
	struct kch_clock_error error;
	s64 rebase_rate_ppb;
	s32 vcpu_id;
	u64 found;
	u64 expected;
};

/*
 * Gives a VM the saved clock: same reference, same offset, same mul and shift.
 *
 * 0 or -EINTR, -EBUSY, -ELNRNG, -ERANGE, -EL2NSYNC, -ENOTRECOVERABLE,
 * -EOPNOTSUPP, -EALREADY, -EIO, -ECHILD, -ENOMEM with nothing changed;
 * -EOVERFLOW with everything put back.
 */
int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *restore,
		    struct kch_message *message);

/**
 * struct kch_kvm_adopt - see kch_kvm_adopt()
 * @kvm_khz: in: frequency this host's KVM uses, kHz
 * @frac_bits: in: fraction bits of its scaling ratios
 * @adopted: out: vCPUs that got a clock
 * @vcpu_id: out: the vCPU a refusal is about, -1 none
 * @found: out: number found
 * @expected: out: number expected
 */
struct kch_kvm_adopt {
	u32 kvm_khz;
	u8 frac_bits;
	u32 adopted;
	s32 vcpu_id;
	u64 found;
	u64 expected;
};

/* Errors: see KCH_IOC_ADOPT; nothing is changed then. */
int kch_kvm_adopt(struct kvm *kvm, struct kch_kvm_adopt *adopt,
		  struct kch_message *message);

#endif /* KCH_KVM_PRIVATE_H */
