/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modes weaker than identical: what KVM's own ioctls can do. */
#ifndef KCH_LIB_WEAKER_H
#define KCH_LIB_WEAKER_H

#include "vm.h"

/*
 * Gives a VM the saved clock in the strongest mode that KVM's ioctls can reach, if that
 * is not weaker than @weakest.  @own_khz: each vCPU may be set its own frequency, if
 * the saved ones differ.  Only asks if @opts has KCH_RESTORE_CHECK.  @given notes
 * that the VM has its clock.  If it fails, or that, what was there is put back.
 *
 * -ENOSYS: @weakest cannot be reached.  -ERANGE: a scaling ratio is not the saved one,
 * and @weakest does not allow for that.  -EDOM: the error stayed above the bound.
 * -EOVERFLOW: an offset did not read back as written.  And what tells that @vcpus are
 * not those of the VM, or not those that were saved.
 */
int kch_restore_weaker(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		       size_t count, const struct kch_vm *saved, bool own_khz, uint32_t weakest,
		       const struct kch_restore_opts *opts,
		       int (*given)(struct kch_handle *handle, int vm_fd,
				    const struct kch_vm *saved),
		       struct kch_restore_result *result);

#endif /* KCH_LIB_WEAKER_H */
