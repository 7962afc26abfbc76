/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM and the vCPUs that a caller gives: are they those of the VM, and all of them? */
#ifndef KCH_LIB_MEMBERS_H
#define KCH_LIB_MEMBERS_H

#include "kvm.h"

struct kch_members {
	int fd;				/* the VM */
	uint32_t host_khz;		/* the frequency KVM computes guest clocks from */
	uint8_t frac_bits;		/* of scaling ratios; 0 where KVM cannot scale */
	struct kch_reading clock;
	uint32_t count;
	struct kch_vcpu *vcpus;		/* ascending by vcpu_id */
};

/*
 * Takes the caller's array: structures that begin as struct kch_vcpu_fd does, @stride
 * bytes from one to the next.  @members->vcpus is to be freed with free().  -EINVAL: not
 * 1 to KCH_REC_VCPUS_MAX of them at @vcpus, or one is given twice, or by the id of
 * another.  -ENOMEM.
 */
int kch_members_take(struct kch_handle *handle, int vm_fd, const void *vcpus,
		     size_t stride, size_t count, struct kch_members *members);

/*
 * Reads all but the ratios.  None of the vCPUs runs.  As kch_read_vcpu(),
 * kch_read_clock() and kch_kvm_khz().  -EXDEV: a vCPU is of another VM.  -EMLINK: this
 * process has one more of this VM open.
 */
int kch_members_read(struct kch_handle *handle, struct kch_members *members);

#endif /* KCH_LIB_MEMBERS_H */
