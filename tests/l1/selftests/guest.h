/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest: it asks for its clocks in one way or another, and from then on
 * looks at all it has, again and again.  What it saw stays in its memory.
 */
#ifndef KCH_SELFTESTS_GUEST_H
#define KCH_SELFTESTS_GUEST_H

#include <linux/types.h>
#include <asm/pvclock-abi.h>

#include "library.h"

#define GUEST_VCPUS_MAX		8

/* What a guest does, struct guest::does. */
#define GUEST_NEW_MSR		BIT(0)	/* MSR_KVM_SYSTEM_TIME_NEW */
#define GUEST_OLD_MSR		BIT(1)	/* MSR_KVM_SYSTEM_TIME */
#define GUEST_MSR_IS_SET	BIT(2)	/* ... by the VMM, the guest does not */
#define GUEST_WRITES_TSC	BIT(3)
#define GUEST_WRITES_ADJUST	BIT(4)
#define GUEST_HYPERV		BIT(5)	/* the reference TSC page */
#define GUEST_XEN		BIT(6)	/* vcpu_info and vcpu_time_info */
#define GUEST_NESTED		BIT(7)	/* what looks is the guest's guest */

#define GUEST_HAS_PVCLOCK	(GUEST_NEW_MSR | GUEST_OLD_MSR)

#define GUEST_TSC_STEP		(1ULL << 41)
/* Far more than one write is later than another: that could be the same on each vCPU. */
#define GUEST_TSC_APART		(1ULL << 30)
#define GUEST_L2_TSC_OFFSET	(-(1ULL << 47))

/* Where each page of a Xen guest's vCPU has its clock. */
#define GUEST_XEN_VCPU_INFO	0
#define GUEST_XEN_TIME		32	/* in vcpu_info */
#define GUEST_XEN_TIME_INFO	256

/**
 * struct guest_hyperv - the reference TSC page, as the TLFS has it
 * @sequence: 0 while it is invalid
 * @reserved: not used
 * @scale: 2^64 times 100 ns per cycle
 * @offset: in 100 ns
 */
struct guest_hyperv {
	u32 sequence;
	u32 reserved;
	u64 scale;
	s64 offset;
};

/**
 * struct guest_look - a pvclock page, and the clock it gives
 * @page: its bytes
 * @tsc: the vCPU's TSC, cycles
 * @ns: the clock at @tsc
 * @looks: how often it was looked at
 * @changed: it was not the same clock as at the look before
 * @back: the clock went back
 */
struct guest_look {
	struct pvclock_vcpu_time_info page;
	u64 tsc;
	u64 ns;
	u64 looks;
	bool changed;
	bool back;
};

/**
 * struct guest - one vCPU's part of the guest's memory
 * @does: GUEST_*
 * @pvclock: its pvclock page, for the MSRs
 * @pvclock_gpa: the same, guest physical
 * @xen: its page with vcpu_info and vcpu_time_info
 * @xen_gpa: the same, guest physical
 * @hyperv: the VM's reference TSC page
 * @hyperv_gpa: the same, guest physical
 * @svm: struct svm_test_data
 * @tsc: as last read, that of L1, cycles
 * @tsc_back: it went back
 * @adjust: MSR_IA32_TSC_ADJUST
 * @kvmclock: of @pvclock
 * @xen_vcpu: of vcpu_info
 * @xen_time: of vcpu_time_info
 * @hyperv_page: as last seen
 * @hyperv_changed: @hyperv_page was not the same as before, but for @sequence
 * @hyperv_back: its clock went back
 * @hyperv_tsc: TSC at @hyperv_100ns
 * @hyperv_100ns: the clock of the page
 * @l2_stack: of what looks in a nested guest
 */
struct guest {
	u64 does;
	struct pvclock_vcpu_time_info *pvclock;
	gpa_t pvclock_gpa;
	u8 *xen;
	gpa_t xen_gpa;
	struct guest_hyperv *hyperv;
	gpa_t hyperv_gpa;
	void *svm;
	u64 tsc;
	bool tsc_back;
	u64 adjust;
	struct guest_look kvmclock;
	struct guest_look xen_vcpu;
	struct guest_look xen_time;
	struct guest_hyperv hyperv_page;
	bool hyperv_changed;
	bool hyperv_back;
	u64 hyperv_tsc;
	u64 hyperv_100ns;
	u8 l2_stack[4096] __aligned(16);
};

/* Every VM has its own; the host reaches it by machine_guest(). */
extern struct guest guests[GUEST_VCPUS_MAX];

/* A vCPU begins here; a ucall after each look. */
void guest_code(u64 index);

#endif /* KCH_SELFTESTS_GUEST_H */
