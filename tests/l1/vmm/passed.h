/* SPDX-License-Identifier: GPL-2.0 */
/* What of the time that passed was hidden from the guest: is it what was asked for? */
#ifndef KCH_VMM_PASSED_H
#define KCH_VMM_PASSED_H

#include "measure.h"

/**
 * struct passed - what bounds the time that passed, by host TSCs
 * @goes_on_ms: what must have come of it, as in kernel/core/policy.h
 * @ready: the restore was still to come
 * @restored: it was done
 */
struct passed {
	uint32_t goes_on_ms;
	uint64_t ready;
	uint64_t restored;
};

/*
 * Before the guest runs: checks what @result says, and makes @base what the guest must have
 * now, so many cycles of the host later: its TSC, by which its page stays to the bit.
 */
void passed_check(const struct passed *p, const struct vm *vm, struct baseline *base,
		  const struct kch_restore_result *result);

#endif /* KCH_VMM_PASSED_H */
