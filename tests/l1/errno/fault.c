// SPDX-License-Identifier: GPL-2.0
#include <errno.h>

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
