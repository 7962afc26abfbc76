// SPDX-License-Identifier: GPL-2.0
/*
 * Prints this machine's TSC frequency in kHz, which QEMU's TCG hands to the
 * emulated host as it is.
 *
 * The emulated host would calibrate it itself, but under load it may be out by
 * any amount, and then keeps it.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define INTERVAL_NS	100000000ULL
#define NS_PER_S	1000000000ULL

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The closest of some pairs: an interruption in between only widens one. */
static void read_both(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;
	int i;

	for (i = 0; i < 100; i++) {
		uint64_t before = __rdtsc(), at = now_ns(), after = __rdtsc();

		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = before + best / 2;
		*ns = at;
	}
}

int main(void)
{
	struct timespec interval = { .tv_nsec = INTERVAL_NS };
	uint64_t tsc0, ns0, tsc1, ns1;

	read_both(&tsc0, &ns0);
	nanosleep(&interval, NULL);
	read_both(&tsc1, &ns1);
	printf("%llu\n", (unsigned long long)((tsc1 - tsc0) * 1000000 / (ns1 - ns0)));
	return 0;
}
