/* SPDX-License-Identifier: GPL-2.0 */
/* A thread that makes calls, and what else processes do meanwhile. */
#ifndef KCH_FUZZ_WORKER_H
#define KCH_FUZZ_WORKER_H

#include <pthread.h>

#include "call.h"

/**
 * struct worker - one thread
 * @caller: makes its calls
 * @thread: it
 * @steps: how many it makes
 * @done: it has made them
 */
struct worker {
	struct caller caller;
	pthread_t thread;
	unsigned int steps;
	volatile bool done;
};

void worker_init(struct worker *worker, unsigned int number);

/* With VMs of its own, until all steps are made; then it has no descriptor open. */
void worker_start(struct worker *worker, uint64_t seed, unsigned int steps);

/* Its signals are for this. */
#define WORKER_SIGNAL	SIGUSR1

#endif /* KCH_FUZZ_WORKER_H */
