// SPDX-License-Identifier: GPL-2.0
/*
 * Writing a record, and being interrupted at it.
 *
 * The writer is compiled into this file with its stores traced, so that every
 * state that memory can be in while it runs can be made: the stores of what
 * came before a barrier are all there, of those after it any may be missing.
 */
#include <stdlib.h>

#include "../l1/lib/ktap.h"
#include "builder.h"
#include "reference.h"

static void *traced_memcpy(void *to, const void *from, size_t size);
static void trace_store(const volatile void *at, size_t size, bool whole);
static void trace_barrier(void);

#undef WRITE_ONCE
#undef wmb
#define WRITE_ONCE(x, v) do { \
	*(volatile __typeof__(x) *)&(x) = (v); \
	trace_store(&(x), sizeof(x), true); \
} while (0)
#define wmb()		trace_barrier()
#define memcpy		traced_memcpy
#include "slots.c"
#undef memcpy

#define SLOT_SIZE	2048
#define STORES_MAX	16

static struct {
	u8 *slot;
	size_t slot_size;
	unsigned int stores, epoch;
	struct {
		size_t at, size;
		unsigned int epoch;
		bool whole;	/* one machine store: all of it or nothing */
		u8 bytes[SLOT_SIZE];
	} store[STORES_MAX];
} trace;

static void trace_start(u8 *slot, size_t size)
{
	memset(&trace, 0, sizeof(trace));
	trace.slot = slot;
	trace.slot_size = size;
}

static void trace_store(const volatile void *at, size_t size, bool whole)
{
	const u8 *p = (const u8 *)at;

	if (!trace.slot || p < trace.slot || p >= trace.slot + trace.slot_size)
		return;
	if (trace.stores == STORES_MAX || p + size > trace.slot + trace.slot_size)
		abort();
	trace.store[trace.stores].at = (size_t)(p - trace.slot);
	trace.store[trace.stores].size = size;
	trace.store[trace.stores].epoch = trace.epoch;
	trace.store[trace.stores].whole = whole;
	memcpy(trace.store[trace.stores].bytes, p, size);
	trace.stores++;
}

static void trace_barrier(void)
{
	trace.epoch++;
}

static void *traced_memcpy(void *to, const void *from, size_t size)
{
	memmove(to, from, size);
	trace_store(to, size, false);
	return to;
}

static struct plan plan_with(u64 sequence, u32 vms, u64 seed)
{
	struct plan plan = plan_default();

	plan.sequence = sequence;
	plan.compat = KCH_COMPAT_BOUND;
	plan.vm_count = vms;
	plan.seed = seed;
	return plan;
}

/* Says which of the records the slot holds, all of it; NULL if none. */
static const struct plan *whole_record(const u8 *slot, const struct plan *old,
				       const struct plan *new)
{
	const struct plan *plans[] = { old, new };
	static u8 expected[SLOT_SIZE];
	size_t i;

	for (i = 0; i < 2; i++) {
		if (!plans[i])
			continue;
		plan_write_bytes(plans[i], expected);
		if (!memcmp(slot, expected, plan_size(plans[i])))
			return plans[i];
	}
	return NULL;
}

struct crash {
	const char *name;
	u8 before[SLOT_SIZE];		/* the slot that is written to */
	const struct plan *old;		/* the record in it, if any */
	const struct plan *new;		/* the record to be written */
	const struct plan *other;	/* the record in the other slot */
	u32 kept;			/* VMs of @new that @old has, too */
	unsigned long states;
};

/* Slot 1 is in a state memory was left in: what does the next kernel find? */
static void check_state(struct crash *crash, u8 *region, unsigned int epoch)
{
	const u8 *slot = region + SLOT_SIZE;
	struct kch_record record;
	const struct plan *held, *wanted = crash->other;
	unsigned int found = 99;
	int err;

	crash->states++;
	err = kch_record_open(slot, SLOT_SIZE, &record, NULL);
	held = whole_record(slot, crash->old, crash->new);
	ktap_check(err == (held ? 0 : -ENODATA) || (!held && err == -EBADMSG),
		   "%s, epoch %u: %d: the slot opens, but holds no whole record",
		   crash->name, epoch, err);
	if (held && held->sequence > crash->other->sequence)
		wanted = held;
	err = kch_region_open(region, 2 * SLOT_SIZE, &record, &found, NULL);
	ktap_check(err == 0 && record.sequence == wanted->sequence &&
		   found == (wanted != crash->other), "%s, epoch %u: %d, slot %u",
		   crash->name, epoch, err, found);
}

/*
 * Puts those bytes of the epoch's stores in place that @pick says; 8 bytes are
 * the least that real memory loses, but single ones cost nothing here.
 */
static void apply(u8 *slot, unsigned int epoch, bool (*pick)(size_t, size_t),
		  size_t argument)
{
	size_t nth = 0, i, j;

	for (i = 0; i < trace.stores; i++) {
		if (trace.store[i].epoch != epoch)
			continue;
		if (trace.store[i].whole) {
			if (pick(nth, argument))
				memcpy(slot + trace.store[i].at, trace.store[i].bytes,
				       trace.store[i].size);
			nth += trace.store[i].size;
			continue;
		}
		for (j = 0; j < trace.store[i].size; j++)
			if (pick(nth++, argument))
				slot[trace.store[i].at + j] = trace.store[i].bytes[j];
	}
}

static bool pick_all(size_t nth, size_t argument)
{
	(void)nth;
	(void)argument;
	return true;
}

static bool pick_first(size_t nth, size_t count)
{
	return nth < count;
}

static bool pick_behind(size_t nth, size_t count)
{
	return nth >= count;
}

static bool pick_lines(size_t nth, size_t seed)
{
	return hash64(seed * 1000 + nth / 64) & 1;
}

static bool pick_words(size_t nth, size_t seed)
{
	return hash64(seed * 1000 + nth / 8) & 1;
}

static void check_crashes(struct crash *crash)
{
	static bool (*const picks[])(size_t, size_t) = {
		pick_first, pick_behind, pick_lines, pick_words,
	};
	static u8 region[2 * SLOT_SIZE] __attribute__((aligned(64)));
	static u8 reached[SLOT_SIZE];
	unsigned int epoch, last;
	size_t i, n;
	int err;

	memset(region, 0, sizeof(region));
	plan_write_bytes(crash->other, region);
	memcpy(region + SLOT_SIZE, crash->before, SLOT_SIZE);
	trace_start(region + SLOT_SIZE, SLOT_SIZE);
	err = crash->kept ? plan_extend(crash->new, crash->kept, region + SLOT_SIZE,
					SLOT_SIZE) :
			    plan_write(crash->new, region + SLOT_SIZE, SLOT_SIZE);
	trace.slot = NULL;
	ktap_check(err == 0, "%s: %d", crash->name, err);
	ktap_check(trace.stores >= 3, "%s: %u stores seen", crash->name, trace.stores);
	ktap_check(whole_record(region + SLOT_SIZE, NULL, crash->new) == crash->new,
		   "%s: written", crash->name);
	check_state(crash, region, 99);
	last = trace.epoch;

	memcpy(reached, crash->before, SLOT_SIZE);
	for (epoch = 0; epoch <= last; epoch++) {
		for (i = 0; i < 4; i++)
			for (n = 0; n <= 800; n++) {
				memcpy(region + SLOT_SIZE, reached, SLOT_SIZE);
				apply(region + SLOT_SIZE, epoch, picks[i], n);
				check_state(crash, region, epoch);
			}
		apply(reached, epoch, pick_all, 0);
	}
}

static void test_interrupted_write(void)
{
	struct plan other = plan_with(101, 1, 5), new = plan_with(102, 1, 6);
	struct plan large = plan_with(100, 3, 7), small = plan_with(100, 0, 8);
	struct plan alike = plan_with(100, 1, 6), same = plan_with(102, 1, 9);
	struct plan *const olds[] = { &large, &small, &alike, &same };
	static struct crash crash;
	size_t i;

	crash.other = &other;
	crash.new = &new;

	crash.name = "never used slot";
	check_crashes(&crash);
	crash.name = "slot of ones";
	memset(crash.before, 0xff, SLOT_SIZE);
	check_crashes(&crash);
	for (i = 0; i < 4; i++) {
		crash.name = i == 3 ? "a record with the same number" : "an older record";
		crash.old = olds[i];
		memset(crash.before, 0, SLOT_SIZE);
		plan_write_bytes(olds[i], crash.before);
		check_crashes(&crash);
	}
	ktap_check(crash.states > 10000, "%lu states tried", crash.states);
}

/* As above, but of the entries only those are stored that the slot lacks. */
static void test_interrupted_extension(void)
{
	struct plan other = plan_with(101, 2, 6);
	struct plan olds[] = {
		plan_with(100, 1, 6), plan_with(100, 2, 6), plan_with(100, 3, 6),
	};
	struct plan news[] = { plan_with(102, 1, 6), plan_with(102, 3, 6) };
	static struct crash crash;
	u32 i, n, kept;

	crash.other = &other;
	for (i = 0; i < 3; i++)
		for (n = 0; n < 2; n++) {
			crash.old = &olds[i];
			crash.new = &news[n];
			kept = olds[i].vm_count < news[n].vm_count ?
			       olds[i].vm_count : news[n].vm_count;
			for (crash.kept = 1; crash.kept <= kept; crash.kept++) {
				crash.name = "a record of the same first VMs";
				memset(crash.before, 0, SLOT_SIZE);
				plan_write_bytes(crash.old, crash.before);
				check_crashes(&crash);
			}
		}
	ktap_check(crash.states > 10000, "%lu states tried", crash.states);
}

/* Nothing of what is kept is stored, and nothing else is left out. */
static void test_extends_only(void)
{
	struct plan plan = plan_with(7, 3, 1);
	static u8 slot[SLOT_SIZE] __attribute__((aligned(64)));
	size_t first = plan_entry_offset(&plan, 2), i;
	int err;

	memset(slot, 0xa5, sizeof(slot));
	err = plan_extend(&plan, 2, slot, sizeof(slot));
	ktap_check(err == 0, "%d", err);
	for (i = sizeof(struct kch_rec_header); i < first; i++)
		ktap_check(slot[i] == 0xa5, "byte %zu", i);
	for (i = plan_size(&plan); i < sizeof(slot); i++)
		ktap_check(slot[i] == 0xa5, "byte %zu", i);
	memset(slot, 0, sizeof(slot));
	plan_write_bytes(&plan, slot);
	memset(slot, 0x11, sizeof(struct kch_rec_header));
	memset(slot + first, 0x11, plan_size(&plan) - first);
	err = plan_extend(&plan, 2, slot, sizeof(slot));
	ktap_check(err == 0, "%d", err);
	ktap_check(whole_record(slot, NULL, &plan) == &plan, "all of it");
}

static void test_no_space(void)
{
	struct plan plan = plan_with(7, 3, 1);
	size_t size = plan_size(&plan), space, i;
	struct kch_rec_header header;
	u8 *slot;
	int err;

	for (space = 0; space <= size; space += 8) {
		slot = guarded_alloc(space);
		memset(slot, 0xa5, space);
		trace_start(slot, space);
		err = plan_write(&plan, slot, space);
		trace.slot = NULL;
		if (space == size) {
			ktap_check(err == 0, "%zu bytes: %d", space, err);
			guarded_free(slot, space);
			break;
		}
		ktap_check(err == -ENOSPC, "%zu bytes: %d", space, err);
		ktap_check(trace.stores == 0, "%zu bytes: %u stores", space, trace.stores);
		for (i = 0; i < space; i++)
			if (!ktap_check(slot[i] == 0xa5, "%zu bytes: byte %zu", space, i))
				break;
		guarded_free(slot, space);
	}
	kch_rec_header_init(&header);
	err = kch_record_write(&header, sizeof(header), &header, &header, SIZE_MAX, 1);
	ktap_check(err == -ENOSPC, "no memory has that much: %d", err);
	err = kch_record_write(&header, sizeof(header), &header, &header,
			       SIZE_MAX - sizeof(header) + 1, 1);
	ktap_check(err == -ENOSPC, "a sum that wraps: %d", err);
	err = kch_record_extend(&header, sizeof(header), &header, 8, &header, 0, 1, 0);
	ktap_check(err == -ENOSPC, "what is kept does not fit: %d", err);
	err = kch_record_extend(&header, sizeof(header), &header, SIZE_MAX - 7,
				&header, 8, 1, 0);
	ktap_check(err == -ENOSPC, "a sum with what is kept that wraps: %d", err);
}

/* What is not the record's is left alone, and so is the rest of the header. */
static void test_writes_no_more_than_the_record(void)
{
	struct plan plan = plan_with(7, 2, 1);
	static u8 slot[SLOT_SIZE] __attribute__((aligned(64)));
	size_t i;
	int err;

	memset(slot, 0xa5, sizeof(slot));
	err = plan_write(&plan, slot, sizeof(slot));
	ktap_check(err == 0, "%d", err);
	for (i = plan_size(&plan); i < sizeof(slot); i++)
		ktap_check(slot[i] == 0xa5, "byte %zu", i);
	plan_write_bytes(&plan, slot);
	kch_record_revoke(slot);
	for (i = 312; i < 320; i++) {
		ktap_check(slot[i] == 0, "byte %zu", i);
		slot[i] = 0x11;
	}
	put64(slot + 312, 0x54494d4d4f434843ULL ^ 7);
	ktap_check(whole_record(slot, NULL, &plan) == &plan, "the rest");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "interrupted_write", test_interrupted_write },
		{ "interrupted_extension", test_interrupted_extension },
		{ "extends_only", test_extends_only },
		{ "no_space", test_no_space },
		{ "writes_no_more_than_the_record", test_writes_no_more_than_the_record },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
