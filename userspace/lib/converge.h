/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modes weaker than identical: what KVM's own ioctls can do. */
#ifndef KCH_LIB_CONVERGE_H
#define KCH_LIB_CONVERGE_H

#include "target.h"

/**
 * struct kch_reading - what KVM says of a VM's kvmclock
 * @clock_ns: kvmclock, ns
 * @host_tsc: the host TSC at that instant, cycles
 * @realtime_ns: CLOCK_REALTIME at that instant, ns; only with @at_once
 * @slack_ns: how far @clock_ns may be from kvmclock at @host_tsc, ns
 * @at_once: KVM told all three of one instant; it does so while the VM has a
 *	master clock
 */
struct kch_reading {
	uint64_t clock_ns;
	uint64_t host_tsc;
	uint64_t realtime_ns;
	uint64_t slack_ns;
	bool at_once;
};

/* KVM_GET_CLOCK; @host_khz is for @slack_ns. */
int kch_read_clock(struct kch_handle *handle, int vm_fd, uint32_t host_khz,
		   struct kch_reading *reading);

/*
 * The frequency KVM computes guest clocks from, kHz.  From the module, or else
 * from a VM made for the purpose.  -ENXIO: neither can tell.
 */
int kch_kvm_khz(struct kch_handle *handle, uint32_t *khz);

/* Whether the host's TSC frequency will not be changed by its kernel any more. */
bool kch_tsc_settled(void);

/*
 * At most so fast KVM's clock and @clock drift apart, parts per 1e9: KVM's goes by
 * the host's clock, and that by a TSC of @host_khz.
 */
uint64_t kch_drift_ppb(const struct kch_clock *clock, uint32_t host_khz);

/*
 * Gives a target, whose new offsets are written, the saved clock.  @mode is what
 * it is called then.  The caller puts back what was there if it fails.
 */
int kch_converge(struct kch_handle *handle, struct kch_target *target,
		 uint32_t host_khz, uint32_t mode,
		 const struct kch_restore_opts *opts,
		 struct kch_restore_result *result);

/*
 * All of it, from the offsets on, for a target that was remembered; and back, if
 * it fails.  -ENOSYS: @weakest is not to be had.  -ERANGE: a scaling ratio is not
 * the saved one, and @weakest does not allow for that.
 */
int kch_restore_weaker(struct kch_handle *handle, struct kch_target *target,
		       uint32_t weakest, const struct kch_restore_opts *opts,
		       struct kch_restore_result *result);

#endif /* KCH_LIB_CONVERGE_H */
