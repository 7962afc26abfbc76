/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The interface to KVM's clocks.  stock*.c are for a module, built for any kernel: they
 * use no symbol of KVM's, but read and write its structures by the layout of the headers
 * that the module is built with, and reach its functions by the file operations that KVM
 * itself installed.  intree.c is for a driver that is part of the kernel: KVM itself reads
 * and sets a VM's clock.
 */
#ifndef KCH_KVM_H
#define KCH_KVM_H

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

/* Does kch_kvm_restore() set frequencies, offsets, deadlines?  Else the vCPUs' files do. */
bool kch_kvm_sets_vcpus(void);

/* The vCPU id of a KCH_KVM_FILE_VCPU that belongs to @kvm, or -1. */
int kch_kvm_vcpu_file_id(const struct file *vcpu_file, const struct kvm *kvm);

/* The VM's master clock alone, with the flag whether it is in use. */
void kch_kvm_read_reference(const struct kvm *kvm, struct kch_rec_vm *to);

/*
 * Reads a VM's clock to an entry of the record's form; uuid and name empty, not closed.
 * Needs no lock and no memory, and waits for nobody: works in the reboot path (built into
 * the kernel, KVM's own function makes a copy).  A VM without master clock or with a vCPU in
 * catch-up is read like any other; its flags say so.  @vcpus: @to has room for; one that
 * came since that was counted is left out.
 * -EIO dead, -ECHILD no vCPU, -ELIBBAD more vCPUs than there can be, -ENOMEM.
 */
int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
		    struct kch_message *message);

/*
 * KVM does some things only when a vCPU runs next.  Would the clock then still be the
 * one that is read now?  @again: set if a running vCPU takes a new reference just now.
 * -ENOKEY, -EOPNOTSUPP.
 */
int kch_kvm_pending(struct kvm *kvm, bool *again, struct kch_message *message);

/*
 * Gives a VM the saved clock: same offset, mul and shift, and the same reference, or, where
 * KVM computes another pair, a younger one of the same function.  The vCPUs are barred from
 * the guest afterwards; their ioctls work.
 * -EINTR, -EBUSY, -ELNRNG, -ERANGE, -EL2NSYNC, -ENOTRECOVERABLE, -EOPNOTSUPP, -EALREADY, -EIO,
 * -ECHILD, -ENOMEM with nothing changed; -EOVERFLOW with everything put back.  Any of them
 * with @restore->stays: the VM has the clock.
 */
int kch_kvm_restore(struct kvm *kvm, struct kch_kvm_restore *restore, struct kch_message *message);

/*
 * For kch_kvm_write_and_check(): makes the VM's clock @wanted, and with @pairs also its
 * vCPUs' mul and shift.  After an error it is as @before.
 */
int kch_kvm_write(struct kvm *kvm, const struct kch_kvm_restore *r,
		  const struct kch_rec_vm *wanted, const struct kch_rec_vm *before,
		  bool pairs, struct kch_message *message);

/* Does the guest use Hyper-V's reference page? */
bool kch_kvm_hyperv_page(const struct kvm *kvm);

/*
 * To be called before KVM_SET_CLOCK, which waits, not to be killed, for a vCPU that makes
 * that page; its memory may not come.  -EBUSY, -EINTR.
 */
int kch_kvm_renew_hyperv_page(struct kvm *kvm, struct kch_message *message);

/* Lets vCPUs that kch_kvm_restore() has barred into the guest. */
void kch_kvm_unbar(struct kvm *kvm);

/*
 * Undoes a restore: the vCPUs' pairs, and with @reference the clock, are again what was
 * read of them @before.  The vCPUs are still barred; their offsets are as before.  False:
 * built into the kernel, where KVM keeps to a clock that it was given.
 */
bool kch_kvm_put_back(struct kvm *kvm, const struct kch_rec_vm *before, bool reference);

/* Has a vCPU come to KVM_RUN since a clock was restored to the barred VM? */
bool kch_kvm_entered(struct kvm *kvm);

/* The same to a barred VM, whose vCPUs may be in KVM_RUN by now.  Errors: as there. */
int kch_kvm_restore_again(struct kvm *kvm, struct kch_kvm_restore *restore,
			  struct kch_message *message);

/*
 * Keeps KVM in agreement with the guest, while the vCPUs run: makes the reference young by an
 * exact step, the offset that of now, and the pair of an added vCPU that of the others.  The
 * guest sees a change only of the last.  Any error: there is nothing to keep, or it was not
 * possible this time.
 */
int kch_kvm_keep(struct kvm *kvm, const struct kch_kvm_keep *keep);

/* Fills in what is out of @adopt.  Errors: see KCH_IOC_ADOPT; nothing is changed then. */
int kch_kvm_adopt(struct kvm *kvm, const struct kch_kvm_facts *facts,
		  struct kch_adopt *adopt, struct kch_message *message);

#endif /* KCH_KVM_H */
