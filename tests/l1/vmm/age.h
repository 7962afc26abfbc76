/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does KVM itself agree with the guest?  What KVM computes of a VM's clock it
 * computes from the reference at the host's frequency: it is off by the age of
 * the reference times the difference of the two frequencies.
 */
#ifndef KCH_VMM_AGE_H
#define KCH_VMM_AGE_H

#include "vm.h"

/* What is asked of KVM, in this order. */
#define AGE_ASK	(1U << 0) /* KVM_GET_CLOCK, wall clock, Hyper-V's and Xen's time */
#define AGE_SET	(1U << 1) /* KVM_GET_CLOCK, and KVM_SET_CLOCK of that */
#define AGE_ADD	(1U << 2) /* a vCPU is added, and nobody helps it */

/*
 * Of a stopped VM, whose vCPU 0 has the clock @expected; @when is in the names.
 * All but AGE_ASK may change the VM's clock.
 */
void age_check(struct vm *vm, const struct saved_clock *expected, uint32_t kinds,
	       const char *when);

/*
 * A sleep took so much longer, ns: what is to happen once a second may be late by
 * as much on this machine.
 */
void age_was_late(uint64_t ns);

/*
 * Of a saved VM, which is not there yet: the record was made to have another
 * reference.  The VM's state knows that, too: it is what its pages had.
 */
void age_saved(struct guestmem *mem, uint64_t reference, uint64_t system_time);

#endif /* KCH_VMM_AGE_H */
