/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Without a master clock KVM writes each page from a TSC and a time that it
 * reads one after the other, and again at every turn: what the guest computes
 * is KVM's clock only nearly, with or without a kexec.
 */
#ifndef KCH_VMM_PAGEGAP_H
#define KCH_VMM_PAGEGAP_H

#include "vm.h"

/* The vCPUs' TSCs differ in offset or frequency, so that there is none. */
bool vm_is_unmatched(const struct vm *vm);

/*
 * How far the page that a stopped vCPU has is from KVM's clock, at most, ns; 0
 * with a master clock, where both are one function.
 */
uint64_t vcpu_page_gap(const struct vcpu *vcpu);

#endif /* KCH_VMM_PAGEGAP_H */
