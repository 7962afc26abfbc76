// SPDX-License-Identifier: GPL-2.0
/* KVM, played by a program: the ioctls of one VM and its vCPUs.  See fake.h. */
#include <inttypes.h>
#include <linux/kvm.h>
#include "clock.h"
#include "fake.h"
#include "fake-kvm.h"

#define MSR_IA32_TSC		0x10
#define MSR_IA32_TSC_DEADLINE	0x6e0

/* The wall clock, as KVM and the host agree on it. */
static uint64_t realtime_at(uint64_t cycles)
{
	return 1700000000000000000ULL + kch_cycles_to_ns(cycles, fake.kvm_khz);
}

static uint64_t clock_at(const struct fake_clock *c, uint64_t cycles)
{
	uint32_t mul;
	int8_t shift;

	kch_pvclock_pair(fake.kvm_khz, &mul, &shift);
	return kch_pvclock_ns(c->reference_cycles, c->reference_ns, mul, shift,
			      cycles);
}

static int get_clock(const struct fake_clock *c, struct kvm_clock_data *data)
{
	uint64_t now = __builtin_ia32_rdtsc();

	memset(data, 0, sizeof(*data));
	data->clock = clock_at(c, now);
	if (!c->master)
		return 0;
	data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME |
		      KVM_CLOCK_HOST_TSC;
	data->realtime = realtime_at(now);
	data->host_tsc = now;
	return 0;
}

/* The jitter repeats, so that every run sees the same. */
static int set_clock(struct fake_clock *c, const struct kvm_clock_data *data)
{
	uint64_t now = __builtin_ia32_rdtsc(), at;
	int64_t delay = c->delay_ns;

	if (c->jitter_ns)
		delay += (c->sets * 2654435761U >> 7) % c->jitter_ns;
	if (c->sets++ % 6 == 1)
		delay += c->interrupt_ns;
	note("clock ");
	c->reference_cycles = now;
	c->reference_ns = data->clock;
	at = realtime_at(now) + (uint64_t)delay;
	if (data->flags & KVM_CLOCK_REALTIME && at > data->realtime)
		c->reference_ns += at - data->realtime;
	return 0;
}

static uint64_t scaled(uint64_t cycles)
{
	return fake.ratio ? kch_scale_tsc(cycles, fake.ratio, fake.frac_bits) :
			    cycles;
}

/* Whether the triple fault event is switched on for its VM; the other VM has it off. */
static int get_events(unsigned int index, struct kvm_vcpu_events *events)
{
	memset(events, 0, sizeof(*events));
	if (fake.triple_fault && !fake.foreign[index])
		events->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	return 0;
}

static int check_extension(uintptr_t cap)
{
	switch (cap) {
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		return 1;
	case KVM_CAP_COALESCED_MMIO:
		return fake.ring_page;
	default:
		return fake.tsc_control;
	}
}

int fake_vm_ioctl(unsigned long request, void *arg)
{
	struct kvm_clock_data *clock = arg;
	struct kvm_enable_cap *cap = arg;

	switch (request) {
	case KVM_CHECK_EXTENSION:
		return check_extension((uintptr_t)arg);
	case KVM_ENABLE_CAP:
		if (cap->cap != KVM_CAP_X86_TRIPLE_FAULT_EVENT)
			return fail(EINVAL, NULL, NULL);
		fake.triple_fault = cap->args[0];
		return 0;
	case KVM_GET_TSC_KHZ:
		return (int)fake.vm_khz;
	case KVM_SET_TSC_KHZ:
		if (fake.set_khz_errno)
			return fail(fake.set_khz_errno, NULL, NULL);
		fake.vm_khz = (uint32_t)(uintptr_t)arg;
		note("khz=%u ", fake.vm_khz);
		return 0;
	case KVM_GET_CLOCK:
		if (fake.clock)
			return get_clock(fake.clock, clock);
		memset(clock, 0, sizeof(*clock));
		clock->clock = fake.clock_ns;
		return 0;
	case KVM_SET_CLOCK:
		if (fake.clock)
			return set_clock(fake.clock, clock);
		fake.clock_ns = clock->clock;
		note("clock ");
		return 0;
	default:
		fake.unknown++;
		return fail(ENOTTY, NULL, NULL);
	}
}

int fake_vcpu_ioctl(unsigned int index, unsigned long request, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	struct kvm_msrs *msrs = arg;

	switch (request) {
	case KVM_GET_MSRS:
		msrs->entries[0].data = (uint64_t)-5;
		if (msrs->entries[0].index == MSR_IA32_TSC)
			msrs->entries[0].data =
				scaled(__builtin_ia32_rdtsc()) +
				fake.offsets[index] + fake.tsc_apart[index];
		if (msrs->entries[0].index == MSR_IA32_TSC_DEADLINE)
			msrs->entries[0].data = fake.deadlines[index];
		return 1;
	case KVM_SET_MSRS:
		if (fake.deadline_stays || msrs->entries[0].index != MSR_IA32_TSC_DEADLINE)
			return 0;
		note("deadline%u=%" PRIx64 " ", index, (uint64_t)msrs->entries[0].data);
		return 1;
	case KVM_GET_VCPU_EVENTS:
		return get_events(index, arg);
	case KVM_GET_TSC_KHZ:
		return (int)fake.vcpu_khz[index];
	case KVM_SET_TSC_KHZ:
		fake.vcpu_khz[index] = (uint32_t)(uintptr_t)arg;
		note("khz%u=%u ", index, fake.vcpu_khz[index]);
		return 0;
	case KVM_GET_DEVICE_ATTR:
		if (fake.get_offset_errno[index])
			return fail(fake.get_offset_errno[index], NULL, NULL);
		memcpy((void *)(uintptr_t)attr->addr, &fake.offsets[index],
		       sizeof(uint64_t));
		return 0;
	case KVM_SET_DEVICE_ATTR:
		if (fake.set_offset_errno[index])
			return fail(fake.set_offset_errno[index], NULL, NULL);
		if (!fake.offset_stays[index])
			memcpy(&fake.offsets[index],
			       (void *)(uintptr_t)attr->addr, sizeof(uint64_t));
		note("offset%u=%" PRIx64 " ", index, fake.offsets[index]);
		return 0;
	default:
		fake.unknown++;
		return fail(ENOTTY, NULL, NULL);
	}
}
