/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM that is being given a saved clock by KVM's own ioctls: what it has, what it is
 * to have, and the way back.
 */
#ifndef KCH_LIB_TARGET_H
#define KCH_LIB_TARGET_H

#include "members.h"
#include "vm.h"

struct kch_target {
	struct kch_members old;		/* as it was found */
	const struct kch_vm *saved;	/* the caller's */
	bool own_khz;			/* saved frequencies differ: each vCPU is set its own */
	uint32_t written;		/* vCPUs that were written, from the first */
	bool clock_written;
	struct kch_vcpu vcpus[];	/* as they will be, in the order of the old ones */
};

/*
 * Checks that @vcpus are the VM's and those that were saved, and reads what will be
 * overwritten.  Writes nothing.  @own_khz: vCPUs may have another frequency than was
 * saved, if those differ.
 */
int kch_target_new(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		   size_t count, const struct kch_vm *saved, bool own_khz,
		   struct kch_target **target);

void kch_target_free(struct kch_target *target);

/*
 * Writes each vCPU's offset, its frequency if each has its own, and an armed
 * MSR_IA32_TSC_DEADLINE again.
 */
int kch_target_write_vcpus(struct kch_handle *handle, struct kch_target *target);

/*
 * Sets kvmclock to what the saved clock says now.  KVM then takes a master clock
 * reference at once, if it can.
 */
int kch_target_write_clock(struct kch_handle *handle, struct kch_target *target);

/* Writes back what was there; what cannot be is added to the message. */
void kch_target_put_back(struct kch_handle *handle, struct kch_target *target);

#endif /* KCH_LIB_TARGET_H */
