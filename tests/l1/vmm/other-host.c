// SPDX-License-Identifier: GPL-2.0
/*
 * On one of two emulated hosts of machine=two: how far the TSC of the other is ahead, by the
 * page that both share with the machine.
 *
 *	kch-other-host ADDRESS STAGE [MAXERROR_US TAI_S ERROR_NS KHZ]
 *
 * In stage 1 it prints by how many cycles the TSC of the first host was ahead of this one's at
 * any one moment, and how far off that may be.  With the other arguments the wall clock is
 * synchronised, off by MAXERROR_US at most; KHZ is this host's TSC's frequency.  In stage 1 it
 * is set first: to what that of the first host would be now, and ERROR_NS more.  Printed is then
 * also what that may be off, in ns, and by which frequency the first host's went on.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "shared-tsc.h"
#include "wall.h"

#define TRIES_MAX	50000000
/* Close enough: what it takes to look, under emulation. */
#define NARROW_CYCLES	2000

static void stop(const char *what)
{
	fprintf(stderr, "kch-other-host: %s\n", what);
	exit(2);
}

static volatile struct shared_tsc *map_page(const char *address)
{
	int memory = open("/dev/mem", O_RDWR | O_SYNC);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory,
			  (off_t)strtoull(address, NULL, 0));

	if (page == MAP_FAILED)
		stop("/dev/mem cannot be mapped");
	return page;
}

/*
 * QEMU's TCG makes nothing of LFENCE, so the CPU that emulates would read its TSC before what
 * it loads has come.  It is not ahead by as many instructions as these are for it.
 */
static void wait_for_load(void)
{
	volatile int i;

	for (i = 0; i < 100; i++)
		;
}

static void look(volatile struct shared_tsc *page, int host)
{
	int64_t least = INT64_MIN, ahead;
	uint64_t seen;
	int i;

	page->host_tsc = 0;
	page->machine_tsc = 0;
	page->most = INT64_MAX;
	page->asks = 1;
	for (i = 0; i < TRIES_MAX; i++) {
		page->host_tsc = __rdtsc();
		seen = page->machine_tsc;
		wait_for_load();
		ahead = (int64_t)(seen - __rdtsc());
		if (seen && ahead > least)
			least = ahead;
		if (least != INT64_MIN && page->most - least < NARROW_CYCLES)
			break;
	}
	page->asks = 0;
	if (least == INT64_MIN || page->most == INT64_MAX || page->most < least) {
		fprintf(stderr, "kch-other-host: the machine's TSC is ahead by %" PRId64 " to %"
			PRId64 "\n", least, page->most);
		exit(2);
	}
	page->ahead[host].least = least;
	page->ahead[host].most = page->most;
}

int main(int argc, char **argv)
{
	int64_t further, slack;
	volatile struct shared_tsc *page;
	uint64_t tsc;
	int stage;

	if (argc != 3 && argc != 7)
		stop("usage: ADDRESS STAGE [MAXERROR_US TAI_S ERROR_NS KHZ]");
	page = map_page(argv[1]);
	stage = atoi(argv[2]);
	look(page, stage > 0);
	/* The machine's is ahead of the one and of the other by something between two bounds. */
	further = (page->ahead[1].least + page->ahead[1].most - page->ahead[0].least -
		   page->ahead[0].most) / 2;
	slack = (page->ahead[1].most - page->ahead[1].least + page->ahead[0].most -
		 page->ahead[0].least) / 2 + 1;
	if (stage > 0)
		printf("%" PRId64 " %" PRId64, further, slack);
	if (argc == 7 && stage > 0)
		printf(" %" PRIu64 " %" PRIu32,
		       wall_set(page->wall_tsc - (uint64_t)further, page->wall_ns, page->wall_khz,
				strtoll(argv[5], NULL, 10)), page->wall_khz);
	putchar('\n');
	if (argc != 7)
		return 0;
	wall_say_synchronised((uint32_t)strtoul(argv[3], NULL, 10), atoi(argv[4]));
	page->wall_ns = wall_read(&tsc);
	page->wall_tsc = tsc;
	page->wall_khz = (uint32_t)strtoul(argv[6], NULL, 10);
	return 0;
}
