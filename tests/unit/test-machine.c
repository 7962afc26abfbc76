// SPDX-License-Identifier: GPL-2.0
/*
 * Is it the machine of the record, and did its TSC run on?  Each reason to
 * refuse, at its border, and nothing else.
 */
#include "../l1/lib/ktap.h"
#include "machine.h"
#include "reference.h"

#define KHZ		2596124U
#define S		1000000000ULL
#define CYCLES_PER_S	(KHZ * 1000ULL)
#define THEN_TSC	(1000 * CYCLES_PER_S)
#define THEN_REAL	(1700000000 * S)

static struct kch_rec_header header;
static struct kch_machine now;

/* Ten seconds later, on the same machine. */
static void set_up(void)
{
	memset(&header, 0, sizeof(header));
	memset(header.machine_id, 0x5a, sizeof(header.machine_id));
	header.cpu_signature = cpu_to_le32(0x800f12);
	memcpy(header.cpu_vendor, "Auth", 4);
	header.tsc_khz = cpu_to_le32(KHZ);
	header.host_tsc = cpu_to_le64(THEN_TSC);
	header.realtime_ns = cpu_to_le64(THEN_REAL);
	memset(&now, 0, sizeof(now));
	memset(now.id, 0x5a, sizeof(now.id));
	now.cpu_signature = 0x800f12;
	memcpy(now.cpu_vendor, "Auth", 4);
	now.host_tsc = THEN_TSC + 10 * CYCLES_PER_S;
	now.realtime_ns = THEN_REAL + 10 * S;
}

static void check(int expected, bool any_wall, const char *words)
{
	struct kch_message message = { "" };
	struct kch_outcome outcome = { 0 };
	int err = kch_machine_same(&header, &now, any_wall, &outcome, &message);

	ktap_check(err == expected, "%d (%s), expected %d", err, message.text,
		   expected);
	ktap_check(!words == !message.text[0], "'%s'", message.text);
	ktap_check(!words || strstr(message.text, words), "'%s', not '%s'",
		   message.text, words ? words : "");
}

static void test_same(void)
{
	struct kch_message message;
	struct kch_outcome outcome = { 0 };

	set_up();
	check(0, false, NULL);
	kch_machine_same(&header, &now, false, &outcome, &message);
	ktap_check(outcome.blackout_ns == 10 * S, "%llu",
		   (unsigned long long)outcome.blackout_ns);
	/* Nothing has passed at all. */
	now.host_tsc = THEN_TSC;
	now.realtime_ns = THEN_REAL;
	check(0, false, NULL);
}

static void test_other_machine(void)
{
	set_up();
	now.id[15] ^= 1;
	check(-EREMCHG, true,
	      "from machine 5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a, this is 5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5b");
	set_up();
	now.cpu_signature++;
	check(-EREMCHG, true, "Auth 0x800f12, this is Auth 0x800f13");
	set_up();
	memcpy(now.cpu_vendor, "Genu", 4);
	check(-EREMCHG, true, "this is Genu");
	/* Not known, here, there or both: the rest tells. */
	set_up();
	memset(now.id, 0, sizeof(now.id));
	check(0, false, NULL);
	memset(header.machine_id, 0, sizeof(header.machine_id));
	check(0, false, NULL);
	memset(now.id, 0x5a, sizeof(now.id));
	check(0, false, NULL);
	now.cpu_signature++;
	check(-EREMCHG, true, "Auth 0x800f12, this is Auth 0x800f13");
}

static void test_tsc_reset(void)
{
	set_up();
	now.host_tsc = THEN_TSC - 1;
	check(-ETIME, true, "the machine was reset");
	set_up();
	header.tsc_khz = 0;
	check(-ETIME, true, "does not say the host TSC frequency");
}

/* 2 s and a thousandth of what passed, to either side. */
static void test_wall(void)
{
	const u64 slack = 2 * S + 10 * S / 1000;

	set_up();
	now.realtime_ns += slack;
	check(0, false, NULL);
	now.realtime_ns++;
	check(-ETIME, false, "12.010 s by the wall clock");
	check(0, true, NULL);
	set_up();
	now.realtime_ns -= slack;
	check(0, false, NULL);
	now.realtime_ns--;
	check(-ETIME, false, "7.989 s by the wall clock");
	set_up();
	now.realtime_ns = THEN_REAL - 1500000000;
	check(-ETIME, false, "-1.500 s by the wall clock");
	check(0, true, NULL);
	/* As far back as the TSC is on. */
	now.realtime_ns = THEN_REAL - 10 * S;
	check(-ETIME, false, "-10.000 s by the wall clock");
}

/* However long ago the seal was: a reset is seen by the time the host had been up until then. */
static void test_reset_long_ago(void)
{
	const u64 later = 88 * 3600ULL;

	set_up();
	header.host_tsc = cpu_to_le64(300 * CYCLES_PER_S);
	now.host_tsc = later * CYCLES_PER_S;
	now.realtime_ns = THEN_REAL + (later + 5) * S;
	check(-ETIME, false, "the TSC was reset or stopped");
	/* 10 s, to either side, of a TSC that has run on. */
	now.host_tsc = (300 + later) * CYCLES_PER_S;
	now.realtime_ns = THEN_REAL + (later + 10) * S;
	check(0, false, NULL);
	now.realtime_ns++;
	check(-ETIME, false, "the TSC was reset or stopped");
	now.realtime_ns = THEN_REAL + (later - 10) * S;
	check(0, false, NULL);
	now.realtime_ns--;
	check(-ETIME, false, "the TSC was reset or stopped");
}

/* No numbers, however far apart, may pass for near. */
static void test_extremes(void)
{
	set_up();
	now.realtime_ns = U64_MAX;
	check(-ETIME, false, "by the wall clock");
	set_up();
	now.realtime_ns = 0;
	check(-ETIME, false, "by the wall clock");
	set_up();
	header.realtime_ns = cpu_to_le64(U64_MAX);
	now.host_tsc = U64_MAX;
	now.realtime_ns = 0;
	check(-ETIME, false, "by the wall clock");
	set_up();
	header.tsc_khz = cpu_to_le32(1);
	header.host_tsc = 0;
	now.host_tsc = U64_MAX;
	check(-ETIME, false, "by the wall clock");
	now.realtime_ns = THEN_REAL - 5 * S;
	check(-ETIME, false, "-5.000 s by the wall clock");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "same", test_same },
		{ "other_machine", test_other_machine },
		{ "tsc_reset", test_tsc_reset },
		{ "wall", test_wall },
		{ "reset_long_ago", test_reset_long_ago },
		{ "extremes", test_extremes },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
