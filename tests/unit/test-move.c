// SPDX-License-Identifier: GPL-2.0
/*
 * The reference moved forward: the same function, a young reference, and KVM's own
 * answers within the bound that is told.
 */
#include "clock.h"
#include "../l1/lib/ktap.h"
#include "reference.h"

#define CYCLES_PER_DAY(khz)	(86400ULL * 1000 * (khz))
#define NS_PER_S		1000000000ULL

/* The very instructions of the guest's pvclock_scale_delta(). */
static u64 guest_scale_delta(u64 delta, u32 mul, s8 shift)
{
	u64 high;

	if (shift < 0)
		__asm__("shrq %%cl, %0" : "+r"(delta) : "c"((u8)-shift) : "cc");
	else
		__asm__("shlq %%cl, %0" : "+r"(delta) : "c"((u8)shift) : "cc");
	__asm__("mulq %3; shrdq $32, %1, %0"
		: "=a"(delta), "=&d"(high) : "0"(delta), "rm"((u64)mul) : "cc");
	return delta;
}

static u64 reference_tsc(const struct kch_clock *c, u64 host)
{
	struct wide scaled;

	if (c->tsc_scaling_ratio == 1ULL << c->tsc_scaling_frac_bits)
		return host + c->tsc_offset;
	scaled = wide_mul(wide_of(host), wide_of(c->tsc_scaling_ratio));
	scaled = wide_shr(scaled, c->tsc_scaling_frac_bits);
	return wide_low64(wide_add(wide_of(wide_low64(scaled)), wide_of(c->tsc_offset)));
}

/* What a guest computes from the page that KVM makes of the clock. */
static u64 guest_ns(const struct kch_clock *c, u64 host)
{
	return c->system_time_ns +
	       guest_scale_delta(reference_tsc(c, host) -
				 reference_tsc(c, c->reference_cycles),
				 c->tsc_to_system_mul, c->tsc_shift);
}

/* tsc_scale and tsc_offset of KVM's compute_tsc_page_parameters(); false: no page. */
static bool hyperv_page(const struct kch_clock *c, u64 *scale, u64 *offset)
{
	struct wide product;

	product = wide_shl(wide_of(c->tsc_to_system_mul),
			   (unsigned int)(32 + c->tsc_shift));
	product = wide_div(product, wide_of(100));
	if (!wide_fits64(product))
		return false;
	*scale = wide_low64(product);
	product = wide_mul(wide_of(reference_tsc(c, c->reference_cycles)),
			   wide_of(*scale));
	*offset = c->system_time_ns / 100 - wide_low64(wide_shr(product, 64));
	return true;
}

static u32 random_khz(void)
{
	return 500000 + (u32)(random64() % 5500001);
}

static struct kch_clock clock_at(u32 khz)
{
	struct kch_clock c = {
		.reference_cycles = random64() >> 14,
		.system_time_ns = random64() >> 12,
		.tsc_offset = random64(),
		.tsc_scaling_ratio = 1ULL << 48,
		.tsc_scaling_frac_bits = 48,
	};

	kch_pvclock_pair(khz, &c.tsc_to_system_mul, &c.tsc_shift);
	return c;
}

/* Ratios as they occur, and such that few steps fall on a host cycle. */
static u64 some_ratio(u8 frac_bits, int which)
{
	u64 one = 1ULL << frac_bits;

	switch (which % 12) {
	case 0: return one + 1;
	case 1: return one - 1;
	case 2: return 2 * one;
	case 3: return 3 * one;
	case 4: return 4 * one;
	case 5: return 3 * one + one / 3;
	case 6: return one / 2 * 3;
	case 7: return one / 3;
	default:
		return one / 10 * 3 + random64() % (one / 10 * 37);
	}
}

static void check_same_function(const struct kch_clock *before,
				const struct kch_clock *after, u64 from, u64 span,
				int points)
{
	while (points--) {
		u64 host = from + random64() % span;
		u64 was = guest_ns(before, host), is = guest_ns(after, host);

		ktap_check(was == is && kch_clock_ns(after, host) == is,
			   "mul %u shift %d ratio %#llx, at %llu: %llu ns, before %llu",
			   before->tsc_to_system_mul, before->tsc_shift,
			   (unsigned long long)before->tsc_scaling_ratio,
			   (unsigned long long)host, (unsigned long long)is,
			   (unsigned long long)was);
	}
}

/* 4 million TSCs over 200 days: not one differs, and the reference is young. */
static void test_advance(void)
{
	int round;

	random_seed(21);
	for (round = 0; round < 2000; round++) {
		u32 khz = random_khz();
		struct kch_clock before = clock_at(khz), after = before;
		u64 age = random64() % CYCLES_PER_DAY(400ULL * khz);
		u64 now = before.reference_cycles + age;
		u64 step = kch_clock_step_cycles(&before);
		bool moved = kch_clock_advance(&after, now, false);

		ktap_check(moved == (age >= step), "round %d: moved %d", round, moved);
		ktap_check(after.reference_cycles <= now &&
			   now - after.reference_cycles < step,
			   "round %d: %llu cycles old, a step has %llu", round,
			   (unsigned long long)(now - after.reference_cycles),
			   (unsigned long long)step);
		ktap_check(step <= 9ULL * 1000 * khz, "%u kHz: step of %llu", khz,
			   (unsigned long long)step);
		ktap_check(kch_clock_same(&before, &after), "round %d", round);
		check_same_function(&before, &after, now, CYCLES_PER_DAY(200ULL * khz),
				    2000);
	}
}

static void test_advance_scaled(void)
{
	static const u8 frac_bits[] = { 32, 48 };
	int round, moved = 0;

	random_seed(22);
	for (round = 0; round < 3000; round++) {
		u32 khz = random_khz();
		struct kch_clock before = clock_at(khz), after;
		u64 now = before.reference_cycles +
			  random64() % CYCLES_PER_DAY(400ULL * khz);

		before.tsc_scaling_frac_bits = frac_bits[round & 1];
		before.tsc_scaling_ratio = some_ratio(before.tsc_scaling_frac_bits,
						      round / 2);
		kch_pvclock_pair(kch_scale_tsc(khz, before.tsc_scaling_ratio,
					       before.tsc_scaling_frac_bits),
				 &before.tsc_to_system_mul, &before.tsc_shift);
		after = before;
		if (!kch_clock_advance(&after, now, false)) {
			ktap_check(!memcmp(&before, &after, sizeof(before)),
				   "round %d: not moved, but changed", round);
			continue;
		}
		moved++;
		ktap_check(after.reference_cycles > before.reference_cycles &&
			   after.reference_cycles <= now, "round %d", round);
		ktap_check(kch_clock_same(&before, &after), "round %d", round);
		check_same_function(&before, &after, now,
				    CYCLES_PER_DAY(200ULL * khz), 100);
	}
	ktap_check(moved > 2900, "only %d of 3000 were moved", moved);
}

/* With Hyper-V's page the guest has the same bytes there, too. */
static void test_advance_hyperv(void)
{
	int round, differ = 0;

	random_seed(23);
	for (round = 0; round < 4000; round++) {
		u32 khz = random_khz();
		struct kch_clock before = clock_at(khz), after, without;
		u64 now = before.reference_cycles +
			  random64() % CYCLES_PER_DAY(400ULL * khz);
		u64 scale = 0, offset = 0, scale_after = 1, offset_after = 0;

		before.tsc_offset = -before.reference_cycles + (random64() >> 24);
		if (round & 1)
			before.tsc_scaling_ratio = some_ratio(48, 8);
		after = before;
		without = before;
		if (!kch_clock_advance(&after, now, true))
			continue;
		ktap_check(hyperv_page(&before, &scale, &offset) &&
			   hyperv_page(&after, &scale_after, &offset_after) &&
			   scale == scale_after && offset == offset_after,
			   "round %d: offset %llu, before %llu", round,
			   (unsigned long long)offset_after,
			   (unsigned long long)offset);
		check_same_function(&before, &after, now,
				    CYCLES_PER_DAY(200ULL * khz), 20);
		kch_clock_advance(&without, now, false);
		hyperv_page(&without, &scale_after, &offset_after);
		differ += offset != offset_after;
	}
	/* The control: it is not so by itself. */
	ktap_check(differ > 100, "%d of 4000 would have another page", differ);
}

/*
 * Numbers that no CPU has: it ends, nothing traps (see kch_mul_div()), and what
 * was moved is the same function wherever neither form wraps.
 */
static void test_advance_forged(void)
{
	int round, i, moved = 0;

	random_seed(24);
	for (round = 0; round < 60000; round++) {
		struct kch_clock before = {
			.reference_cycles = random_edgy64(),
			.system_time_ns = random_edgy64(),
			.tsc_offset = random_edgy64(),
			.tsc_scaling_ratio = random_edgy64(),
			.tsc_scaling_frac_bits = (u8)(random64() % 64),
			.tsc_shift = (s8)(random64() % 63 - 31),
			.tsc_to_system_mul = (u32)random_edgy64(),
		}, after;
		u64 now = random_edgy64(), scale, offset;
		bool hyperv = round & 1;

		after = before;
		if (!kch_clock_advance(&after, now, hyperv)) {
			ktap_check(!memcmp(&before, &after, sizeof(before)),
				   "round %d: not moved, but changed", round);
			continue;
		}
		moved++;
		ktap_check(after.reference_cycles > before.reference_cycles &&
			   after.reference_cycles <= now, "round %d: %llu to %llu at %llu",
			   round, (unsigned long long)before.reference_cycles,
			   (unsigned long long)after.reference_cycles,
			   (unsigned long long)now);
		/* No page: nothing to keep, and so no reason not to move. */
		if (hyperv && !hyperv_page(&before, &scale, &offset)) {
			struct kch_clock plain = before;

			kch_clock_advance(&plain, now, false);
			ktap_check(plain.reference_cycles == after.reference_cycles,
				   "round %d: held up by a page that there is not", round);
		}
		for (i = 0; i < 20; i++) {
			u64 host = now + (random64() >> (random64() % 64));
			u64 tsc = reference_tsc(&after, host);
			u64 apart = reference_tsc(&after, after.reference_cycles) -
				    reference_tsc(&before, before.reference_cycles);
			u64 later = tsc - reference_tsc(&after, after.reference_cycles);
			u64 sum = later + apart;

			if (host < now || sum < apart ||
			    (before.tsc_shift > 0 && sum >> (64 - before.tsc_shift)))
				continue;
			ktap_check(guest_ns(&before, host) == guest_ns(&after, host),
				   "round %d: at %llu", round, (unsigned long long)host);
		}
	}
	ktap_check(moved > 1000, "only %d were moved", moved);
}

/* A reference that is moved by anything else is seen: at some TSC it does differ. */
static void test_same_is_exact(void)
{
	int round, i, same = 0;

	random_seed(25);
	for (round = 0; round < 3000; round++) {
		u32 khz = random_khz();
		struct kch_clock a = clock_at(khz), b;
		u64 step = kch_clock_step_cycles(&a);
		bool differs = false;

		if (round & 1)
			a.tsc_scaling_ratio = some_ratio(48, round);
		b = a;
		b.reference_cycles += round % 3 ? random64() % (4 * step) :
					      step * (1 + random64() % 9);
		b.system_time_ns = guest_ns(&a, b.reference_cycles);
		for (i = 0; i < 300; i++) {
			u64 host = b.reference_cycles + random64() % CYCLES_PER_DAY(khz);

			differs |= guest_ns(&a, host) != guest_ns(&b, host);
		}
		ktap_check(kch_clock_same(&a, &b) == kch_clock_same(&b, &a), "round %d", round);
		same += kch_clock_same(&a, &b);
		if (differs)
			ktap_check(!kch_clock_same(&a, &b),
				   "round %d: called the same, and differs", round);
		/* One ns, or one cycle, is another function. */
		if (!kch_clock_same(&a, &b))
			continue;
		ktap_check(!differs, "round %d", round);
		b.system_time_ns++;
		ktap_check(!kch_clock_same(&a, &b), "round %d: 1 ns", round);
		b.system_time_ns--;
		b.reference_cycles++;
		ktap_check(!kch_clock_same(&a, &b), "round %d: 1 cycle", round);
	}
	ktap_check(same > 300 && same < 2900, "%d of 3000 are the same", same);
}

/* Clocks whose pages at the reference are equal, and which still are others. */
static void test_same_needs_all(void)
{
	struct kch_clock a = clock_at(2596123), b = a;

	b.tsc_offset += 1000;
	b.reference_cycles -= 1000;
	ktap_check(!kch_clock_same(&a, &b), "another offset");
	a.reference_cycles = 0;
	b = a;
	b.tsc_scaling_ratio++;
	ktap_check(!kch_clock_same(&a, &b), "another ratio");
	b = a;
	b.tsc_scaling_frac_bits--;
	ktap_check(!kch_clock_same(&a, &b), "other fraction bits");
	b = a;
	b.tsc_to_system_mul++;
	ktap_check(!kch_clock_same(&a, &b), "another mul");
	b = a;
	b.tsc_shift++;
	ktap_check(!kch_clock_same(&a, &b), "another shift");
	b = a;
	ktap_check(kch_clock_same(&a, &b), "none of it");
}

/* Not one bit of a moved clock may differ, either; and it has not the same page. */
static void test_moved_sees_every_bit(void)
{
	struct kch_clock a, moved, live;
	struct kch_clock_error error;
	u32 khz = 2596123;
	size_t bit;

	random_seed(26);
	a = clock_at(khz);
	moved = a;
	ktap_check(kch_clock_advance(&moved, a.reference_cycles + CYCLES_PER_DAY(30ULL * khz),
				     false), "not moved");
	kch_clock_compare(&a, &moved, moved.reference_cycles, &error);
	ktap_check(error.identical && !error.same_page && !error.ns && !error.cycles,
		   "moved: identical %d, page %d", error.identical, error.same_page);
	kch_clock_compare(&a, &a, moved.reference_cycles, &error);
	ktap_check(error.identical && error.same_page, "the same one");
	for (bit = 0; bit < 8 * sizeof(a); bit++) {
		live = moved;
		((u8 *)&live)[bit / 8] ^= (u8)(1U << bit % 8);
		if (live.tsc_shift > 31 || live.tsc_shift < -31 ||
		    live.tsc_scaling_frac_bits > 63)
			continue;
		/* The end of the structure is no number. */
		if (bit / 8 >= offsetof(struct kch_clock, tsc_to_system_mul) + 4)
			break;
		if (bit / 8 > offsetof(struct kch_clock, tsc_shift) &&
		    bit / 8 < offsetof(struct kch_clock, tsc_to_system_mul))
			continue;
		kch_clock_compare(&a, &live, moved.reference_cycles, &error);
		ktap_check(!error.identical && !error.same_page, "bit %zu", bit);
	}
}

struct entry {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[4];
};

static struct entry entry_of(const struct kch_clock *c, u32 vcpus)
{
	struct entry e;
	u32 i;

	memset(&e, 0, sizeof(e));
	e.vm.vcpu_count = cpu_to_le32(vcpus);
	e.vm.tsc_scaling_frac_bits = c->tsc_scaling_frac_bits;
	e.vm.master_cycle_now = cpu_to_le64(c->reference_cycles);
	e.vm.kvmclock_offset = cpu_to_le64(777);
	e.vm.master_kernel_ns = cpu_to_le64(c->system_time_ns - 777);
	for (i = 0; i < vcpus; i++) {
		e.vcpus[i].vcpu_id = cpu_to_le32(3 * i + 1);
		e.vcpus[i].tsc_offset = cpu_to_le64(c->tsc_offset);
		e.vcpus[i].tsc_scaling_ratio = cpu_to_le64(c->tsc_scaling_ratio);
		e.vcpus[i].tsc_to_system_mul = cpu_to_le32(c->tsc_to_system_mul);
		e.vcpus[i].tsc_shift = c->tsc_shift;
	}
	return e;
}

/* A VM has one reference: it is moved for all of its vCPUs, or not. */
static void test_entry_advance(void)
{
	u32 khz = 2596123, i;

	random_seed(27);
	for (i = 0; i < 200; i++) {
		struct kch_clock c = clock_at(khz), was, is;
		struct entry e = entry_of(&c, 4), before = e;
		u64 now = c.reference_cycles + CYCLES_PER_DAY(30ULL * khz);
		u32 k = 1 + i % 3, n;

		/* Another offset is another TSC, at the same rate. */
		e.vcpus[k].tsc_offset = cpu_to_le64(random64());
		before = e;
		ktap_check(kch_entry_advance(&e.vm, now, false), "round %u", i);
		for (n = 0; n < 4; n++) {
			kch_clock_of(&before.vm, &before.vcpus[n], &was);
			kch_clock_of(&e.vm, &e.vcpus[n], &is);
			check_same_function(&was, &is, now, CYCLES_PER_DAY(200ULL * khz), 20);
			ktap_check(now - is.reference_cycles < kch_clock_step_cycles(&is),
				   "round %u", i);
		}
		ktap_check(e.vm.kvmclock_offset == before.vm.kvmclock_offset, "the offset stays");
		ktap_check(!memcmp(e.vcpus, before.vcpus, sizeof(e.vcpus)), "so do the vCPUs");

		/* A vCPU whose rate is another: right for one is wrong for the other. */
		e = before;
		if (i & 1)
			e.vcpus[k].tsc_to_system_mul ^= cpu_to_le32(1);
		else
			e.vcpus[k].tsc_shift--;
		before = e;
		if (kch_entry_advance(&e.vm, now, false)) {
			for (n = 0; n < 4; n++) {
				kch_clock_of(&before.vm, &before.vcpus[n], &was);
				kch_clock_of(&e.vm, &e.vcpus[n], &is);
				check_same_function(&was, &is, now, CYCLES_PER_DAY(khz), 50);
			}
		} else {
			ktap_check(!memcmp(&e, &before, sizeof(e)), "refused, but changed");
		}
	}
	{
		struct kch_clock c = clock_at(khz);
		struct entry e = entry_of(&c, 2), before;

		e.vcpus[1].tsc_to_system_mul = cpu_to_le32(c.tsc_to_system_mul + 12345);
		before = e;
		ktap_check(!kch_entry_advance(&e.vm, c.reference_cycles +
					      CYCLES_PER_DAY(1ULL * khz), false) &&
			   !memcmp(&e, &before, sizeof(e)), "two rates, one moved");
	}
}

/* A new offset is not seen by the guest, and its step is none at that moment. */
static void test_set_offset(void)
{
	int i;

	random_seed(28);
	for (i = 0; i < 20000; i++) {
		struct kch_clock c = clock_at(random_khz()), after;
		struct kch_clock_error error;
		struct entry e = entry_of(&c, 1);
		u64 now = c.reference_cycles + (random64() >> 10), kvm_ns = random64() >> 3;
		s64 off = (s64)(random64() % 2000001) - 1000000;

		ktap_check((u64)kch_entry_reference_step(&e.vm, now, kvm_ns) ==
			   kvm_ns + 777 - guest_ns(&c, now), "round %d", i);
		kch_entry_set_offset(&e.vm, now, kvm_ns);
		kch_clock_of(&e.vm, &e.vcpus[0], &after);
		kch_clock_compare(&c, &after, now, &error);
		ktap_check(error.same_page, "round %d: the clock changed", i);
		ktap_check(!kch_entry_reference_step(&e.vm, now, kvm_ns), "round %d", i);
		ktap_check(kch_entry_reference_step(&e.vm, now, kvm_ns + (u64)off) == off,
			   "round %d: %lld", i, (long long)off);
	}
}

/* By exact fractions: mul * 2^shift * ratio against KVM's mul and shift. */
static void test_rate_ppb(void)
{
	int i;

	random_seed(29);
	for (i = 0; i < 20000; i++) {
		u32 khz = random_khz(), guest_khz, mul;
		struct kch_clock c = clock_at(khz);
		struct wide guest, host, off;
		s64 ppm = (s64)(random64() % 4001) - 2000, got, expected;
		bool faster;
		s8 shift;

		if (i & 1)
			c.tsc_scaling_ratio = some_ratio(48, i / 2);
		guest_khz = (u32)((s64)kch_scale_tsc(khz, c.tsc_scaling_ratio, 48) *
				  (1000000 + ppm) / 1000000);
		kch_pvclock_pair(guest_khz, &c.tsc_to_system_mul, &c.tsc_shift);
		kch_pvclock_pair(khz, &mul, &shift);
		guest = wide_shl(wide_mul(wide_of(c.tsc_to_system_mul),
					  wide_of(c.tsc_scaling_ratio)),
				 (unsigned int)(c.tsc_shift + 32));
		host = wide_shl(wide_of(mul), (unsigned int)(shift + 32 + 48));
		faster = wide_cmp(guest, host) > 0;
		off = wide_div(wide_mul(faster ? wide_sub(guest, host) : wide_sub(host, guest),
					wide_of(NS_PER_S)), host);
		expected = faster ? (s64)wide_low64(off) : -(s64)wide_low64(off);
		got = kch_clock_rate_ppb(&c, khz);
		ktap_check(got >= expected - 1 && got <= expected + 1,
			   "%u kHz, ratio %#llx: %lld ppb, expected %lld", khz,
			   (unsigned long long)c.tsc_scaling_ratio, (long long)got,
			   (long long)expected);
	}
}

/* KVM's __get_kvmclock(), and its host clock: CLOCK_MONOTONIC_RAW by a coarser mul. */
static u64 kvm_says(const struct kch_clock *c, u32 kvm_khz, u64 host)
{
	u32 mul;
	s8 shift;

	kch_pvclock_pair(kvm_khz, &mul, &shift);
	return c->system_time_ns +
	       guest_scale_delta(host - c->reference_cycles, mul, shift);
}

static u64 raw_ns(u32 tsc_khz, s64 raw_ppb, u64 host)
{
	struct wide ns = wide_mul(wide_of(host), wide_of((u64)((s64)NS_PER_S + raw_ppb)));

	return wide_low64(wide_div(ns, wide_of(1000ULL * tsc_khz)));
}

/* The module's look, as kernel/kvm_write.c does it. */
static void look(struct entry *e, u32 kvm_khz, u64 now, u64 kvm_ns, bool hyperv)
{
	bool renew = kch_magnitude(kch_entry_reference_step(&e->vm, now, kvm_ns)) >= KCH_KEEP_NS;

	if (!kch_entry_kvm_agrees(&e->vm, kvm_khz) && kch_entry_advance(&e->vm, now, hyperv))
		renew = true;
	if (renew)
		kch_entry_set_offset(&e->vm, now, kvm_ns);
}

/*
 * A clock of another frequency, some days old, restored and then looked at every
 * two seconds at most: the bound that was told first holds at any time.
 */
static void keep_within_bound(u32 khz, s64 ppb, u64 ratio, bool hyperv, int looks)
{
	struct kch_clock c = clock_at(khz), first, now_is;
	u64 now, end, bound;
	struct entry e;
	s64 answer, step;
	s64 raw_ppb = (s64)(random64() % 241) - 120;
	u32 then_khz;
	int i;

	c.tsc_scaling_ratio = ratio;
	c.reference_cycles = random64() >> 20;
	then_khz = (u32)((s64)khz + (s64)khz * ppb / (s64)NS_PER_S);
	if (then_khz == khz)
		then_khz++;
	kch_pvclock_pair(kch_scale_tsc(then_khz, ratio, 48), &c.tsc_to_system_mul,
			 &c.tsc_shift);
	first = c;
	now = c.reference_cycles + CYCLES_PER_DAY(30ULL * khz) + random64() % khz;
	e = entry_of(&c, 2);
	/* Of so small a difference the rounded pair may be the same: that stays. */
	if (kch_entry_kvm_agrees(&e.vm, khz)) {
		bound = kch_entry_bound_ns(&e.vm, khz, khz, now, hyperv);
		answer = (s64)(kvm_says(&c, khz, now) - guest_ns(&c, now));
		ktap_check(kch_magnitude(answer) <= bound, "stays: bound %llu ns",
			   (unsigned long long)bound);
		return;
	}
	ktap_check(kch_entry_advance(&e.vm, now, hyperv), "%u kHz, ratio %#llx: not moved",
		   khz, (unsigned long long)ratio);
	kch_entry_set_offset(&e.vm, now, raw_ns(khz, raw_ppb, now));
	bound = kch_entry_bound_ns(&e.vm, khz, khz, now, hyperv);
	for (end = now; looks--; now = end) {
		end = now + random64() % (2000ULL * khz);
		for (i = 0; i < 5; i++) {
			u64 at = i ? now + random64() % (end - now + 1) : end;

			kch_clock_of(&e.vm, &e.vcpus[1], &now_is);
			answer = (s64)(kvm_says(&now_is, khz, at) - guest_ns(&now_is, at));
			step = kch_entry_reference_step(&e.vm, at, raw_ns(khz, raw_ppb, at));
			ktap_check(kch_magnitude(answer) <= bound && kch_magnitude(step) <= bound,
				   "%u kHz, %lld ppb, ratio %#llx: %lld and %lld ns off, bound %llu, %llu cycles old",
				   khz, (long long)ppb, (unsigned long long)ratio,
				   (long long)answer, (long long)step,
				   (unsigned long long)bound,
				   (unsigned long long)(at - now_is.reference_cycles));
			ktap_check(guest_ns(&first, at) == guest_ns(&now_is, at),
				   "the guest sees a step");
		}
		look(&e, khz, end, raw_ns(khz, raw_ppb, end), hyperv);
	}
}

static const s64 keep_ppb[] = { 400, 14000, 240000, 2000000, -400, -14000, -240000, -2000000 };

static void test_bound(void)
{
	int i;

	random_seed(30);
	for (i = 0; i < 160; i++)
		keep_within_bound(random_khz(), keep_ppb[i % 8], 1ULL << 48, false, 60);
}

static void test_bound_scaled(void)
{
	int i;

	random_seed(31);
	for (i = 0; i < 480; i++)
		keep_within_bound(random_khz(), keep_ppb[i % 8], some_ratio(48, i / 8), false, 25);
}

static void test_bound_hyperv(void)
{
	int i;

	random_seed(32);
	for (i = 0; i < 100; i++)
		keep_within_bound(random_khz(), keep_ppb[i % 8], 1ULL << 48, true, 60);
}

/* It says something: microseconds where frequencies are ppm apart, at any age. */
static void test_bound_is_small(void)
{
	struct kch_clock c = clock_at(2596123);
	struct entry e = entry_of(&c, 1);
	u64 year = c.reference_cycles + CYCLES_PER_DAY(400ULL * 2596123), bound;

	bound = kch_entry_bound_ns(&e.vm, 2596123, 2596123, year, false);
	ktap_check(bound < 1500, "the same frequency, 400 days: %llu ns",
		   (unsigned long long)bound);
	/* 14 ppm apart and moved: a step and two looks, 5.4 s, and a raw clock's 1 us. */
	ktap_check(kch_entry_advance(&e.vm, year, false), "not moved");
	bound = kch_entry_bound_ns(&e.vm, 2596159, 2596123, year, false);
	ktap_check(bound > 27000 && bound < 80000, "14 ppm: %llu ns", (unsigned long long)bound);
	/* What README.md and design.rst say of Hyper-V's page: a hundred such steps. */
	bound = kch_entry_bound_ns(&e.vm, 2596159, 2596123, year, true);
	ktap_check(bound > 4500000 && bound < 4700000, "14 ppm, Hyper-V: %llu ns",
		   (unsigned long long)bound);
	/* Where it could not be moved, the age counts: 400 days at 14 ppm, 479 s. */
	e = entry_of(&c, 2);
	e.vcpus[1].tsc_to_system_mul ^= cpu_to_le32(0x100);
	bound = kch_entry_bound_ns(&e.vm, 2596159, 2596123, year, false);
	ktap_check(bound > 470 * NS_PER_S && bound < 490 * NS_PER_S, "not moved: %llu ns",
		   (unsigned long long)bound);
}

static void test_bound_forged(void)
{
	int i;

	random_seed(33);
	for (i = 0; i < 40000; i++) {
		struct kch_clock c = {
			.reference_cycles = random_edgy64(),
			.system_time_ns = random_edgy64(),
			.tsc_offset = random_edgy64(),
			.tsc_scaling_ratio = random_edgy64(),
			.tsc_scaling_frac_bits = (u8)(random64() % 64),
			.tsc_shift = (s8)(random64() % 63 - 31),
			.tsc_to_system_mul = (u32)random_edgy64(),
		};
		struct entry e = entry_of(&c, 1);
		u32 khz = (u32)random_edgy64() | 1;

		if (!c.tsc_scaling_ratio)
			continue;
		ktap_check(kch_entry_bound_ns(&e.vm, khz, random_khz(), random_edgy64(),
					      i & 1) >= KCH_KEEP_NS, "round %d", i);
	}
}

static void test_entry_vcpu(void)
{
	struct kch_clock c = clock_at(2000000);
	struct entry e;
	u32 count, i;

	for (count = 0; count <= 4; count++) {
		e = entry_of(&c, count);
		for (i = 0; i < 16; i++)
			ktap_check(kch_entry_vcpu(&e.vm, i) ==
				   (i % 3 == 1 && i / 3 < count ? &e.vcpus[i / 3] : NULL),
				   "%u of %u", i, count);
		ktap_check(!kch_entry_vcpu(&e.vm, UINT_MAX), "the largest id");
	}
	e.vcpus[3].vcpu_id = cpu_to_le32(UINT_MAX);
	ktap_check(kch_entry_vcpu(&e.vm, UINT_MAX) == &e.vcpus[3], "the largest id");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "advance", test_advance },
		{ "advance_scaled", test_advance_scaled },
		{ "advance_hyperv", test_advance_hyperv },
		{ "advance_forged", test_advance_forged },
		{ "same_is_exact", test_same_is_exact },
		{ "same_needs_all", test_same_needs_all },
		{ "moved_sees_every_bit", test_moved_sees_every_bit },
		{ "entry_advance", test_entry_advance },
		{ "set_offset", test_set_offset },
		{ "rate_ppb", test_rate_ppb },
		{ "bound", test_bound },
		{ "bound_scaled", test_bound_scaled },
		{ "bound_hyperv", test_bound_hyperv },
		{ "bound_is_small", test_bound_is_small },
		{ "bound_forged", test_bound_forged },
		{ "entry_vcpu", test_entry_vcpu },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
