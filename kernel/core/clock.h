/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Clock arithmetic: a guest's TSC and kvmclock as functions of the host TSC,
 * bit for bit as KVM and the guest compute them.  Pure: no state, no I/O.
 */
#ifndef KCH_CLOCK_H
#define KCH_CLOCK_H

#include <linux/kvmclock_handover_record.h>
#include "portable.h"

/* The host's clocks at one instant. */
struct kch_instant {
	u64 host_tsc;		/* cycles */
	u64 slack_cycles;	/* host_tsc may be off by; 0 where it is the clocksource */
	u64 realtime_ns;	/* CLOCK_REALTIME */
	u64 tai_ns;		/* CLOCK_TAI */
	u64 boottime_ns;	/* CLOCK_BOOTTIME */
	u64 raw_ns;		/* CLOCK_MONOTONIC_RAW */
	u64 kvm_ns;		/* what KVM builds kvmclock on: raw plus time suspended */
};

/* One vCPU's TSC and kvmclock as functions of the host TSC. */
struct kch_clock {
	u64 reference_cycles;		/* host TSC of the master clock reference */
	u64 system_time_ns;		/* kvmclock at the reference, the page's system_time */
	u64 tsc_offset;			/* cycles, modulo 2^64 */
	u64 tsc_scaling_ratio;		/* fixed point with tsc_scaling_frac_bits */
	u8 tsc_scaling_frac_bits;	/* 0 to 63 */
	s8 tsc_shift;			/* -63 to 63 */
	u32 tsc_to_system_mul;		/* ns per shifted cycle, 0.32 fixed point */
};

/* How far a live clock is from the saved one: live minus saved, at one host TSC. */
struct kch_clock_error {
	s64 ns;			/* kvmclock */
	s64 cycles;		/* guest TSC */
	s64 rate_ppb;		/* of kvmclock per host cycle, parts per 1e9, rounded toward zero */
	bool identical;		/* the same value at every host TSC from the later reference on */
	bool same_page;		/* so is every number of theirs, and with them the pvclock page */
};

static inline u64 kch_magnitude(s64 value)
{
	return value < 0 ? -(u64)value : (u64)value;
}

/* guest TSC cycles = (host * ratio >> frac_bits), KVM's kvm_scale_tsc() */
u64 kch_scale_tsc(u64 host_cycles, u64 ratio, u8 frac_bits);

/*
 * The first host TSC at which the scaled one is @guest_cycles; that is the one it came from
 * unless the ratio is below one, where several have the same.  Saturates.  @ratio > 0.
 */
u64 kch_unscale_tsc(u64 guest_cycles, u64 ratio, u8 frac_bits);

/* The guest's TSC when the host's is @host_cycles. */
u64 kch_clock_tsc(const struct kch_clock *clock, u64 host_cycles);

/* The guest's kvmclock in ns when the host TSC is @host_cycles. */
u64 kch_clock_ns(const struct kch_clock *clock, u64 host_cycles);

/* What a guest computes from a pvclock page, by pvclock.rst, with a 96-bit product. */
u64 kch_pvclock_ns(u64 tsc_timestamp, u64 system_time_ns, u32 mul, s8 shift, u64 guest_tsc);

/*
 * The mul and shift KVM gives a vCPU at @khz.  What is no frequency, 0 or beyond
 * 32 bits, counts as 1 kHz: a forged ratio must do no harm here.
 */
void kch_pvclock_pair(u64 khz, u32 *mul, s8 *shift);

/* Those are within these bounds, of every frequency from 1 to 2^32 - 1 kHz. */
#define KCH_MUL_MIN		0x80000000U
#define KCH_SHIFT_MIN		(-12)
#define KCH_SHIFT_MAX		20

/*
 * Has b the same value as a at every host TSC from the later reference on?  With another
 * reference it has if none of the two products loses a fraction between the references.
 */
bool kch_clock_same(const struct kch_clock *a, const struct kch_clock *b);

/*
 * Moves the reference forward, to not long before @host_cycles, so that the
 * function stays the same at every TSC.  False: there is no such reference, and
 * nothing is changed.  @hyperv: so does Hyper-V's reference page, which KVM makes
 * from the reference in units of 100 ns.
 */
bool kch_clock_advance(struct kch_clock *clock, u64 host_cycles, bool hyperv);

/* The guest cycles between two references of one function: 2^(32 - shift). */
u64 kch_clock_step_cycles(const struct kch_clock *clock);

/*
 * What KVM itself says the VM's kvmclock is (KVM_GET_CLOCK): it evaluates the reference in
 * the host's cycles at its own frequency, whatever pair and scaling ratio a vCPU has.
 */
u64 kch_clock_kvm_ns(const struct kch_clock *clock, u32 kvm_khz, u64 host_cycles);

/* How much faster pair b is than pair a, parts per 1e9. */
s64 kch_pair_ppb(u32 mul_a, s8 shift_a, u32 mul_b, s8 shift_b);

/* How much faster the guest's kvmclock is than one at @khz, by the host TSC. */
s64 kch_clock_rate_ppb(const struct kch_clock *clock, u32 khz);

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

/*
 * kch_clock_advance() for a VM: true if the entry's reference was moved, and
 * every vCPU's clock is the function it was.  The offset stays.
 */
bool kch_entry_advance(struct kch_rec_vm *entry, u64 host_cycles, bool hyperv);

/*
 * Does KVM at @kvm_khz evaluate a reference at the rate of every vCPU, whatever its
 * age?  KVM does so without scaling, by whole kHz of the host's frequency: of a scaled
 * guest's vCPUs it hardly ever does.
 */
bool kch_entry_kvm_agrees(const struct kch_rec_vm *entry, u32 kvm_khz);

/*
 * By how much the guest's clock would step if KVM took a new reference of its
 * host clock now, which is @kvm_ns at @host_cycles.
 */
s64 kch_entry_reference_step(const struct kch_rec_vm *entry, u64 host_cycles, u64 kvm_ns);

/* The offset with which that step is none; the guest's clock stays. */
void kch_entry_set_offset(struct kch_rec_vm *entry, u64 host_cycles, u64 kvm_ns);

/* So often the module looks at a clock that it restored, and keeps KVM in agreement. */
#define KCH_KEEP_INTERVAL_NS	1000000000ULL
/* Smaller than this, the step of a new reference is left as it is, ns. */
#define KCH_KEEP_NS		1000

/*
 * How far what KVM says or does may be from the guest's clock at any time, ns, as
 * long as that is kept: KVM_GET_CLOCK, a new reference, the pair of an added vCPU.
 * Where the reference cannot be moved, it is what it is at @host_cycles, and grows.
 * @hyperv: the guest uses Hyper-V's reference page.
 */
u64 kch_entry_bound_ns(const struct kch_rec_vm *entry, u32 kvm_khz, u32 tsc_khz,
		       u64 host_cycles, bool hyperv);

/* The vCPU of that id, or NULL: vCPUs are in ascending order of their ids. */
const struct kch_rec_vcpu *kch_entry_vcpu(const struct kch_rec_vm *entry, u32 id);

/* How much faster a TSC with ratio b is than one with ratio a, parts per 1e9. */
s64 kch_scaling_ppb(u64 ratio_a, u8 bits_a, u64 ratio_b, u8 bits_b);

/*
 * The TSC offset with which a vCPU of another scaling ratio has, at @host_cycles,
 * the TSC that @saved has then: continuous there, and at another rate.
 */
u64 kch_rederive_offset(const struct kch_clock *saved, u64 ratio, u8 frac_bits, u64 host_cycles);

/* What @cycles are in ns at @khz; saturates.  @khz > 0. */
u64 kch_cycles_to_ns(u64 cycles, u32 khz);

#endif /* KCH_CLOCK_H */
