/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TSC scaling, as KVM does it: by whether it can, frequencies, and a measurement. */
#ifndef KCH_LIB_SCALING_H
#define KCH_LIB_SCALING_H

#include "target.h"

/* Whether KVM runs vCPUs of @khz without scaling on this host. */
bool kch_khz_is_unscaled(uint32_t khz, uint32_t host_khz);

/* The fraction bits of this KVM's ratios; 0 where it cannot scale. */
uint8_t kch_frac_bits(int vm_fd);

/* The ratio KVM gives a vCPU of @khz. */
uint64_t kch_ratio(uint32_t khz, uint32_t host_khz, uint8_t frac_bits);

/* An MSR of a vCPU; false if KVM does not give it. */
bool kch_get_msr(int vcpu_fd, uint32_t index, uint64_t *value);

/*
 * The guest's TSC as KVM gives it must be what offset and ratio make it.
 * -ELIBBAD: it is not.
 */
int kch_check_tsc(struct kch_handle *handle, const struct kch_target_vcpu *vcpu,
		  uint64_t offset, uint8_t frac_bits, uint32_t host_khz);

/*
 * Finds out the ratios of a target whose offsets are the old ones still, from the
 * module if it tells, and compares them with what KVM does.
 */
int kch_target_scaling(struct kch_handle *handle, struct kch_target *target,
		       uint32_t host_khz);

#endif /* KCH_LIB_SCALING_H */
