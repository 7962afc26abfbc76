// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <x86intrin.h>

#include <kvmclock-handover.h>

#include "units.h"

static struct kch_handle *library;

void units_open(void)
{
	library = kch_open(NULL);
	if (!library)
		die("kch_open: %s", errno_name(errno));
}

void units_close(void)
{
	kch_close(library);
	library = NULL;
}

static uint64_t now(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

double unit_kvm_save(const struct vm *vm)
{
	struct kvm_clock_data clock;
	uint64_t start, offset, end;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};
	int failed;
	uint32_t i;

	start = now();
	failed = ioctl(vm->fd, KVM_GET_CLOCK, &clock);
	for (i = 0; i < vm->vcpus; i++)
		failed |= ioctl(vm->vcpu[i], KVM_GET_DEVICE_ATTR, &attr);
	end = now();
	if (failed)
		die("KVM_GET_CLOCK, KVM_VCPU_TSC_OFFSET: %s", errno_name(errno));
	return end - start;
}

double unit_kvm_restore(const struct vm *vm)
{
	struct kvm_clock_data clock = { .clock = 1000000000 };
	uint64_t start, offset = BENCH_OFFSET, end;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};
	int failed = 0;
	uint32_t i;

	start = now();
	for (i = 0; i < vm->vcpus; i++)
		failed |= ioctl(vm->vcpu[i], KVM_SET_DEVICE_ATTR, &attr);
	failed |= ioctl(vm->fd, KVM_SET_CLOCK, &clock);
	end = now();
	if (failed)
		die("KVM_SET_CLOCK, KVM_VCPU_TSC_OFFSET: %s", errno_name(errno));
	return end - start;
}

static double timed(unsigned int cmd, void *arg, int expected, const char *message)
{
	uint64_t start = now(), end;
	int found = device_call(cmd, arg);

	end = now();
	if (found != expected)
		die("%s: %s: %s", kch_call_of(cmd)->name, errno_name(found),
		    message);
	return end - start;
}

double unit_preserve(const struct vm *vm, uint32_t id)
{
	struct kch_preserve arg = {
		.size = sizeof(arg), .vm_fd = vm->fd, .name = "bench",
	};

	set_uuid(arg.uuid, id);
	return timed(KCH_IOC_PRESERVE, &arg, 0, arg.message);
}

static double restore_with(const struct vm *vm, uint32_t id, uint32_t flags)
{
	struct kch_restore arg = {
		.size = sizeof(arg), .flags = flags, .vm_fd = vm->fd,
		.mode = KCH_MODE_IDENTICAL,
	};

	set_uuid(arg.uuid, id);
	return timed(KCH_IOC_RESTORE, &arg, 0, arg.message);
}

double unit_restore(const struct vm *vm, uint32_t id)
{
	return restore_with(vm, id, 0);
}

double unit_restore_check(const struct vm *vm, uint32_t id)
{
	return restore_with(vm, id, KCH_RESTORE_CHECK);
}

double unit_names(const struct vm *vm)
{
	char path[64], name[64];
	uint64_t start = now(), end;
	int failed = 0;
	uint32_t i;

	for (i = 0; i < vm->vcpus; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", vm->vcpu[i]);
		failed |= readlink(path, name, sizeof(name)) < 0;
	}
	end = now();
	if (failed)
		die("/proc/self/fd: %s", errno_name(errno));
	return end - start;
}

double unit_library_restore(const struct vm *vm, uint32_t id)
{
	struct kch_vcpu_fd vcpus[VM_VCPUS_MAX];
	uint8_t uuid[KCH_UUID_SIZE];
	uint64_t start, end;
	uint32_t i;
	int err;

	for (i = 0; i < vm->vcpus; i++) {
		vcpus[i].vcpu_id = i;
		vcpus[i].fd = vm->vcpu[i];
	}
	set_uuid(uuid, id);
	start = now();
	err = kch_vm_restore(library, vm->fd, vcpus, vm->vcpus, uuid, NULL, NULL);
	end = now();
	if (err)
		die("kch_vm_restore: %s: %s", errno_name(-err),
		    kch_last_message(library));
	return end - start;
}

double unit_refused(const struct vm *vm)
{
	struct kch_preserve arg = {
		.size = sizeof(arg), .vm_fd = vm->fd, .flags = ~0U,
	};

	return timed(KCH_IOC_PRESERVE, &arg, EINVAL, arg.message);
}

double unit_read(const struct vm *vm)
{
	static char buffer[sizeof(struct kch_rec_vm) +
			   VM_VCPUS_MAX * sizeof(struct kch_rec_vcpu)];
	struct kch_read arg = {
		.size = sizeof(arg), .vm_fd = vm->fd,
		.buffer = (uintptr_t)buffer, .buffer_size = sizeof(buffer),
	};

	return timed(KCH_IOC_READ, &arg, 0, arg.message);
}
