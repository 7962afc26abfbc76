// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "handover.h"
#include "report.h"
#include "state.h"

void state_init(struct guestmem *mem, const uint8_t uuid[16], const char *name)
{
	struct saved_vm *saved = mem->saved;

	memcpy(saved->uuid, uuid, sizeof(saved->uuid));
	snprintf(saved->name, sizeof(saved->name), "%s", name);
}

static void save_vcpu(const struct vcpu *vcpu, struct saved_vcpu *saved,
		      const struct saved_clock *scaling, bool added)
{
	saved->id = vcpu->id;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &saved->regs))
		die("KVM_GET_REGS: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &saved->sregs))
		die("KVM_GET_SREGS: %s", strerror(errno));
	saved->tsc_adjust = vcpu_msr(vcpu, MSR_IA32_TSC_ADJUST);
	saved->system_time = vcpu_msr(vcpu, MSR_KVM_SYSTEM_TIME_NEW);
	if (saved->system_time != (GUEST_PVCLOCK +
				   vcpu->id * GUEST_PVCLOCK_SLOT) + 1)
		die("vCPU %u: kvmclock is at %#llx", vcpu->id,
		    (unsigned long long)saved->system_time);
	saved->tsc = vcpu_msr(vcpu, MSR_IA32_TSC);
	saved->clock = *scaling;
	saved->clock.tsc_offset = vcpu_tsc_offset(vcpu);
	saved->clock.page = guestmem_read_page(vcpu->vm->mem, vcpu->id);
	if (!saved->has_origin) {
		saved->origin = added ? vcpu->vm->mem->saved->vcpu[0].origin : saved->clock;
		saved->has_origin = 1;
	}
}

void state_forget(struct saved_vm *saved)
{
	uint32_t i;

	saved->saves = 0;
	for (i = 0; i < GUEST_VCPUS_MAX; i++)
		saved->vcpu[i].has_origin = 0;
}

void state_save(struct vm *vm, bool registers_valid)
{
	struct saved_vm *saved = vm->mem->saved;
	struct saved_clock scaling[GUEST_VCPUS_MAX] = { 0 };
	uint32_t i;

	handover_scaling(vm, scaling);
	saved->magic = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	saved->version = SAVED_VERSION;
	saved->vcpu_count = vm->vcpu_count;
	saved->registers_valid = registers_valid;
	saved->saves++;
	saved->tsc_khz = vm_tsc_khz(vm);
	for (i = 0; i < vm->vcpu_count; i++)
		save_vcpu(&vm->vcpu[i], &saved->vcpu[i], &scaling[i], saved->saves > 1);
	memcpy(saved->pvclock, vm->mem->pvclock, sizeof(saved->pvclock));
	saved->clock = vm_clock(vm);
	saved->host_tsc = __rdtsc();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	saved->magic = SAVED_MAGIC;
}

static void load_vcpu(struct vcpu *vcpu, const struct saved_vcpu *saved,
		      bool registers_valid)
{
	if (!registers_valid) {
		vcpu_set_entry(vcpu);
	} else {
		if (ioctl(vcpu->fd, KVM_SET_SREGS, &saved->sregs))
			die("KVM_SET_SREGS: %s", strerror(errno));
		if (ioctl(vcpu->fd, KVM_SET_REGS, &saved->regs))
			die("KVM_SET_REGS: %s", strerror(errno));
	}
	vcpu_set_msr(vcpu, MSR_IA32_TSC_ADJUST, saved->tsc_adjust);
	vcpu_set_msr(vcpu, MSR_KVM_SYSTEM_TIME_NEW, saved->system_time);
}

void state_load(struct vm *vm)
{
	const struct saved_vm *saved = vm->mem->saved;
	uint32_t i;

	memcpy(vm->mem->pvclock, saved->pvclock, sizeof(saved->pvclock));
	for (i = 0; i < saved->vcpu_count; i++)
		load_vcpu(&vm->vcpu[i], &saved->vcpu[i],
			  saved->registers_valid);
	/* Whoever held the lock is not coming back to it. */
	if (!saved->registers_valid)
		vm->mem->shared->lock = 0;
}
