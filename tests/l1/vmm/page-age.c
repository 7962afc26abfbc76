// SPDX-License-Identifier: GPL-2.0
/*
 * A guest's clock over something that made KVM ask itself what it is:
 *
 *	kch-page-age KVM_KHZ OFFSET PAGE OFFSET PAGE GOT SET
 *
 * OFFSET is a vCPU's TSC offset, PAGE its pvclock page as "V tsc_timestamp
 * system_time mul shift flags": before, and after.  KVM's clock was read at host
 * TSC GOT, and set to that at SET; twice the same TSC, where it was to go on.
 * Exit status 0: what KVM said was right, within what the age of a reference that
 * is kept young makes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "function.h"

#define NS_PER_S	1000000000LL
#define ROUNDING_NS	2
#define KEPT_NS		1000	/* what the module promises besides */

static struct saved_clock clock_of(const char *offset, const char *text)
{
	struct saved_clock clock = {
		.tsc_offset = strtoll(offset, NULL, 10),
		.tsc_scaling_ratio = 1,
	};
	unsigned int mul;
	int shift;

	if (sscanf(text, "V %" SCNu64 " %" SCNu64 " %u %d",
		   (uint64_t *)&clock.page.tsc_timestamp,
		   (uint64_t *)&clock.page.system_time, &mul, &shift) != 4) {
		fprintf(stderr, "kch-page-age: no page: %s\n", text);
		exit(2);
	}
	clock.page.tsc_to_system_mul = mul;
	clock.page.tsc_shift = shift;
	return clock;
}

int main(int argc, char **argv)
{
	struct saved_clock a, b;
	int64_t bound, off;
	double ppb;

	if (argc != 8 || !*argv[6] || !*argv[7]) {
		fputs("usage: kch-page-age KVM_KHZ OFFSET PAGE OFFSET PAGE GOT SET\n",
		      stderr);
		return 2;
	}
	a = clock_of(argv[2], argv[3]);
	b = clock_of(argv[4], argv[5]);
	ppb = function_ppb(&a, strtoul(argv[1], NULL, 10));
	/* At most 2^(32 - shift) cycles, of which mul is the ns, and two seconds. */
	bound = ceil((a.page.tsc_to_system_mul + 2 * NS_PER_S) * fabs(ppb) /
		     NS_PER_S) + KEPT_NS + ROUNDING_NS;
	off = function_ns(&b, strtoull(argv[7], NULL, 10)) -
	      function_ns(&a, strtoull(argv[6], NULL, 10));
	printf("off=%lld of %lld ppb=%.3f\n", (long long)off, (long long)bound, ppb);
	return imaxabs(off) > bound;
}
