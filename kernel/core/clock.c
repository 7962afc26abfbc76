// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A guest's clocks as functions of the host TSC, bit for bit as KVM and the guest compute them. */
#include "clock.h"

#define NS_PER_S	1000000000ULL

u64 kch_scale_tsc(u64 host_cycles, u64 ratio, u8 frac_bits)
{
	return (u64)(((unsigned __int128)host_cycles * ratio) >> frac_bits);
}

u64 kch_unscale_tsc(u64 guest_cycles, u64 ratio, u8 frac_bits)
{
	unsigned __int128 wanted = (unsigned __int128)guest_cycles << frac_bits;
	u64 host_cycles;

	if ((unsigned __int128)U64_MAX * ratio < wanted)
		return U64_MAX;
	host_cycles = kch_mul_div(guest_cycles, 1ULL << frac_bits, ratio);
	return (unsigned __int128)host_cycles * ratio < wanted ? host_cycles + 1 :
								 host_cycles;
}

u64 kch_clock_tsc(const struct kch_clock *clock, u64 host_cycles)
{
	return kch_scale_tsc(host_cycles, clock->tsc_scaling_ratio,
			     clock->tsc_scaling_frac_bits) + clock->tsc_offset;
}

u64 kch_pvclock_ns(u64 tsc_timestamp, u64 system_time_ns, u32 mul, s8 shift, u64 guest_tsc)
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

bool kch_clock_same(const struct kch_clock *a, const struct kch_clock *b)
{
	const struct kch_clock *first = a, *later = b;
	unsigned __int128 product;
	u64 delta;

	if (a->tsc_offset != b->tsc_offset ||
	    a->tsc_scaling_ratio != b->tsc_scaling_ratio ||
	    a->tsc_scaling_frac_bits != b->tsc_scaling_frac_bits ||
	    a->tsc_to_system_mul != b->tsc_to_system_mul ||
	    a->tsc_shift != b->tsc_shift)
		return false;
	if (a->reference_cycles > b->reference_cycles) {
		first = b;
		later = a;
	}
	delta = kch_clock_tsc(later, later->reference_cycles) -
		kch_clock_tsc(first, first->reference_cycles);
	if (a->tsc_shift < 0) {
		if (delta & ((1ULL << -a->tsc_shift) - 1))
			return false;
		delta >>= -a->tsc_shift;
	} else {
		/* Bits that the guest would lose. */
		if (a->tsc_shift && delta >> (64 - a->tsc_shift))
			return false;
		delta <<= a->tsc_shift;
	}
	product = (unsigned __int128)delta * a->tsc_to_system_mul;
	return !((u64)product & 0xffffffff) &&
	       later->system_time_ns - first->system_time_ns == (u64)(product >> 32);
}

u64 kch_clock_step_cycles(const struct kch_clock *clock)
{
	int bits = 32 - clock->tsc_shift;

	return bits > 63 ? U64_MAX : bits < 0 ? 1 : 1ULL << bits;
}

/*
 * tsc_offset of the Hyper-V reference page that KVM makes from this clock: with
 * another one the guest's reference time is another by 100 ns.
 */
static u64 hyperv_offset(const struct kch_clock *clock)
{
	u64 scale, timestamp = kch_clock_tsc(clock, clock->reference_cycles);

	/* There is no such page where its scale would have more than 64 bits. */
	if (clock->tsc_shift < -32 || clock->tsc_shift > 31 ||
	    ((unsigned __int128)clock->tsc_to_system_mul <<
	     (32 + clock->tsc_shift)) >> 64 >= 100)
		return 0;
	scale = kch_mul_div(1ULL << (32 + clock->tsc_shift), clock->tsc_to_system_mul, 100);
	return clock->system_time_ns / 100 - (u64)(((unsigned __int128)timestamp * scale) >> 64);
}

/*
 * Not every scaled TSC has a host cycle.  Of most ratios every second has one or so;
 * there are hardly any with more in a row without than are tried.
 */
#define ADVANCE_TRIES	65536

bool kch_clock_advance(struct kch_clock *clock, u64 host_cycles, bool hyperv)
{
	u64 step = kch_clock_step_cycles(clock), n;
	u64 scaled = kch_scale_tsc(clock->reference_cycles,
				   clock->tsc_scaling_ratio,
				   clock->tsc_scaling_frac_bits);
	struct kch_clock moved = *clock;
	int tries = ADVANCE_TRIES;

	if (host_cycles <= clock->reference_cycles || !clock->tsc_scaling_ratio)
		return false;
	n = (kch_clock_tsc(clock, host_cycles) - clock->tsc_offset - scaled) / step;
	for (; n && tries; n--, tries--) {
		moved.reference_cycles =
			kch_unscale_tsc(scaled + n * step,
					clock->tsc_scaling_ratio,
					clock->tsc_scaling_frac_bits);
		/* What no CPU has wraps. */
		if (moved.reference_cycles > host_cycles ||
		    moved.reference_cycles <= clock->reference_cycles)
			continue;
		moved.system_time_ns = kch_clock_ns(clock, moved.reference_cycles);
		/* Nothing is taken for the same that is not. */
		if (!kch_clock_same(clock, &moved) ||
		    (hyperv && hyperv_offset(clock) != hyperv_offset(&moved)))
			continue;
		*clock = moved;
		return true;
	}
	return false;
}

u64 kch_clock_kvm_ns(const struct kch_clock *clock, u32 kvm_khz, u64 host_cycles)
{
	u32 mul;
	s8 shift;

	kch_pvclock_pair(kvm_khz, &mul, &shift);
	return kch_pvclock_ns(clock->reference_cycles, clock->system_time_ns,
			      mul, shift, host_cycles);
}

/*
 * The frequency is brought into (1 GHz, 2 GHz] by shifts, and what the right shifts drop is
 * not rounded: only this gives the number kvm_get_time_scale() gives, for every frequency.
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

void kch_clock_compare(const struct kch_clock *saved,
		       const struct kch_clock *live, u64 host_cycles,
		       struct kch_clock_error *error)
{
	s64 pair_ppb, scaling_ppb;

	error->ns = (s64)(kch_clock_ns(live, host_cycles) - kch_clock_ns(saved, host_cycles));
	error->cycles = (s64)(kch_clock_tsc(live, host_cycles) - kch_clock_tsc(saved, host_cycles));
	/* Small rates add; large ones saturate or are wrong in the 2nd order. */
	pair_ppb = kch_pair_ppb(saved->tsc_to_system_mul, saved->tsc_shift,
				live->tsc_to_system_mul, live->tsc_shift);
	scaling_ppb = kch_scaling_ppb(saved->tsc_scaling_ratio,
				      saved->tsc_scaling_frac_bits,
				      live->tsc_scaling_ratio,
				      live->tsc_scaling_frac_bits);
	if (__builtin_add_overflow(pair_ppb, scaling_ppb, &error->rate_ppb))
		error->rate_ppb = pair_ppb > 0 ? S64_MAX : S64_MIN;
	error->identical = kch_clock_same(saved, live);
	error->same_page = error->identical &&
			   saved->reference_cycles == live->reference_cycles;
}

/* Measured over so many host cycles, that rounding is below 1e-11. */
#define RATE_CYCLES	(1ULL << 40)

s64 kch_clock_rate_ppb(const struct kch_clock *clock, u32 khz)
{
	u64 guest_ns = kch_clock_ns(clock, clock->reference_cycles + RATE_CYCLES) -
		       clock->system_time_ns;
	u32 mul;
	s8 shift;

	kch_pvclock_pair(khz, &mul, &shift);
	return ratio_ppb(kch_pvclock_ns(0, 0, mul, shift, RATE_CYCLES), guest_ns);
}

u64 kch_rederive_offset(const struct kch_clock *saved, u64 ratio, u8 frac_bits, u64 host_cycles)
{
	return kch_clock_tsc(saved, host_cycles) - kch_scale_tsc(host_cycles, ratio, frac_bits);
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

bool kch_entry_advance(struct kch_rec_vm *entry, u64 host_cycles, bool hyperv)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(entry + 1);
	struct kch_clock before, moved, other;
	u32 i;

	kch_clock_of(entry, vcpus, &before);
	moved = before;
	if (!kch_clock_advance(&moved, host_cycles, hyperv))
		return false;
	/* The VM has one reference: it must be right for all its vCPUs. */
	for (i = 1; i < le32_to_cpu(entry->vcpu_count); i++) {
		kch_clock_of(entry, &vcpus[i], &before);
		other = before;
		other.reference_cycles = moved.reference_cycles;
		other.system_time_ns = moved.system_time_ns;
		if (!kch_clock_same(&before, &other))
			return false;
	}
	entry->master_cycle_now = cpu_to_le64(moved.reference_cycles);
	entry->master_kernel_ns = cpu_to_le64(moved.system_time_ns -
					      le64_to_cpu(entry->kvmclock_offset));
	return true;
}

/* Of the first vCPU; a VM's vCPUs have one clock. */
static u64 entry_ns(const struct kch_rec_vm *entry, u64 host_cycles)
{
	struct kch_clock clock;

	kch_clock_of(entry, (const struct kch_rec_vcpu *)(entry + 1), &clock);
	return kch_clock_ns(&clock, host_cycles);
}

s64 kch_entry_reference_step(const struct kch_rec_vm *entry, u64 host_cycles, u64 kvm_ns)
{
	return (s64)(kvm_ns + le64_to_cpu(entry->kvmclock_offset) - entry_ns(entry, host_cycles));
}

void kch_entry_set_offset(struct kch_rec_vm *entry, u64 host_cycles, u64 kvm_ns)
{
	u64 system_time_ns = le64_to_cpu(entry->master_kernel_ns) +
			     le64_to_cpu(entry->kvmclock_offset);
	u64 offset = entry_ns(entry, host_cycles) - kvm_ns;

	entry->kvmclock_offset = cpu_to_le64(offset);
	entry->master_kernel_ns = cpu_to_le64(system_time_ns - offset);
}

/* Rounded up, and never 0: a rate is known to 1 ppb only. */
static u64 drift_ns(u64 ns, s64 rate_ppb)
{
	u64 ppb = kch_magnitude(rate_ppb) + 1;

	/* kch_mul_div() must not overflow. */
	if (((unsigned __int128)ns * ppb) >> 64 >= NS_PER_S)
		return U64_MAX;
	return kch_mul_div(ns, ppb, NS_PER_S) + 1;
}

/*
 * How many steps there are at most between two that fall on a host cycle, which those of a
 * scaled TSC do not all do.  On a circle of the ratio's length a step turns by an angle,
 * and what falls on a host cycle is an arc of 2^frac_bits.  So many turns leave no gap that
 * is longer: the three-gap theorem, by continued fractions.
 */
static u64 steps_apart(const struct kch_clock *clock)
{
	u64 one = 1ULL << clock->tsc_scaling_frac_bits;
	u64 gap = clock->tsc_scaling_ratio, turn = 1, p = 0, q = 1, n, next;
	int bits = clock->tsc_scaling_frac_bits;

	if (gap <= one)
		return 1;
	if (clock->tsc_shift < 32)
		bits += 32 - clock->tsc_shift;
	while (bits--)
		turn = turn >= gap - turn ? turn - (gap - turn) : turn + turn;
	while (turn > one) {
		n = gap / turn;
		next = gap % turn;
		gap = turn;
		turn = next;
		next = p + n * q;
		p = q;
		q = next;
	}
	/* Without a turn it comes back to where it was, and that was on one. */
	return turn ? p + ((gap - one - 1) / turn + 2) * q : q;
}

/* The age that a reference gets to which is moved whenever that is possible, ns. */
static u64 age_moved_ns(const struct kch_clock *clock, u32 tsc_khz, bool hyperv)
{
	u64 steps = steps_apart(clock), step = kch_clock_step_cycles(clock);

	/* Hyper-V's page has the same bytes again when a step's ns are whole. */
	if (hyperv && steps <= ADVANCE_TRIES)
		steps *= 100;
	if (step > U64_MAX / steps)
		return U64_MAX;
	step = kch_unscale_tsc(steps * step, clock->tsc_scaling_ratio,
			       clock->tsc_scaling_frac_bits);
	step = kch_cycles_to_ns(step, tsc_khz);
	return step > U64_MAX / 2 ? U64_MAX : step + 2 * KCH_KEEP_INTERVAL_NS;
}

/* CLOCK_MONOTONIC_RAW's multiplier has 23 bits, or 22 above 3.66 GHz; KVM's has 32. */
#define RAW_CLOCK_PPB		239

u64 kch_entry_bound_ns(const struct kch_rec_vm *entry, u32 kvm_khz, u32 tsc_khz,
		       u64 host_cycles, bool hyperv)
{
	u64 age_ns = 0, moved_ns, answer_ns, reference_ns;
	struct kch_clock clock;

	kch_clock_of(entry, (const struct kch_rec_vcpu *)(entry + 1), &clock);
	if (host_cycles > clock.reference_cycles)
		age_ns = kch_cycles_to_ns(host_cycles - clock.reference_cycles, tsc_khz);
	if (kch_entry_kvm_agrees(entry, kvm_khz)) {
		answer_ns = 0;
	} else {
		moved_ns = age_moved_ns(&clock, tsc_khz, hyperv);
		age_ns = moved_ns > age_ns ? moved_ns : age_ns;
		answer_ns = drift_ns(age_ns, kch_clock_rate_ppb(&clock, kvm_khz));
	}
	reference_ns = KCH_KEEP_NS +
		       drift_ns(2 * KCH_KEEP_INTERVAL_NS,
				kch_magnitude(kch_clock_rate_ppb(&clock, tsc_khz)) +
				RAW_CLOCK_PPB);
	return answer_ns > reference_ns ? answer_ns : reference_ns;
}

bool kch_entry_kvm_agrees(const struct kch_rec_vm *entry, u32 kvm_khz)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	unsigned __int128 guest;
	int bits;
	u32 n, mul;
	s8 shift;

	kch_pvclock_pair(kvm_khz, &mul, &shift);
	for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++) {
		/* ns per host cycle, of both as integers. */
		guest = (unsigned __int128)le64_to_cpu(vcpu->tsc_scaling_ratio) *
			le32_to_cpu(vcpu->tsc_to_system_mul);
		bits = entry->tsc_scaling_frac_bits + shift - vcpu->tsc_shift;
		if (bits < 0 || bits > 95 || guest != (unsigned __int128)mul << bits)
			return false;
	}
	return true;
}

const struct kch_rec_vcpu *kch_entry_vcpu(const struct kch_rec_vm *entry, u32 id)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(entry + 1);
	u32 low = 0, high = le32_to_cpu(entry->vcpu_count), middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (le32_to_cpu(vcpus[middle].vcpu_id) == id)
			return &vcpus[middle];
		if (le32_to_cpu(vcpus[middle].vcpu_id) < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
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
