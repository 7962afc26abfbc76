/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faults put in on purpose, each as small as can be, to see that the checks
 * find it.
 */
#ifndef KCH_VMM_SABOTAGE_H
#define KCH_VMM_SABOTAGE_H

#include "measure.h"
#include "vm.h"

/**
 * enum sabotage_kind - what to spoil, after the clock was restored
 * @SABOTAGE_NONE: nothing
 * @SABOTAGE_TSC_ADJUST: the guest of one vCPU adds cycles to IA32_TSC_ADJUST.
 *	That moves its TSC offset and leaves KVM's master clock alone: its page
 *	then differs in tsc_timestamp, by as many cycles, and in nothing else;
 *	the other vCPUs' pages stay identical.
 * @SABOTAGE_TSC_OFFSET: KVM_VCPU_TSC_OFFSET of one vCPU is written, off by so
 *	many cycles, before the first run.  KVM takes that for a new generation
 *	of TSCs: with several vCPUs it turns its master clock off.
 * @SABOTAGE_MUL: one bit of tsc_to_system_mul in the page the guest reads, when
 *	it has seen the right one and KVM has written the page for the last time:
 *	it does so once more 100 ms after a vCPU's first run.  The guest's clock
 *	truly goes by the wrong number from then on.
 * @SABOTAGE_CLOCK: KVM_SET_CLOCK before the first run, to a value that is off
 *	by so many ns.
 * @SABOTAGE_RATIO: one bit of what is known of the scaling ratio from before, as
 *	if it had been read or saved wrong.
 */
enum sabotage_kind {
	SABOTAGE_NONE,
	SABOTAGE_TSC_ADJUST,
	SABOTAGE_TSC_OFFSET,
	SABOTAGE_MUL,
	SABOTAGE_CLOCK,
	SABOTAGE_RATIO,
};

struct sabotage {
	enum sabotage_kind kind;
	uint32_t vcpu;
	int64_t cycles;
	int64_t ns;
	unsigned int bit;
};

/* Between the restore and the first run. */
void sabotage_before_run(const struct sabotage *s, struct vm *vm);

/* When it is known what the guest is compared with. */
void sabotage_baseline(const struct sabotage *s, struct baseline *base);

/* When each vCPU has made an observation after the restore. */
void sabotage_while_running(const struct sabotage *s, struct vm *vm);

#endif /* KCH_VMM_SABOTAGE_H */
