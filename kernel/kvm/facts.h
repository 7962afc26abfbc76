/* SPDX-License-Identifier: GPL-2.0 */
/* What KVM says of itself, and whether the module reads it right. */
#ifndef KCH_KVM_FACTS_H
#define KCH_KVM_FACTS_H

#include "core/check.h"

struct file;
struct kvm;

/*
 * Asks KVM, once for every KVM that is loaded and every tsc_khz; later calls return what is
 * known.  -ELIBBAD: KVM's own answers are different from what the module reads, until KVM is
 * loaded anew.  KVM did not answer, and the next call asks again: -EINTR for a signal (only
 * one that cannot be held back, or a stop), -ENOMEM, and -ENXIO for all else.
 * A process without CAP_SYS_ADMIN does not ask: what is known of this KVM is returned also
 * when tsc_khz has changed; -ENXIO if nothing is.
 */
int kch_kvm_ask(struct kch_kvm_facts *facts, struct kch_message *message);

/* The last result, at once and without asking: 0, -ELIBBAD, or -ENODATA not known yet. */
int kch_kvm_known(struct kch_kvm_facts *facts, struct kch_message *message);

/*
 * The frequency this VM's clock is computed from: that of @facts, unless KVM keeps to the one
 * it had when it was given the clock.
 */
u32 kch_kvm_khz(struct kvm *kvm, const struct kch_kvm_facts *facts);

/*
 * Does the module read this very VM right?  Compares its kvmclock, and the offsets of
 * those of its vCPUs whose files there are (@vcpus may have NULLs), without changing
 * them.  KVM answers the VM's own process only: the caller has its memory, and @scratch
 * is 64 bytes of it.
 */
int kch_kvm_check_vm(struct file *vm_file, struct file **vcpus, u32 count,
		     const struct kch_kvm_facts *facts, void __user *scratch,
		     struct kch_message *message);

int kch_kvm_facts_init(void);
void kch_kvm_facts_exit(void);

#endif /* KCH_KVM_FACTS_H */
