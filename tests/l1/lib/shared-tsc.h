/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A page of memory that emulated hosts share with the machine which they run on: each says in
 * it what its TSC is, all the time.  A number that is read there is from before it was read.
 * So what one TSC is ahead of the other has two bounds, and no round trip is halved.
 */
#ifndef KCH_TESTS_SHARED_TSC_H
#define KCH_TESTS_SHARED_TSC_H

#include <stdint.h>

#define SHARED_HOSTS	2

/**
 * struct shared_tsc - the page; all is in cycles
 * @asks: by an emulated host: it is looking
 * @host_tsc: by the same: its TSC
 * @machine_tsc: by the machine: its TSC
 * @most: by the machine: its TSC is ahead of the host's by this at most
 * @ahead: of each emulated host: the bounds that it has found
 * @wall_tsc: by the first: its TSC,
 * @wall_ns: when its wall clock was this,
 * @wall_khz: and the frequency by which that goes on
 */
struct shared_tsc {
	uint64_t asks;
	uint64_t host_tsc;
	uint64_t machine_tsc;
	int64_t most;
	struct {
		int64_t least;
		int64_t most;
	} ahead[SHARED_HOSTS];
	uint64_t wall_tsc;
	uint64_t wall_ns;
	uint32_t wall_khz;
};

#endif /* KCH_TESTS_SHARED_TSC_H */
