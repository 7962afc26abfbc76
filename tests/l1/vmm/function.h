/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest's TSC and kvmclock as functions of the host's TSC, by the arithmetic
 * of tests/unit/reference.c: nothing of what is tested is in it.
 */
#ifndef KCH_VMM_FUNCTION_H
#define KCH_VMM_FUNCTION_H

#include "guestmem.h"

/* The guest's TSC when the host's is @host, cycles. */
uint64_t function_tsc(const struct saved_clock *clock, uint64_t host);

/*
 * The kvmclock of a page when the guest's TSC is @tsc, ns.  Before the page's
 * reference, where no guest looks at it, the same line goes on.
 */
uint64_t function_page_ns(const struct guest_pvclock *page, uint64_t tsc);

/* The same when the host's TSC is @host. */
uint64_t function_ns(const struct saved_clock *clock, uint64_t host);

/*
 * Do two pages of one TSC have the same kvmclock at every TSC from the later
 * reference on?  They have when the references are a multiple of 2^(32 - shift)
 * cycles apart, of which mul is the ns, so that no fraction is lost; and then at
 * any TSC of the next 200 days, of which hundreds are tried.
 */
bool function_same(const struct guest_pvclock *a, const struct guest_pvclock *b);

/*
 * How many steps of 2^(32 - shift) cycles lie at most between two at which there is a
 * host's TSC: a scaled TSC does not have every value.  By looking at many.
 */
unsigned int function_steps_apart(const struct saved_clock *clock);

/* The mul and shift KVM has for @khz: kvm_get_time_scale(), as it is written. */
void function_kvm_pair(uint64_t khz, uint32_t *mul, int8_t *shift);

/*
 * Is the page's pair the one KVM has, on a host of @host_khz, for that vCPU, and
 * does KVM's own evaluation run as fast as the page? A scaled guest's need not:
 * its pair is that of its own frequency in whole kHz.
 */
bool function_pair_is_kvms(const struct saved_clock *clock, uint32_t host_khz);

/*
 * How much faster the page's clock is than KVM's own evaluation, which is of the
 * host's cycles, by the pair of the host's frequency, parts per 1e9.
 */
double function_ppb(const struct saved_clock *clock, uint32_t host_khz);

#endif /* KCH_VMM_FUNCTION_H */
