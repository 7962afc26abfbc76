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

#include "core/check.h"

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

/* Is it in use besides by its own file, which may be closed while vCPUs run? */
bool kch_kvm_has_others(const struct kvm *kvm);

/*
 * Does kch_kvm_restore() itself set the vCPUs' frequencies, TSC offsets and deadlines?
 * If not, that is done before, by the vCPUs' files.
 */
bool kch_kvm_sets_vcpus(void);

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

/*
 * The same of a VM whose clock will still be what was read when a vCPU runs next.
 * Sleeps.  Also -EOPNOTSUPP, -ENOTRECOVERABLE, -ENOKEY, -EBUSY.
 */
int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message);

/*
 * Gives a VM the saved clock: same offset, same mul and shift, and the same
 * reference, or, where KVM computes another pair, a younger one of the same
 * function.  The vCPUs are barred from the guest afterwards; their ioctls work.
 *
 * 0 or -EINTR, -EBUSY, -ELNRNG, -ERANGE, -EL2NSYNC, -ENOTRECOVERABLE,
 * -EOPNOTSUPP, -EALREADY, -EIO, -ECHILD, -ENOMEM with nothing changed;
 * -EOVERFLOW with everything put back.
 */
int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *restore,
		    struct kch_message *message);

/* What is written for @restore, to be freed; NULL: no memory. */
struct kch_rec_vm *kch_kvm_wanted(const struct kch_kvm_restore *restore, bool hyperv);

/* Does the guest use Hyper-V's reference page? */
bool kch_kvm_hyperv_page(const struct kvm *kvm);

/* Lets vCPUs that kch_kvm_restore() has barred into the guest. */
void kch_kvm_unbar(struct kvm *kvm);

/*
 * Undoes a restore: the vCPUs' pairs, and with @reference the clock, are again what was
 * read of them @before.  The vCPUs are still barred; their offsets are as before.
 */
void kch_kvm_put_back(struct kvm *kvm, const struct kch_rec_vm *before,
		      bool reference);

/* Has a vCPU come to KVM_RUN since a clock was restored to the barred VM? */
bool kch_kvm_entered(struct kvm *kvm);

/*
 * Once more what kch_kvm_restore() did, to a barred VM whose vCPUs may be in
 * KVM_RUN by now.  Errors: as there.
 */
int kch_kvm_restore_again(struct kvm *kvm, struct kch_kvm_restore *restore,
			  struct kch_message *message);

/*
 * Keeps KVM in agreement with the guest, while the vCPUs run: makes the reference
 * young by an exact step, the offset that of now, and the pair of an added vCPU
 * that of the others.  The guest sees a change only of the last.
 *
 * 0, or -EIO, -ECHILD, -ELIBBAD, -ENOMEM, -EBUSY, -EOPNOTSUPP, -ENOTRECOVERABLE: there is
 * nothing to keep, or it was not possible this time.
 */
int kch_kvm_keep(struct kvm *kvm, const struct kch_kvm_keep *keep);

/* Fills in what is out of @adopt.  Errors: see KCH_IOC_ADOPT; nothing is changed then. */
int kch_kvm_adopt(struct kvm *kvm, u32 kvm_khz, u8 frac_bits,
		  struct kch_adopt *adopt, struct kch_message *message);

#endif /* KCH_KVM_PRIVATE_H */
