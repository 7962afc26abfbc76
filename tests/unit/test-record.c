// SPDX-License-Identifier: GPL-2.0
/*
 * Records: what is written is read, in this version's layout and in those of
 * later versions; commit markers, slots and feature bits.
 */
#include <stdlib.h>

#include "../l1/lib/ktap.h"
#include "builder.h"
#include "reference.h"

static void test_crc32c(void)
{
	/* RFC 3720, B.4: an iSCSI SCSI Read (10) command PDU */
	static const u8 pdu[48] = {
		0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18,
		[32] = 0x28, [40] = 0x02,
	};
	u8 data[300];
	size_t i;

	/* RFC 3720, B.4: the rest */
	memset(data, 0, sizeof(data));
	ktap_check(~kch_crc32c(~0U, data, 32) == 0x8a9136aa, "32 zeros");
	memset(data, 0xff, sizeof(data));
	ktap_check(~kch_crc32c(~0U, data, 32) == 0x62a8ab43, "32 ones");
	for (i = 0; i < 32; i++)
		data[i] = (u8)i;
	ktap_check(~kch_crc32c(~0U, data, 32) == 0x46dd794e, "32 ascending");
	for (i = 0; i < 32; i++)
		data[i] = (u8)(31 - i);
	ktap_check(~kch_crc32c(~0U, data, 32) == 0x113fdb5c, "32 descending");
	ktap_check(~kch_crc32c(~0U, pdu, sizeof(pdu)) == 0xd9963a56, "PDU");
	/* The usual check value */
	ktap_check(~kch_crc32c(~0U, "123456789", 9) == 0xe3069283, "digits");
	ktap_check(reference_crc32c("123456789", 9) == 0xe3069283, "digits");
	for (i = 0; i < sizeof(data); i++)
		data[i] = (u8)hash64(i);
	for (i = 0; i < sizeof(data); i++) {
		u32 crc = kch_crc32c(~0U, data, i);

		ktap_check(~crc == reference_crc32c(data, i), "%zu bytes", i);
		crc = kch_crc32c(crc, data + i, sizeof(data) - i);
		ktap_check(~crc == reference_crc32c(data, sizeof(data)),
			   "in two, %zu bytes first", i);
	}
}

/* Other kernels read these numbers: they may not move, ever. */
static void test_published_sizes(void)
{
	ktap_check(sizeof(struct kch_rec_header) == 320, "header");
	ktap_check(sizeof(struct kch_rec_vm) == 192, "VM");
	ktap_check(sizeof(struct kch_rec_vcpu) == 64, "vCPU");
	ktap_check(kch_rec_entry_size(0) == 192, "entry without vCPUs");
	ktap_check(kch_rec_entry_size(3) == 192 + 3 * 64, "entry with 3 vCPUs");
	ktap_check(kch_rec_entry_size(65536) == 192 + 65536 * 64, "largest entry");
	ktap_check(kch_slot_size(1 << 20) == 1 << 19, "slot of 1 MiB");
	ktap_check(kch_slot_size(1000) == 448, "slots start at multiples of 64");
	ktap_check(kch_slot_size(127) == 0, "too small");
}

static void check_vm(const struct plan *plan, u32 index,
		     const struct kch_record_vm *vm)
{
	struct kch_rec_vm expected = { 0 }, found = vm->vm;
	u32 i;

	plan_vm(plan, index, &expected);
	found.crc32c = 0;
	ktap_check(!memcmp(&found, &expected, sizeof(expected)), "VM %u", index);
	ktap_check(vm->vcpu_count == plan->vcpus[index], "VM %u: %u vCPUs", index,
		   vm->vcpu_count);
	ktap_check(vm->size == plan_entry_size(plan, index), "VM %u: %u bytes",
		   index, vm->size);
	for (i = 0; i < vm->vcpu_count; i++) {
		struct kch_rec_vcpu want, got;

		memset(&got, 0x55, sizeof(got));
		plan_vcpu(plan, index, i, &want);
		kch_record_vcpu(vm, i, &got);
		ktap_check(!memcmp(&got, &want, sizeof(want)), "VM %u vCPU %u",
			   index, i);
	}
}

/* The record at @data, which has exactly its bytes, reads as planned. */
static void check_record(const struct plan *plan, const u8 *data)
{
	struct kch_rec_header expected, found;
	struct kch_message message = { "" };
	struct kch_record_vm vm;
	struct kch_record record;
	size_t offset = 0;
	u32 i;
	int err;

	err = kch_record_open(data, plan_size(plan), &record, &message);
	if (!ktap_check(err == 0, "%d: %s", err, message.text))
		return;
	plan_header(plan, &expected);
	found = record.header;
	found.crc32c = 0;
	found.entries_crc32c = 0;
	found.commit = 0;
	ktap_check(!memcmp(&found, &expected, sizeof(expected)), "header");
	ktap_check(record.sequence == plan->sequence, "%llu",
		   (unsigned long long)record.sequence);
	ktap_check(record.total_size == plan_size(plan), "%zu", record.total_size);
	ktap_check(record.vm_count == plan->vm_count, "%u", record.vm_count);
	for (i = 0; i < plan->vm_count; i++) {
		err = kch_record_next(&record, &offset, &vm, &message);
		if (!ktap_check(err == 0, "VM %u: %d: %s", i, err, message.text))
			return;
		check_vm(plan, i, &vm);
		err = kch_record_find(&record, vm.vm.uuid, &vm, &message);
		ktap_check(err == 0, "VM %u: %d: %s", i, err, message.text);
		check_vm(plan, i, &vm);
	}
	err = kch_record_next(&record, &offset, &vm, &message);
	ktap_check(err == -ENODATA, "behind the last VM: %d", err);
	err = kch_record_find(&record, (const u8 *)"no such VM here.", &vm, &message);
	ktap_check(err == -ENOENT && strstr(message.text, "no VM of that id"),
		   "%d: %s", err, message.text);
}

/* 0 to 8 VMs of 0 to 7 vCPUs, by hand and by the writer: the same bytes. */
static void test_round_trip(void)
{
	struct plan plan = plan_default();
	u32 round, vm;

	plan.compat = KCH_COMPAT_BOUND;
	for (round = 0; round < 9 * 8; round++) {
		u8 *by_hand, *written;
		size_t size;
		int err;

		plan.vm_count = round / 8;
		plan.seed = round + 1;
		plan.sequence = hash64(round) >> 1;
		for (vm = 0; vm < PLAN_VMS_MAX; vm++)
			plan.vcpus[vm] = (u32)(hash64(round + 100 * vm) % 8);
		plan.vcpus[0] = round % 8;
		size = plan_size(&plan);
		by_hand = guarded_alloc(size);
		written = guarded_alloc(size);
		plan_write_bytes(&plan, by_hand);
		memset(written, 0xee, size);
		err = plan_write(&plan, written, size);
		ktap_check(err == 0, "%d", err);
		ktap_check(!memcmp(by_hand, written, size), "round %u: layout", round);
		check_record(&plan, by_hand);
		check_record(&plan, written);
		guarded_free(by_hand, size);
		guarded_free(written, size);
	}
}

/* Without VMs there need not be any memory that they are in. */
static void test_no_entries(void)
{
	u8 *slot = guarded_alloc(320);
	struct kch_rec_header header;
	struct kch_record record;
	struct kch_record_vm vm;
	size_t offset = 0;
	int err;

	kch_rec_header_init(&header);
	header.tsc_khz = cpu_to_le32(1000000);
	err = kch_record_write(slot, 320, &header, NULL, 0, 0);
	ktap_check(err == 0, "write: %d", err);
	err = kch_record_open(slot, 320, &record, NULL);
	ktap_check(err == 0 && record.total_size == 320, "open: %d", err);
	err = kch_record_next(&record, &offset, &vm, NULL);
	ktap_check(err == -ENODATA, "next: %d", err);
	guarded_free(slot, 320);
}

static void test_many_vcpus(void)
{
	struct plan plan = plan_default();
	size_t size;
	u8 *data;

	plan.vcpus[1] = 4096;
	size = plan_size(&plan);
	data = guarded_alloc(size);
	plan_write_bytes(&plan, data);
	check_record(&plan, data);
	guarded_free(data, size);
}

/* An entry that another record has left, or that was lost, belongs to no header. */
static void test_bound_entries(void)
{
	struct plan plans[2] = { plan_default(), plan_default() };
	size_t size, at, entry;
	struct kch_message message = { "" };
	struct kch_record record;
	u8 *old, *new;
	u32 i;
	int err;

	for (i = 0; i < 2; i++) {
		plans[i].compat = KCH_COMPAT_BOUND;
		plans[i].sequence = 40 + i;
		plans[i].seed = i;
	}
	size = plan_size(&plans[0]);
	old = guarded_alloc(size);
	new = guarded_alloc(size);
	for (i = 0; i < plans[0].vm_count; i++) {
		plan_write_bytes(&plans[0], old);
		plan_write_bytes(&plans[1], new);
		at = plan_entry_offset(&plans[0], i);
		entry = plan_entry_size(&plans[0], i);
		memcpy(new + at, old + at, entry);
		err = kch_record_open(new, size, &record, &message);
		ktap_check(err == -EBADMSG && strstr(message.text, "of an earlier record"),
			   "entry %u: %d: %s", i, err, message.text);
	}
	/* All of them, under a header that was written over theirs. */
	plan_write_bytes(&plans[0], old);
	plan_write_bytes(&plans[1], new);
	memcpy(old, new, plans[0].header_size);
	err = kch_record_open(old, size, &record, &message);
	ktap_check(err == -EBADMSG, "all: %d", err);
	/* The same entries under a header of another number. */
	plan_write_bytes(&plans[0], old);
	old[32]++;
	seal_header(old);
	err = kch_record_open(old, size, &record, &message);
	ktap_check(err == -EBADMSG, "another number: %d", err);
	plan_write_bytes(&plans[0], old);
	old[112]++;
	seal_header(old);
	err = kch_record_open(old, size, &record, &message);
	ktap_check(err == -EBADMSG, "another boot: %d", err);
	/* The checksum of one entry alone: the others are this header's all the same. */
	plan_write_bytes(&plans[0], old);
	old[plan_entry_offset(&plans[0], 1) + 4] ^= 1;
	err = kch_record_open(old, size, &record, &message);
	ktap_check(!err, "a checksum: %d: %s", err, message.text);
	guarded_free(old, size);
	guarded_free(new, size);
}

/* Marks are written later: they change no checksum, and are what they can be. */
static void test_marks(void)
{
	struct plan plan = plan_default();
	struct kch_message message = { "" };
	struct kch_rec_header *header;
	struct kch_record_vm vm;
	struct kch_record record;
	struct kch_rec_vm *entry;
	size_t size, offset = 0;
	u8 *data;

	plan.compat = KCH_COMPAT_BOUND;
	size = plan_size(&plan);
	data = guarded_alloc(size);
	plan_write_bytes(&plan, data);
	header = (struct kch_rec_header *)data;
	entry = (struct kch_rec_vm *)(data + plan_entry_offset(&plan, 0));
	ktap_check(kch_record_mark(&header->superseded) && kch_record_mark(&entry->used),
		   "written");
	ktap_check(!kch_record_open(data, size, &record, &message) &&
		   le64_to_cpu(record.header.superseded) == KCH_RECORD_MARK, "%s", message.text);
	ktap_check(!kch_record_next(&record, &offset, &vm, &message) &&
		   le64_to_cpu(vm.vm.used) == KCH_RECORD_MARK, "%s", message.text);
	entry->used ^= cpu_to_le64(1);
	offset = 0;
	ktap_check(kch_record_next(&record, &offset, &vm, &message) == -EBADMSG &&
		   strstr(message.text, "used mark"), "%s", message.text);
	header->superseded = cpu_to_le64(1);
	ktap_check(kch_record_open(data, size, &record, &message) == -EBADMSG &&
		   strstr(message.text, "superseded mark"), "%s", message.text);
	guarded_free(data, size);
}

/* A writer of a later version: larger structures, features to be ignored. */
static void test_newer_writer(void)
{
	static const u32 more[] = { 0, 8, 64, 1000 };
	struct plan plan = plan_default();
	size_t i, j, k, size;
	u8 *data;

	plan.compat = 0xffffffff;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++)
			for (k = 0; k < 4; k++) {
				plan.header_size = 320 + more[i];
				plan.vm_size = 192 + more[j];
				plan.vcpu_size = 64 + more[k];
				size = plan_size(&plan);
				data = guarded_alloc(size);
				plan_write_bytes(&plan, data);
				check_record(&plan, data);
				guarded_free(data, size);
			}
	plan.header_size = 4096;
	plan.vm_size = 4096;
	plan.vcpu_size = 4096;
	size = plan_size(&plan);
	data = guarded_alloc(size);
	plan_write_bytes(&plan, data);
	check_record(&plan, data);
	guarded_free(data, size);
}

static void test_unknown_incompatible_features(void)
{
	struct plan plan = plan_default();
	size_t size = plan_size(&plan);
	u8 *data = guarded_alloc(size);
	struct kch_message message;
	struct kch_record record;
	int bit, err;
	char named[32];

	for (bit = 0; bit < 32; bit++) {
		plan.incompat = 1U << bit;
		plan_write_bytes(&plan, data);
		err = kch_record_open(data, size, &record, &message);
		ktap_check(err == -EPROTONOSUPPORT, "bit %d: %d", bit, err);
		snprintf(named, sizeof(named), "features %#x,", plan.incompat);
		ktap_check(strstr(message.text, named), "bit %d is named in: %s",
			   bit, message.text);
		ktap_check(strstr(message.text, "1.0 of kernel 6.12.0-test"),
			   "the writer is named in: %s", message.text);
	}
	/* It is a line of the kernel's log, of debugfs and of a terminal. */
	memcpy(data + 152, "6\nself", 6);
	memcpy(data + 216, "1\x1b[2J", 5);
	seal_header(data);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EPROTONOSUPPORT && strstr(message.text, "(1 of kernel 6)"), "%d: %s",
		   err, message.text);
	/* Damaged comes first: what bits it has is not known then. */
	data[28] ^= 1;
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EBADMSG, "damaged and incompatible: %d", err);
	guarded_free(data, size);
}

static void test_commit_marker(void)
{
	struct plan plan = plan_default();
	size_t size = plan_size(&plan);
	u8 *data = guarded_alloc(size);
	struct kch_message message;
	struct kch_record record;
	int err, i;

	plan_write_bytes(&plan, data);
	put64(data + 312, 0);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -ENODATA, "no marker: %d", err);
	ktap_check(strstr(message.text, "sequence number 42"), "%s", message.text);

	/* The marker of another record, or of none, is no marker. */
	put64(data + 312, 0x54494d4d4f434843ULL ^ 41);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EBADMSG, "marker of the record before: %d", err);
	put64(data + 312, 0x54494d4d4f434843ULL);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EBADMSG, "bare marker: %d", err);
	put64(data + 312, U64_MAX);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EBADMSG, "ones: %d", err);

	memset(data, 0, size);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -ENODATA, "zeros: %d", err);
	/* A record that lost its magic number is damage, not "never written". */
	for (i = 8; i < 320; i++) {
		memset(data, 0, size);
		data[i] = 1;
		err = kch_record_open(data, size, &record, &message);
		ktap_check(err == -EBADMSG, "byte %d alone: %d", i, err);
	}
	memset(data, 0xff, size);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -EBADMSG, "erased flash: %d", err);

	plan_write_bytes(&plan, data);
	kch_record_revoke(data);
	err = kch_record_open(data, size, &record, &message);
	ktap_check(err == -ENODATA, "taken back: %d", err);
	guarded_free(data, size);
}

/* What each slot of a region can be; the letter names it in a message. */
enum slot_state { EMPTY = 'e', TAKEN = 't', DAMAGED = 'd', OLD = 'o', NEW = 'n',
		  ALIEN_OLD = 'a', ALIEN_NEW = 'A' };

static void put_slot(u8 *slot, enum slot_state state)
{
	struct plan plan = plan_default();
	bool old = state == OLD || state == ALIEN_OLD;

	plan.sequence = old ? 1000 : 1001;
	plan.incompat = state == ALIEN_OLD || state == ALIEN_NEW ? 4 : 0;
	plan_write_bytes(&plan, slot);
	if (state == EMPTY)
		memset(slot, 0, plan_size(&plan));
	if (state == TAKEN)
		put64(slot + 312, 0);
	if (state == DAMAGED)
		slot[100] ^= 0x20;
}

static void test_slots(void)
{
	static const struct {
		enum slot_state slots[2];
		int result;
		u32 slot;
		const char *message;
	} cases[] = {
		{ { OLD, NEW }, 0, 1, "" },
		{ { NEW, OLD }, 0, 0, "" },
		{ { NEW, EMPTY }, 0, 0, "" },
		{ { EMPTY, NEW }, 0, 1, "" },
		{ { NEW, TAKEN }, 0, 0, "" },
		{ { TAKEN, NEW }, 0, 1, "" },
		{ { OLD, OLD }, 0, 0, "" },
		/* Passing over damage is said. */
		{ { NEW, DAMAGED }, 0, 0, "slot 1: header checksum" },
		{ { DAMAGED, NEW }, 0, 1, "slot 0: header checksum" },
		{ { EMPTY, EMPTY }, -ENODATA, 0, "slot 0: no record was ever written" },
		{ { TAKEN, EMPTY }, -ENODATA, 0, "slot 0: the record with sequence" },
		{ { DAMAGED, EMPTY }, -EBADMSG, 0, "slot 0: header checksum" },
		{ { EMPTY, DAMAGED }, -EBADMSG, 0, "slot 1: header checksum" },
		{ { TAKEN, DAMAGED }, -EBADMSG, 0, "slot 1: header checksum" },
		{ { DAMAGED, DAMAGED }, -EBADMSG, 0, "slot 0: header checksum" },
		/* A newer record is not passed over for being too new. */
		{ { OLD, ALIEN_NEW }, -EPROTONOSUPPORT, 0, "slot 1: incompatible" },
		{ { ALIEN_NEW, OLD }, -EPROTONOSUPPORT, 0, "slot 0: incompatible" },
		{ { ALIEN_NEW, EMPTY }, -EPROTONOSUPPORT, 0, "slot 0: incompatible" },
		{ { DAMAGED, ALIEN_NEW }, -EPROTONOSUPPORT, 0, "slot 1: incompatible" },
		{ { ALIEN_NEW, DAMAGED }, -EPROTONOSUPPORT, 0, "slot 0: incompatible" },
		{ { NEW, ALIEN_OLD }, 0, 0, "" },
		{ { ALIEN_OLD, NEW }, 0, 1, "" },
	};
	const size_t size = 8192;
	u8 *region = guarded_alloc(size);
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct kch_message message;
		struct kch_record record;
		size_t length;
		u32 slot = 77;
		int err;

		memset(message.text, 'x', sizeof(message.text));
		memset(region, 0, size);
		put_slot(region, cases[i].slots[0]);
		put_slot(region + 4096, cases[i].slots[1]);
		err = kch_region_open(region, size, &record, &slot, &message);
		ktap_check(err == cases[i].result, "%c%c: %d", cases[i].slots[0],
			   cases[i].slots[1], err);
		ktap_check(err || slot == cases[i].slot, "%c%c: slot %u",
			   cases[i].slots[0], cases[i].slots[1], slot);
		ktap_check(err || record.data == region + 4096 * slot, "%c%c",
			   cases[i].slots[0], cases[i].slots[1]);
		/* Where nothing is to be said, not just the beginning counts. */
		length = strlen(cases[i].message);
		ktap_check(!strncmp(message.text, cases[i].message, length ?: 1),
			   "%c%c: %s", cases[i].slots[0], cases[i].slots[1],
			   message.text);
		slot = 77;
		err = kch_region_open(region, size, &record, &slot, NULL);
		ktap_check(err == cases[i].result, "without a message: %d", err);
	}
	guarded_free(region, size);
}

static void test_region_sizes(void)
{
	struct plan plan = plan_default();
	struct kch_message message;
	struct kch_record record;
	u32 slot;
	size_t size;
	int err;

	for (size = 0; size < 800; size++) {
		u8 *region = guarded_alloc(size);

		memset(region, 0, size);
		err = kch_region_open(region, size, &record, &slot, &message);
		ktap_check(err == (size < 640 ? -EINVAL : -ENODATA),
			   "region of %zu bytes: %d", size, err);
		guarded_free(region, size);
	}
	/* The second slot starts where the first one's size says. */
	plan.vm_count = 0;
	for (size = 640; size < 3000; size += 64) {
		u8 *region = guarded_alloc(size);

		memset(region, 0, size);
		plan_write_bytes(&plan, region + size / 2 / 64 * 64);
		err = kch_region_open(region, size, &record, &slot, &message);
		ktap_check(err == 0 && slot == 1, "region of %zu bytes: %d", size, err);
		guarded_free(region, size);
	}
}

/* Whatever version wrote it: a copy has this version's layout. */
static void test_copy(void)
{
	struct plan plan = plan_default();
	struct kch_rec_vcpu want, *vcpus;
	struct kch_rec_vm expected, *copy;
	size_t size, copy_size, offset = 0;
	struct kch_record record;
	struct kch_record_vm vm;
	u32 i, j;
	u8 *data;
	int err;

	plan.header_size = 400;
	plan.vm_size = 256;
	plan.vcpu_size = 128;
	size = plan_size(&plan);
	data = guarded_alloc(size);
	plan_write_bytes(&plan, data);
	err = kch_record_open(data, size, &record, NULL);
	ktap_check(err == 0, "%d", err);
	for (i = 0; i < plan.vm_count; i++) {
		err = kch_record_next(&record, &offset, &vm, NULL);
		ktap_check(err == 0, "VM %u: %d", i, err);
		copy_size = kch_rec_entry_size(vm.vcpu_count);
		copy = (struct kch_rec_vm *)guarded_alloc(copy_size);
		kch_record_copy(&vm, copy);
		plan_vm(&plan, i, &expected);
		ktap_check(!memcmp(copy->uuid, expected.uuid,
				   sizeof(expected) - offsetof(struct kch_rec_vm, uuid)),
			   "VM %u", i);
		vcpus = (struct kch_rec_vcpu *)(copy + 1);
		for (j = 0; j < vm.vcpu_count; j++) {
			plan_vcpu(&plan, i, j, &want);
			ktap_check(!memcmp(&vcpus[j], &want, sizeof(want)),
				   "VM %u vCPU %u", i, j);
		}
		kch_rec_entry_close(copy);
		ktap_check(le32_to_cpu(copy->size) == copy_size, "VM %u: closed", i);
		guarded_free((u8 *)copy, copy_size);
	}
	guarded_free(data, size);
}

/* What this version does not know, its own header does not announce: it is not copied. */
static void test_copy_of_newer(void)
{
	struct plan plan = { .header_size = 320, .vm_size = 192, .vcpu_size = 64, .vm_count = 1,
			     .vcpus = { 1 }, .sequence = 7, .compat = 1U << 31, .seed = 5 };
	struct { struct kch_rec_vm vm; struct kch_rec_vcpu vcpu; } copy;
	size_t size = plan_size(&plan), offset = 0;
	u8 *data = guarded_alloc(size), *entry = data + 320;
	struct kch_rec_header header;
	struct kch_message message = { "" };
	struct kch_record record;
	struct kch_record_vm vm;
	int err;

	plan_write_bytes(&plan, data);
	entry[95] |= 0x80;		/* a flag */
	entry[137] = 1;			/* reserved bytes */
	entry[191] = 1;
	entry[192 + 7] |= 0x80;		/* the same of the vCPU */
	entry[192 + 54] = 1;
	entry[192 + 63] = 1;
	seal_entry(entry, 256);
	seal_header(data);
	err = kch_record_open(data, size, &record, &message) ?:
	      kch_record_next(&record, &offset, &vm, &message);
	ktap_check(!err, "%d: %s", err, message.text);
	kch_record_copy(&vm, &copy.vm);
	kch_rec_entry_close(&copy.vm);
	plan.compat = 0;
	plan_header(&plan, &header);
	err = kch_record_write(data, size, &header, &copy, sizeof(copy), 1);
	ktap_check(!err, "written: %d", err);
	offset = 0;
	err = kch_record_open(data, size, &record, &message) ?:
	      kch_record_next(&record, &offset, &vm, &message);
	ktap_check(!err, "written again: %d: %s", err, message.text);
	guarded_free(data, size);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "crc32c", test_crc32c },
		{ "published_sizes", test_published_sizes },
		{ "round_trip", test_round_trip },
		{ "no_entries", test_no_entries },
		{ "many_vcpus", test_many_vcpus },
		{ "bound_entries", test_bound_entries },
		{ "marks", test_marks },
		{ "newer_writer", test_newer_writer },
		{ "unknown_incompatible_features", test_unknown_incompatible_features },
		{ "commit_marker", test_commit_marker },
		{ "slots", test_slots },
		{ "region_sizes", test_region_sizes },
		{ "copy", test_copy },
		{ "copy_of_newer", test_copy_of_newer },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
