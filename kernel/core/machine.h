/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is this the machine that a record is from, and did its TSC run on since?
 * Pure: the module and the library each say who they are and what time it is.
 */
#ifndef KCH_MACHINE_H
#define KCH_MACHINE_H

#include "record.h"

/* A machine at one instant. */
struct kch_machine {
	u8 id[16];		/* DMI product UUID, all zero if that is not known */
	u32 cpu_signature;	/* CPUID leaf 1 EAX */
	char cpu_vendor[4];	/* first four bytes of the CPUID vendor string */
	u64 host_tsc;		/* cycles */
	u64 realtime_ns;	/* CLOCK_REALTIME at host_tsc */
};

bool kch_machine_known(const u8 id[16]);

/*
 * An id that is not known, in the record or here, is not judged.
 * @any_wall: the wall clock was stepped and is no witness.  -EREMCHG, -ETIME.
 * @outcome: of it blackout_ns is filled in, and found and expected.
 */
int kch_machine_same(const struct kch_rec_header *header,
		     const struct kch_machine *now, bool any_wall,
		     struct kch_outcome *outcome, struct kch_message *message);

/*
 * Is the blackout of @outcome at most @ms_max; 0: however long?  -EKEYEXPIRED, with found
 * and expected.
 */
int kch_blackout_allowed(struct kch_outcome *outcome, u32 ms_max,
			 struct kch_message *message);

#endif /* KCH_MACHINE_H */
