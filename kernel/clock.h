/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Clock arithmetic: a guest's TSC and kvmclock as functions of the host TSC,
 * bit for bit as KVM and the guest compute them.  Pure: no state, no I/O.
 */
#ifndef KCH_CLOCK_H
#define KCH_CLOCK_H

#include <linux/kvmclock_handover_record.h>
#include "portable.h"

/**
 * struct kch_clock - one vCPU's TSC and kvmclock as functions of the host TSC
 * @reference_cycles: host TSC of the master clock reference
 * @system_time_ns: kvmclock at the reference, the page's system_time
 * @tsc_offset: cycles, modulo 2^64
 * @tsc_scaling_ratio: fixed point with @tsc_scaling_frac_bits
 * @tsc_scaling_frac_bits: 0 to 63
 * @tsc_shift: -63 to 63
 * @tsc_to_system_mul: nanoseconds per shifted cycle, 0.32 fixed point
 */
struct kch_clock {
	u64 reference_cycles;
	u64 system_time_ns;
	u64 tsc_offset;
	u64 tsc_scaling_ratio;
	u8 tsc_scaling_frac_bits;
	s8 tsc_shift;
	u32 tsc_to_system_mul;
};

/**
 * struct kch_clock_error - how far a live clock is from the saved one
 * @ns: live kvmclock minus saved kvmclock, at one host TSC
 * @cycles: live guest TSC minus saved guest TSC, at that host TSC
 * @rate_ppb: how much faster the live kvmclock runs per host cycle, parts per
 *	1e9, rounded toward zero, saturated at the s64 limits
 * @identical: every number of the two functions is the same, so that the
 *	pvclock page is too
 */
struct kch_clock_error {
	s64 ns;
	s64 cycles;
	s64 rate_ppb;
	bool identical;
};

/* guest TSC cycles = (host * ratio >> frac_bits), KVM's kvm_scale_tsc() */
u64 kch_scale_tsc(u64 host_cycles, u64 ratio, u8 frac_bits);

/*
 * The first host TSC at which the scaled one is @guest_cycles; that is the one
 * it came from unless the ratio is below one, where several have the same.
 * Saturates.  @ratio > 0.
 */
u64 kch_unscale_tsc(u64 guest_cycles, u64 ratio, u8 frac_bits);

/* The guest's TSC when the host's is @host_cycles. */
u64 kch_clock_tsc(const struct kch_clock *clock, u64 host_cycles);

/* The guest's kvmclock in ns when the host TSC is @host_cycles. */
u64 kch_clock_ns(const struct kch_clock *clock, u64 host_cycles);

/*
 * What a guest computes from a pvclock page: pvclock.rst, "system_time +
 * scaled (tsc - tsc_timestamp)", with a 96-bit product.
 */
u64 kch_pvclock_ns(u64 tsc_timestamp, u64 system_time_ns, u32 mul, s8 shift,
		   u64 guest_tsc);

/*
 * The mul and shift KVM gives a vCPU at @khz.  What is no frequency, 0 or beyond
 * 32 bits, counts as 1 kHz: a forged ratio must do no harm here.
 */
void kch_pvclock_pair(u64 khz, u32 *mul, s8 *shift);

/* How much faster pair b is than pair a, parts per 1e9. */
s64 kch_pair_ppb(u32 mul_a, s8 shift_a, u32 mul_b, s8 shift_b);

/* Evaluates both at the same host TSC, never by two reads of a clock. */
void kch_clock_compare(const struct kch_clock *saved,
		       const struct kch_clock *live, u64 host_cycles,
		       struct kch_clock_error *error);

/* Takes the function out of a record's entry that was validated before. */
void kch_clock_of(const struct kch_rec_vm *vm, const struct kch_rec_vcpu *vcpu,
		  struct kch_clock *clock);

/*
 * Gives every vCPU of an entry of this version's layout that never ran a mul
 * and shift: those of a sibling of the same frequency, else what KVM would
 * have computed at @kvm_khz.  False: some are left without, as that is 0.
 */
bool kch_clock_fill_pairs(struct kch_rec_vm *entry, u32 kvm_khz);

/* How much faster a TSC with ratio b is than one with ratio a, parts per 1e9. */
s64 kch_scaling_ppb(u64 ratio_a, u8 bits_a, u64 ratio_b, u8 bits_b);

/*
 * The TSC offset with which a vCPU of another scaling ratio has, at @host_cycles,
 * the TSC that @saved has then: continuous there, and at another rate.
 */
u64 kch_rederive_offset(const struct kch_clock *saved, u64 ratio, u8 frac_bits,
			u64 host_cycles);

/* What @cycles are in ns at @khz; saturates.  @khz > 0. */
u64 kch_cycles_to_ns(u64 cycles, u32 khz);

#endif /* KCH_CLOCK_H */
