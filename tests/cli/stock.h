/* SPDX-License-Identifier: GPL-2.0 */
/* The VM that the tests of the library without the module start with. */
#ifndef KCH_TESTS_CLI_STOCK_H
#define KCH_TESTS_CLI_STOCK_H

#include <stdlib.h>
#include <unistd.h>
#include <kvmclock-handover-stock.h>
#include "clock.h"
#include "fake.h"
#include "ktap.h"

#define OFFSET		0xfffffff000000000ULL
#define OLD_OFFSET	0x5555ULL
#define TSC_KHZ		2596124U
#define DELAY_NS	1700
#define HOST_CLOCK_PPB	239U	/* half of the last of 22 bits */
#define BUFFER_SIZE	1024
#define SAVED_OFFSETS	"offset0=fffffff000000000 offset1=fffffff000000000 clock "

static struct kch_handle *handle;
static struct fake_clock kvm_clock;
static const uint8_t uuid[KCH_UUID_SIZE] = { 1, 2, 3 };

/* struct pvclock_vcpu_time_info */
struct page {
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
	uint8_t pad[2];
};

static struct page pages[2];
static struct kch_stock_vcpu vcpus[] = {
	{ .vcpu_id = 0, .fd = FAKE_VCPU_FD, .pvclock = &pages[0] },
	{ .vcpu_id = 1, .fd = FAKE_VCPU_FD + 1, .pvclock = &pages[1] },
};

static const struct kch_vcpu_fd fds[] = {
	{ .vcpu_id = 1, .fd = FAKE_VCPU_FD + 1 },
	{ .vcpu_id = 0, .fd = FAKE_VCPU_FD },
};

static uint8_t buffer[BUFFER_SIZE];
static size_t size;

/* A VM of two vCPUs that has run for a while, with a master clock. */
static inline void set_up(void)
{
	unsigned int i;

	kch_close(handle);
	memset(&fake, 0, sizeof(fake));
	fake.machine = "11111111-1111-1111-1111-111111111111";
	memset(&kvm_clock, 0, sizeof(kvm_clock));
	fake.error_number = -1;
	fake.kvm_khz = TSC_KHZ;
	fake.vm_khz = TSC_KHZ;
	fake.clock = &kvm_clock;
	kvm_clock.master = true;
	kvm_clock.reference_cycles = __builtin_ia32_rdtsc() - 5000000000ULL;
	kvm_clock.reference_ns = 77000000123ULL;
	kvm_clock.delay_ns = DELAY_NS;
	for (i = 0; i < FAKE_VCPUS_MAX; i++) {
		fake.offsets[i] = OFFSET;
		fake.vcpu_khz[i] = TSC_KHZ;
	}
	for (i = 0; i < 2; i++) {
		pages[i] = (struct page){ .version = 8, .flags = 1 };
		pages[i].tsc_timestamp = kvm_clock.reference_cycles + OFFSET;
		pages[i].system_time = kvm_clock.reference_ns;
		kch_pvclock_pair(TSC_KHZ, &pages[i].mul, &pages[i].shift);
		vcpus[i].vcpu_id = i;
		vcpus[i].fd = FAKE_VCPU_FD + (int)i;
		vcpus[i].pvclock = &pages[i];
	}
	size = sizeof(buffer);
	handle = kch_open_stock();
	if (!handle)
		abort();
}

#define check_err(call, expected) \
	do { \
		int err_ = (call); \
		ktap_check(err_ == -(expected), "%d (%s), expected %d", err_, \
			   kch_last_message(handle), -(expected)); \
		ktap_check(!(expected) || errno == (expected), "errno %d", errno); \
		ktap_check(!(expected) == !kch_last_message(handle)[0], \
			   "message: '%s'", kch_last_message(handle)); \
	} while (0)

static inline int save(void)
{
	size = sizeof(buffer);
	return kch_stock_save(handle, FAKE_VM_FD, vcpus, 2, uuid, "web1", buffer,
			      &size);
}

/* So long by the simulated TSC: it counts this machine's cycles, and takes them for TSC_KHZ. */
static inline void pass_ms(unsigned int ms)
{
	uint64_t since = __builtin_ia32_rdtsc();

	while (kch_cycles_to_ns(__builtin_ia32_rdtsc() - since, TSC_KHZ) < ms * 1000000ULL)
		usleep(1000);
}

/* The same VM as a new one: other offsets, another clock, another frequency. */
static inline void saved_and_new(uint32_t new_khz)
{
	set_up();
	if (save())
		abort();
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	fake.kvm_khz = new_khz;
	kvm_clock.reference_cycles = __builtin_ia32_rdtsc();
	kvm_clock.reference_ns = 1000;
}

static inline int restore(const struct kch_restore_opts *opts,
			  struct kch_restore_result *result)
{
	return kch_stock_restore(handle, FAKE_VM_FD, fds, 2, buffer, size, opts,
				 result);
}

static inline void check_unchanged(void)
{
	ktap_check(fake.offsets[0] == OLD_OFFSET, "%#lx", fake.offsets[0]);
	ktap_check(fake.offsets[1] == OLD_OFFSET, "%#lx", fake.offsets[1]);
}

/* What vCPU 0's guest had, and has, at one host TSC. */
static inline int64_t true_error_ns(uint64_t host_tsc)
{
	uint32_t mul;
	int8_t shift;

	kch_pvclock_pair(fake.kvm_khz, &mul, &shift);
	return (int64_t)(kch_pvclock_ns(kvm_clock.reference_cycles,
					kvm_clock.reference_ns, mul, shift,
					host_tsc) -
			 kch_pvclock_ns(pages[0].tsc_timestamp,
					pages[0].system_time, pages[0].mul,
					pages[0].shift, host_tsc + OFFSET));
}

#endif /* KCH_TESTS_CLI_STOCK_H */
