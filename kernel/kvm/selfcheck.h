/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is what kvm_private.c reads what KVM means?  Asked of KVM itself, through
 * the ioctls everybody uses.
 */
#ifndef KCH_SELFCHECK_H
#define KCH_SELFCHECK_H

#include "core/record.h"

struct file;

/**
 * struct kch_kvm_facts - what KVM answered
 * @kvm_khz: frequency it computes guest clocks from, kHz
 * @frac_bits: fraction bits of its TSC scaling ratios
 */
struct kch_kvm_facts {
	u32 kvm_khz;
	u8 frac_bits;
};

/*
 * Makes a VM with one vCPU in the calling process, compares offset, frequency,
 * kvmclock, mul and shift with KVM's answers, restores a made-up clock to it,
 * and sees that KVM keeps and uses it.  Done once for every KVM that is loaded
 * and every tsc_khz; later calls return what is known.
 *
 * 0; -ELIBBAD KVM's own answers are different, from then on for good until KVM is
 * loaded anew.  KVM did not answer, so that it is not known yet and the next call
 * asks again: -EINTR for a signal (only one that cannot be held back, or a stop),
 * -ENOMEM, and -ENXIO for all else.
 */
int kch_selfcheck(struct kch_kvm_facts *facts, struct kch_message *message);

/* The last result without asking: 0, -ELIBBAD, or -ENODATA not known yet. */
int kch_selfcheck_known(struct kch_kvm_facts *facts, struct kch_message *message);

/*
 * The same for the very VM, without changing it: its kvmclock, and the offsets of
 * those of its vCPUs whose files there are (@vcpus may have NULLs).  KVM answers the
 * VM's own process only: the caller has its memory, and @scratch is 64 bytes of it.
 */
int kch_selfcheck_vm(struct file *vm_file, struct file **vcpus, u32 count,
		     const struct kch_kvm_facts *facts, void __user *scratch,
		     struct kch_message *message);

int kch_selfcheck_init(void);
void kch_selfcheck_exit(void);

#endif /* KCH_SELFCHECK_H */
