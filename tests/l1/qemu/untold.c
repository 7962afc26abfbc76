// SPDX-License-Identifier: GPL-2.0
/* Preloaded to QEMU: a VMM that does not tell its guest that it was stopped. */
#include <linux/kvm.h>

#include "preload.h"

int qemu_ioctl(int fd, uint32_t request, void *arg)
{
	return request == KVM_KVMCLOCK_CTRL ? 0 : real_ioctl(fd, request, arg);
}
