// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "device.h"
#include "fault.h"

void fault_insert(const char *parameters, int expected)
{
	int err = module_insert(FAULT_MODULE, parameters);

	if (err == ENOENT)
		die("no " FAULT_MODULE ".ko here: make -C tests/l1/errno");
	if (err != expected)
		die(FAULT_MODULE " %s: %s", parameters, errno_name(err));
}

void fault_remove(void)
{
	int err = module_remove(FAULT_MODULE);

	if (err)
		die("removing " FAULT_MODULE ": %s", errno_name(err));
}

#define CLOCKSOURCE	"/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define COMMAND_LINE	"/proc/cmdline"

/*
 * Calibration is over before a program can run here, and there is no other
 * clocksource to switch to; so the kernel is made to say something else: to the
 * module where clocksources have numbers, else in the file that it reads (true).
 */
bool pretend_clocksource(const char *parameter, const char *line)
{
	static const char name[] = "/run/clocksource";
	int fd, err = module_insert(FAULT_MODULE, parameter);

	if (err && err != EOPNOTSUPP)
		die(FAULT_MODULE " %s: %s", parameter, errno_name(err));
	/* Nor is it a host whose frequency is pinned. */
	if (mount("/dev/null", COMMAND_LINE, NULL, MS_BIND, NULL))
		die(COMMAND_LINE ": %s", strerror(errno));
	if (!err)
		return false;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		die("%s cannot be written", name);
	close(fd);
	if (mount(name, CLOCKSOURCE, NULL, MS_BIND, NULL))
		die("mounting %s: %s", name, strerror(errno));
	return true;
}

void pretend_no_longer(void)
{
	if (umount(COMMAND_LINE) || (module_remove(FAULT_MODULE) && umount(CLOCKSOURCE)))
		die("the clocksource cannot be put right");
}
