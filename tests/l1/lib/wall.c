// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>
#include <x86intrin.h>

#include "clock.h"
#include "wall.h"

#define NS_PER_S	1000000000ULL
#define TRIES		20
/* An interrupt did not come between. */
#define NARROW_NS	100000

static void stop(const char *what)
{
	perror(what);
	exit(2);
}

void wall_say_synchronised(uint32_t maxerror_us, int tai_s)
{
	struct timex timex = { .modes = ADJ_STATUS | ADJ_MAXERROR, .maxerror = maxerror_us,
			       .status = maxerror_us ? 0 : STA_UNSYNC };

	if (adjtimex(&timex) < 0)
		stop("adjtimex");
	timex = (struct timex){ .modes = ADJ_TAI, .constant = tai_s };
	if (adjtimex(&timex) < 0)
		stop("adjtimex");
}

static uint64_t realtime_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t wall_read(uint64_t *tsc)
{
	uint64_t before, after, ns = 0, least = UINT64_MAX, now_ns;
	int i;

	for (i = 0; i < TRIES; i++) {
		before = __rdtsc();
		now_ns = realtime_ns();
		after = __rdtsc();
		if (after - before >= least)
			continue;
		least = after - before;
		*tsc = before + least / 2;
		ns = now_ns;
	}
	return ns;
}

uint64_t wall_set(uint64_t then, uint64_t then_ns, uint32_t khz, int64_t error_ns)
{
	uint64_t tsc, after, ns, slack_ns = UINT64_MAX;
	struct timespec time;
	int64_t off_ns;
	int i;

	for (i = 0; i < TRIES && slack_ns >= NARROW_NS; i++) {
		tsc = __rdtsc();
		ns = then_ns + kch_cycles_to_ns(tsc - then, khz) + (uint64_t)error_ns;
		time.tv_sec = (time_t)(ns / NS_PER_S);
		time.tv_nsec = (long)(ns % NS_PER_S);
		if (clock_settime(CLOCK_REALTIME, &time))
			stop("clock_settime");
		tsc = __rdtsc();
		ns = realtime_ns();
		after = __rdtsc();
		off_ns = (int64_t)(ns - (then_ns + kch_cycles_to_ns(tsc - then, khz) +
					 (uint64_t)error_ns));
		slack_ns = (uint64_t)llabs(off_ns) + kch_cycles_to_ns(after - tsc, khz) + 1;
	}
	return slack_ns;
}
