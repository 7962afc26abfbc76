// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Mode kvm-guest: the kernel is given the guest's old pvclock page, and makes
 * its own clock agree with it, to within its rounding.  KVM_SET_CLOCK_GUEST is
 * in no release yet; the number and the rules are those of the series "Cleaning
 * up the KVM clock mess", version 6 of July 2026.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include "converge.h"
#include "stock.h"

/* Of a vCPU; its argument is the page, whose paddings must be zero. */
#ifndef KVM_SET_CLOCK_GUEST
#define KVM_SET_CLOCK_GUEST	_IOW(KVMIO, 0xd6, struct kch_page)
#endif

#define PVCLOCK_TSC_STABLE	1

/*
 * There is no capability for it.  A kernel that knows it looks at the argument
 * first, and at an address that cannot be it says so.
 */
static bool kernel_knows(int vcpu_fd)
{
	return ioctl(vcpu_fd, KVM_SET_CLOCK_GUEST, (void *)-1L) < 0 &&
	       errno == EFAULT;
}

int kch_kvm_guest(struct kch_handle *handle, const struct kch_target *target)
{
	struct kch_clock clock;
	struct kch_page page = { .flags = PVCLOCK_TSC_STABLE };
	int vcpu_fd = target->vcpus[0].fd;

	if (!kernel_knows(vcpu_fd))
		return kch_fail(handle, -ENOSYS,
				"this kernel has no KVM_SET_CLOCK_GUEST");
	kch_vm_clock(target->saved, 0, &clock);
	page.tsc_timestamp = cpu_to_le64(kch_clock_tsc(&clock,
						       clock.reference_cycles));
	page.system_time = cpu_to_le64(clock.system_time_ns);
	page.tsc_to_system_mul = cpu_to_le32(clock.tsc_to_system_mul);
	page.tsc_shift = clock.tsc_shift;
	if (ioctl(vcpu_fd, KVM_SET_CLOCK_GUEST, &page) >= 0)
		return 0;
	switch (errno) {
	case ERANGE:
		return kch_fail(handle, -ERANGE,
				"KVM_SET_CLOCK_GUEST: the saved clock's rate is not this host's");
	case EINVAL:
		return kch_fail(handle, -EOPNOTSUPP,
				"KVM_SET_CLOCK_GUEST: the VM has no master clock");
	default:
		return kch_fail(handle, -errno, "KVM_SET_CLOCK_GUEST: %s",
				strerror(errno));
	}
}
