// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "condition.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

static void id_none(struct attempt *a)
{
	set_uuid(a->cmd == KCH_IOC_PRESERVE ? a->arg.preserve.uuid :
		 a->cmd == KCH_IOC_UNPRESERVE ? a->arg.unpreserve.uuid :
						a->arg.get.uuid, 0);
}

static void id_unknown(struct attempt *a)
{
	set_uuid(a->cmd == KCH_IOC_UNPRESERVE ? a->arg.unpreserve.uuid :
						a->arg.get.uuid, ID_UNKNOWN);
}

static void id_taken(struct attempt *a)
{
	set_uuid(a->arg.preserve.uuid, ID_KEPT);
}

static void vm_taken(struct attempt *a)
{
	a->arg.preserve.vm_fd = scene.kept.fd;
}

static void both_taken(struct attempt *a)
{
	id_taken(a);
	vm_taken(a);
}

static void name_endless(struct attempt *a)
{
	memset(a->arg.preserve.name, 'x', sizeof(a->arg.preserve.name));
}

static void read_only_entries(struct attempt *a)
{
	static const char constant[4096];

	a->arg.list.entries = (uintptr_t)constant;
}

static void read_only_buffer(struct attempt *a)
{
	static const char constant[4096];

	a->arg.get.buffer = (uintptr_t)constant;
}

static void incoming_unknown(struct attempt *a)
{
	a->arg.get.which = KCH_INCOMING;
	id_unknown(a);
}

static void incoming_saved(struct attempt *a)
{
	a->arg.get.which = KCH_INCOMING;
	set_uuid(a->arg.get.uuid, ID_SAVED);
}

static void incoming_no_room(struct attempt *a)
{
	incoming_saved(a);
	a->arg.get.buffer_size = 319;
}

static const struct condition outgoing[] = {
	{ KCH_IOC_PRESERVE, "id all zero", id_none, .expected = EINVAL,
	  .message = "id" },
	{ KCH_IOC_PRESERVE, "name without end", name_endless, .expected = EINVAL,
	  .message = "name" },
	{ KCH_IOC_PRESERVE, "id in the record already", id_taken,
	  .expected = EEXIST, .message = "preserved already (vm-11)" },
	{ KCH_IOC_PRESERVE, "VM in the record already", vm_taken,
	  .expected = ENOTUNIQ,
	  .message = "as 11111111-1111-1111-1111-111111111111 (vm-11)" },
	{ KCH_IOC_PRESERVE, "the same again", both_taken,
	  .expected = EEXIST, .message = "preserved already (vm-11)" },

	{ KCH_IOC_UNPRESERVE, "unknown id", id_unknown, .expected = ENOENT,
	  .message = "77777777-7777-7777-7777-777777777777" },
	{ KCH_IOC_UNPRESERVE, "id all zero", id_none, .expected = ENOENT,
	  .message = "00000000-0000-0000-0000-000000000000" },

	{ KCH_IOC_LIST, "no such record", SET(kch_list, which, 2),
	  .expected = EINVAL, .message = "record 2" },
	{ KCH_IOC_LIST, "entries too small", SET(kch_list, entry_size, 95),
	  .expected = EINVAL, .message = "95 bytes" },
	{ KCH_IOC_LIST, "entries too large", SET(kch_list, entry_size, 104),
	  .expected = EINVAL, .message = "104 bytes" },
	{ KCH_IOC_LIST, "no room", SET(kch_list, count, 0),
	  .expected = ENOBUFS, .message = "room for 0 entries, the record has 1" },
	{ KCH_IOC_LIST, "entries at 0", SET(kch_list, entries, 0),
	  .expected = EFAULT, .message = "entries" },
	{ KCH_IOC_LIST, "entries in kernel memory",
	  SET(kch_list, entries, 0xffffffff81000000ULL),
	  .expected = EFAULT, .message = "entries" },
	{ KCH_IOC_LIST, "read-only entries", read_only_entries,
	  .expected = EFAULT, .message = "entries" },

	{ KCH_IOC_GET, "no such record", SET(kch_get, which, ~0U),
	  .expected = EINVAL, .message = "record 4294967295" },
	{ KCH_IOC_GET, "unknown id", id_unknown, .expected = ENOENT,
	  .message = "77777777-7777-7777-7777-777777777777" },
	{ KCH_IOC_GET, "unknown id, incoming", incoming_unknown,
	  .expected = ENOENT, .message = "among the 1 in the record" },
	{ KCH_IOC_GET, "no room", SET(kch_get, buffer_size, 0),
	  .expected = ENOBUFS, .message = "buffer of 0 bytes, 256 are needed" },
	{ KCH_IOC_GET, "room one byte too small", SET(kch_get, buffer_size, 255),
	  .expected = ENOBUFS, .message = "256 are needed" },
	{ KCH_IOC_GET, "no room, incoming", incoming_no_room,
	  .expected = ENOBUFS, .message = "buffer of 319 bytes, 320 are needed" },
	{ KCH_IOC_GET, "buffer at 0", SET(kch_get, buffer, 0),
	  .expected = EFAULT, .message = "buffer" },
	{ KCH_IOC_GET, "read-only buffer", read_only_buffer,
	  .expected = EFAULT, .message = "buffer" },
	{ KCH_IOC_GET, "room just enough", SET(kch_get, buffer_size, 256),
	  .message = "" },
	{ KCH_IOC_GET, "incoming", incoming_saved, .message = "" },
	{ KCH_IOC_GET, "header", id_none, .message = "" },
};

/* PRESERVE, LIST, GET and UNPRESERVE tell one story. */
static void there_and_back(void)
{
	struct kch_rec_vcpu *vcpus;
	struct kch_preserve arg;
	struct kch_entry entries[4];
	struct kch_rec_header header;
	struct kch_rec_vm *entry;
	uint64_t buffer[128];
	uint32_t count = 4, size = sizeof(buffer);
	struct kch_info info;

	entry = (void *)buffer;
	vcpus = (void *)(entry + 1);
	check(!preserve(&scene.vm, ID_NEW, &arg), "%s", arg.message);
	device_info(&info);
	check(arg.needed == 320 + 256 + 320 && info.outgoing_used == arg.needed,
	      "needed: %llu bytes, used: %llu", arg.needed,
	      info.outgoing_used);
	check(arg.capacity == region_size / 2 &&
	      info.outgoing_capacity == arg.capacity,
	      "capacity: %llu bytes, INFO has %llu", arg.capacity,
	      info.outgoing_capacity);
	check(info.outgoing_vms == 2 && info.incoming_vms == 1 &&
	      !info.restored_vms && info.generation == 8,
	      "INFO: %u outgoing, %u incoming, %u restored, generation %llu",
	      info.outgoing_vms, info.incoming_vms, info.restored_vms,
	      info.generation);
	check(info.flags == (KCH_INFO_INCOMING | KCH_INFO_SEALED |
			     KCH_INFO_EVIDENCE | KCH_INFO_SELFCHECKED) &&
	      !info.incoming_error && !info.selfcheck_error &&
	      !strncmp(info.message, "backend: ", 9),
	      "INFO: flags %#x, errors %d and %d, %s", info.flags,
	      info.incoming_error, info.selfcheck_error, info.message);
	check(info.abi_version == KCH_ABI_VERSION &&
	      info.modes == 1U << KCH_MODE_IDENTICAL &&
	      info.backend == KCH_BACKEND_RANGE &&
	      info.tsc_source >= KCH_TSC_SETTLED && info.tsc_khz &&
	      info.kvm_tsc_khz && info.region_start == region_start &&
	      info.region_size == region_size,
	      "INFO: ABI %u, modes %#x, backend %u, TSC %u %u kHz, KVM %u kHz, region %#llx %llu",
	      info.abi_version, info.modes, info.backend, info.tsc_source,
	      info.tsc_khz, info.kvm_tsc_khz, info.region_start,
	      info.region_size);

	check(!list(KCH_OUTGOING, entries, &count) && count == 2,
	      "%u VMs listed", count);
	check(entries[0].uuid[5] == ID_KEPT && entries[1].uuid[5] == ID_NEW &&
	      !strcmp(entries[1].name, "vm-22") &&
	      entries[1].flags == KCH_ENTRY_LIVE &&
	      entries[1].vcpu_count == 2 && entries[1].bytes == 320 &&
	      entries[1].pid == getpid(),
	      "%s: flags %#x, %u vCPUs, %u bytes, process %d",
	      entries[1].name, entries[1].flags, entries[1].vcpu_count,
	      entries[1].bytes, entries[1].pid);
	check(!get(KCH_OUTGOING, ID_NEW, buffer, &size) && size == 320,
	      "%u bytes", size);
	check(entry->tsc_scaling_frac_bits && entry->vcpu_count == 2 &&
	      entry->flags & KCH_VM_MASTER_CLOCK &&
	      entry->default_tsc_khz == info.kvm_tsc_khz,
	      "%u fraction bits, %u vCPUs, flags %#x, %u kHz",
	      entry->tsc_scaling_frac_bits, entry->vcpu_count, entry->flags,
	      entry->default_tsc_khz);
	check(vcpus[0].tsc_offset == SCENE_OFFSET && vcpus[1].vcpu_id == 1 &&
	      vcpus[1].tsc_offset == SCENE_OFFSET &&
	      vcpus[1].flags & KCH_VCPU_PAIR_VALID &&
	      vcpus[1].tsc_to_system_mul,
	      "offset %lld, mul %u", (long long)vcpus[1].tsc_offset,
	      vcpus[1].tsc_to_system_mul);
	size = sizeof(header);
	check(!get(KCH_OUTGOING, 0, &header, &size) && size == sizeof(header),
	      "%u bytes of header", size);
	check(header.vm_count == 2 && header.total_size == 896 &&
	      header.generation == 8 && header.sequence == 1002 &&
	      !header.flags && header.tsc_khz == info.tsc_khz &&
	      header.kvm_tsc_khz == info.kvm_tsc_khz,
	      "%u VMs, %llu bytes, generation %llu, sequence %llu, flags %#x",
	      header.vm_count, header.total_size, header.generation,
	      header.sequence, header.flags);

	check(!unpreserve(ID_NEW), "unpreserving");
	count = 4;
	check(!list(KCH_OUTGOING, entries, &count) && count == 1,
	      "%u VMs left", count);
	check(unpreserve(ID_NEW) == ENOENT, "twice unpreserved");
}

void test_outgoing(void)
{
	struct kch_preserve arg;

	scene_begin();
	conditions_run(outgoing, sizeof(outgoing) / sizeof(outgoing[0]));
	there_and_back();
	/* A VM that runs is preserved like any other. */
	vm_start(&scene.spare, 0);
	check(!preserve(&scene.spare, ID_NEW, &arg), "running VM: %s",
	      arg.message);
	vm_stop(&scene.spare);
	scene_end();
}

/* A page: two slots of 2048 bytes. */
#define SMALL_REGION	4096
#define SMALL_VMS	6	/* of one vCPU: 320 + 6 * 256 <= 2048 < 320 + 7 * 256 */

static const struct condition full[] = {
	{ KCH_IOC_PRESERVE, "one VM too many", .expected = ENOSPC,
	  .message = "2176 bytes with this VM, a slot of the region has 2048" },
};

static const struct condition full_of_one[] = {
	{ KCH_IOC_PRESERVE, "one VM with too many vCPUs", .expected = ENOSPC,
	  .message = "2112 bytes with this VM, a slot of the region has 2048" },
};

void test_full(void)
{
	static struct vm small[SMALL_VMS];
	size_t size_before = region_size;
	struct kch_preserve arg;
	unsigned int i;

	region_clear();
	region_size = SMALL_REGION;
	condition_base = scene_base;
	module_load();

	vm_create_ready(&scene.vm, 25, SCENE_OFFSET);
	snapshot_watch(&scene.vm);
	conditions_run(full_of_one, 1);
	check(preserve(&scene.vm, ID_NEW, &arg) == ENOSPC &&
	      arg.needed == 2112 && arg.capacity == 2048,
	      "needed %llu of %llu", arg.needed, arg.capacity);
	vm_destroy(&scene.vm);

	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	for (i = 0; i < SMALL_VMS; i++) {
		vm_create_ready(&small[i], 1, SCENE_OFFSET + i);
		snapshot_watch(&small[i]);
		check(!preserve(&small[i], 0x80 + i, &arg) &&
		      arg.needed == 320 + 256 * (i + 1), "VM %u: %s, %llu bytes",
		      i, arg.message, arg.needed);
	}
	conditions_run(full, 1);
	check(preserve(&scene.vm, ID_NEW, &arg) == ENOSPC &&
	      arg.needed == 2176 && arg.capacity == 2048,
	      "needed %llu of %llu", arg.needed, arg.capacity);
	/* The room of those that go is there for others. */
	check(!unpreserve(0x80) && !preserve(&scene.vm, ID_NEW, &arg),
	      "a VM in the place of another: %s", arg.message);

	snapshot_watch_none();
	for (i = 0; i < SMALL_VMS; i++)
		vm_destroy(&small[i]);
	vm_destroy(&scene.vm);
	module_unload();
	region_size = size_before;
}

static struct kch_rec_header *slot_header(char *region, unsigned int slot)
{
	return (void *)(region + slot * kch_slot_size(region_size));
}

static bool whole(const struct kch_rec_header *header)
{
	return header->commit == (KCH_RECORD_COMMIT ^ header->sequence);
}

/* Sequence numbers of the two slots' records, 0 for a slot without one. */
static void look_at_slots(uint64_t sequence[2])
{
	size_t size;
	char *region = debugfs_read("region_raw", &size);
	unsigned int i;

	for (i = 0; i < 2; i++)
		sequence[i] = whole(slot_header(region, i)) ?
			      slot_header(region, i)->sequence : 0;
	free(region);
}

/* The last change must not be able to destroy the one before. */
void test_slots(void)
{
	struct kch_finish finished;
	uint64_t sequence[2];
	unsigned int i;

	scene_begin();
	/* Slot 0 is still needed: all is written to slot 1. */
	for (i = 0; i < 4; i++) {
		look_at_slots(sequence);
		check(sequence[0] == 1000 && sequence[1] == 1001 + i,
		      "sequences %llu and %llu after %u changes",
		      (unsigned long long)sequence[0],
		      (unsigned long long)sequence[1], i + 1);
		if (i & 1)
			must_unpreserve(ID_NEW);
		else
			must_preserve(&scene.spare, ID_NEW);
	}
	/* A record of none, and newer, would hide the one that came. */
	must_unpreserve(ID_KEPT);
	look_at_slots(sequence);
	check(sequence[0] == 1000 && !sequence[1],
	      "sequences %llu and %llu with nothing preserved",
	      (unsigned long long)sequence[0],
	      (unsigned long long)sequence[1]);
	must_preserve(&scene.kept, ID_KEPT);
	/* Finished with: it is taken back, and the outgoing one is kept. */
	check(!finish(KCH_FINISH_DISCARD, &finished), "%s", finished.message);
	look_at_slots(sequence);
	check(!sequence[0] && sequence[1] == 1007,
	      "sequences %llu and %llu after FINISH",
	      (unsigned long long)sequence[0],
	      (unsigned long long)sequence[1]);
	/* From here on they alternate. */
	for (i = 0; i < 6; i++) {
		if (i & 1)
			must_unpreserve(ID_NEW);
		else
			must_preserve(&scene.spare, ID_NEW);
		look_at_slots(sequence);
		check(sequence[i & 1] == 1008 + i &&
		      sequence[!(i & 1)] == 1007 + i,
		      "sequences %llu and %llu after %u more changes",
		      (unsigned long long)sequence[0],
		      (unsigned long long)sequence[1], i + 1);
	}
	scene_end();
}

#define BROKEN_START	0xfff80000ULL
#define BROKEN_SIZE	0x100000
/* In it, slot 0 in the ROM of the firmware. */
#define ROM_START	0xffff0000ULL
#define ROM_SIZE	0x20000

static const struct condition broken_memory[] = {
	{ KCH_IOC_PRESERVE, "memory that does not keep it", .expected = EREMOTEIO,
	  .message = "does not read back" },
};

static const struct condition rom[] = {
	{ KCH_IOC_FINISH, "memory that cannot be written", .expected = EREMOTEIO,
	  .message = "does not read back" },
};

static const struct condition broken_memory_own[] = {
	{ KCH_IOC_UNPRESERVE, "memory that does not keep it",
	  .expected = EREMOTEIO, .message = "does not read back" },
	{ KCH_IOC_PRESERVE, "memory that does not keep it", .expected = EREMOTEIO,
	  .message = "does not read back" },
};

/*
 * The region lies across 4 GiB: where slot 0 starts there is no memory, slot 1
 * is RAM (see the case's parameters).
 */
void test_broken_memory(void)
{
	uint64_t start_before = region_start;
	size_t size_before = region_size;
	static struct forged forged;

	region_start = BROKEN_START;
	region_size = BROKEN_SIZE;
	condition_base = scene_base;
	vm_create_ready(&scene.vm, 1, SCENE_OFFSET);
	snapshot_watch(&scene.vm);

	module_load();
	conditions_run(broken_memory, 1);
	module_unload();

	/* A record in slot 1, which is RAM, makes slot 0 one to be cleared. */
	region_start = start_before;
	region_size = size_before;
	module_load();
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	module_unload();
	region_start = ROM_START;
	region_size = ROM_SIZE;
	forge_write(&forged, 1);
	module_load();
	conditions_run(rom, 1);
	module_unload();
	region_size = BROKEN_SIZE;

	/* This boot's own record in slot 1, slot 0 comes next. */
	region_start = start_before;
	module_load();
	forge_begin(&forged);
	/* Two, so that their order can be seen to stay. */
	forge_add(&forged, &scene.vm, ID_KEPT);
	forge_add(&forged, &scene.vm, ID_UNKNOWN);
	module_unload();
	forged.header.boot_id[3] ^= 0xff;
	region_start = BROKEN_START;
	forge_write(&forged, 1);
	module_load();
	conditions_run(broken_memory_own, sizeof(broken_memory_own) /
		       sizeof(broken_memory_own[0]));
	module_unload();

	snapshot_watch_none();
	vm_destroy(&scene.vm);
	region_start = start_before;
	region_size = size_before;
}
