// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl decode: a raw dump, without the module and on any machine. */
#include <errno.h>
#include <string.h>
#include "commands.h"
#include "structure.h"
#include "options.h"
#include "slots.h"

/* No region is larger; what is read is kept, and so are the rows printed of it. */
#define DUMP_MAX	(64U << 20)
#define PAGE_BYTES	4096	/* of which a region has some */

static const struct column slot_columns[] = {
	{ "slot", .number = true }, { "offset", .number = true }, { "state" },
	{ "sequence", .number = true }, { "total_size", .number = true },
	{ "vm_count", .number = true },
	{ "message" }, {}
};

static const struct column vm_columns[] = {
	{ "slot", .number = true }, { "offset", .number = true }, {}
};

static const struct column vcpu_columns[] = { { "slot", .number = true }, { "uuid" }, {} };

static const struct column damage_columns[] = {
	{ "slot", .number = true }, { "where" }, { "message" }, {}
};

struct dump {
	struct tool *tool;
	const char *file;
	const u8 *data;
	size_t size;
	int region_size;		/* that was given; 0: none was */
	int is_record;			/* one record, not a region with two slots */
	unsigned int slots;
	size_t slot_size;
	struct kch_record records[2];	/* per slot, if @errs says 0 */
	int errs[2];			/* of kch_record_open() */
	struct kch_message reasons[2];	/* of that */
	int newest;			/* the slot the kernel would take, or -1 */
	bool damaged;			/* something was found to be wrong */
};

static bool has_magic(const u8 *at)
{
	return !memcmp(at, KCH_RECORD_MAGIC, KCH_RECORD_MAGIC_SIZE);
}

/* A record alone is just as long as it says it is; a region is longer. */
static bool looks_like_record(const u8 *data, size_t size)
{
	struct kch_rec_header header;

	if (size < sizeof(header))
		return false;
	memcpy(&header, data, sizeof(header));
	return has_magic(data) && le64_to_cpu(header.total_size) == size;
}

static void open_slots(struct dump *dump)
{
	struct kch_record record;
	unsigned int i, newest = 0;

	dump->slots = dump->is_record ? 1 : 2;
	dump->slot_size = dump->is_record ? dump->size : kch_slot_size(dump->size);
	dump->newest = -1;
	for (i = 0; i < dump->slots; i++) {
		dump->errs[i] = kch_record_open(dump->data + i * dump->slot_size, dump->slot_size,
						&dump->records[i], &dump->reasons[i]);
		if (dump->errs[i] == -EBADMSG)
			dump->damaged = true;
	}
	if (dump->is_record ? !dump->errs[0] :
			      !kch_region_open(dump->data, dump->size, &record,
					       &newest, NULL))
		dump->newest = (int)newest;
}

/* Does a record start there in a region of the dump's size, or is that place in one? */
static bool is_expected(const struct dump *dump, size_t at)
{
	unsigned int i;

	for (i = 0; i < dump->slots; i++) {
		size_t start = i * dump->slot_size;

		if (at == start || (!dump->errs[i] && at > start &&
				    at < start + dump->records[i].total_size))
			return true;
	}
	return false;
}

/*
 * Where the second slot is depends on the region's size.  In a dump that was cut or
 * padded it is elsewhere, and the record of the first may be out of date.
 */
static void check_size(struct dump *dump)
{
	char *text = NULL;
	size_t at;

	if (dump->is_record || dump->region_size)
		return;
	for (at = 0; at + KCH_RECORD_MAGIC_SIZE <= dump->size; at += KCH_RECORD_ALIGN)
		if (has_magic(dump->data + at) && !is_expected(dump, at))
			break;
	if (dump->size % PAGE_BYTES)
		text = xasprintf("%zu bytes are no multiple of %d, as a region is", dump->size,
				 PAGE_BYTES);
	else if (at + KCH_RECORD_MAGIC_SIZE <= dump->size)
		text = xasprintf("a record starts at byte %zu, where a region of %zu bytes has none",
				 at, dump->size);
	else if (dump->newest == 0 && dump->errs[1] == -ENODATA &&
		 !has_magic(dump->data + dump->slot_size))
		complain_code(dump->tool, EXIT_DONE, dump->file, 0,
			      "the second slot was never written; a newer record may be missing if the dump was cut; --size says how large the region is");
	if (!text)
		return;
	complain_code(dump->tool, EXIT_FAILED, dump->file, -EMSGSIZE,
		      "%s; the dump was cut or padded, and the newest record is not known; --size says how large the region is",
		      text);
	dump->newest = -1;
	dump->damaged = true;
}

static const char *slot_state(int err)
{
	switch (err) {
	case 0:
		return "valid";
	case -ENODATA:
		return "empty";
	case -EPROTONOSUPPORT:
		return "newer";
	default:
		return "damaged";
	}
}

static void add_slots(struct dump *dump, struct table *table)
{
	unsigned int i;

	for (i = 0; i < dump->slots; i++) {
		const struct kch_record *record = &dump->records[i];
		struct json_object *row = output_row(table);

		output_number(row, "slot", i);
		output_u64(row, "offset", i * dump->slot_size);
		output_string(row, "state", slot_state(dump->errs[i]));
		if (dump->errs[i]) {
			output_string(row, "message", dump->reasons[i].text);
			continue;
		}
		output_u64(row, "sequence", record->sequence);
		output_u64(row, "total_size", record->total_size);
		output_number(row, "vm_count", record->vm_count);
	}
}

static void add_damage(struct dump *dump, struct table *table, unsigned int slot,
		       const char *where, const char *reason)
{
	struct json_object *row = output_row(table);

	output_number(row, "slot", slot);
	output_string(row, "where", where);
	output_string(row, "message", reason);
	complain(dump->tool, xasprintf("slot %u: %s", slot, where), -EBADMSG, "%s", reason);
	dump->damaged = true;
}

static void add_vm(struct table *vms, struct table *vcpus, unsigned int slot,
		   size_t offset, const struct kch_record_vm *vm)
{
	struct json_object *row = output_row(vms);
	struct kch_rec_vcpu vcpu;
	u32 i;

	output_number(row, "slot", slot);
	output_u64(row, "offset", offset);
	structure_add(row, kch_vm_fields, &vm->vm);
	for (i = 0; i < vm->vcpu_count; i++) {
		kch_record_vcpu(vm, i, &vcpu);
		row = output_row(vcpus);
		output_number(row, "slot", slot);
		output_uuid(row, "uuid", vm->vm.uuid);
		structure_add(row, kch_vcpu_fields, &vcpu);
	}
}

/* The entries of a slot's record, whole and damaged. */
static void add_entries(struct dump *dump, unsigned int slot, struct table *vms,
			struct table *vcpus, struct table *damage)
{
	const struct kch_record *record = &dump->records[slot];
	size_t offset = 0, number, start;
	struct kch_record_vm vm;
	int err;

	if (dump->errs[slot] == -EBADMSG)
		add_damage(dump, damage, slot, "header", dump->reasons[slot].text);
	if (dump->errs[slot])
		return;
	for (number = 0; ; number++) {
		struct kch_message reason;

		start = offset ? offset : record->header_size;
		err = kch_record_next(record, &offset, &vm, &reason);
		if (err == -ENODATA)
			return;
		if (!err) {
			add_vm(vms, vcpus, slot, start, &vm);
			continue;
		}
		add_damage(dump, damage, slot, xasprintf("VM entry %zu", number), reason.text);
	}
}

static int decode(struct dump *dump)
{
	struct output *out = &dump->tool->out;
	struct table *slots, *vms, *vcpus, *damage;
	unsigned int slot;

	slots = output_table(out, "slots", slot_columns);
	vms = output_table(out, "vms", structure_columns(vm_columns, kch_vm_fields));
	vcpus = output_table(out, "vcpus", structure_columns(vcpu_columns, kch_vcpu_fields));
	damage = output_table(out, "damage", damage_columns);
	if (!dump->data)
		return EXIT_FAILED;
	open_slots(dump);
	check_size(dump);
	output_string(out->document, "kind", dump->is_record ? "record" : "region");
	output_u64(out->document, "size", dump->size);
	json_object_object_add(out->document, "newest_slot", NULL);
	if (dump->newest >= 0) {
		output_number(out->document, "newest_slot", dump->newest);
		structure_add(out->document, kch_header_fields,
			      &dump->records[dump->newest].header);
	}
	add_slots(dump, slots);
	for (slot = 0; slot < dump->slots; slot++)
		add_entries(dump, slot, vms, vcpus, damage);
	if (dump->damaged)
		return EXIT_FAILED;
	for (slot = 0; slot < dump->slots; slot++)
		if (dump->errs[slot] == -EPROTONOSUPPORT)
			return complain(dump->tool, dump->file, -EPROTONOSUPPORT, "%s",
					dump->reasons[slot].text);
	if (dump->newest < 0)
		return complain(dump->tool, dump->file, -ENODATA, "there is no record in it");
	return EXIT_DONE;
}

/* NULL after a message: there is nothing that can be decoded. */
static const u8 *read_dump(struct dump *dump)
{
	const u8 *data = (u8 *)read_file(dump->file, DUMP_MAX, &dump->size);
	const size_t region_size = (size_t)dump->region_size;
	int err = data ? EINVAL : errno;
	const char *text = strerror(err);

	if (!data && err == EFBIG)
		text = xasprintf("more than %u bytes: no region is that large", DUMP_MAX);
	if (data && dump->size < region_size) {
		text = xasprintf("%zu bytes of a region of %zu: the dump was cut", dump->size,
				 region_size);
	} else if (data) {
		if (region_size)
			dump->size = region_size;
		else
			dump->is_record |= looks_like_record(data, dump->size);
		if (dump->is_record || kch_slot_size(dump->size) >= sizeof(struct kch_rec_header))
			return data;
		text = "too small for a region of two records; use --record for a dump of one";
	}
	complain_code(dump->tool, EXIT_FAILED, dump->file, -err, "%s", text);
	return NULL;
}

int cmd_decode(struct tool *tool, int argc, char **argv)
{
	struct dump dump = { .tool = tool };
	const struct option_row options[] = {
		{ "record", NULL, "the dump is of one record, not of a region with two slots",
		  OPTION_SET, &dump.is_record, 1 },
		{ "size", "BYTES", "the region's size: what is behind it is no part of it",
		  OPTION_NUMBER, &dump.region_size, 0, PAGE_BYTES, DUMP_MAX },
		{}
	};
	int code;

	code = options_parse(tool, argc, argv, "FILE", options, NULL, &dump.file);
	if (!code && dump.region_size && dump.is_record)
		code = bad_usage(tool, "--record and --size do not go together");
	if (code)
		return code;
	dump.data = read_dump(&dump);
	return decode(&dump);
}
