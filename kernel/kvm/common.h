/* SPDX-License-Identifier: GPL-2.0 */
/* What both ways to reach KVM, stock.c and intree.c, share. */
#ifndef KCH_KVM_COMMON_H
#define KCH_KVM_COMMON_H

#include "kvm/kvm.h"

/* The VM's file with a reference, or -EBADF, -EBADFD. */
struct file *kch_kvm_get_vm(int fd, struct kch_message *message);

/* The VM of a KCH_KVM_FILE_VM; it lives as long as the file does. */
struct kvm *kch_kvm_of(const struct file *vm_file);
struct mm_struct *kch_kvm_mm(const struct kvm *kvm);
pid_t kch_kvm_pid(const struct kvm *kvm);

/* Is it in use besides by its own file, which may be closed while vCPUs run? */
bool kch_kvm_has_others(const struct kvm *kvm);

/* -EIO: KVM has given the VM up; -ECHILD: it has no vCPU. */
int kch_kvm_has_clock(const struct kvm *kvm, struct kch_message *message);

/* What a vCPU's flags say, and what goes with them; @to is zero before. */
void kch_kvm_vcpu_state(bool catchup, u32 hw_tsc_khz, u64 system_time_msr,
			struct kch_rec_vcpu *to);

/* vCPUs that a VM can have. */
u32 kch_kvm_vcpus_max(void);

/* kch_kvm_read_to() an entry for kvfree().  -ENOMEM; *@entry is NULL after an error. */
int kch_kvm_read(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		 struct kch_message *message);

/*
 * The end of kch_kvm_read_to(): what is the same in either way, @count vCPUs behind @entry in
 * the order of their ids, and the VM's clock at this instant.
 */
void kch_kvm_read_end(const struct kvm *kvm, u32 count, u8 frac_bits, struct kch_rec_vm *entry);

/*
 * Would this vCPU's clock still be what was read when it runs next?  @adjustment:
 * cycles that KVM adds to its offset then; @why: KVM then turns the VM's master clock
 * off for that reason, or NULL.  -ENOKEY, -EOPNOTSUPP.
 */
int kch_kvm_check_pending(u32 vcpu_id, bool is_protected, s64 adjustment,
			  const char *why, struct kch_message *message);

/*
 * The same of a VM whose clock will still be what was read when a vCPU runs next.
 * Sleeps.  Also -EOPNOTSUPP, -ENOTRECOVERABLE, -ENOKEY, -EBUSY.
 */
int kch_kvm_read_exact_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
			  struct kch_message *message);
int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message);

/*
 * Writes the clock and reads it back; with @pairs also what is the vCPUs' own.
 * @before: the VM's clock, which is put back after an error; @r->stays if not.
 */
int kch_kvm_write_and_check(struct kvm *kvm, struct kch_kvm_restore *r,
			    const struct kch_rec_vm *before, bool pairs,
			    struct kch_message *message);

#endif /* KCH_KVM_COMMON_H */
