// SPDX-License-Identifier: GPL-2.0
/* Preloaded to QEMU: a VMM that does not tell its guest that it was stopped. */
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int fd, unsigned long request, ...);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return (uint32_t)request == KVM_KVMCLOCK_CTRL ? 0 : real(fd, request, arg);
}
