/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that lies in wait: it arms a TSC deadline, halts or spins, and notes by its own
 * TSC when the interrupt came.  What it and the VMM share, in guest memory.
 */
#ifndef KCH_OUTSIDE_WAITER_H
#define KCH_OUTSIDE_WAITER_H

#include "guest.h"

/* Between the stacks and the end of the memory that every guest has. */
#define WAITER_IDT		0x50000
#define WAITER_AREA		0x51000

#define WAITER_SHOTS		64

/**
 * struct waiter_shot - one deadline
 * @deadline: guest TSC it was armed for, cycles
 * @fired: guest TSC in its interrupt, cycles
 */
struct waiter_shot {
	__u64 deadline;
	__u64 fired;
};

/**
 * struct waiter_area - at WAITER_AREA
 * @interval: the VMM's: from now to the next deadline, cycles
 * @spin: the VMM's: do not halt.  A halted vCPU's timer is one of the host's; that of one that
 *	runs is the preemption timer of an Intel CPU, which KVM programs differently.
 * @deadline: the one that is armed, cycles
 * @count: deadlines that have fired
 * @shots: the last of them, number n at n % WAITER_SHOTS
 */
struct waiter_area {
	__u64 interval;
	__u64 spin;
	__u64 deadline;
	__u64 count;
	struct waiter_shot shots[WAITER_SHOTS];
};

_Static_assert(GUEST_STACKS + GUEST_VCPUS_MAX * GUEST_STACK_SIZE <= WAITER_IDT &&
	       WAITER_AREA + sizeof(struct waiter_area) <= GUEST_MEMORY_MIN,
	       "both fit");

#endif /* KCH_OUTSIDE_WAITER_H */
