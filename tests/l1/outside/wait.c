// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "report.h"
#include "state.h"
#include "wait.h"
#include "waiter.h"

#define MSR_IA32_TSC_DEADLINE	0x6e0
#define CPUID_1_ECX_TSC_DEADLINE (1U << 24)
#define NS_PER_MS		1000000ULL

/*
 * A deadline fires as late as the emulated host is slow.  One that was not armed
 * again fires as late as the guest was away, which is seconds.
 */
#define LATE_MAX_MS		500

extern const uint8_t waiter_blob[], waiter_blob_end[];

/* Behind the guest's memory, in the same file. */
struct wait_saved {
	uint64_t deadline;
	uint64_t count;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
};

static struct wait_saved *saved_of(const struct vm *vm)
{
	if (vm->mem->ram_size < GUEST_MEMORY_MIN + sizeof(struct wait_saved))
		die("the memory is too small for the saved APIC");
	return (struct wait_saved *)(vm->mem->ram + GUEST_MEMORY_MIN);
}

static struct waiter_area *area_of(const struct vm *vm)
{
	return (struct waiter_area *)(vm->mem->ram + WAITER_AREA);
}

void wait_load_guest(struct guestmem *mem)
{
	memcpy(mem->ram + GUEST_CODE, waiter_blob, waiter_blob_end - waiter_blob);
}

void wait_prepare_vm(struct vm *vm)
{
	uint32_t i;

	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		die("KVM_CREATE_IRQCHIP: %s", strerror(errno));
	for (i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 1)
			vm->cpuid->entries[i].ecx |= CPUID_1_ECX_TSC_DEADLINE;
}

void wait_set(struct vm *vm, uint32_t ms, bool spin)
{
	area_of(vm)->spin = spin;
	area_of(vm)->interval = (uint64_t)vm_tsc_khz(vm) * ms;
}

uint64_t wait_count(const struct vm *vm)
{
	return __atomic_load_n(&area_of(vm)->count, __ATOMIC_ACQUIRE);
}

void wait_save(struct vm *vm)
{
	struct wait_saved *saved = saved_of(vm);
	int fd = vm->vcpu[0].fd;

	saved->deadline = vcpu_msr(&vm->vcpu[0], MSR_IA32_TSC_DEADLINE);
	saved->count = wait_count(vm);
	if (ioctl(fd, KVM_GET_LAPIC, &saved->lapic))
		die("KVM_GET_LAPIC: %s", strerror(errno));
	if (ioctl(fd, KVM_GET_MP_STATE, &saved->mp_state))
		die("KVM_GET_MP_STATE: %s", strerror(errno));
	report("deadline", "%llu", (unsigned long long)saved->deadline);
	report_check(saved->deadline && saved->deadline == area_of(vm)->deadline,
		     "armed");
}

/* In Firecracker's order: the APIC, then the MSRs, the TSC before the deadline. */
void wait_load(struct vm *vm)
{
	const struct wait_saved *saved = saved_of(vm);
	int fd = vm->vcpu[0].fd;

	if (ioctl(fd, KVM_SET_MP_STATE, &saved->mp_state))
		die("KVM_SET_MP_STATE: %s", strerror(errno));
	if (ioctl(fd, KVM_SET_LAPIC, &saved->lapic))
		die("KVM_SET_LAPIC: %s", strerror(errno));
	vcpu_set_msr(&vm->vcpu[0], MSR_IA32_TSC_DEADLINE, saved->deadline);
}

static int64_t ns_of(const struct vm *vm, int64_t cycles)
{
	return (int64_t)((__int128)cycles * NS_PER_MS / vm_tsc_khz(vm));
}

void wait_judge(const struct vm *vm, uint64_t before, uint64_t host_go)
{
	const struct saved_clock *clock = &vm->mem->saved->vcpu[0].clock;
	const struct waiter_area *area = area_of(vm);
	const int64_t late_max = LATE_MAX_MS * (int64_t)NS_PER_MS;
	int64_t late, worst = 0, first = 0;
	bool early = false;
	/* The guest's TSC as it was let go, by the function it had before. */
	uint64_t go = host_go ? host_go + clock->tsc_offset : 0;
	uint64_t count = wait_count(vm), n;

	if (count - before > WAITER_SHOTS)
		before = count - WAITER_SHOTS;
	for (n = before; n < count; n++) {
		const struct waiter_shot *shot = &area->shots[n % WAITER_SHOTS];

		if (shot->fired < shot->deadline)
			early = true;
		late = ns_of(vm, shot->fired - shot->deadline);
		/* It could not fire before the guest was there. */
		if (go && n == before) {
			report("deadline_due_ns", "%lld",
			       (long long)ns_of(vm, go - shot->deadline));
			report_check(shot->deadline < go, "due");
			first = ns_of(vm, shot->fired - go);
			late = first;
			/* Its TSC has gone on, and is not where it was. */
			report_check(first >= 0, "deadline_tsc");
		}
		worst = late > worst ? late : worst;
	}
	report("deadlines", "%llu", (unsigned long long)(count - before));
	report("deadline_first_late_ns", "%lld", (long long)first);
	report("deadline_late_max_ns", "%lld", (long long)worst);
	report_check(count - before >= 2, "no_deadlines");
	report_check(!early, "deadline_early");
	report_check(worst < late_max, "deadline");
}
