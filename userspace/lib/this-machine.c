// SPDX-License-Identifier: LGPL-2.1-or-later
/* This machine, as the module would tell it. */
#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>
#include "stock.h"

#define PRODUCT_UUID_FILE	"/sys/class/dmi/id/product_uuid"
/* Of so many readings of two clocks the one that took the shortest is taken. */
#define BRACKETS		16

/* All zero where there is none, or it cannot be read: then so it was before. */
static void machine_id(uint8_t id[16])
{
	char line[KCH_UUID_TEXT_SIZE] = "";
	FILE *file = fopen(PRODUCT_UUID_FILE, "re");

	memset(id, 0, 16);
	if (!file)
		return;
	if (fgets(line, sizeof(line), file) && kch_uuid_parse(line, id))
		memset(id, 0, 16);
	fclose(file);
}

static void cpu(struct kch_machine *machine)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
	memcpy(machine->cpu_vendor, &b, sizeof(machine->cpu_vendor));
	__cpuid(1, a, b, c, d);
	machine->cpu_signature = a;
}

static void instant(struct kch_machine *machine)
{
	uint64_t narrowest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < BRACKETS; i++) {
		struct timespec now;
		uint64_t before = __rdtsc(), after;

		clock_gettime(CLOCK_REALTIME, &now);
		after = __rdtsc();
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		machine->host_tsc = before + narrowest / 2;
		machine->realtime_ns = (uint64_t)now.tv_sec * 1000000000 +
				       (uint64_t)now.tv_nsec;
	}
}

void kch_this_machine(struct kch_machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	machine_id(machine->id);
	cpu(machine);
	instant(machine);
}
