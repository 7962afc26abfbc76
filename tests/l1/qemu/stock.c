// SPDX-License-Identifier: GPL-2.0
/*
 * What a VMM can do without us, preloaded to QEMU for comparison: it saves TSC
 * offsets and KVM's clock with the wall clock's time, and restores the offsets
 * and, with KVM_CLOCK_REALTIME, the clock.  All of it in KCH_STOCK_FILE: written
 * whenever the VMM reads the clock of a VM that has run, read at the first
 * KVM_RUN if it is there by then.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload.h"

#define VCPUS_MAX 16

struct saved {
	uint32_t vcpu_count;
	uint64_t offsets[VCPUS_MAX];
	struct kvm_clock_data clock;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int vm_fd = -1, vcpu_fds[VCPUS_MAX];
static uint32_t vcpu_count;
static int has_run;

static int offset_ioctl(int fd, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return real_ioctl(fd, request, &attr);
}

static void save(const struct kvm_clock_data *clock)
{
	struct saved saved = { .vcpu_count = vcpu_count, .clock = *clock };
	const char *path = getenv("KCH_STOCK_FILE");
	uint32_t i;
	int fd;

	for (i = 0; i < vcpu_count; i++)
		if (offset_ioctl(vcpu_fds[i], KVM_GET_DEVICE_ATTR,
				 &saved.offsets[i]))
			perror("stock: TSC offset");
	fd = open(path ? path : "", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, &saved, sizeof(saved)) != sizeof(saved))
		perror("stock: not saved");
	close(fd);
}

static void restore(void)
{
	const char *path = getenv("KCH_STOCK_FILE");
	struct saved saved;
	uint32_t i;
	int fd;

	fd = open(path ? path : "", O_RDONLY);
	if (fd < 0)
		return;
	if (read(fd, &saved, sizeof(saved)) != sizeof(saved) ||
	    saved.vcpu_count != vcpu_count)
		abort();
	close(fd);
	for (i = 0; i < vcpu_count; i++)
		if (offset_ioctl(vcpu_fds[i], KVM_SET_DEVICE_ATTR,
				 &saved.offsets[i]))
			perror("stock: TSC offset");
	saved.clock.flags &= KVM_CLOCK_REALTIME;
	if (real_ioctl(vm_fd, KVM_SET_CLOCK, &saved.clock))
		perror("stock: KVM_SET_CLOCK");
}

int qemu_ioctl(int fd, uint32_t request, void *arg)
{
	int result;

	if (request == KVM_RUN) {
		pthread_mutex_lock(&lock);
		if (!has_run)
			restore();
		has_run = 1;
		pthread_mutex_unlock(&lock);
	}
	result = real_ioctl(fd, request, arg);
	if (result < 0)
		return result;
	if (request == KVM_CREATE_VM)
		vm_fd = result;
	else if (request == KVM_CREATE_VCPU && vcpu_count < VCPUS_MAX)
		vcpu_fds[vcpu_count++] = result;
	else if (request == KVM_GET_CLOCK && fd == vm_fd && has_run)
		save(arg);
	return result;
}
