// SPDX-License-Identifier: GPL-2.0
/*
 * The vmclock page: the published layout, what a restore changes in it and what not, what is
 * refused, and what a guest reads that looks at it meanwhile.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <x86intrin.h>
#include <kvmclock-handover-stock.h>
#include <kvmclock-handover-vmclock.h>
#include "../l1/lib/ktap.h"
#include "../../userspace/lib/vmclock_page.h"
#include "portable.h"

#define S		1000000000ULL
#define TSC_UHZ		2596124123456789ULL

static struct kch_handle *handle;
static struct vmclock_page *page, before;
static uint32_t told;

static const struct kch_vmclock_time now = {
	.sz = sizeof(now), .type = KCH_VMCLOCK_TAI, .synchronized = 1, .guest_tsc = 123456789,
	.tsc_uhz = TSC_UHZ, .time_ns = 1764367200 * S + 999999999, .esterror_ns = 800,
	.maxerror_ns = 70000, .esterror_ppb = 20, .maxerror_ppb = 15000,
};

/* The page is memory of its own, which can be made unwritable. */
static void set_up(const struct kch_vmclock_time *time)
{
	if (!handle) {
		handle = kch_open_stock();
		page = mmap(NULL, KCH_VMCLOCK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (!handle || page == MAP_FAILED)
			abort();
	}
	memset(page, 0x5a, KCH_VMCLOCK_SIZE);
	ktap_check(!kch_vmclock_make(handle, page, time), "%s", kch_last_message(handle));
	page->disruption_marker = cpu_to_le64(7);
	page->vm_generation_counter = cpu_to_le64(30);
	page->seq_count = cpu_to_le32(40);
	before = *page;
	told = 99;
}

static void writable(bool yes)
{
	if (mprotect(page, KCH_VMCLOCK_SIZE, yes ? PROT_READ | PROT_WRITE : PROT_READ))
		abort();
}

static struct kch_vmclock_restore restore_of(uint32_t mode, uint32_t flags, uint64_t hidden_ns)
{
	return (struct kch_vmclock_restore){
		.sz = sizeof(struct kch_vmclock_restore), .flags = flags, .mode = mode,
		.hidden_ns = hidden_ns,
	};
}

static void check_restored(struct kch_vmclock_restore restore)
{
	int err = kch_vmclock_restored(handle, page, &restore, &told);

	ktap_check(!err, "%d: %s", err, kch_last_message(handle));
	ktap_check(told == 1, "%u", told);
	ktap_check(le64_to_cpu(page->disruption_marker) == 8, "%llu",
		   (unsigned long long)le64_to_cpu(page->disruption_marker));
	ktap_check(le32_to_cpu(page->seq_count) == 42, "%u", le32_to_cpu(page->seq_count));
}

/* Refused, with a message that has these words; any write would be the end. */
static void check_refused(int expected, const char *words, struct kch_vmclock_restore restore)
{
	int err;

	writable(false);
	told = 99;
	err = kch_vmclock_restored(handle, page, &restore, &told);
	writable(true);
	ktap_check(err == expected && errno == -expected, "%d (%s), expected %d", err,
		   kch_last_message(handle), expected);
	ktap_check(strstr(kch_last_message(handle), words), "'%s', not '%s'",
		   kch_last_message(handle), words);
	ktap_check(told == 99, "%u", told);
}

static void check_status(uint8_t expected)
{
	ktap_check(page->clock_status == expected, "%u, expected %u", page->clock_status, expected);
}

/* The page's time at a TSC, as Linux computes it, ns; exact to 2^-64 s. */
static uint64_t page_ns(uint64_t tsc)
{
	unsigned __int128 frac = (unsigned __int128)(tsc - le64_to_cpu(page->counter_value)) *
				 le64_to_cpu(page->counter_period_frac_sec);

	frac = (frac >> page->counter_period_shift) + le64_to_cpu(page->time_frac_sec);
	return (le64_to_cpu(page->time_sec) + (uint64_t)(frac >> 64)) * S +
	       (uint64_t)(((unsigned __int128)(uint64_t)frac * S) >> 64);
}

/* Offsets of the published structure, by its text. */
static void test_layout(void)
{
	static const uint8_t head[] = { 'V', 'C', 'L', 'K', 0, 0x10, 0, 0, 1, 0, 1, 1 };

	set_up(&now);
	ktap_check(!memcmp(page, head, sizeof(head)), "magic, size, version, counter, type");
#define at(member, offset) \
	ktap_check(offsetof(struct vmclock_page, member) == (offset), "%zu", \
		   offsetof(struct vmclock_page, member))
	at(seq_count, 12);
	at(disruption_marker, 16);
	at(flags, 24);
	at(clock_status, 34);
	at(tai_offset_sec, 36);
	at(leap_indicator, 38);
	at(counter_period_shift, 39);
	at(counter_value, 40);
	at(counter_period_frac_sec, 48);
	at(counter_period_esterror_rate_frac_sec, 56);
	at(counter_period_maxerror_rate_frac_sec, 64);
	at(time_sec, 72);
	at(time_frac_sec, 80);
	at(time_esterror_nanosec, 88);
	at(time_maxerror_nanosec, 96);
	at(vm_generation_counter, 104);
#undef at
}

static void test_make(void)
{
	uint64_t i, sum = 0;
	int64_t off;

	set_up(&now);
	ktap_check(le64_to_cpu(page->flags) == (VMCLOCK_PAGE_GENERATION | 0x78), "0x%llx",
		   (unsigned long long)le64_to_cpu(page->flags));
	check_status(VMCLOCK_PAGE_STATUS_SYNCHRONIZED);
	for (i = sizeof(*page); i < KCH_VMCLOCK_SIZE; i++)
		sum += ((uint8_t *)page)[i];
	ktap_check(!sum, "%llu behind the structure", (unsigned long long)sum);
	/* Less than 1 ns off, for what is rounded down, also 200 days later. */
	for (i = 0; i < 200 * 86400; i += 4321) {
		uint64_t cycles = (uint64_t)((unsigned __int128)TSC_UHZ * i / 1000000);

		off = (int64_t)(page_ns(now.guest_tsc + cycles) - now.time_ns - i * S);
		ktap_check(off >= -2 && off <= 0, "%lld ns after %llu s", (long long)off,
			   (unsigned long long)i);
	}
	ktap_check(le64_to_cpu(page->counter_period_frac_sec) >> 63, "not all bits are used");
	off = (int64_t)((double)le64_to_cpu(page->counter_period_maxerror_rate_frac_sec) * 1e9 /
			(double)le64_to_cpu(page->counter_period_frac_sec) + 0.5);
	ktap_check(off == 15000, "%lld ppb", (long long)off);
	off = (int64_t)((double)le64_to_cpu(page->counter_period_esterror_rate_frac_sec) * 1e9 /
			(double)le64_to_cpu(page->counter_period_frac_sec) + 0.5);
	ktap_check(off == 20, "%lld ppb", (long long)off);
	ktap_check(le64_to_cpu(page->time_esterror_nanosec) == 800 &&
		   le64_to_cpu(page->time_maxerror_nanosec) == 70000, "errors");

	set_up(NULL);
	ktap_check(page->counter_id == VMCLOCK_PAGE_COUNTER_NONE, "%u", page->counter_id);
	check_status(VMCLOCK_PAGE_STATUS_UNKNOWN);
	ktap_check(le64_to_cpu(page->flags) == VMCLOCK_PAGE_GENERATION, "0x%llx",
		   (unsigned long long)le64_to_cpu(page->flags));
}

/* Nothing was lost: not a byte is written. */
static void test_exact(void)
{
	struct kch_vmclock_restore exact = restore_of(KCH_MODE_IDENTICAL, 0, 0);
	int err, i;

	for (i = 0; i < 2; i++) {
		set_up(i ? NULL : &now);
		writable(false);
		exact.time = &now;
		exact.maxerror_ns = 5;
		err = kch_vmclock_restored(handle, page, &exact, &told);
		ktap_check(!err && !told, "%d, told %u: %s", err, told, kch_last_message(handle));
		err = kch_vmclock_restored(handle, page, &exact, NULL);
		ktap_check(!err, "%d", err);
		writable(true);
		ktap_check(!memcmp(page, &before, sizeof(before)), "changed");
	}
}

/* Each thing there is to tell, alone; without time nothing but the marker changes. */
static void test_told(void)
{
	static const struct {
		uint32_t mode, flags;
		uint64_t hidden_ns;
	} rows[] = {
		{ KCH_MODE_IDENTICAL, 0, 1 },
		{ KCH_MODE_IDENTICAL, KCH_VMCLOCK_IMPORTED, 0 },
		{ KCH_MODE_IDENTICAL, KCH_VMCLOCK_COPY, 0 },
		{ KCH_MODE_CONVERGED, 0, 0 },
		{ KCH_MODE_CONTINUOUS, 0, 0 },
		{ KCH_MODE_REALTIME, 0, 0 },
		{ KCH_MODE_NONE, 0, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up(NULL);
		check_restored(restore_of(rows[i].mode, rows[i].flags, rows[i].hidden_ns));
		ktap_check(le64_to_cpu(page->vm_generation_counter) ==
			   (rows[i].flags & KCH_VMCLOCK_COPY ? 31 : 30), "row %zu", i);
		before.seq_count = page->seq_count;
		before.disruption_marker = page->disruption_marker;
		before.vm_generation_counter = page->vm_generation_counter;
		ktap_check(!memcmp(page, &before, sizeof(before)), "row %zu", i);
	}
}

/* The TSC is the one the page is about: its time is moved by what was hidden. */
static void test_hidden(void)
{
	const uint64_t hidden_ns[] = { 1, 999999999, 3600 * S + 1, 400ULL * 86400 * S + 7 };
	struct kch_vmclock_restore restore;
	uint64_t was, is;
	size_t i;

	for (i = 0; i < sizeof(hidden_ns) / sizeof(hidden_ns[0]); i++) {
		set_up(&now);
		was = page_ns(now.guest_tsc + 1000);
		restore = restore_of(i & 1 ? KCH_MODE_CONVERGED : KCH_MODE_IDENTICAL, 0,
				     hidden_ns[i]);
		restore.maxerror_ns = 250;
		check_restored(restore);
		is = page_ns(now.guest_tsc + 1000);
		/* The old fraction is cut to whole ns. */
		ktap_check(is - was - hidden_ns[i] + 1 <= 1, "%llu -> %llu, hidden %llu",
			   (unsigned long long)was, (unsigned long long)is,
			   (unsigned long long)hidden_ns[i]);
		check_status(VMCLOCK_PAGE_STATUS_FREERUNNING);
		ktap_check(le64_to_cpu(page->time_maxerror_nanosec) == 70250, "%llu",
			   (unsigned long long)le64_to_cpu(page->time_maxerror_nanosec));
		ktap_check(page->flags == before.flags, "flags");
		ktap_check(le64_to_cpu(page->vm_generation_counter) == 30, "generation");
	}
	/* A largest error that is not known is not known afterwards. */
	set_up(&now);
	page->flags &= ~cpu_to_le64(VMCLOCK_PAGE_TIME_MAXERROR);
	page->time_maxerror_nanosec = 0;
	restore.hidden_ns = 1;
	check_restored(restore);
	ktap_check(!page->time_maxerror_nanosec, "an error out of nothing");
}

/* It is another TSC: no time is given, or the new one. */
static void test_imported(void)
{
	struct kch_vmclock_restore restore =
		restore_of(KCH_MODE_IDENTICAL, KCH_VMCLOCK_IMPORTED, 0);
	struct kch_vmclock_time later = now;
	int i;

	for (i = 0; i < 2; i++) {
		set_up(&now);
		check_restored(i ? restore_of(KCH_MODE_CONTINUOUS, 0, 0) : restore);
		check_status(VMCLOCK_PAGE_STATUS_UNRELIABLE);
		ktap_check(le64_to_cpu(page->flags) == VMCLOCK_PAGE_GENERATION, "0x%llx",
			   (unsigned long long)le64_to_cpu(page->flags));
	}

	set_up(&now);
	later.guest_tsc += 77;
	later.tsc_uhz += 1000000;
	later.time_ns += 86400 * S;
	later.maxerror_ns = 5000000;
	later.esterror_ns = 0;
	later.synchronized = 0;
	restore.time = &later;
	check_restored(restore);
	ktap_check(page_ns(later.guest_tsc) + 1 - later.time_ns <= 1, "%llu",
		   (unsigned long long)page_ns(later.guest_tsc));
	ktap_check(le64_to_cpu(page->time_maxerror_nanosec) == 5000000, "%llu",
		   (unsigned long long)le64_to_cpu(page->time_maxerror_nanosec));
	ktap_check(!(le64_to_cpu(page->flags) & VMCLOCK_PAGE_TIME_ESTERROR), "an estimate of 0");
	check_status(VMCLOCK_PAGE_STATUS_FREERUNNING);
}

/* Each is the only one that is wrong; also of a restore after which nothing is told. */
static void test_refused_pages(void)
{
	struct kch_vmclock_restore exact = restore_of(KCH_MODE_IDENTICAL, 0, 0);
	struct kch_vmclock_restore other = restore_of(KCH_MODE_IDENTICAL, 0, 1);

#define refused(change, err, words) do { \
		set_up(&now); \
		change; \
		check_refused(err, words, exact); \
		check_refused(err, words, other); \
	} while (0)
	refused(page->magic ^= cpu_to_le32(1), -EBADMSG, "0x4b4c4357");
	refused(page->version = cpu_to_le16(2), -EPROTONOSUPPORT, "version 2, expected 1");
	refused(page->version = 0, -EPROTONOSUPPORT, "version 0");
	refused(page->size = cpu_to_le32(111), -EMSGSIZE, "111 bytes");
	refused(page->size = cpu_to_le32(4097), -EMSGSIZE, "4097 bytes");
	refused(page->counter_id = 0, -ECHRNG, "counter 0");
	refused(page->counter_id = 2, -ECHRNG, "counter 2");
	refused(page->seq_count = cpu_to_le32(41), -EBUSY, "count 41");
#undef refused
	set_up(&now);
	page->size = cpu_to_le32(112);
	check_restored(other);
}

static void test_refused_calls(void)
{
	struct kch_vmclock_restore restore = restore_of(KCH_MODE_IDENTICAL, 0, UINT64_MAX);
	struct { struct kch_vmclock_time time; uint64_t more; } wrong;

	set_up(&now);
	page->time_sec = cpu_to_le64(UINT64_MAX);
	check_refused(-EOVERFLOW, "exceed", restore);
	restore.hidden_ns = S;
	check_refused(-EOVERFLOW, "exceed", restore);
	set_up(&now);
	restore = restore_of(KCH_MODE_IDENTICAL, 0, 1);
	restore.maxerror_ns = UINT64_MAX - 69999;
	check_refused(-EOVERFLOW, "exceed", restore);
	restore = restore_of(KCH_MODE_IDENTICAL, 1 << 2, 0);
	check_refused(-EINVAL, "flags 0x4", restore);
	restore = restore_of(KCH_MODE_IDENTICAL + 1, 0, 0);
	check_refused(-EINVAL, "mode 6", restore);
	restore = restore_of(KCH_MODE_IDENTICAL, 0, 0);
	restore.reserved = 1;
	check_refused(-EINVAL, "reserved 1", restore);
	restore.sz = 8;
	check_refused(-EINVAL, "of 8 bytes", restore);
	restore = restore_of(KCH_MODE_IDENTICAL, KCH_VMCLOCK_COPY, 0);
	page->flags &= ~cpu_to_le64(VMCLOCK_PAGE_GENERATION);
	check_refused(-EOPNOTSUPP, "run twice", restore);
	restore = restore_of(KCH_MODE_IDENTICAL, 0, 1);
	restore.time = &wrong.time;
#define refused(err, words, ...) do { \
		wrong.time = now; \
		wrong.more = 0; \
		__VA_ARGS__; \
		check_refused(err, words, restore); \
	} while (0)
	refused(-EINVAL, "type 3", wrong.time.type = 3);
	refused(-EINVAL, "synchronized 2", wrong.time.synchronized = 2);
	refused(-EINVAL, "999999999999 uHz", wrong.time.tsc_uhz = 999999999999);
	refused(-EINVAL, "100000000000000001 uHz", wrong.time.tsc_uhz = 100000000000000001);
	refused(-EINVAL, "1000000001 and 15000", wrong.time.esterror_ppb = 1000000001);
	refused(-EINVAL, "20 and 1000000001", wrong.time.maxerror_ppb = 1000000001);
	refused(-EINVAL, "of 16 bytes", wrong.time.sz = 16);
	refused(-E2BIG, "newer", wrong.time.sz = sizeof(wrong), wrong.more = 1);
	set_up(NULL);
	refused(-ENODATA, "without time");
#undef refused
	ktap_check(kch_vmclock_restored(handle, page, NULL, NULL) == -EINVAL, "no restore");
	ktap_check(kch_vmclock_set_time(handle, page, NULL) == -EINVAL, "no time");
	ktap_check(kch_vmclock_set_time(handle, page, &now) == -ENODATA, "a page without time");
	page->version = cpu_to_le16(2);
	ktap_check(kch_vmclock_set_time(handle, page, &now) == -EPROTONOSUPPORT, "version 2");
	wrong.time.type = 3;
	ktap_check(kch_vmclock_make(handle, page, &wrong.time) == -EINVAL, "type 3");
	ktap_check(le16_to_cpu(page->version) == 2, "made all the same");
}

static struct vmclock_page after;
static unsigned long steps, torn, odd;

/* Between two instructions: a guest that looks now finds it all old, all new, or busy. */
static void look(int number)
{
	(void)number;
	steps++;
	if (le32_to_cpu(page->seq_count) & 1)
		odd++;
	else
		torn += memcmp(page, &before, sizeof(before)) &&
			memcmp(page, &after, sizeof(after));
}

/* The CPU's trap flag: SIGTRAP after every instruction. */
static void single_step(bool on)
{
	const uint64_t flag = 1 << 8, flags = __readeflags();

	__writeeflags(on ? flags | flag : flags & ~flag);
}

static void test_seqcount(void)
{
	struct kch_vmclock_time time = now;
	int err;

	set_up(&now);
	time.guest_tsc += TSC_UHZ / 1000000;
	time.time_ns += S + 5;
	time.maxerror_ns += 9;
	time.esterror_ppb = 0;
	err = kch_vmclock_set_time(handle, page, &time);
	ktap_check(!err, "%d: %s", err, kch_last_message(handle));
	after = *page;
	ktap_check(page->disruption_marker == before.disruption_marker, "another marker");
	ktap_check(page_ns(time.guest_tsc) + 1 - time.time_ns <= 1, "%llu",
		   (unsigned long long)page_ns(time.guest_tsc));

	*page = before;
	signal(SIGTRAP, look);
	single_step(true);
	err = kch_vmclock_set_time(handle, page, &time);
	single_step(false);
	signal(SIGTRAP, SIG_DFL);
	ktap_check(!err && !memcmp(page, &after, sizeof(after)), "%d", err);
	ktap_check(steps > 100 && odd > 2, "looked %lu times, %lu during the update", steps, odd);
	ktap_check(!torn, "torn at %lu of %lu instructions", torn, steps);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "vmclock_layout", test_layout },
		{ "vmclock_make", test_make },
		{ "vmclock_exact", test_exact },
		{ "vmclock_told", test_told },
		{ "vmclock_hidden", test_hidden },
		{ "vmclock_imported", test_imported },
		{ "vmclock_refused_pages", test_refused_pages },
		{ "vmclock_refused_calls", test_refused_calls },
		{ "vmclock_seqcount", test_seqcount },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
