// SPDX-License-Identifier: GPL-2.0
/*
 * The mul and shift of a frequency and of a vCPU that never ran, the rate
 * between two of them, and the comparison of two clocks.
 */
#include "clock.h"
#include "../l1/lib/ktap.h"
#include "reference.h"

/* Every kHz up to this is tried: twice what any CPU runs at. */
#define KHZ_ALL		12000000U

/*
 * What KVM computes, put as arithmetic instead of as its loops.  A frequency
 * above 2 GHz is halved, rounding down each time, as often as needed to have at
 * most 2 GHz; one that is then not above 1 GHz (rounding can do that too) is
 * doubled until it is.  mul is the fraction 1 GHz / that, 32 bits of it.
 */
static void reference_pair(u32 khz, u32 *mul, s8 *shift)
{
	const u64 giga = 1000000000;
	u64 hz = (u64)khz * 1000, rest = giga;
	int halved = 0, doubled = 0, bit;

	/* floor(hz / 2^n) <= 2e9 is the same as hz < (2e9 + 1) * 2^n */
	while (hz / ((2 * giga + 1) << halved))
		halved++;
	hz /= 1ULL << halved;
	while (hz * (1ULL << doubled) < giga + 1)
		doubled++;
	hz *= 1ULL << doubled;
	*shift = (s8)(doubled - halved);
	*mul = 0;
	for (bit = 31; bit >= 0; bit--) {
		rest *= 2;
		if (rest >= hz) {
			rest -= hz;
			*mul |= 1U << bit;
		}
	}
}

static void check_pair(u32 khz)
{
	u32 mul, expected_mul;
	s8 shift, expected_shift;

	kch_pvclock_pair(khz, &mul, &shift);
	reference_pair(khz, &expected_mul, &expected_shift);
	ktap_check(mul == expected_mul && shift == expected_shift,
		   "%u kHz: mul %u shift %d, expected %u and %d", khz, mul,
		   shift, expected_mul, expected_shift);
	ktap_check(mul >= KCH_MUL_MIN && shift >= KCH_SHIFT_MIN && shift <= KCH_SHIFT_MAX,
		   "%u kHz: mul %u shift %d", khz, mul, shift);
}

static void test_pair_every_khz(void)
{
	u32 khz;

	for (khz = 1; khz <= KHZ_ALL; khz++)
		check_pair(khz);
}

static void test_pair_of_any_u32(void)
{
	int bit, i;

	random_seed(11);
	for (bit = 0; bit < 32; bit++)
		for (i = -300; i <= 300; i++)
			if ((s64)(1ULL << bit) + i > 0)
				check_pair((u32)((1ULL << bit) + (u64)i));
	for (bit = 0; bit < 32; bit++)
		for (i = -300; i <= 300; i++)
			if ((1000000ULL << bit) + (u64)i <= UINT32_MAX)
				check_pair((u32)((1000000ULL << bit) + (u64)i));
	for (i = 0; i < 1000000; i++)
		check_pair((u32)random64() | 1);
	check_pair(UINT32_MAX);
}

static void test_pair_known_values(void)
{
	static const struct {
		u64 khz;
		u32 mul;
		s8 shift;
	} known[] = {
		{ 1, 4096000000U, 20 },
		{ 1000000, 0x80000000, 1 },
		{ 1000001, 4294963001U, 0 },
		{ 1300000, 3303820996U, 0 },
		{ 2000000, 0x80000000, 0 },
		{ 2000001, 4294965148U, -1 },
		{ 2600000, 3303820996U, -1 },
		{ 3000000, 2863311530U, -1 },
		{ 4000000, 0x80000000, -1 },
		/* 1.024000001 THz: halving rounds it down to 1 GHz, too far. */
		{ 1024000001U, 0x80000000, -9 },
		{ UINT32_MAX, 4096000003U, -12 },
		/* No frequencies: as 1 kHz. */
		{ 0, 4096000000U, 20 },
		{ 1, 4096000000U, 20 },
		{ 1ULL << 32, 4096000000U, 20 },
		{ U64_MAX, 4096000000U, 20 },
	};
	size_t i;
	u32 mul;
	s8 shift;

	ktap_check(known[0].shift == KCH_SHIFT_MAX && known[1].mul == KCH_MUL_MIN &&
		   known[10].shift == KCH_SHIFT_MIN, "bounds that are reached");
	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		kch_pvclock_pair(known[i].khz, &mul, &shift);
		ktap_check(mul == known[i].mul && shift == known[i].shift,
			   "%llu kHz: mul %u shift %d, expected %u and %d",
			   (unsigned long long)known[i].khz, mul, shift,
			   known[i].mul, known[i].shift);
	}
}

/* What a pair is for: it gives a second of nanoseconds for a second of cycles. */
static void test_pair_gives_the_rate(void)
{
	u32 khz, mul;
	s8 shift;

	for (khz = 100000; khz < KHZ_ALL; khz += 977) {
		u64 cycles = 3600ULL * 1000 * khz, hour_ns = 3600000000000ULL, ns;

		kch_pvclock_pair(khz, &mul, &shift);
		ns = kch_pvclock_ns(0, 0, mul, shift, cycles);
		ktap_check(mul >> 31 == 1, "%u kHz: mul %#x wastes bits", khz, mul);
		/* 2^-31 of an hour is 1.7 us; the last cycles shifted out, 2 ns */
		ktap_check(ns <= hour_ns && hour_ns - ns < 1700,
			   "%u kHz: an hour has %llu ns", khz,
			   (unsigned long long)ns);
	}
}

/* (b - a) / a * 1e9, rounded toward zero, of a = mul_a * 2^shift_a and b */
static s64 reference_ppb(u32 mul_a, s8 shift_a, u32 mul_b, s8 shift_b)
{
	/* 64 is added to both exponents so that there are no fractions. */
	struct wide a = wide_shl(wide_of(mul_a), (unsigned int)(shift_a + 64));
	struct wide b = wide_shl(wide_of(mul_b), (unsigned int)(shift_b + 64));
	bool faster = wide_cmp(b, a) > 0;
	struct wide ppb;

	if (mul_a == 0)
		return mul_b ? S64_MAX : 0;
	ppb = wide_div(wide_mul(faster ? wide_sub(b, a) : wide_sub(a, b),
				wide_of(1000000000)), a);
	if (wide_cmp(ppb, wide_of(S64_MAX)) > 0)
		return S64_MAX;	/* slower than standing still is not possible */
	return faster ? (s64)wide_low64(ppb) : -(s64)wide_low64(ppb);
}

static void check_ppb(u32 mul_a, s8 shift_a, u32 mul_b, s8 shift_b)
{
	s64 got = kch_pair_ppb(mul_a, shift_a, mul_b, shift_b);
	s64 expected = reference_ppb(mul_a, shift_a, mul_b, shift_b);

	ktap_check(got == expected, "%#x<<%d to %#x<<%d: %lld ppb, expected %lld",
		   mul_a, shift_a, mul_b, shift_b, (long long)got,
		   (long long)expected);
}

static void test_ppb_against_reference(void)
{
	static const u32 muls[] = { 0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff };
	int a, b, i, j;

	random_seed(12);
	for (a = -31; a <= 31; a += 2)
		for (b = -31; b <= 31; b++)
			for (i = 0; i < 7; i++)
				for (j = 0; j < 7; j += 2)
					check_ppb(muls[i], (s8)a, muls[j], (s8)b);
	for (i = 0; i < 3000; i++) {
		u32 mul = (u32)random64() | 0x80000000;

		/* as in life: the same shift, and muls close together */
		check_ppb(mul, -1, mul + (u32)random64() % 100000, -1);
		check_ppb((u32)random_edgy64(), (s8)(random64() % 63 - 31),
			  (u32)random_edgy64(), (s8)(random64() % 63 - 31));
	}
}

static void test_ppb_known_values(void)
{
	u32 mul_a, mul_b;
	s8 shift_a, shift_b;

	ktap_check(kch_pair_ppb(0x80000000, 1, 0x80000000, 1) == 0, "same");
	ktap_check(kch_pair_ppb(0x80000000, 0, 0x80000000, 1) == 1000000000, "twice");
	ktap_check(kch_pair_ppb(0x80000000, 1, 0x80000000, 0) == -500000000, "half");
	ktap_check(kch_pair_ppb(1000000000, 0, 1000000001, 0) == 1, "one");
	ktap_check(kch_pair_ppb(1000000000, 0, 999999999, 0) == -1, "minus one");
	ktap_check(kch_pair_ppb(0x80000000, 0, 0, 0) == -1000000000, "stopped");
	ktap_check(kch_pair_ppb(0, 0, 0, 5) == 0, "both stopped");
	ktap_check(kch_pair_ppb(0, 0, 1, 0) == S64_MAX, "from a stop");
	ktap_check(kch_pair_ppb(1, -31, 0xffffffff, 31) == S64_MAX, "saturates");
	ktap_check(kch_pair_ppb(0xffffffff, 31, 1, -31) == -999999999, "nearly stopped");
	/* The frequency the kernel believes in went up 10 ppm: 10 ppm slower. */
	kch_pvclock_pair(2500000, &mul_a, &shift_a);
	kch_pvclock_pair(2500025, &mul_b, &shift_b);
	ktap_check(kch_pair_ppb(mul_a, shift_a, mul_b, shift_b) == -9999,
		   "10 ppm: %lld", (long long)kch_pair_ppb(mul_a, shift_a, mul_b, shift_b));
}

static struct kch_clock clock_at_2_6_ghz(void)
{
	struct kch_clock clock = {
		.reference_cycles = 1234567890123,
		.system_time_ns = 474833803893,
		.tsc_offset = (u64)-1234500000000LL,
		.tsc_scaling_ratio = 1ULL << 32,
		.tsc_scaling_frac_bits = 32,
		.tsc_to_system_mul = 3303820996U,
		.tsc_shift = -1,
	};

	return clock;
}

/* Not one bit of the seven numbers may differ in a clock called identical. */
static void test_identical_sees_every_bit(void)
{
	static const struct {
		size_t offset, size;
		const char *name;
	} fields[] = {
#define FIELD(f) { offsetof(struct kch_clock, f), sizeof(((struct kch_clock *)0)->f), #f }
		FIELD(reference_cycles), FIELD(system_time_ns), FIELD(tsc_offset),
		FIELD(tsc_scaling_ratio), FIELD(tsc_scaling_frac_bits),
		FIELD(tsc_shift), FIELD(tsc_to_system_mul),
	};
	struct kch_clock saved = clock_at_2_6_ghz(), live;
	struct kch_clock_error error;
	size_t i, bit, covered = 0;

	kch_clock_compare(&saved, &saved, 99, &error);
	ktap_check(error.identical, "the same clock");
	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		covered += fields[i].size;
		for (bit = 0; bit < 8 * fields[i].size; bit++) {
			u8 *byte = (u8 *)&live + fields[i].offset + bit / 8;

			live = saved;
			*byte ^= (u8)(1U << bit % 8);
			/* Such a shift cannot be evaluated, nor be in a record. */
			if (live.tsc_shift > 63 || live.tsc_shift < -63 ||
			    live.tsc_scaling_frac_bits > 63)
				continue;
			kch_clock_compare(&saved, &live, 99, &error);
			ktap_check(!error.identical, "%s bit %zu", fields[i].name, bit);
			kch_clock_compare(&live, &saved, 99, &error);
			ktap_check(!error.identical, "%s bit %zu", fields[i].name, bit);
		}
	}
	/* A member added later must be added above, too. */
	ktap_check(sizeof(saved) - covered < 8, "%zu of %zu bytes covered",
		   covered, sizeof(saved));
}

static void test_compare_signs(void)
{
	struct kch_clock saved = clock_at_2_6_ghz(), live = saved;
	u64 now = saved.reference_cycles + 26000000000ULL;
	struct kch_clock_error error;

	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.ns == 0 && error.cycles == 0 && error.rate_ppb == 0 &&
		   error.identical, "the same clock");

	live.system_time_ns += 302000000;
	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.ns == 302000000, "ahead: %lld ns", (long long)error.ns);
	kch_clock_compare(&live, &saved, now, &error);
	ktap_check(error.ns == -302000000, "behind: %lld ns", (long long)error.ns);
	ktap_check(error.cycles == 0 && error.rate_ppb == 0, "only kvmclock");

	live = saved;
	live.tsc_offset++;
	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.cycles == 1 && error.ns == 0, "TSC ahead: %lld cycles, %lld ns",
		   (long long)error.cycles, (long long)error.ns);
	kch_clock_compare(&live, &saved, now, &error);
	ktap_check(error.cycles == -1, "TSC behind: %lld", (long long)error.cycles);

	/* A later reference with the same system_time: behind. */
	live = saved;
	live.reference_cycles += 2600;
	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.ns == -1000, "later reference: %lld ns", (long long)error.ns);

	/* 10 s at the next higher mul: 10 s / 3303820996 */
	live = saved;
	live.tsc_to_system_mul++;
	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.ns == 3, "mul + 1: %lld ns", (long long)error.ns);
	ktap_check(error.rate_ppb == 0, "0.3 ppb rounds toward 0: %lld",
		   (long long)error.rate_ppb);
	live.tsc_to_system_mul = saved.tsc_to_system_mul + 3304;
	kch_clock_compare(&saved, &live, now, &error);
	ktap_check(error.rate_ppb == 1000, "1 ppm: %lld", (long long)error.rate_ppb);
	kch_clock_compare(&live, &saved, now, &error);
	ktap_check(error.rate_ppb == -1000, "-1 ppm: %lld", (long long)error.rate_ppb);
}

static void test_compare_scaling(void)
{
	struct kch_clock saved = clock_at_2_6_ghz(), live = saved;
	struct kch_clock_error error;

	live.tsc_scaling_ratio = saved.tsc_scaling_ratio + saved.tsc_scaling_ratio / 1000000;
	kch_clock_compare(&saved, &live, saved.reference_cycles, &error);
	ktap_check(error.rate_ppb == 999,
		   "ratio up 1 ppm: %lld", (long long)error.rate_ppb);
	ktap_check(!error.identical, "another ratio");

	/* The same factor in other fraction bits runs at the same rate ... */
	live = saved;
	live.tsc_scaling_frac_bits = 48;
	live.tsc_scaling_ratio = saved.tsc_scaling_ratio << 16;
	kch_clock_compare(&saved, &live, saved.reference_cycles + 5, &error);
	ktap_check(error.rate_ppb == 0 && error.ns == 0 && error.cycles == 0,
		   "32 to 48 bits: %lld ppb", (long long)error.rate_ppb);
	kch_clock_compare(&live, &saved, saved.reference_cycles + 5, &error);
	ktap_check(error.rate_ppb == 0, "48 to 32 bits: %lld ppb",
		   (long long)error.rate_ppb);
	/* ... also from a CPU without scaling to one with. */
	saved.tsc_scaling_frac_bits = 0;
	saved.tsc_scaling_ratio = 1;
	kch_clock_compare(&saved, &live, saved.reference_cycles + 5, &error);
	ktap_check(error.rate_ppb == 0 && error.cycles == 0, "0 to 48 bits: %lld ppb",
		   (long long)error.rate_ppb);
	/* Fewer bits are not taken for a rounder factor. */
	live.tsc_scaling_ratio = 3ULL << 47;
	kch_clock_compare(&saved, &live, 0, &error);
	ktap_check(error.rate_ppb == 500000000, "1 to 1.5: %lld",
		   (long long)error.rate_ppb);
	kch_clock_compare(&live, &saved, 0, &error);
	ktap_check(error.rate_ppb == -333333333, "1.5 to 1: %lld",
		   (long long)error.rate_ppb);
	live.tsc_scaling_ratio = 1ULL << 48;
	/* A ratio that leaves no room to be brought to the other's bits. */
	saved.tsc_scaling_ratio = U64_MAX;
	kch_clock_compare(&saved, &live, 0, &error);
	ktap_check(error.rate_ppb == -999999999, "2^64 to 1: %lld ppb",
		   (long long)error.rate_ppb);
}

static void test_compare_saturates(void)
{
	struct kch_clock saved = clock_at_2_6_ghz(), live = saved;
	struct kch_clock_error error;

	live.tsc_shift = 31;
	saved.tsc_shift = -31;
	saved.tsc_scaling_ratio = 1;
	live.tsc_scaling_ratio = U64_MAX;
	kch_clock_compare(&saved, &live, 7, &error);
	ktap_check(error.rate_ppb == S64_MAX, "%lld", (long long)error.rate_ppb);
	kch_clock_compare(&live, &saved, 7, &error);
	ktap_check(error.rate_ppb < -999999990 && error.rate_ppb >= -2000000000,
		   "%lld", (long long)error.rate_ppb);
	saved.tsc_scaling_ratio = 0;
	saved.tsc_shift = live.tsc_shift;
	kch_clock_compare(&saved, &live, 7, &error);
	ktap_check(error.rate_ppb == S64_MAX, "from a ratio of 0: %lld",
		   (long long)error.rate_ppb);
	live.tsc_scaling_ratio = 0;
	kch_clock_compare(&saved, &live, 7, &error);
	ktap_check(error.rate_ppb == 0, "both 0: %lld", (long long)error.rate_ppb);
}

/* Two clocks compared at a host TSC differ by what their values there say. */
static void test_compare_is_the_difference(void)
{
	struct kch_clock_error error;
	int i;

	random_seed(13);
	for (i = 0; i < 20000; i++) {
		struct kch_clock a = clock_at_2_6_ghz(), b = a;
		u64 now = random_edgy64();

		b.reference_cycles = random_edgy64();
		b.system_time_ns = random_edgy64();
		b.tsc_offset = random_edgy64();
		b.tsc_to_system_mul = (u32)random_edgy64();
		kch_clock_compare(&a, &b, now, &error);
		ktap_check((u64)error.ns == kch_clock_ns(&b, now) - kch_clock_ns(&a, now),
			   "round %d: %lld ns", i, (long long)error.ns);
		ktap_check((u64)error.cycles == b.tsc_offset - a.tsc_offset,
			   "round %d: %lld cycles", i, (long long)error.cycles);
		ktap_check(error.rate_ppb ==
			   kch_pair_ppb(a.tsc_to_system_mul, a.tsc_shift,
					b.tsc_to_system_mul, b.tsc_shift),
			   "round %d: %lld ppb", i, (long long)error.rate_ppb);
	}
}

/*
 * KVM moves the reference and keeps the function: the re-based clock is not
 * identical, but at most 2 ns of rounding away, for years.
 */
static void test_compare_rebased(void)
{
	struct kch_clock saved = clock_at_2_6_ghz(), live;
	struct kch_clock_error error;
	int i;

	random_seed(14);
	for (i = 0; i < 20000; i++) {
		u64 later = random64() % (10 * 31556952ULL * 2600000000ULL);

		live = saved;
		live.reference_cycles += random64() >> 4;
		live.system_time_ns = kch_clock_ns(&saved, live.reference_cycles);
		kch_clock_compare(&saved, &live, live.reference_cycles + later, &error);
		ktap_check(error.ns <= 0 && error.ns >= -2, "round %d: %lld ns", i,
			   (long long)error.ns);
		ktap_check(error.cycles == 0 && error.rate_ppb == 0, "round %d", i);
		ktap_check(!error.identical, "round %d", i);
	}
}

struct entry {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[4];
};

static struct entry entry_with(u32 vcpus, u8 frac_bits)
{
	struct entry entry;

	memset(&entry, 0, sizeof(entry));
	entry.vm.vcpu_count = cpu_to_le32(vcpus);
	entry.vm.tsc_scaling_frac_bits = frac_bits;
	return entry;
}

static void put_pair(struct kch_rec_vcpu *vcpu, u64 ratio, u32 mul, s8 shift, u32 khz)
{
	vcpu->tsc_scaling_ratio = cpu_to_le64(ratio);
	vcpu->flags = cpu_to_le32(KCH_VCPU_PVCLOCK_ON | (mul ? KCH_VCPU_PAIR_VALID : 0));
	vcpu->tsc_to_system_mul = cpu_to_le32(mul);
	vcpu->tsc_shift = shift;
	vcpu->hw_tsc_khz = cpu_to_le32(khz);
}

static void check_filled(const struct kch_rec_vcpu *vcpu, u32 mul, s8 shift, u32 khz)
{
	ktap_check(le32_to_cpu(vcpu->flags) == (KCH_VCPU_PVCLOCK_ON | KCH_VCPU_PAIR_VALID),
		   "flags %#x", le32_to_cpu(vcpu->flags));
	ktap_check(le32_to_cpu(vcpu->tsc_to_system_mul) == mul && vcpu->tsc_shift == shift &&
		   le32_to_cpu(vcpu->hw_tsc_khz) == khz,
		   "%u << %d of %u kHz, expected %u << %d of %u kHz",
		   le32_to_cpu(vcpu->tsc_to_system_mul), vcpu->tsc_shift,
		   le32_to_cpu(vcpu->hw_tsc_khz), mul, shift, khz);
}

/* A vCPU that never ran gets what KVM would have given it. */
static void test_fill_pairs(void)
{
	struct entry entry = entry_with(4, 48);

	/* As a sibling with that ratio has, before or behind; others stay. */
	put_pair(&entry.vcpus[0], 2ULL << 48, 0, 0, 0);
	put_pair(&entry.vcpus[1], 1ULL << 48, 3303820990U, -1, 2600001);
	put_pair(&entry.vcpus[2], 2ULL << 48, 3303820980U, -2, 5200002);
	put_pair(&entry.vcpus[3], 1ULL << 48, 0, 0, 0);
	ktap_check(kch_clock_fill_pairs(&entry.vm, 0), "siblings are enough");
	check_filled(&entry.vcpus[0], 3303820980U, -2, 5200002);
	check_filled(&entry.vcpus[1], 3303820990U, -1, 2600001);
	check_filled(&entry.vcpus[2], 3303820980U, -2, 5200002);
	check_filled(&entry.vcpus[3], 3303820990U, -1, 2600001);

	/* Two that ran at the same ratio may differ, and go on to. */
	put_pair(&entry.vcpus[1], 1ULL << 48, 3303820980U, -1, 2600009);
	kch_clock_fill_pairs(&entry.vm, 2600000);
	check_filled(&entry.vcpus[1], 3303820980U, -1, 2600009);
	check_filled(&entry.vcpus[3], 3303820990U, -1, 2600001);

	/* None ran: from the host's frequency, by each one's ratio. */
	entry = entry_with(3, 48);
	put_pair(&entry.vcpus[0], 1ULL << 48, 0, 0, 0);
	put_pair(&entry.vcpus[1], 2ULL << 48, 0, 0, 0);
	put_pair(&entry.vcpus[2], 1ULL << 47, 0, 0, 0);
	kch_clock_fill_pairs(&entry.vm, 2600000);
	check_filled(&entry.vcpus[0], 3303820996U, -1, 2600000);
	check_filled(&entry.vcpus[1], 3303820996U, -2, 5200000);
	check_filled(&entry.vcpus[2], 3303820996U, 0, 1300000);

	/* A CPU without scaling */
	entry = entry_with(1, 0);
	put_pair(&entry.vcpus[0], 1, 0, 0, 0);
	kch_clock_fill_pairs(&entry.vm, 3000000);
	check_filled(&entry.vcpus[0], 2863311530U, -1, 3000000);
}

/* Ratios that no CPU has and frequencies that make none: it ends, defined. */
static void test_fill_pairs_hostile(void)
{
	u32 khzs[] = { 0, 1, 2600000, UINT32_MAX };
	u64 ratios[] = { 0, 1, 1ULL << 63, U64_MAX };
	u32 i, mul;
	s8 shift;

	for (i = 0; i < 4 * 4 * 64; i++) {
		struct entry entry = entry_with(2, (u8)(i / 16));
		struct kch_rec_vcpu *first = &entry.vcpus[0];

		put_pair(first, ratios[i % 4], 0, 0, 0);
		put_pair(&entry.vcpus[1], ratios[i % 4], 0, 0, 0);
		/* Not known is not 1 kHz: those without a pair stay so. */
		if (!khzs[i / 4 % 4]) {
			ktap_check(!kch_clock_fill_pairs(&entry.vm, 0) &&
				   !(le32_to_cpu(first->flags) & KCH_VCPU_PAIR_VALID) &&
				   !first->tsc_to_system_mul,
				   "filled without a frequency");
			continue;
		}
		ktap_check(kch_clock_fill_pairs(&entry.vm, khzs[i / 4 % 4]),
			   "not filled");
		kch_pvclock_pair(le32_to_cpu(first->hw_tsc_khz), &mul, &shift);
		ktap_check(le32_to_cpu(first->tsc_to_system_mul) == mul &&
			   first->tsc_shift == shift,
			   "the pair is not that of its frequency");
		ktap_check(first->tsc_shift >= -31 && first->tsc_shift <= 31, "shift %d",
			   first->tsc_shift);
		ktap_check(le32_to_cpu(first->tsc_to_system_mul) >> 31, "mul %u",
			   le32_to_cpu(first->tsc_to_system_mul));
		ktap_check(first->hw_tsc_khz, "0 kHz");
		check_filled(&entry.vcpus[1], le32_to_cpu(first->tsc_to_system_mul),
			     first->tsc_shift, le32_to_cpu(first->hw_tsc_khz));
	}
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "pair_every_khz", test_pair_every_khz },
		{ "pair_of_any_u32", test_pair_of_any_u32 },
		{ "pair_known_values", test_pair_known_values },
		{ "pair_gives_the_rate", test_pair_gives_the_rate },
		{ "fill_pairs", test_fill_pairs },
		{ "fill_pairs_hostile", test_fill_pairs_hostile },
		{ "ppb_against_reference", test_ppb_against_reference },
		{ "ppb_known_values", test_ppb_known_values },
		{ "identical_sees_every_bit", test_identical_sees_every_bit },
		{ "compare_signs", test_compare_signs },
		{ "compare_scaling", test_compare_scaling },
		{ "compare_saturates", test_compare_saturates },
		{ "compare_is_the_difference", test_compare_is_the_difference },
		{ "compare_rebased", test_compare_rebased },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
