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
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>

#include "preload.h"

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

int qemu_ioctl(int fd, uint32_t request, void *arg)
{
	int result = real_ioctl(fd, request, arg);
	struct kvm_clock_data now;

	if (!result && request == KVM_GET_CLOCK)
		say("got", arg, 0);
	if (!result && request == KVM_SET_CLOCK && !real_ioctl(fd, KVM_GET_CLOCK, &now))
		say("set", &now, now.clock - ((struct kvm_clock_data *)arg)->clock);
	return result;
}
