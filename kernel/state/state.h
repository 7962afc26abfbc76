/* SPDX-License-Identifier: GPL-2.0 */
/* The module's one instance of everything, from its load to the next kexec. */
#ifndef KCH_STATE_H
#define KCH_STATE_H

#include "preserve/outgoing.h"
#include "region/region.h"
#include "restore/incoming.h"

/**
 * struct kch_state - all of it, under kch_lock
 * @region: where records are kept
 * @incoming: the record from before the kexec
 * @outgoing: the record for the next kernel
 * @too_late: the host is being kexec'ed, and the records stay as they are
 */
struct kch_state {
	struct kch_region region;
	struct kch_incoming incoming;
	struct kch_outgoing outgoing;
	bool too_late;
};

extern struct kch_state kch;

/* Errors: see kch_region_claim(). */
int kch_state_load(const struct kch_region_wish *wish);
void kch_state_unload(void);

/*
 * With KCH_RESTORE_ELSEWHERE, a guest is back here with another clock, whether the record that
 * came has it or not: what was read of an earlier VM of its is out of date.  Takes kch_lock.
 */
void kch_state_restored(const struct kch_restore *r, int err);

#endif /* KCH_STATE_H */
