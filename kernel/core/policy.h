/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What of the time that passed, from the saved instant to the restore, a guest's clocks go on
 * by.  One number says it: so many ms at most, the rest is hidden from the guest.  Pure.
 */
#ifndef KCH_POLICY_H
#define KCH_POLICY_H

#include "record.h"

#define KCH_GOES_ON	(~0U)	/* all of it: KCH_POLICY_CONTINUE; 0 is KCH_POLICY_HIDE */

/* That number from a caller's enum kch_policy; @otherwise_ms for the default.  -EINVAL. */
int kch_policy_ms(u32 policy, u32 limit_ms, u32 otherwise_ms, u32 *goes_on_ms,
		  struct kch_message *message);

/*
 * What is hidden of the time since the saved instant, the guest has not seen: unless it ran on
 * after that, and what is saved may not be its last clock.  -EBADRQC.
 */
int kch_policy_allowed(u32 goes_on_ms, const struct kch_rec_header *header,
		       const struct kch_rec_vm *entry, struct kch_message *message);

/* And back: for the outcome. */
void kch_policy_of(u32 goes_on_ms, u32 *policy, u32 *limit_ms);

/* "continue", "hide", "limit:10s", of which the unit is ms, s, m or h.  -EINVAL. */
int kch_policy_parse(const char *text, u32 *goes_on_ms);

#define KCH_POLICY_TEXT_SIZE	24
/* The same text, in ms or whole seconds. */
void kch_policy_text(u32 policy, u32 limit_ms, char text[KCH_POLICY_TEXT_SIZE]);

/* What is hidden of so many cycles of a TSC; of so many ns. */
u64 kch_policy_hidden_cycles(u32 goes_on_ms, u64 passed_cycles, u32 khz);
u64 kch_policy_hidden_ns(u32 goes_on_ms, u64 passed_ns);

#endif /* KCH_POLICY_H */
