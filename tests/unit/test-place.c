// SPDX-License-Identifier: GPL-2.0
/*
 * A clock at another place on a host's TSC: the same function of the guest's TSC, the
 * instant that was asked for, the same distances between vCPUs.  And what policies hide.
 */
#include "../l1/lib/ktap.h"
#include "place.h"
#include "policy.h"
#include "reference.h"

#define NS_PER_S	1000000000ULL
#define NS_PER_DAY	(86400 * NS_PER_S)
#define VCPUS		4

struct entry {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[VCPUS];
};

/* --- independent arithmetic: 32-bit limbs -------------------------------------------------- */

static u64 scaled(u64 host, u64 ratio, u8 bits)
{
	return wide_low64(wide_shr(wide_mul(wide_of(host), wide_of(ratio)), bits));
}

static u64 tsc_of(const struct entry *e, int i, u64 host)
{
	return scaled(host, le64_to_cpu(e->vcpus[i].tsc_scaling_ratio),
		      e->vm.tsc_scaling_frac_bits) + le64_to_cpu(e->vcpus[i].tsc_offset);
}

static u64 delta_ns(u64 delta, u32 mul, int shift)
{
	struct wide w = wide_of(shift < 0 ? delta >> -shift : delta << shift);

	w = wide_mul(w, wide_of(mul));
	return (u64)w.limb[2] << 32 | w.limb[1];
}

/* What a guest has: the page of a vCPU. */
struct page {
	u64 tsc_timestamp, system_time;
	u32 mul;
	int shift;
};

static struct page page_of(const struct entry *e, int i)
{
	return (struct page){
		.tsc_timestamp = tsc_of(e, i, le64_to_cpu(e->vm.master_cycle_now)),
		.system_time = le64_to_cpu(e->vm.master_kernel_ns) +
			       le64_to_cpu(e->vm.kvmclock_offset),
		.mul = le32_to_cpu(e->vcpus[i].tsc_to_system_mul),
		.shift = e->vcpus[i].tsc_shift,
	};
}

/* kvmclock by the page when the guest's own TSC is @tsc. */
static u64 page_ns(const struct page *page, u64 tsc)
{
	return page->system_time + delta_ns(tsc - page->tsc_timestamp, page->mul, page->shift);
}

static u64 ns_of_tsc(const struct entry *e, int i, u64 tsc)
{
	struct page page = page_of(e, i);

	return page_ns(&page, tsc);
}

/* Has each vCPU the same kvmclock at so many of its TSCs in the 400 days from @start on? */
static void check_function(const struct entry *before, const struct entry *after,
			   const u64 start[VCPUS], u64 cycles, int points, int round)
{
	struct page was[VCPUS], is[VCPUS];
	int i;

	for (i = 0; i < VCPUS; i++) {
		was[i] = page_of(before, i);
		is[i] = page_of(after, i);
	}
	while (points--) {
		u64 tsc = start[points % VCPUS] + random64() % cycles;

		i = points % VCPUS;
		ktap_check(page_ns(&is[i], tsc) == page_ns(&was[i], tsc),
			   "round %d, vCPU %d, TSC %llu: %llu ns, was %llu", round, i,
			   (unsigned long long)tsc, (unsigned long long)page_ns(&is[i], tsc),
			   (unsigned long long)page_ns(&was[i], tsc));
	}
}

/* --- clocks and hosts ---------------------------------------------------------------------- */

static u64 below(u64 limit)
{
	return random64() % limit;
}

static u32 random_khz(void)
{
	return 500000 + (u32)below(5500001);
}

static u64 cycles_in(u64 ns, u32 khz)
{
	return wide_low64(wide_div(wide_mul(wide_of(ns), wide_of(khz)), wide_of(1000000)));
}

/* Of a guest of @khz on a host of @host_khz, which scales with @bits; 0: it cannot. */
static u64 ratio_of(u32 khz, u32 host_khz, u8 bits)
{
	return bits ? wide_low64(wide_div(wide_shl(wide_of(khz), bits), wide_of(host_khz))) : 1;
}

static const u8 all_bits[] = { 0, 32, 48 };

/* Its vCPUs were not started at one time. */
static struct entry saved_of(u32 khz, u8 bits, u64 ratio)
{
	struct entry e;
	u32 mul;
	s8 shift;
	int i;

	memset(&e, 0, sizeof(e));
	kch_pvclock_pair(khz, &mul, &shift);
	e.vm.vcpu_count = cpu_to_le32(VCPUS);
	e.vm.tsc_scaling_frac_bits = bits;
	e.vm.master_cycle_now = cpu_to_le64(random64() >> 14);
	e.vm.kvmclock_offset = cpu_to_le64(random64());
	e.vm.master_kernel_ns = cpu_to_le64((random64() >> 12) -
					    le64_to_cpu(e.vm.kvmclock_offset));
	for (i = 0; i < VCPUS; i++) {
		e.vcpus[i].vcpu_id = cpu_to_le32(3 * (u32)i);
		e.vcpus[i].tsc_offset = cpu_to_le64(random64());
		e.vcpus[i].tsc_scaling_ratio = cpu_to_le64(ratio);
		e.vcpus[i].tsc_to_system_mul = cpu_to_le32(mul);
		e.vcpus[i].tsc_shift = shift;
	}
	return e;
}

/* One clock, saved at @then, and the host that it comes to. */
struct scene {
	struct entry saved, here, placed;
	struct kch_place place;
	u64 then;
	u32 khz;
	u64 ratio;	/* there */
	s64 error_ns;
};

/* @days: what host's TSC has counted at most. */
static void make_scene(struct scene *s, int round, u64 days)
{
	u8 bits = all_bits[round % 3], bits_there = all_bits[round / 3 % 3];
	u32 host_khz = random_khz(), there_khz;
	int i;

	s->khz = bits || bits_there ? random_khz() : host_khz;
	if (!bits)
		host_khz = s->khz;
	there_khz = bits_there ? random_khz() : s->khz;
	s->saved = saved_of(s->khz, bits, ratio_of(s->khz, host_khz, bits));
	s->then = le64_to_cpu(s->saved.vm.master_cycle_now) +
		  cycles_in(below(400 * NS_PER_DAY), host_khz);
	s->ratio = ratio_of(s->khz, there_khz, bits_there);
	s->here = s->saved;
	s->here.vm.tsc_scaling_frac_bits = bits_there;
	for (i = 0; i < VCPUS; i++)
		s->here.vcpus[i].tsc_scaling_ratio = cpu_to_le64(s->ratio);
	s->place = (struct kch_place){
		.here = &s->here.vm,
		.host_tsc = cycles_in(20 * NS_PER_S + below(days * NS_PER_DAY), there_khz),
		.elapsed_ns = round % 5 ? below(400 * NS_PER_DAY) : below(3),
	};
}

static bool placed(struct scene *s, int round)
{
	struct kch_message message = { "" };
	int err;

	s->placed = s->saved;
	err = kch_entry_place(&s->placed.vm, s->then, &s->place, &s->error_ns, &message);
	ktap_check(!err, "round %d: %d (%s)", round, err, message.text);
	return !err;
}

/* --- the function -------------------------------------------------------------------------- */

/* Three million guest TSCs over 400 days: not one has another kvmclock. */
static void test_place_function(void)
{
	u64 start[VCPUS];
	static struct scene s;
	int round, i;

	random_seed(161);
	for (round = 0; round < 3000; round++) {
		make_scene(&s, round, round % 2 ? 1 : 800);
		if (!placed(&s, round))
			continue;
		for (i = 0; i < VCPUS; i++)
			start[i] = tsc_of(&s.placed, i, s.place.host_tsc);
		check_function(&s.saved, &s.placed, start, cycles_in(400 * NS_PER_DAY, s.khz), 1000,
			       round);
		ktap_check(le64_to_cpu(s.placed.vm.master_cycle_now) <= s.place.host_tsc,
			   "round %d: the reference is still to come", round);
	}
}

/* The TSC at the new instant: the fewest cycles that are the time; nothing less than it. */
static void test_place_instant(void)
{
	static struct scene s;
	int round, i;

	random_seed(162);
	for (round = 0; round < 60000; round++) {
		u64 was, is, cycles, most, expected_ns, guest_ns;
		u32 mul;
		int shift;

		make_scene(&s, round, round % 2 ? 1 : 800);
		if (!placed(&s, round))
			continue;
		mul = le32_to_cpu(s.saved.vcpus[0].tsc_to_system_mul);
		shift = s.saved.vcpus[0].tsc_shift;
		was = tsc_of(&s.saved, 0, s.then);
		is = tsc_of(&s.placed, 0, s.place.host_tsc);
		cycles = is - was;
		/* A scaled TSC does not have every value. */
		most = s.ratio == 1ULL << s.here.vm.tsc_scaling_frac_bits ? 0 :
		       1 + (s.ratio >> s.here.vm.tsc_scaling_frac_bits) + 1;
		ktap_check(delta_ns(cycles + (most ? 1 : 0), mul, shift) >= s.place.elapsed_ns,
			   "round %d: %llu cycles are less than %llu ns", round,
			   (unsigned long long)cycles, (unsigned long long)s.place.elapsed_ns);
		if (cycles > most + (shift < 0 ? 1ULL << -shift : 0))
			ktap_check(delta_ns(cycles - most - 1, mul, shift) < s.place.elapsed_ns,
				   "round %d: %llu cycles are more than %llu ns", round,
				   (unsigned long long)cycles,
				   (unsigned long long)s.place.elapsed_ns);
		ktap_check(s.place.elapsed_ns || most || !cycles, "round %d: no time, %llu cycles",
			   round, (unsigned long long)cycles);
		expected_ns = ns_of_tsc(&s.saved, 0, was) + s.place.elapsed_ns;
		guest_ns = ns_of_tsc(&s.placed, 0, is);
		ktap_check(s.error_ns == (s64)(guest_ns - expected_ns) &&
			   le64_to_cpu(s.placed.vm.kvmclock_ns) == guest_ns &&
			   le64_to_cpu(s.placed.vm.host_tsc) == s.place.host_tsc,
			   "round %d: %lld ns off is told, %lld are", round, (long long)s.error_ns,
			   (long long)(guest_ns - expected_ns));
		/* At 500 MHz a cycle has 2 ns; 5 of a scaled TSC are the most. */
		ktap_check(s.error_ns >= -3 && s.error_ns <= 12, "round %d: %lld ns", round,
			   (long long)s.error_ns);
		for (i = 1; i < VCPUS; i++)
			ktap_check(tsc_of(&s.placed, i, s.place.host_tsc) - is ==
				   tsc_of(&s.saved, i, s.then) - was,
				   "round %d: vCPU %d has another distance", round, i);
	}
}

/* As a host is that was booted when the guest had run for long: the reference is later. */
static void test_place_young_host(void)
{
	struct kch_message message;
	static struct scene s;
	int round, late = 0;

	random_seed(163);
	for (round = 0; round < 20000; round++) {
		make_scene(&s, round, 1);
		if (!placed(&s, round))
			continue;
		late += s.placed.vm.master_kernel_ns != s.saved.vm.master_kernel_ns;
	}
	ktap_check(late > 19000, "%d of 20000 references are later", late);
	/* Not even one step old. */
	make_scene(&s, 0, 1);
	s.place.host_tsc = 1000;
	s.placed = s.saved;
	ktap_check(kch_entry_place(&s.placed.vm, s.then, &s.place, &s.error_ns,
				   &message) == -EAGAIN, "a TSC of 1000 cycles");
	ktap_check(strstr(message.text, "1000 cycles since it was reset"), "'%s'", message.text);
}

static void refused(struct scene *s, int expected, const char *words)
{
	struct kch_message message = { "" };
	int err;

	s->placed = s->saved;
	err = kch_entry_place(&s->placed.vm, s->then, &s->place, &s->error_ns, &message);
	ktap_check(err == expected && strstr(message.text, words), "%d (%s), expected %d (%s)",
		   err, message.text, expected, words);
}

static void test_place_refuses(void)
{
	static struct scene s;

	random_seed(165);
	make_scene(&s, 0, 800);
	s.here.vm.vcpu_count = cpu_to_le32(3);
	refused(&s, -ELNRNG, "has 3 vCPUs, 4 were saved");
	make_scene(&s, 0, 800);
	s.here.vcpus[2].vcpu_id = cpu_to_le32(7);
	refused(&s, -ELNRNG, "a vCPU 7 where vCPU 6 was saved");
	make_scene(&s, 1, 800);
	s.here.vcpus[3].tsc_scaling_ratio++;
	refused(&s, -ERANGE, "vCPU 9 has another TSC frequency than vCPU 0");
	make_scene(&s, 1, 800);
	s.saved.vcpus[1].tsc_scaling_ratio++;
	refused(&s, -ERANGE, "vCPU 3 has another TSC frequency than vCPU 0");
	make_scene(&s, 1, 800);
	s.here.vcpus[0].tsc_scaling_ratio = 0;
	refused(&s, -ERANGE, "another TSC frequency");
	make_scene(&s, 1, 800);
	s.place.elapsed_ns = (u64)S64_MAX;
	refused(&s, -ERANGE, "there is no time of it");
	make_scene(&s, 1, 800);
	s.then = le64_to_cpu(s.saved.vm.master_cycle_now) - 1;
	refused(&s, -ERANGE, "there is no time of it");
	/* A step would be another time of each. */
	make_scene(&s, 0, 1);
	s.saved.vcpus[2].tsc_to_system_mul ^= cpu_to_le32(1);
	s.then += cycles_in(10 * NS_PER_DAY, s.khz);
	refused(&s, -EAGAIN, "since it was reset");
}

/* What no kernel writes does no harm, and loops do not go on. */
static void test_place_forged(void)
{
	static struct scene s;
	struct kch_message message;
	int round, i;

	random_seed(166);
	for (round = 0; round < 20000; round++) {
		make_scene(&s, round, 800);
		s.saved.vm.tsc_scaling_frac_bits = (u8)below(64);
		s.here.vm.tsc_scaling_frac_bits = (u8)below(64);
		s.saved.vm.master_cycle_now = random_edgy64();
		s.then = random_edgy64();
		s.place.host_tsc = random_edgy64();
		s.place.elapsed_ns = random_edgy64();
		s.saved.vcpus[0].tsc_to_system_mul = (u32)random_edgy64();
		s.saved.vcpus[0].tsc_shift = (s8)((int)below(63) - 31);
		s.saved.vcpus[0].tsc_scaling_ratio = random_edgy64();
		s.here.vcpus[0].tsc_scaling_ratio = random_edgy64();
		for (i = 1; i < VCPUS; i++) {
			s.saved.vcpus[i].tsc_to_system_mul = s.saved.vcpus[0].tsc_to_system_mul;
			s.saved.vcpus[i].tsc_shift = s.saved.vcpus[0].tsc_shift;
			s.saved.vcpus[i].tsc_scaling_ratio = s.saved.vcpus[0].tsc_scaling_ratio;
			s.here.vcpus[i].tsc_scaling_ratio = s.here.vcpus[0].tsc_scaling_ratio;
		}
		s.placed = s.saved;
		i = kch_entry_place(&s.placed.vm, s.then, &s.place, &s.error_ns, &message);
		ktap_check(i || le64_to_cpu(s.placed.vm.host_tsc) == s.place.host_tsc,
			   "round %d", round);
	}
}

/* --- what is hidden on the same host ------------------------------------------------------- */

/* At every TSC of 3 million the same kvmclock, and each TSC so many host cycles later. */
static void test_hide(void)
{
	u64 start[VCPUS];
	static struct scene s;
	int round, i;

	random_seed(167);
	for (round = 0; round < 3000; round++) {
		u64 hidden = 1 + below(cycles_in(400 * NS_PER_DAY, 3000000)), off;

		make_scene(&s, round, 800);
		s.saved.vm.host_tsc = cpu_to_le64(s.then);
		s.saved.vm.kvmclock_ns = cpu_to_le64(ns_of_tsc(&s.saved, 0,
							       tsc_of(&s.saved, 0, s.then)));
		s.placed = s.saved;
		kch_entry_hide(&s.placed.vm, hidden);
		for (i = 0; i < VCPUS; i++) {
			start[i] = tsc_of(&s.saved, i, s.then);
			off = tsc_of(&s.placed, i, s.then + hidden) - start[i];
			ktap_check(!off || (s.saved.vm.tsc_scaling_frac_bits && off + 1 <= 2),
				   "round %d: vCPU %d is off by %lld cycles", round, i,
				   (long long)off);
		}
		ktap_check(le64_to_cpu(s.placed.vm.master_cycle_now) ==
			   le64_to_cpu(s.saved.vm.master_cycle_now) + hidden &&
			   s.placed.vm.master_kernel_ns == s.saved.vm.master_kernel_ns &&
			   s.placed.vm.kvmclock_offset == s.saved.vm.kvmclock_offset &&
			   le64_to_cpu(s.placed.vm.host_tsc) == s.then + hidden,
			   "round %d: the reference, or the reading", round);
		if (!s.saved.vm.tsc_scaling_frac_bits)
			ktap_check(s.placed.vm.kvmclock_ns == s.saved.vm.kvmclock_ns,
				   "round %d: kvmclock", round);
		check_function(&s.saved, &s.placed, start, cycles_in(400 * NS_PER_DAY, s.khz), 1000,
			       round);
	}
	s.placed = s.saved;
	kch_entry_hide(&s.placed.vm, 0);
	ktap_check(!memcmp(&s.placed, &s.saved, sizeof(s.saved)), "nothing hidden is no change");
	s.saved.vm.vcpu_count = 0;
	s.placed = s.saved;
	kch_entry_hide(&s.placed.vm, 1000);
	ktap_check(!memcmp(&s.placed, &s.saved, sizeof(s.saved)), "without vCPUs there is no clock");
}

static void test_policy(void)
{
	static const struct {
		const char *text;
		u32 ms;
		const char *back;
	} rows[] = {
		{ "continue", KCH_GOES_ON, "continue" },
		{ "hide", 0, "hide" },
		{ "limit:10s", 10000, "limit:10s" },
		{ "limit:1500ms", 1500, "limit:1500ms" },
		{ "limit:2000ms", 2000, "limit:2s" },
		{ "limit:1m", 60000, "limit:60s" },
		{ "limit:1h", 3600000, "limit:3600s" },
		{ "limit:4294967294ms", KCH_GOES_ON - 1, "limit:4294967294ms" },
		{ "limit:4294967s", 4294967000U, "limit:4294967s" },
	};
	static const char * const none[] = {
		"limit:4294967295ms", "limit:4294968s", "limit:18446744073709551617ms", "limit:0s",
		"limit:10", "limit:s", "limit:10sec", "limit:-1s", "limit", "limit: 1s", "",
		"hidden", "Continue",
	};
	char text[KCH_POLICY_TEXT_SIZE];
	struct kch_message message;
	u32 ms, policy, limit_ms, again_ms;
	size_t i;

	for (i = 0; i < sizeof(none) / sizeof(*none); i++)
		ktap_check(kch_policy_parse(none[i], &ms) == -EINVAL, "'%s': %u", none[i], ms);
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ktap_check(!kch_policy_parse(rows[i].text, &ms) && ms == rows[i].ms, "'%s': %u",
			   rows[i].text, ms);
		kch_policy_of(ms, &policy, &limit_ms);
		kch_policy_text(policy, limit_ms, text);
		ktap_check(!strcmp(text, rows[i].back), "'%s' is '%s'", rows[i].text, text);
		ktap_check(!kch_policy_ms(policy, limit_ms, 77, &again_ms, &message) &&
			   again_ms == ms, "'%s': %u ms", rows[i].text, again_ms);
	}
	ktap_check(!kch_policy_ms(KCH_POLICY_DEFAULT, 0, 77, &ms, &message) && ms == 77, "%u", ms);
	ktap_check(kch_policy_ms(4, 0, 77, &ms, &message) == -EINVAL &&
		   strstr(message.text, "policy 4, there are 0 to 3"), "'%s'", message.text);
	for (policy = 0; policy < 3; policy++)
		ktap_check(kch_policy_ms(policy, 5, 77, &ms, &message) == -EINVAL &&
			   strstr(message.text, "limit_ms is 5, expected 0"), "'%s'", message.text);
	ktap_check(kch_policy_ms(KCH_POLICY_LIMIT, 0, 77, &ms, &message) == -EINVAL, "no limit");
	ktap_check(kch_policy_ms(KCH_POLICY_LIMIT, KCH_GOES_ON, 77, &ms, &message) == -EINVAL,
		   "too large a limit");
}

static void test_policy_allowed(void)
{
	static const struct {
		u32 header_flags, flags, used;
		const char *why;
	} rows[] = {
		{ KCH_REC_SEALED, 0, 0, NULL },
		{ 0, 0, 0, "(not sealed)" },
		{ KCH_REC_SEALED, KCH_VM_STALE, 0, "(stale)" },
		{ 0, KCH_VM_STALE, 0, "(stale)" },
		{ KCH_REC_SEALED, 0, 1, "(it was given back already)" },
		{ KCH_REC_SEALED, KCH_VM_STALE, 1, "(it was given back already)" },
	};
	struct kch_message message;
	size_t i;
	int err;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kch_rec_header header = { .flags = cpu_to_le32(rows[i].header_flags) };
		struct kch_rec_vm entry = { .flags = cpu_to_le32(rows[i].flags),
					    .used = rows[i].used };

		message.text[0] = 0;
		ktap_check(!kch_policy_allowed(KCH_GOES_ON, &header, &entry, &message),
			   "row %zu: it goes on: '%s'", i, message.text);
		err = kch_policy_allowed(1500, &header, &entry, &message);
		ktap_check(rows[i].why ? err == -EBADRQC && strstr(message.text, rows[i].why) :
					 !err, "row %zu: %d '%s'", i, err, message.text);
	}
}

static void test_policy_hides(void)
{
	const u32 khz = 2596123;

	ktap_check(!kch_policy_hidden_cycles(KCH_GOES_ON, ~0ULL, khz), "continue");
	ktap_check(kch_policy_hidden_cycles(0, 12345, khz) == 12345, "hide");
	ktap_check(!kch_policy_hidden_cycles(1500, 1500ULL * khz, khz), "at the limit");
	ktap_check(kch_policy_hidden_cycles(1500, 1500ULL * khz + 1, khz) == 1, "a cycle more");
	ktap_check(!kch_policy_hidden_cycles(KCH_GOES_ON - 1, 4294967294ULL * khz, khz), "49 days");
	ktap_check(!kch_policy_hidden_ns(KCH_GOES_ON, ~0ULL), "continue");
	ktap_check(kch_policy_hidden_ns(0, 12345) == 12345, "hide");
	ktap_check(!kch_policy_hidden_ns(1500, 1500000000), "at the limit");
	ktap_check(kch_policy_hidden_ns(1500, 1500000001) == 1, "a ns more");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "place_function", test_place_function },
		{ "place_instant", test_place_instant },
		{ "place_young_host", test_place_young_host },
		{ "place_refuses", test_place_refuses },
		{ "place_forged", test_place_forged },
		{ "hide", test_hide },
		{ "policy", test_policy },
		{ "policy_allowed", test_policy_allowed },
		{ "policy_hides", test_policy_hides },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
