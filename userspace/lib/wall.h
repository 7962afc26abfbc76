/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host's wall clock against its TSC, and how good it is. */
#ifndef KCH_LIB_WALL_H
#define KCH_LIB_WALL_H

#include <linux/kvmclock_handover_record.h>
#include "handle.h"

struct kch_wall {
	uint64_t host_tsc;	/* cycles; the following are of that instant */
	uint64_t realtime_ns;	/* CLOCK_REALTIME */
	uint64_t tai_ns;	/* CLOCK_TAI; 0: it was not set */
	uint32_t maxerror_us;	/* how far they may be off, with the reading */
	uint32_t flags;		/* KCH_WALL_* */
};

void kch_wall_now(struct kch_wall *wall);

/* What a record says of it. */
void kch_wall_to(const struct kch_wall *wall, struct kch_rec_header *header);

/* How much time passed since a saved instant, by wall clocks. */
struct kch_passed {
	uint64_t ns;
	uint64_t bound_ns;	/* how far that may be off; UINT64_MAX: nobody knows */
	bool tai;		/* by TAI: a leap second between is counted */
};

/*
 * From the instant of @header to @now.  @any: also by clocks that are not synchronised.
 * -ENOTCONN: one is not.  -EILSEQ: @header is from the future, by more than the bound.
 */
int kch_wall_passed(struct kch_handle *handle, const struct kch_rec_header *header,
		    const struct kch_wall *now, bool any, struct kch_passed *passed);

#endif /* KCH_LIB_WALL_H */
