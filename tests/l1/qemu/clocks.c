// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded to QEMU: says when KVM's clock was what QEMU reads of it, and sets it to.
 * KCH_CLOCKS_FILE has a line for each, with the host's TSC:
 *
 *	got TSC
 *	set TSC
 *
 * What was set is read at once, and counted back: that is exact, as KVM has taken a
 * reference just now.  Without a master clock nothing is said.
 */
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int (*real)(int fd, unsigned long request, ...);

static void say(const char *what, const struct kvm_clock_data *clock, double ns)
{
	const char *path = getenv("KCH_CLOCKS_FILE"), *khz = getenv("KCH_KVM_KHZ");
	FILE *file;

	if (!(clock->flags & KVM_CLOCK_HOST_TSC))
		return;
	file = path && khz ? fopen(path, "a") : NULL;
	if (!file)
		abort();
	fprintf(file, "%s %.0f\n", what, clock->host_tsc - ns * atof(khz) / 1e6);
	fclose(file);
}

int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_clock_data now;
	va_list args;
	void *arg;
	int result;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	result = real(fd, request, arg);
	if (!result && (uint32_t)request == KVM_GET_CLOCK)
		say("got", arg, 0);
	if (!result && (uint32_t)request == KVM_SET_CLOCK && !real(fd, KVM_GET_CLOCK, &now))
		say("set", &now, now.clock - ((struct kvm_clock_data *)arg)->clock);
	return result;
}
