// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "report.h"
#include "sabotage.h"

static void move_clock(const struct vm *vm, int64_t ns)
{
	struct kvm_clock_data clock = vm_clock(vm);

	clock.clock += ns;
	clock.flags &= KVM_CLOCK_REALTIME;
	if (ioctl(vm->fd, KVM_SET_CLOCK, &clock))
		die("KVM_SET_CLOCK: %s", strerror(errno));
}

void sabotage_before_run(const struct sabotage *s, struct vm *vm)
{
	struct vcpu *vcpu = &vm->vcpu[s->vcpu];

	if (s->kind == SABOTAGE_TSC_OFFSET)
		vcpu_set_tsc_offset(vcpu, vcpu_tsc_offset(vcpu) + s->cycles);
	if (s->kind == SABOTAGE_CLOCK)
		move_clock(vm, s->ns);
}

void sabotage_baseline(const struct sabotage *s, struct baseline *base)
{
	if (s->kind == SABOTAGE_RATIO)
		base->saved[s->vcpu].tsc_scaling_ratio ^= 1ULL << s->bit;
}

/* As KVM writes it, so that the guest never computes from half a change. */
static void flip_mul(struct guest_pvclock *page, unsigned int bit)
{
	__atomic_add_fetch(&page->version, 1, __ATOMIC_SEQ_CST);
	__atomic_xor_fetch(&page->tsc_to_system_mul, 1U << bit,
			   __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&page->version, 1, __ATOMIC_SEQ_CST);
}

void sabotage_while_running(const struct sabotage *s, struct vm *vm)
{
	struct guest_vcpu *guest = &vm->mem->shared->vcpu[s->vcpu];

	if (s->kind == SABOTAGE_MUL)
		flip_mul(guestmem_page(vm->mem, s->vcpu), s->bit);
	if (s->kind == SABOTAGE_TSC_ADJUST)
		__atomic_store_n(&guest->tsc_adjust, s->cycles,
				 __ATOMIC_SEQ_CST);
}
