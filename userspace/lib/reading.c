// SPDX-License-Identifier: LGPL-2.1-or-later
/* What KVM itself says: its clock of a VM, and the frequency it believes in. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <unistd.h>
#include <x86intrin.h>
#include "converge.h"

#define CLOCKSOURCE_FILE \
	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

/* Of so many bracketed readings the one that took the shortest is taken. */
#define BRACKETS		16

/*
 * Of the clocksources that are not the TSC the ACPI timer has the fewest ticks, of
 * 3.579545 MHz, but for the jiffies, which are for machines without any.
 */
#define OTHER_TICK_NS		280

static uint64_t host_tsc(void)
{
	_mm_lfence();
	return __rdtsc();
}

/*
 * Without a master clock KVM does not tell a host TSC with its clock: the
 * reading was at some instant between two of ours.
 */
static int read_between(int vm_fd, uint32_t host_khz, struct kch_reading *reading)
{
	uint64_t narrowest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < BRACKETS; i++) {
		struct kvm_clock_data clock = {};
		uint64_t before = host_tsc(), after;

		if (kch_call(vm_fd, KVM_GET_CLOCK, &clock) < 0)
			return -errno;
		after = host_tsc();
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		reading->host_tsc = before + narrowest / 2;
		reading->clock_ns = clock.clock;
	}
	/*
	 * Half of it to either side, and what the halving and this round off; and
	 * KVM's clock stands still between two ticks of the clocksource.
	 */
	reading->slack_ns = kch_cycles_to_ns(narrowest / 2 + 1, host_khz) + 1 +
			    (kch_tsc_settled() ? 0 : OTHER_TICK_NS);
	return 0;
}

int kch_fail_clock(struct kch_handle *handle, int vm_fd, int err)
{
	switch (err) {
	case -EBADF:
		return kch_fail(handle, err, "%d is not an open file", vm_fd);
	case -ENOTTY:
	case -EINVAL:
		return kch_fail(handle, -EBADFD,
				"file descriptor %d is not a KVM virtual machine",
				vm_fd);
	default:
		return kch_fail(handle, err, "KVM_GET_CLOCK: %s",
				err == -EIO ? "the VM was not made by this process, or is dead" :
					      strerror(-err));
	}
}

int kch_read_clock(struct kch_handle *handle, int vm_fd, uint32_t host_khz,
		   struct kch_reading *reading)
{
	const uint32_t needed = KVM_CLOCK_HOST_TSC | KVM_CLOCK_REALTIME;
	struct kvm_clock_data clock = {};
	int err = 0;

	*reading = (struct kch_reading){};
	if (kch_call(vm_fd, KVM_GET_CLOCK, &clock) < 0)
		err = -errno;
	if (!err && (clock.flags & needed) == needed) {
		reading->clock_ns = clock.clock;
		reading->host_tsc = clock.host_tsc;
		reading->realtime_ns = clock.realtime;
		reading->at_once = true;
		return 0;
	}
	if (!err)
		err = read_between(vm_fd, host_khz, reading);
	return err ? kch_fail_clock(handle, vm_fd, err) : 0;
}

/*
 * A VM that nobody has set a frequency for has KVM's own.
 */
static uint32_t ask_scratch_vm(void)
{
	int kvm, vm, khz = -1;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return 0;
	vm = kch_call(kvm, KVM_CREATE_VM, NULL);
	if (vm >= 0) {
		khz = kch_call(vm, KVM_GET_TSC_KHZ, NULL);
		close(vm);
	}
	close(kvm);
	return khz > 0 ? (uint32_t)khz : 0;
}

/*
 * "tsc" is registered when refinement has ended, with or without a result; until
 * then, and for another clocksource, the name is another.
 */
bool kch_tsc_settled(void)
{
	char name[8] = "";
	ssize_t length = -1;
	int fd = open(CLOCKSOURCE_FILE, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		length = read(fd, name, sizeof(name) - 1);
		close(fd);
	}
	return length > 0 && !strcmp(name, "tsc\n");
}

int kch_kvm_khz(struct kch_handle *handle, uint32_t *khz)
{
	struct kch_info info = { .size = sizeof(info) };
	int err;

	*khz = 0;
	if (handle->fd >= 0) {
		err = kch_info(handle, &info);
		if (err)
			return err;
		*khz = info.kvm_tsc_khz;
	}
	if (!*khz)
		*khz = ask_scratch_vm();
	if (!*khz)
		return kch_fail(handle, -ENXIO,
				"the frequency KVM computes clocks from cannot be asked: no VM can be made with /dev/kvm");
	return 0;
}
