/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KVM's own ioctls on a VM and its vCPUs, called by a kernel thread that has taken
 * on the VM's memory (kthread_use_mm()): KVM looks at nothing else to tell the
 * VM's process from another.  So the VMM need not do them, nor know of them.
 *
 * @user is a page of that memory for the arguments: KCH_KVM_SCRATCH bytes of it.
 */
#ifndef KCH_KVM_CALLS_H
#define KCH_KVM_CALLS_H

#include <linux/types.h>

#define KCH_KVM_SCRATCH	128

struct file;

long kch_kvm_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* KVM_GET_DEVICE_ATTR or KVM_SET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET, cycles. */
int kch_kvm_offset(struct file *vcpu, unsigned int cmd, u64 *offset, void __user *user);
int kch_kvm_set_offset(struct file *vcpu, u64 offset, void __user *user);

/*
 * False: KVM would put the vCPU into TSC catch-up, which nothing takes it out of,
 * or refuse.
 */
bool kch_kvm_can_set_khz(struct file *vm, u32 khz);

/* KVM_SET_TSC_KHZ on a vCPU that exists. */
int kch_kvm_set_khz(struct file *vcpu, u32 khz);

/* KVM_SET_CLOCK without flags: KVM takes a new reference now. */
int kch_kvm_set_clock(struct file *vm, u64 ns, void __user *user);

/*
 * Writes MSR_IA32_TSC_DEADLINE once more if a deadline is set: KVM has armed the
 * timer for it by the TSC that the vCPU had before.
 */
int kch_kvm_rearm_deadline(struct file *vcpu, void __user *user);

#endif /* KCH_KVM_CALLS_H */
