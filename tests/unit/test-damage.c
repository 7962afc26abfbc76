// SPDX-License-Identifier: GPL-2.0
/*
 * Damaged, cut and hostile records: all damage is seen, what is whole is still
 * found, and nothing outside the record is read (the buffers end at an unmapped
 * page).
 */
#include "../l1/lib/ktap.h"
#include "builder.h"
#include "reference.h"

static const struct plan layouts[] = {
	{ 320, 192, 64, 3, { 1, 2, 4 }, 42, 0, 0, 1 },
	/* a later version's */
	{ 384, 256, 96, 3, { 2, 0, 1 }, 43, 0x10, 0, 2 },
};

static u32 vm_at(const struct plan *plan, size_t byte)
{
	u32 vm = 0;

	while (byte >= plan_entry_offset(plan, vm + 1))
		vm++;
	return vm;
}

static bool same_vm(const struct plan *plan, u32 index,
		    const struct kch_record_vm *vm)
{
	struct kch_rec_vm expected = { 0 }, found = vm->vm;
	struct kch_rec_vcpu want, got;
	u32 i;

	plan_vm(plan, index, &expected);
	found.crc32c = 0;
	if (memcmp(&found, &expected, sizeof(found)))
		return false;
	for (i = 0; i < vm->vcpu_count; i++) {
		plan_vcpu(plan, index, i, &want);
		kch_record_vcpu(vm, i, &got);
		if (memcmp(&got, &want, sizeof(want)))
			return false;
	}
	return true;
}

/* Walks a record of which entry @hit is damaged; its sizes too, if @lost. */
static void check_walk(const struct plan *plan, const u8 *data, u32 hit,
		       bool lost, size_t where)
{
	struct kch_message message;
	struct kch_record record;
	struct kch_record_vm vm;
	struct kch_rec_vm wanted;
	size_t offset = 0;
	u32 i;
	int err;

	err = kch_record_open(data, plan_size(plan), &record, NULL);
	if (!ktap_check(err == 0, "bit %zu: %d", where, err))
		return;
	for (i = 0; i < plan->vm_count; i++) {
		memset(&message, 0, sizeof(message));
		err = kch_record_next(&record, &offset, &vm, &message);
		if (i == hit) {
			ktap_check(err == (lost ? -EBADE : -EBADMSG),
				   "bit %zu: %d", where, err);
			ktap_check(message.text[0], "bit %zu: the reason", where);
			if (lost)
				break;
			continue;
		}
		ktap_check(err == 0 && same_vm(plan, i, &vm), "bit %zu: VM %u: %d: %s",
			   where, i, err, message.text);
	}
	err = kch_record_next(&record, &offset, &vm, NULL);
	ktap_check(err == -ENODATA, "bit %zu: end: %d", where, err);

	/* By id, too; one that is not found may be the damaged one. */
	for (i = 0; i < plan->vm_count; i++) {
		bool gone = i == hit || (lost && i > hit);

		plan_vm(plan, i, &wanted);
		err = kch_record_find(&record, wanted.uuid, &vm, NULL);
		ktap_check(err == (gone ? -EBADMSG : 0), "bit %zu: VM %u: %d", where,
			   i, err);
	}
	err = kch_record_find(&record, (const u8 *)"not in the plan.", &vm, NULL);
	ktap_check(err == -EBADMSG, "bit %zu: unknown id: %d", where, err);
}

static void test_every_bit_flip(void)
{
	size_t l, bit, size;
	u8 *data;

	for (l = 0; l < 2; l++) {
		const struct plan *plan = &layouts[l];

		size = plan_size(plan);
		data = guarded_alloc(size);
		plan_write_bytes(plan, data);
		for (bit = 0; bit < 8 * size; bit++) {
			size_t byte = bit / 8, in_entry;
			struct kch_message message = { "" };
			struct kch_record record;
			u32 hit;
			int err;

			data[byte] ^= (u8)(1 << bit % 8);
			if (byte < plan->header_size) {
				err = kch_record_open(data, size, &record, &message);
				ktap_check(err == -EBADMSG && message.text[0],
					   "bit %zu: %d", bit, err);
			} else {
				hit = vm_at(plan, byte);
				in_entry = byte - plan_entry_offset(plan, hit);
				check_walk(plan, data, hit, in_entry < 4 ||
					   (in_entry >= 88 && in_entry < 92), bit);
			}
			data[byte] ^= (u8)(1 << bit % 8);
		}
		guarded_free(data, size);
	}
}

/* A flip in one slot of a region leaves the other's record, and is told. */
static void test_every_bit_flip_in_a_region(void)
{
	struct plan plans[2] = { plan_default(), plan_default() };
	const size_t slot_size = 1408, size = 2 * slot_size;
	u8 *region = guarded_alloc(size);
	u32 newer, flipped, slot;
	size_t bit;

	for (newer = 0; newer < 2; newer++) {
		plans[newer].sequence = 8;
		plans[!newer].sequence = 7;
		memset(region, 0, size);
		plan_write_bytes(&plans[0], region);
		plan_write_bytes(&plans[1], region + slot_size);
		for (flipped = 0; flipped < 2; flipped++)
			for (bit = 0; bit < 8 * 320; bit++) {
				u8 *byte = region + flipped * slot_size + bit / 8;
				struct kch_message message;
				struct kch_record record;
				char prefix[16];
				int err;

				*byte ^= (u8)(1 << bit % 8);
				err = kch_region_open(region, size, &record, &slot,
						      &message);
				*byte ^= (u8)(1 << bit % 8);
				snprintf(prefix, sizeof(prefix), "slot %u: ", flipped);
				ktap_check(err == 0 && slot == !flipped &&
					   record.sequence == plans[!flipped].sequence,
					   "bit %zu of slot %u: %d, slot %u", bit,
					   flipped, err, slot);
				ktap_check(!strncmp(message.text, prefix, 8),
					   "bit %zu: %s", bit, message.text);
			}
	}
	guarded_free(region, size);
}

static void test_every_truncation(void)
{
	struct plan plan = plan_default();
	size_t size = plan_size(&plan), cut;
	u8 *whole = guarded_alloc(size), *data;
	struct kch_message message;
	struct kch_record record;
	struct kch_record_vm vm;
	int err;

	plan_write_bytes(&plan, whole);
	for (cut = 0; cut < size; cut++) {
		size_t offset = 0;
		u32 i;

		data = guarded_copy(whole, cut);
		err = kch_record_open(data, cut, &record, &message);
		ktap_check(err == -EBADMSG, "%zu bytes: %d", cut, err);
		ktap_check(message.text[0], "%zu bytes", cut);
		if (cut < 320) {
			guarded_free(data, cut);
			continue;
		}
		/* The same with a header that says so: what is whole is found. */
		for (i = 0; plan_entry_offset(&plan, i + 1) <= cut; i++)
			;
		put32(data + 20, i);
		put64(data + 40, cut);
		seal_header(data);
		err = kch_record_open(data, cut, &record, &message);
		ktap_check(err == 0, "%zu bytes, sealed: %d", cut, err);
		for (i = 0; plan_entry_offset(&plan, i + 1) <= cut; i++) {
			err = kch_record_next(&record, &offset, &vm, &message);
			ktap_check(err == 0 && same_vm(&plan, i, &vm),
				   "%zu bytes: VM %u: %d", cut, i, err);
		}
		if (plan_entry_offset(&plan, i) != cut) {
			err = kch_record_next(&record, &offset, &vm, &message);
			ktap_check(err == -EBADE, "%zu bytes: VM %u: %d", cut, i, err);
		}
		err = kch_record_next(&record, &offset, &vm, &message);
		ktap_check(err == -ENODATA, "%zu bytes: end: %d", cut, err);
		guarded_free(data, cut);
	}
	guarded_free(whole, size);
}

/* Whole by its checksums, but no writer writes such numbers. */
static void test_hostile_header(void)
{
	static const struct {
		u32 at;
		u64 value;
		bool wide;
	} cases[] = {
		/* header_size; no checksum over such a size is even tried */
		{ 8, 0, false }, { 8, 8, false }, { 8, 312, false },
		{ 8, 319, false }, { 8, 321, false }, { 8, 324, false },
		{ 8, 4097, false }, { 8, 4104, false }, { 8, 1352, false },
		{ 8, 0x80000000, false }, { 8, 0xffffffff, false },
		{ 8, 0xfffffff8, false },
		/* vm_size */
		{ 12, 0, false }, { 12, 184, false }, { 12, 191, false },
		{ 12, 193, false }, { 12, 196, false }, { 12, 4104, false },
		{ 12, 0xffffffff, false }, { 12, 0xfffffff8, false },
		/* vcpu_size */
		{ 16, 0, false }, { 16, 56, false }, { 16, 63, false },
		{ 16, 65, false }, { 16, 68, false }, { 16, 4104, false },
		{ 16, 0xffffffff, false }, { 16, 0x80000000, false },
		/* vm_count */
		{ 20, 65537, false }, { 20, 0xffffffff, false }, { 20, 6, false },
		{ 20, 65536, false },
		/* total_size */
		{ 40, 0, true }, { 40, 319, true }, { 40, 1345, true },
		{ 40, 1ULL << 32, true }, { 40, (1ULL << 32) + 1344, true },
		{ 40, 1ULL << 63, true }, { 40, U64_MAX, true },
	};
	struct plan plan = plan_default();
	size_t size = plan_size(&plan), i;
	u8 *data = guarded_alloc(size);
	struct kch_message message;
	struct kch_record record;
	const char *reason;
	int err;

	ktap_check(size == 1344, "the sizes above are about %zu bytes", size);
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		plan_write_bytes(&plan, data);
		if (cases[i].wide)
			put64(data + cases[i].at, cases[i].value);
		else
			put32(data + cases[i].at, (u32)cases[i].value);
		if (cases[i].at != 8)
			seal_header(data);
		memset(&message, 0, sizeof(message));
		err = kch_record_open(data, size, &record, &message);
		ktap_check(err == -EBADMSG, "%#llx at %u: %d",
			   (unsigned long long)cases[i].value, cases[i].at, err);
		reason = "do not make a record";
		if (cases[i].at == 8)
			reason = "expected 320 to 4096";
		ktap_check(strstr(message.text, reason), "%#llx at %u: %s",
			   (unsigned long long)cases[i].value, cases[i].at, message.text);
	}
	guarded_free(data, size);

	/* A header larger than any, with room for it and a true checksum. */
	data = guarded_alloc(3 * 4096);
	memset(data, 0, 3 * 4096);
	for (i = 4088; i <= 4104; i += 8) {
		plan.header_size = (u32)i;
		plan_write_bytes(&plan, data);
		err = kch_record_open(data, 3 * 4096, &record, &message);
		ktap_check(err == (i > 4096 ? -EBADMSG : 0), "header of %zu bytes: %d",
			   i, err);
	}
	guarded_free(data, 3 * 4096);

	/* As many VMs as there may be, and one more, with room for them. */
	plan = plan_default();
	for (i = 65536; i <= 65537; i++) {
		size = 320 + i * 192;
		data = guarded_alloc(size);
		plan_write_bytes(&plan, data);
		put32(data + 20, (u32)i);
		put64(data + 40, size);
		seal_header(data);
		err = kch_record_open(data, size, &record, &message);
		ktap_check(err == (i > 65536 ? -EBADMSG : 0), "%zu VMs: %d: %s", i, err,
			   message.text);
		guarded_free(data, size);
	}
}

/* header_size within the slot, but reaching over the entries: no harm. */
static void test_header_over_the_entries(void)
{
	struct plan plan = plan_default();
	size_t size = plan_size(&plan), offset;
	u8 *data = guarded_alloc(size);
	struct kch_record record;
	struct kch_record_vm vm;
	u32 header_size, opened = 0;
	int err;

	for (header_size = 328; header_size <= size; header_size += 8) {
		plan_write_bytes(&plan, data);
		put32(data + 8, header_size);
		seal_header(data);
		err = kch_record_open(data, size, &record, NULL);
		ktap_check(err == 0 || err == -EBADMSG, "%u bytes: %d", header_size, err);
		if (err)
			continue;
		opened++;
		/* Entries that this header leaves whole are VMs as any other. */
		offset = 0;
		while (!err || err == -EBADMSG)
			err = kch_record_next(&record, &offset, &vm, NULL);
		ktap_check(err == -EBADE || err == -ENODATA, "%u bytes: %d",
			   header_size, err);
		ktap_check(offset <= size, "%u bytes: at %zu", header_size, offset);
	}
	ktap_check(opened > 50, "%u opened", opened);
	guarded_free(data, size);
}

/* Entries whose two sizes agree with each other in 32 bits, but not truly. */
static void test_hostile_entry(void)
{
	static const struct {
		u32 size, vcpus;
	} cases[] = {
		{ 0, 0 }, { 8, 0 }, { 191, 0 }, { 193, 0 }, { 256, 0 }, { 192, 1 },
		{ 256, 2 }, { 255, 1 }, { 257, 1 },
		/* 64 times these is 0, 64 and 2^32 - 64 in 32 bits */
		{ 192, 0x04000000 }, { 256, 0x04000001 }, { 192, 0x80000000 },
		{ 192 - 64, 0xffffffff }, { 256, 0xfc000001 },
		/* true, and more than there is */
		{ 192 + 64 * 17, 17 }, { 192 + 64 * 65536, 65536 },
		{ 192 + 64 * 65537, 65537 }, { 0xffffffc0, 0x03fffffc },
		{ 0xffffffff, 0xffffffff }, { 0xffffffff, 1 }, { 256, 0xffffffff },
	};
	struct plan plan = plan_default();
	size_t size = plan_size(&plan), i;
	u8 *data = guarded_alloc(size);
	struct kch_message message;
	struct kch_record record;
	struct kch_record_vm vm;
	u32 hit;
	int err;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (hit = 0; hit < 3; hit++) {
			u8 *entry = data + plan_entry_offset(&plan, hit);
			size_t offset = 0, crc_size = plan_entry_size(&plan, hit);
			u32 before = hit;

			plan_write_bytes(&plan, data);
			/* 256 bytes for one vCPU are what the first VM has. */
			put32(entry, cases[i].size);
			put32(entry + 88, cases[i].vcpus);
			if (cases[i].size >= 192 && cases[i].size < crc_size)
				crc_size = cases[i].size;
			seal_entry(entry, crc_size);
			err = kch_record_open(data, size, &record, NULL);
			ktap_check(err == 0, "%d", err);
			while (before--) {
				err = kch_record_next(&record, &offset, &vm, NULL);
				ktap_check(err == 0, "case %zu in VM %u: %d", i, hit, err);
			}
			err = kch_record_next(&record, &offset, &vm, &message);
			ktap_check(err == -EBADE, "case %zu in VM %u: %d", i, hit, err);
			ktap_check(strstr(message.text, "are lost"), "case %zu: %s", i,
				   message.text);
			ktap_check(offset == size, "case %zu: at %zu", i, offset);
			err = kch_record_next(&record, &offset, &vm, &message);
			ktap_check(err == -ENODATA, "case %zu: behind: %d", i, err);
		}
	guarded_free(data, size);
}

/* The largest VM there may be, and one vCPU more, with room for it. */
static void test_vcpu_limit(void)
{
	struct plan plan = plan_default();
	struct kch_message message;
	struct kch_record record;
	struct kch_record_vm vm;
	u32 vcpus;

	plan.vm_count = 1;
	for (vcpus = 65535; vcpus <= 65537; vcpus++) {
		size_t offset = 0, size;
		u8 *data;
		int err;

		plan.vcpus[0] = vcpus;
		size = plan_size(&plan);
		data = guarded_alloc(size);
		plan_write_bytes(&plan, data);
		err = kch_record_open(data, size, &record, NULL);
		ktap_check(err == 0, "%d", err);
		err = kch_record_next(&record, &offset, &vm, &message);
		ktap_check(err == (vcpus > 65536 ? -EBADE : 0), "%u vCPUs: %d", vcpus,
			   err);
		guarded_free(data, size);
	}
}

/* Damage anywhere and everywhere, checksums put right: no crash, no lies. */
static void test_random_damage(void)
{
	struct plan plan = plan_default();
	size_t size = plan_size(&plan);
	u8 *data = guarded_alloc(size);
	int round, opened = 0, found = 0;

	random_seed(21);
	for (round = 0; round < 30000; round++) {
		struct kch_record record;
		struct kch_record_vm vm;
		size_t offset = 0, last;
		u32 changes = (u32)(random64() % 4 + 1), i;
		int err;

		plan_write_bytes(&plan, data);
		while (changes--) {
			u32 at = (u32)(random64() % (size / 4)) * 4;

			put32(data + at, (u32)random_edgy64());
		}
		for (i = 0; i < 3; i++)
			seal_entry(data + plan_entry_offset(&plan, i),
				   plan_entry_size(&plan, i));
		if (get32(data + 8) <= size)
			seal_header(data);
		err = kch_record_open(data, size, &record, NULL);
		if (err)
			continue;
		opened++;
		do {
			last = offset;
			err = kch_record_next(&record, &offset, &vm, NULL);
			ktap_check(offset <= record.total_size &&
				   (err == -ENODATA || offset > last),
				   "round %d: from %zu to %zu", round, last, offset);
			if (err)
				continue;
			found++;
			ktap_check(vm.vcpus >= data && vm.vcpus +
				   (size_t)vm.vcpu_count * record.vcpu_size <=
				   data + record.total_size, "round %d", round);
			ktap_check(vm.vm.tsc_scaling_frac_bits < 64, "round %d", round);
		} while (err != -ENODATA);
	}
	/* Or the test tests nothing. */
	ktap_check(opened > 10000 && found > 20000, "%d opened, %d VMs", opened, found);
	guarded_free(data, size);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "every_bit_flip", test_every_bit_flip },
		{ "every_bit_flip_in_a_region", test_every_bit_flip_in_a_region },
		{ "every_truncation", test_every_truncation },
		{ "hostile_header", test_hostile_header },
		{ "header_over_the_entries", test_header_over_the_entries },
		{ "hostile_entry", test_hostile_entry },
		{ "vcpu_limit", test_vcpu_limit },
		{ "random_damage", test_random_damage },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
