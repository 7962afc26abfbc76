/* SPDX-License-Identifier: GPL-2.0 */
/* KVM's structures: fields that are not the same in all kernels, and what KVM makes of them. */
#ifndef KCH_KVM_STOCK_H
#define KCH_KVM_STOCK_H

#include <linux/kvm_host.h>

#include "kch_probed.h"

/*
 * Since "KVM: x86: Remove per-vCPU pvclock cache" the vCPU keeps only the pair of numbers,
 * before it the whole page as last written.  The flags byte can be had only there.
 */
#ifdef KCH_HAVE_VCPU_HV_CLOCK
#define vcpu_mul(vcpu)		((vcpu)->arch.hv_clock.tsc_to_system_mul)
#define vcpu_shift(vcpu)	((vcpu)->arch.hv_clock.tsc_shift)
#define vcpu_page_flags(vcpu)	((vcpu)->arch.hv_clock.flags)
#else
#define vcpu_mul(vcpu)		((vcpu)->arch.pvclock_tsc_mul)
#define vcpu_shift(vcpu)	((vcpu)->arch.pvclock_tsc_shift)
#define vcpu_page_flags(vcpu)	((void)(vcpu), 0)
#endif

#ifdef KCH_HAVE_GUEST_TSC_PROTECTED
#define vcpu_tsc_protected(vcpu)	((vcpu)->arch.guest_tsc_protected)
#else
#define vcpu_tsc_protected(vcpu)	((void)(vcpu), false)
#endif

#ifndef KCH_HAVE_MUTEX_TRYLOCK_NEST_LOCK
#define mutex_trylock_nest_lock(lock, nest)	((void)(nest), mutex_trylock(lock))
#endif

/*
 * Why KVM would turn the VM's master clock off, as pvclock_update_vm_gtod_copy()
 * decides it, but for the host's clocksource; NULL: it would not.
 */
const char *kch_kvm_no_master_clock(const struct kvm *kvm);

/* KVM is being unloaded, so that none of its files is open any more. */
void kch_kvm_forget_files(void);

#endif /* KCH_KVM_STOCK_H */
