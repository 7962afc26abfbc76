// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "clock.h"

#define NS_PER_S	1000000000ULL

u64 kch_scale_tsc(u64 host_cycles, u64 ratio, u8 frac_bits)
{
	return (u64)(((unsigned __int128)host_cycles * ratio) >> frac_bits);
}

u64 kch_unscale_tsc(u64 guest_cycles, u64 ratio, u8 frac_bits)
{
	u64 low = 0, high = U64_MAX;

	/* The scaled TSC grows with the host's; a 128-bit quotient is no kernel's. */
	if (((unsigned __int128)high * ratio) >> frac_bits < guest_cycles)
		return high;
	while (low < high) {
		u64 middle = low + (high - low) / 2;

		if (((unsigned __int128)middle * ratio) >> frac_bits >= guest_cycles)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

u64 kch_clock_tsc(const struct kch_clock *clock, u64 host_cycles)
{
	return kch_scale_tsc(host_cycles, clock->tsc_scaling_ratio,
			     clock->tsc_scaling_frac_bits) + clock->tsc_offset;
}

u64 kch_pvclock_ns(u64 tsc_timestamp, u64 system_time_ns, u32 mul, s8 shift,
		   u64 guest_tsc)
{
	u64 delta = guest_tsc - tsc_timestamp;

	/*
	 * The guest shifts a 64-bit delta before it multiplies; bits lost here
	 * are lost there too.
	 */
	if (shift < 0)
		delta >>= -shift;
	else
		delta <<= shift;
	return system_time_ns + (u64)(((unsigned __int128)delta * mul) >> 32);
}

u64 kch_clock_ns(const struct kch_clock *clock, u64 host_cycles)
{
	return kch_pvclock_ns(kch_clock_tsc(clock, clock->reference_cycles),
			      clock->system_time_ns, clock->tsc_to_system_mul,
			      clock->tsc_shift,
			      kch_clock_tsc(clock, host_cycles));
}

/*
 * The frequency is brought into (1 GHz, 2 GHz] by shifts, and what the right
 * shifts drop is not rounded: only this gives the number kvm_get_time_scale()
 * gives, for every frequency.
 */
void kch_pvclock_pair(u64 khz, u32 *mul, s8 *shift)
{
	u64 hz = khz && khz <= UINT_MAX ? khz * 1000 : 1000;
	s8 n = 0;

	while (hz > 2 * NS_PER_S) {
		hz >>= 1;
		n--;
	}
	while (hz <= NS_PER_S) {
		hz <<= 1;
		n++;
	}
	*mul = (u32)((NS_PER_S << 32) / hz);
	*shift = n;
}

/* (b - a) / a in parts per 1e9 */
static s64 ratio_ppb(u64 a, u64 b)
{
	u64 delta = b > a ? b - a : a - b;
	u64 ppb;

	if (delta == 0)
		return 0;
	/* kch_mul_div() must not overflow: it would trap in the kernel. */
	if (a == 0 || ((unsigned __int128)delta * NS_PER_S) >> 64 >= a)
		return b > a ? S64_MAX : S64_MIN;
	ppb = kch_mul_div(delta, NS_PER_S, a);
	if (ppb > S64_MAX)
		return b > a ? S64_MAX : S64_MIN;
	return b > a ? (s64)ppb : -(s64)ppb;
}

/*
 * The quotient of the two rates is mul_b * 2^shift / mul_a; in parts per 1e9
 * and less 1e9 it is the answer.  No product here has more than 126 bits, and
 * nothing is lost, so that the rounding is the promised one.
 */
s64 kch_pair_ppb(u32 mul_a, s8 shift_a, u32 mul_b, s8 shift_b)
{
	int shift = (int)shift_b - shift_a;
	u64 quotient, b = mul_b * NS_PER_S;
	bool exact;

	if (mul_a == 0)
		return mul_b ? S64_MAX : 0;
	if (mul_b == 0)
		return -(s64)NS_PER_S;
	if (shift >= 0) {
		if (shift > 63 || ((unsigned __int128)b << shift) >> 64 >= mul_a)
			return S64_MAX;
		quotient = kch_mul_div(b, 1ULL << shift, mul_a);
		exact = quotient * mul_a == b << shift;
	} else {
		shift = shift < -63 ? 63 : -shift;
		quotient = (b >> shift) / mul_a;
		exact = (quotient * mul_a) << shift == b;
	}
	if (quotient >= NS_PER_S) {
		quotient -= NS_PER_S;
		return quotient > S64_MAX ? S64_MAX : (s64)quotient;
	}
	/* Toward zero is up when the answer is negative. */
	return (s64)(quotient + !exact) - (s64)NS_PER_S;
}

/* The same factor may be written with more or with fewer fraction bits. */
s64 kch_scaling_ppb(u64 a, u8 bits_a, u64 b, u8 bits_b)
{
	/* Bits are added to the one with fewer as long as it has room. */
	for (; bits_a < bits_b && !(a >> 63); bits_a++)
		a <<= 1;
	for (; bits_b < bits_a && !(b >> 63); bits_b++)
		b <<= 1;
	if (bits_a < bits_b)
		b >>= bits_b - bits_a;
	else
		a >>= bits_a - bits_b;
	return ratio_ppb(a, b);
}

static s64 saturating_add(s64 a, s64 b)
{
	s64 sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a > 0 ? S64_MAX : S64_MIN;
	return sum;
}

void kch_clock_compare(const struct kch_clock *saved,
		       const struct kch_clock *live, u64 host_cycles,
		       struct kch_clock_error *error)
{
	s64 pair_ppb, scaling_ppb;

	error->ns = (s64)(kch_clock_ns(live, host_cycles) -
			  kch_clock_ns(saved, host_cycles));
	error->cycles = (s64)(kch_clock_tsc(live, host_cycles) -
			      kch_clock_tsc(saved, host_cycles));
	/* Small rates add; large ones saturate or are wrong in the 2nd order. */
	pair_ppb = kch_pair_ppb(saved->tsc_to_system_mul, saved->tsc_shift,
				live->tsc_to_system_mul, live->tsc_shift);
	scaling_ppb = kch_scaling_ppb(saved->tsc_scaling_ratio,
				      saved->tsc_scaling_frac_bits,
				      live->tsc_scaling_ratio,
				      live->tsc_scaling_frac_bits);
	error->rate_ppb = saturating_add(pair_ppb, scaling_ppb);
	error->identical =
		saved->reference_cycles == live->reference_cycles &&
		saved->system_time_ns == live->system_time_ns &&
		saved->tsc_offset == live->tsc_offset &&
		saved->tsc_scaling_ratio == live->tsc_scaling_ratio &&
		saved->tsc_scaling_frac_bits == live->tsc_scaling_frac_bits &&
		saved->tsc_to_system_mul == live->tsc_to_system_mul &&
		saved->tsc_shift == live->tsc_shift;
}

u64 kch_rederive_offset(const struct kch_clock *saved, u64 ratio, u8 frac_bits,
			u64 host_cycles)
{
	return kch_clock_tsc(saved, host_cycles) -
	       kch_scale_tsc(host_cycles, ratio, frac_bits);
}

void kch_clock_of(const struct kch_rec_vm *vm, const struct kch_rec_vcpu *vcpu,
		  struct kch_clock *clock)
{
	clock->reference_cycles = le64_to_cpu(vm->master_cycle_now);
	clock->system_time_ns = le64_to_cpu(vm->master_kernel_ns) +
				le64_to_cpu(vm->kvmclock_offset);
	clock->tsc_offset = le64_to_cpu(vcpu->tsc_offset);
	clock->tsc_scaling_ratio = le64_to_cpu(vcpu->tsc_scaling_ratio);
	clock->tsc_scaling_frac_bits = vm->tsc_scaling_frac_bits;
	clock->tsc_to_system_mul = le32_to_cpu(vcpu->tsc_to_system_mul);
	clock->tsc_shift = vcpu->tsc_shift;
}

u64 kch_cycles_to_ns(u64 cycles, u32 khz)
{
	if (((unsigned __int128)cycles * 1000000) >> 64 >= khz)
		return U64_MAX;
	return kch_mul_div(cycles, 1000000, khz);
}

/*
 * A VM's vCPUs have one frequency, or a few.  A record that says otherwise must
 * not keep the kernel busy: beyond these no sibling is looked for.
 */
#define SIBLINGS_MAX	256U

bool kch_clock_fill_pairs(struct kch_rec_vm *entry, u32 kvm_khz)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(entry + 1);
	u32 count = le32_to_cpu(entry->vcpu_count), i, n, mul;
	u32 siblings = count < SIBLINGS_MAX ? count : SIBLINGS_MAX;
	bool all = true;

	for (i = 0; i < count; i++) {
		struct kch_rec_vcpu *to = &vcpus[i];
		u64 khz = kch_scale_tsc(kvm_khz,
					le64_to_cpu(to->tsc_scaling_ratio),
					entry->tsc_scaling_frac_bits);

		if (le32_to_cpu(to->flags) & KCH_VCPU_PAIR_VALID)
			continue;
		for (n = 0; n < siblings; n++)
			if (le32_to_cpu(vcpus[n].flags) & KCH_VCPU_PAIR_VALID &&
			    vcpus[n].tsc_scaling_ratio == to->tsc_scaling_ratio)
				break;
		if (n < siblings) {
			to->tsc_to_system_mul = vcpus[n].tsc_to_system_mul;
			to->tsc_shift = vcpus[n].tsc_shift;
			to->hw_tsc_khz = vcpus[n].hw_tsc_khz;
		} else if (!kvm_khz) {
			all = false;
			continue;
		} else {
			/* A ratio that makes no frequency is refused elsewhere. */
			if (khz == 0 || khz > UINT_MAX)
				khz = 1;
			kch_pvclock_pair(khz, &mul, &to->tsc_shift);
			to->tsc_to_system_mul = cpu_to_le32(mul);
			to->hw_tsc_khz = cpu_to_le32((u32)khz);
		}
		to->flags |= cpu_to_le32(KCH_VCPU_PAIR_VALID);
	}
	return all;
}
