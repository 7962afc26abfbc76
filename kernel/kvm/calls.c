// SPDX-License-Identifier: GPL-2.0
/* KVM's own ioctls, as its user space would call them. */
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/tsc.h>

#include "kvm/calls.h"

long kch_kvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return file->f_op->unlocked_ioctl(file, cmd, arg);
}

int kch_kvm_offset(struct file *vcpu, unsigned int cmd, u64 *offset, void __user *user)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (unsigned long)user + sizeof(attr),
	};
	long err;

	if (copy_to_user(user, &attr, sizeof(attr)) ||
	    copy_to_user(user + sizeof(attr), offset, sizeof(*offset)))
		return -EFAULT;
	err = kch_kvm_ioctl(vcpu, cmd, (unsigned long)user);
	if (!err && copy_from_user(offset, user + sizeof(attr), sizeof(*offset)))
		return -EFAULT;
	return err;
}

int kch_kvm_set_offset(struct file *vcpu, u64 offset, void __user *user)
{
	return kch_kvm_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset, user);
}

/* KVM takes less difference than tsc_tolerance_ppm for none; that is its default. */
#define TOLERANCE_PPM	250

bool kch_kvm_can_set_khz(struct file *vm, u32 khz)
{
	u32 apart = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;

	return kch_kvm_ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0 ||
	       (u64)apart * 1000000 <= (u64)tsc_khz * TOLERANCE_PPM;
}

int kch_kvm_set_khz(struct file *vcpu, u32 khz)
{
	return kch_kvm_ioctl(vcpu, KVM_SET_TSC_KHZ, khz);
}

int kch_kvm_set_clock(struct file *vm, u64 ns, void __user *user)
{
	struct kvm_clock_data clock = { .clock = ns };

	if (copy_to_user(user, &clock, sizeof(clock)))
		return -EFAULT;
	return kch_kvm_ioctl(vm, KVM_SET_CLOCK, (unsigned long)user);
}

int kch_kvm_rearm_deadline(struct file *vcpu, void __user *user)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry.index = MSR_IA32_TSC_DEADLINE,
	};
	long done;

	static_assert(sizeof(msrs) <= KCH_KVM_SCRATCH);
	if (copy_to_user(user, &msrs, sizeof(msrs)))
		return -EFAULT;
	done = kch_kvm_ioctl(vcpu, KVM_GET_MSRS, (unsigned long)user);
	/* A vCPU without the MSR has no deadline. */
	if (done <= 0)
		return done;
	if (copy_from_user(&msrs, user, sizeof(msrs)))
		return -EFAULT;
	if (!msrs.entry.data)
		return 0;
	done = kch_kvm_ioctl(vcpu, KVM_SET_MSRS, (unsigned long)user);
	return done == 1 ? 0 : done < 0 ? done : -EIO;
}
