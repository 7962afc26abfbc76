// SPDX-License-Identifier: GPL-2.0
/* The ioctl() that QEMU calls when a library of this folder is preloaded. */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "preload.h"

int (*real_ioctl)(int fd, unsigned long request, ...);

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!real_ioctl)
		real_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return qemu_ioctl(fd, (uint32_t)request, arg);
}
