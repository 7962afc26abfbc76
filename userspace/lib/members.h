/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs a caller gives: are they those of the VM, and all of them? */
#ifndef KCH_LIB_MEMBERS_H
#define KCH_LIB_MEMBERS_H

#include "kvm.h"

/* -EINVAL: not 1 to KCH_REC_VCPUS_MAX of them at @vcpus. */
int kch_check_count(struct kch_handle *handle, const void *vcpus, size_t count);

/*
 * Below, @vcpus is an array of structures that begin with a struct kch_vcpu, @stride
 * bytes from one to the next.
 */

/* Sorts by vcpu_id.  -EINVAL: one is given twice, or by the id of another. */
int kch_sort_vcpus(struct kch_handle *handle, void *vcpus, size_t stride,
		   uint32_t count);

/*
 * For sorted ones that are known to be vCPUs, and of which none runs.  -EXDEV: one is
 * of another VM.  -EMLINK: this process has one more of this VM open.
 */
int kch_check_members(struct kch_handle *handle, int vm_fd, const void *vcpus,
		      size_t stride, uint32_t count);

#endif /* KCH_LIB_MEMBERS_H */
