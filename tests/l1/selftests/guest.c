// SPDX-License-Identifier: GPL-2.0
#include <asm/kvm_para.h>
#include <asm/pvclock.h>

#include "guest.h"
#include "hyperv.h"

struct guest guests[GUEST_VCPUS_MAX];

/* L1's, whoever reads it. */
static u64 guest_tsc(const struct guest *guest)
{
	return guest->does & GUEST_NESTED ? rdtsc() - GUEST_L2_TSC_OFFSET : rdtsc();
}

/*
 * The same clock at every TSC: nothing but the reference differs, and that by a
 * multiple of 2^(32 - shift) cycles, of which mul is the ns.
 */
static bool is_same_clock(const struct pvclock_vcpu_time_info *a,
			  const struct pvclock_vcpu_time_info *b)
{
	unsigned int bits = 32 - a->tsc_shift;
	s64 cycles = b->tsc_timestamp - a->tsc_timestamp;
	s64 steps = cycles >> bits;

	return a->tsc_to_system_mul == b->tsc_to_system_mul &&
	       a->tsc_shift == b->tsc_shift && a->flags == b->flags &&
	       steps * (1LL << bits) == cycles &&
	       b->system_time - a->system_time == (u64)steps * a->tsc_to_system_mul;
}

static void look_at(const struct guest *guest, struct guest_look *look,
		    const struct pvclock_vcpu_time_info *page)
{
	struct pvclock_vcpu_time_info now;
	u64 tsc, ns;
	u32 version;

	do {
		version = pvclock_read_begin(page);
		memcpy(&now, page, sizeof(now));
		tsc = guest_tsc(guest);
		ns = __pvclock_read_cycles(&now, tsc);
	} while (pvclock_read_retry(page, version));

	if (look->looks++) {
		look->changed |= !is_same_clock(&look->page, &now);
		look->back |= ns < look->ns;
	}
	look->page = now;
	look->tsc = tsc;
	look->ns = ns;
}

static void look_at_hyperv(struct guest *guest)
{
	const struct guest_hyperv *page = guest->hyperv;
	struct guest_hyperv now = { 0 }, *before = &guest->hyperv_page;
	u64 tsc, time;

	do {
		now.sequence = READ_ONCE(page->sequence);
		now.scale = READ_ONCE(page->scale);
		now.offset = READ_ONCE(page->offset);
		tsc = guest_tsc(guest);
	} while (READ_ONCE(page->sequence) != now.sequence);

	time = (u64)((unsigned __int128)tsc * now.scale >> 64) + now.offset;
	if (before->sequence) {
		guest->hyperv_changed |= now.scale != before->scale ||
					 now.offset != before->offset ||
					 !now.sequence;
		guest->hyperv_back |= time < guest->hyperv_100ns;
	}
	*before = now;
	guest->hyperv_tsc = tsc;
	guest->hyperv_100ns = time;
}

static void look(struct guest *guest)
{
	u64 tsc = guest_tsc(guest);

	guest->tsc_back |= tsc < guest->tsc;
	guest->tsc = tsc;
	guest->adjust = rdmsr(MSR_IA32_TSC_ADJUST);
	if (guest->does & GUEST_HAS_PVCLOCK)
		look_at(guest, &guest->kvmclock, guest->pvclock);
	if (guest->does & GUEST_XEN) {
		look_at(guest, &guest->xen_vcpu,
			(void *)(guest->xen + GUEST_XEN_VCPU_INFO + GUEST_XEN_TIME));
		look_at(guest, &guest->xen_time,
			(void *)(guest->xen + GUEST_XEN_TIME_INFO));
	}
	if (guest->does & GUEST_HYPERV)
		look_at_hyperv(guest);
}

static void look_on(struct guest *guest)
{
	for (;;) {
		look(guest);
		GUEST_SYNC(guest - guests);
	}
}

/* vCPUs enter their L2 one after the other. */
static struct guest *entering;

static void l2_code(void)
{
	look_on(READ_ONCE(entering));
}

static void enter_l2(struct guest *guest)
{
	struct svm_test_data *svm = guest->svm;

	/* As after a call: the ABI wants the return address to be there. */
	l2_setup(svm, l2_code, guest->l2_stack + sizeof(guest->l2_stack) - 8);
	svm->vmcb->control.tsc_offset = GUEST_L2_TSC_OFFSET;
	WRITE_ONCE(entering, guest);
	run_guest(svm->vmcb, svm->vmcb_gpa);
	GUEST_FAIL("L2 ended: exit code %#x", (u32)svm->vmcb->control.exit_code);
}

void guest_code(u64 index)
{
	struct guest *guest = &guests[index];
	u64 does = guest->does;

	if (does & GUEST_WRITES_TSC)
		wrmsr(MSR_IA32_TSC, rdtsc() + GUEST_TSC_STEP + index * GUEST_TSC_APART);
	if (does & GUEST_WRITES_ADJUST)
		wrmsr(MSR_IA32_TSC_ADJUST, rdmsr(MSR_IA32_TSC_ADJUST) + GUEST_TSC_STEP);
	if ((does & GUEST_HAS_PVCLOCK) && !(does & GUEST_MSR_IS_SET))
		wrmsr(does & GUEST_OLD_MSR ? MSR_KVM_SYSTEM_TIME : MSR_KVM_SYSTEM_TIME_NEW,
		      guest->pvclock_gpa | KVM_MSR_ENABLED);
	if ((does & GUEST_HYPERV) && !index) {
		wrmsr(HV_X64_MSR_GUEST_OS_ID, HYPERV_LINUX_OS_ID);
		wrmsr(HV_X64_MSR_REFERENCE_TSC, guest->hyperv_gpa | 1);
	}
	if (does & GUEST_NESTED)
		enter_l2(guest);
	look_on(guest);
}
