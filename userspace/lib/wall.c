// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * This host's wall clock against its TSC, and how good it is: what NTP has told the kernel.
 * And what passed since another host's record, by both.
 */
#include <sys/timex.h>
#include <time.h>
#include <x86intrin.h>
#include "clock.h"
#include "wall.h"

#define NS_PER_S	1000000000ULL
#define NS_PER_US	1000ULL
/* Of this many readings of two clocks the one that took the shortest is used. */
#define BRACKETS	16

static uint64_t ns_of(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

/* One of them, and how long it took, by the same clock, so that no frequency is needed. */
static uint64_t one_reading(struct kch_wall *wall)
{
	struct timespec first, then;
	uint64_t before, after;

	clock_gettime(CLOCK_REALTIME, &first);
	before = __rdtsc();
	clock_gettime(CLOCK_REALTIME, &then);
	after = __rdtsc();
	wall->host_tsc = before + (after - before) / 2;
	wall->realtime_ns = ns_of(&then);
	/* The second rdtsc is as far from the reading as the first, or an interrupt came. */
	clock_gettime(CLOCK_REALTIME, &then);
	return ns_of(&then) < ns_of(&first) ? UINT64_MAX : ns_of(&then) - ns_of(&first);
}

void kch_wall_now(struct kch_wall *wall)
{
	uint64_t narrowest_ns = UINT64_MAX, took_ns;
	struct timex timex = {};
	struct kch_wall one = {};
	unsigned int i;
	int state;

	*wall = one;
	for (i = 0; i < BRACKETS; i++) {
		took_ns = one_reading(&one);
		if (took_ns > narrowest_ns)
			continue;
		narrowest_ns = took_ns;
		*wall = one;
	}
	state = adjtimex(&timex);
	/* A leap second that is being inserted has the CLOCK_REALTIME of the one before. */
	if (state < 0 || state == TIME_ERROR || state == TIME_OOP || timex.status & STA_UNSYNC)
		timex.maxerror = 0;
	else
		wall->flags = KCH_WALL_SYNCED;
	took_ns = narrowest_ns / NS_PER_US + 1 + (uint64_t)timex.maxerror;
	wall->maxerror_us = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
	if (state < 0 || timex.tai <= 0)
		return;
	wall->flags |= KCH_WALL_TAI;
	wall->tai_ns = wall->realtime_ns + (uint64_t)timex.tai * NS_PER_S;
}

void kch_wall_to(const struct kch_wall *wall, struct kch_rec_header *header)
{
	header->compat |= cpu_to_le32(KCH_COMPAT_WALL);
	header->host_tsc = cpu_to_le64(wall->host_tsc);
	header->realtime_ns = cpu_to_le64(wall->realtime_ns);
	header->tai_ns = cpu_to_le64(wall->tai_ns);
	header->wall_maxerror_us = cpu_to_le32(wall->maxerror_us);
	header->wall_flags = cpu_to_le32(wall->flags);
}

int kch_wall_passed(struct kch_handle *handle, const struct kch_rec_header *header,
		    const struct kch_wall *now, bool any, struct kch_passed *passed)
{
	const uint32_t then_flags = le32_to_cpu(header->wall_flags);
	const char *unsynced = !(then_flags & KCH_WALL_SYNCED) ? "the host that it is from" :
			       !(now->flags & KCH_WALL_SYNCED) ? "this host" : NULL;
	uint64_t then_ns, now_ns, slack_ns;

	*passed = (struct kch_passed){ .tai = then_flags & now->flags & KCH_WALL_TAI };
	if (unsynced && !any)
		return kch_fail(handle, -ENOTCONN,
				"the wall clock of %s was not synchronised, or that is not said: how much time passed is not known, nor how far what is known is off",
				unsynced);
	then_ns = le64_to_cpu(passed->tai ? header->tai_ns : header->realtime_ns);
	now_ns = passed->tai ? now->tai_ns : now->realtime_ns;
	slack_ns = ((uint64_t)le32_to_cpu(header->wall_maxerror_us) + now->maxerror_us) * NS_PER_US;
	passed->bound_ns = unsynced ? UINT64_MAX : slack_ns;
	if (now_ns < then_ns && then_ns - now_ns > slack_ns)
		return kch_fail(handle, -EILSEQ,
				"the clock was saved %llu ns from now, by wall clocks that are at most %llu ns apart: one of them is wrong",
				(unsigned long long)(then_ns - now_ns),
				(unsigned long long)slack_ns);
	passed->ns = now_ns > then_ns ? now_ns - then_ns : 0;
	return 0;
}
