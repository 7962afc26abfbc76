// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>

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

static FILE *open_parameter(const char *parameter, const char *mode)
{
	char name[80];
	FILE *file;

	snprintf(name, sizeof(name), "/sys/module/" FAULT_MODULE "/parameters/%s", parameter);
	file = fopen(name, mode);
	if (!file)
		die("%s: %s", name, errno_name(errno));
	return file;
}

int fault_get(const char *parameter)
{
	FILE *file = open_parameter(parameter, "r");
	int value;

	if (fscanf(file, "%d", &value) != 1)
		die(FAULT_MODULE ": %s cannot be read", parameter);
	fclose(file);
	return value;
}

void fault_set(const char *parameter, int value)
{
	FILE *file = open_parameter(parameter, "w");

	if (fprintf(file, "%d", value) < 0 || fclose(file))
		die(FAULT_MODULE ": %s cannot be written", parameter);
}
