// SPDX-License-Identifier: GPL-2.0
/*
 * A region that is as large, and as full, as one can be: loaded, carried on, loaded again,
 * and with every entry damaged.  Times are printed; of the kernel's log, a few lines are allowed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"

/* As the command line of the case has it. */
#define LARGE_START	0x20000000
#define LARGE_SIZE	(64 << 20)
#define FIRST_ID	0x1000
#define VMS		65000
#define VCPUS		5
#define LINES_MAX	40

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* What took so long, and what the kernel said meanwhile. */
static void took(const char *what, double begun_s)
{
	double s = now_s() - begun_s;
	unsigned int lines = kernel_said("");

	printf("# condition: %s: %.2f s, %u lines of the kernel's log\n", what, s, lines);
	check(lines <= LINES_MAX, "%s: %u lines of the kernel's log", what, lines);
}

/* @spoil: is xor'ed to each entry's checksum. */
static void fill(struct kch_rec_header *header, const struct kch_rec_vm *model, uint32_t spoil)
{
	const size_t size = kch_rec_entry_size(VCPUS), slot_size = kch_slot_size(region_size);
	uint8_t *entries = malloc(VMS * size), *slot = malloc(slot_size), *at = entries;
	uint32_t i;

	if (!entries || !slot)
		die("no memory");
	for (i = 0; i < VMS; i++, at += size) {
		struct kch_rec_vm *vm = (void *)at;

		memcpy(at, model, size);
		set_uuid(vm->uuid, FIRST_ID + i);
		kch_rec_entry_close(vm);
		vm->crc32c ^= spoil;
	}
	if (kch_record_write(slot, slot_size, header, entries, VMS * size, VMS))
		die("too much for a slot");
	region_clear();
	region_write(slot, sizeof(*header) + VMS * size, 0);
	free(entries);
	free(slot);
}

static void is_there(const char *what, uint32_t vms, uint32_t outgoing)
{
	struct kch_info info;

	device_info(&info);
	check(info.incoming_vms == vms && info.outgoing_vms == outgoing,
	      "%s: %u VMs came, %u are for the next kernel", what, info.incoming_vms,
	      info.outgoing_vms);
}

void test_large(void)
{
	const uint64_t start_before = region_start;
	const size_t size_before = region_size;
	static struct forged forged;
	struct kch_restore arg;
	static struct vm vm;
	double begun_s;
	int err;

	region_start = LARGE_START;
	region_size = LARGE_SIZE;
	vm_create_ready(&vm, VCPUS, SCENE_OFFSET);
	region_clear();
	module_load();
	forge_begin(&forged);
	forge_add(&forged, &vm, 1);
	module_unload();
	fill(&forged.header, forge_entry(&forged), 0);
	kernel_said("");

	begun_s = now_s();
	module_load();
	took("load", begun_s);
	is_there("load", VMS, 0);
	begun_s = now_s();
	err = restore(&vm, FIRST_ID + VMS / 2, 0, &arg);
	check(!err, "RESTORE: %s (%s)", errno_name(err), arg.message);
	took("restore of one of them", begun_s);
	begun_s = now_s();
	fault_insert("seal=1", ECANCELED);
	took("carry on and seal", begun_s);
	module_unload();
	kernel_said("");
	/* Of this boot, as it seems: of VMs that are not here any more. */
	begun_s = now_s();
	module_load();
	took("load of a record of this boot", begun_s);
	is_there("load again", 0, VMS - 1);
	module_unload();

	fill(&forged.header, forge_entry(&forged), 5);
	kernel_said("");
	begun_s = now_s();
	module_load();
	took("load of damaged entries", begun_s);
	is_there("load of damaged entries", VMS, 0);
	module_unload();
	region_clear();
	vm_destroy(&vm);
	region_start = start_before;
	region_size = size_before;
}
