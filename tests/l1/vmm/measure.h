/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's clock before against the guest's clock now.  Both are functions
 * of the host's TSC, which runs on across the kexec: they are evaluated at one
 * and the same host TSC, never read twice.
 */
#ifndef KCH_VMM_MEASURE_H
#define KCH_VMM_MEASURE_H

#include <kvmclock-handover.h>

#include "vm.h"

/**
 * struct baseline - what there was when a stretch of running began
 * @vcpu_count: vCPUs it had then
 * @tsc_khz: the guest's TSC frequency as of the save, kHz; 0 if none was saved
 * @count: the guest's counts then
 * @last: its last observations from before
 * @saved: its clock when it was last saved
 * @origin: its clock when it was first saved
 * @now: its TSC as it set out, without page
 * @brackets: brackets taken of it before
 */
struct baseline {
	uint32_t vcpu_count;
	uint32_t tsc_khz;
	struct guest_counts count[GUEST_VCPUS_MAX];
	struct guest_observation last[GUEST_VCPUS_MAX];
	struct saved_clock saved[GUEST_VCPUS_MAX];
	struct saved_clock origin[GUEST_VCPUS_MAX];
	struct saved_clock now[GUEST_VCPUS_MAX];
	uint32_t brackets[GUEST_VCPUS_MAX];
};

/* Takes it, clears the guest's maxima and arms its first observation. */
void measure_start(struct vm *vm, struct baseline *base);

/*
 * Whose page was made another before it ran, and who may have been stopped while
 * it looked at the old one: what it saw until its first observation is no change.
 */
void measure_forget_changes(const struct vm *vm, struct baseline *base);

/* Every vCPU has observed since measure_start(); the VM may be running. */
bool measure_all_observed(const struct vm *vm);

/* Every vCPU has made so many iterations since then, and each kind of check. */
bool measure_enough(const struct vm *vm, const struct baseline *base,
		    uint64_t iterations);

/* Of a stopped VM: what its guest has found since it was made, in all its lives. */
uint64_t measure_faults(const struct vm *vm);

/* Of a stopped VM: reports and checks what the guest itself found. */
void measure_guest(const struct vm *vm, const struct baseline *base);

/*
 * Of a stopped VM: the clock now against the one saved before.  If @result says
 * a mode weaker than identical, its errors must be within what @result promises;
 * else there must be none.
 */
void measure_restored(const struct vm *vm, const struct baseline *base,
		      const struct kch_restore_result *result);

/*
 * Of a stopped VM: what adding vCPUs did to those that were there, and whether
 * the new ones agree with them.  @base was taken before they were added.
 */
void measure_hot_add(const struct vm *vm, const struct baseline *base);

#endif /* KCH_VMM_MEASURE_H */
