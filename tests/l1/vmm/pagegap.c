// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "function.h"
#include "pagegap.h"
#include "report.h"

#define BRACKETS	16

static int vcpu_tsc_khz(const struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
}

bool vm_is_unmatched(const struct vm *vm)
{
	uint32_t i;

	for (i = 1; i < vm->vcpu_count; i++)
		if (vcpu_tsc_offset(&vm->vcpu[i]) != vcpu_tsc_offset(&vm->vcpu[0]) ||
		    vcpu_tsc_khz(&vm->vcpu[i]) != vcpu_tsc_khz(&vm->vcpu[0]))
			return true;
	return false;
}

/* KVM's clock was read at some instant between two readings of the TSC. */
uint64_t vcpu_page_gap(const struct vcpu *vcpu)
{
	struct guest_pvclock page = guestmem_read_page(vcpu->vm->mem, vcpu->id);
	uint64_t offset = vcpu_tsc_offset(vcpu), narrowest = UINT64_MAX, gap = 0;
	unsigned int i;

	for (i = 0; i < BRACKETS; i++) {
		uint64_t before = __rdtsc(), after;
		struct kvm_clock_data clock = vm_clock(vcpu->vm);
		int64_t early, late;

		after = __rdtsc();
		if (clock.flags & KVM_CLOCK_HOST_TSC)
			return 0;
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		early = function_page_ns(&page, before + offset) - clock.clock;
		late = function_page_ns(&page, after + offset) - clock.clock;
		gap = imaxabs(early) > imaxabs(late) ? imaxabs(early) :
						       imaxabs(late);
	}
	return gap;
}
