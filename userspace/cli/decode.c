// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl decode: a raw dump, without the module and on any machine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "record.h"

/* No region is larger; what is read is kept, and so are the rows printed of it. */
#define DUMP_MAX	(64U << 20)

/**
 * struct dump - what is being decoded
 * @data: its bytes
 * @size: how many
 * @is_record: it is one record, not a region with two slots
 * @slots: number of slots
 * @slot_size: bytes of each
 * @records: per slot, if @errs says 0
 * @errs: per slot, of kch_record_open()
 * @reasons: per slot, its message
 * @newest: the slot the kernel would take, or -1
 * @damaged: something was found to be wrong
 */
struct dump {
	const u8 *data;
	size_t size;
	bool is_record;
	unsigned int slots;
	size_t slot_size;
	struct kch_record records[2];
	int errs[2];
	struct kch_message reasons[2];
	int newest;
	bool damaged;
};

/* One entry of a record while it is being walked through. */
struct entry {
	int err;			/* of kch_record_next() */
	size_t offset;			/* in the record */
	struct kch_record_vm vm;	/* if @err is 0 */
	struct kch_message reason;	/* if it is not */
};

static const u8 *slot_data(const struct dump *dump, unsigned int slot)
{
	return dump->data + slot * dump->slot_size;
}

/* A record alone is just as long as it says it is; a region is longer. */
static bool looks_like_record(const u8 *data, size_t size)
{
	struct kch_rec_header header;

	if (size < sizeof(header))
		return false;
	memcpy(&header, data, sizeof(header));
	return !memcmp(header.magic, KCH_RECORD_MAGIC, sizeof(header.magic)) &&
	       le64_to_cpu(header.total_size) == size;
}

static void open_slots(struct dump *dump)
{
	struct kch_record record;
	unsigned int i, newest = 0;

	dump->slots = dump->is_record ? 1 : 2;
	dump->slot_size = dump->is_record ? dump->size : kch_slot_size(dump->size);
	dump->newest = -1;
	for (i = 0; i < dump->slots; i++) {
		dump->reasons[i].text[0] = '\0';
		dump->errs[i] = kch_record_open(slot_data(dump, i),
						dump->slot_size,
						&dump->records[i],
						&dump->reasons[i]);
		if (dump->errs[i] == -EBADMSG)
			dump->damaged = true;
	}
	if (dump->is_record ? !dump->errs[0] :
			      !kch_region_open(dump->data, dump->size, &record,
					       &newest, NULL))
		dump->newest = (int)newest;
}

/* False: there are no more. */
static bool next_entry(const struct kch_record *record, size_t *offset,
		       struct entry *entry)
{
	const size_t start = *offset ? *offset : record->header_size;

	entry->offset = start;
	entry->err = kch_record_next(record, offset, &entry->vm, &entry->reason);
	return entry->err != -ENODATA;
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

static void print_slots(struct output *out, const struct dump *dump)
{
	unsigned int i;

	output_table(out, "slots");
	for (i = 0; i < dump->slots; i++) {
		const struct kch_record *record = &dump->records[i];
		bool valid = dump->errs[i] == 0;

		output_row(out);
		output_u64(out, "slot", i);
		output_u64(out, "offset", i * dump->slot_size);
		output_string(out, "state", slot_state(dump->errs[i]));
		output_u64(out, "sequence", valid ? record->sequence : 0);
		output_u64(out, "bytes", valid ? record->total_size : 0);
		output_u64(out, "vms", valid ? record->vm_count : 0);
		output_string(out, "message",
			      valid ? NULL : dump->reasons[i].text);
	}
	output_table_end(out);
}

static void print_vm(struct output *out, unsigned int slot,
		     const struct entry *entry)
{
	output_row(out);
	output_u64(out, "slot", slot);
	output_u64(out, "offset", entry->offset);
	output_fields(out, kch_vm_fields, &entry->vm.vm);
}

static void print_vcpus(struct output *out, unsigned int slot,
			const struct entry *entry)
{
	struct kch_rec_vcpu vcpu;
	u32 i;

	for (i = 0; i < entry->vm.vcpu_count; i++) {
		kch_record_vcpu(&entry->vm, i, &vcpu);
		output_row(out);
		output_u64(out, "slot", slot);
		output_uuid(out, "uuid", entry->vm.vm.uuid);
		output_fields(out, kch_vcpu_fields, &vcpu);
	}
}

static void print_damage(struct tool *tool, unsigned int slot,
			 const char *where, const char *reason)
{
	struct output *out = tool->out;
	char *object;

	output_row(out);
	output_u64(out, "slot", slot);
	output_string(out, "where", where);
	output_string(out, "message", reason);
	object = xasprintf("slot %u: %s", slot, where);
	complain(tool, object, -EBADMSG, reason, NULL);
	free(object);
}

static void print_damages(struct tool *tool, struct dump *dump)
{
	unsigned int slot;

	output_table(tool->out, "damage");
	for (slot = 0; slot < dump->slots; slot++) {
		struct entry entry;
		size_t offset = 0, number = 0;

		if (dump->errs[slot] == -EBADMSG)
			print_damage(tool, slot, "header",
				     dump->reasons[slot].text);
		if (dump->errs[slot])
			continue;
		for (; next_entry(&dump->records[slot], &offset, &entry); number++) {
			char *where;

			if (!entry.err)
				continue;
			dump->damaged = true;
			where = xasprintf("VM entry %zu", number);
			print_damage(tool, slot, where, entry.reason.text);
			free(where);
		}
	}
	output_table_end(tool->out);
}

typedef void (*print_fn)(struct output *out, unsigned int slot,
			 const struct entry *entry);

/* Each whole entry of each valid record. */
static void print_entries(struct output *out, const struct dump *dump,
			  print_fn print)
{
	unsigned int slot;

	for (slot = 0; slot < dump->slots; slot++) {
		struct entry entry;
		size_t offset = 0;

		if (dump->errs[slot])
			continue;
		while (next_entry(&dump->records[slot], &offset, &entry))
			if (!entry.err)
				print(out, slot, &entry);
	}
}

static int decode(struct tool *tool, struct dump *dump)
{
	struct output *out = tool->out;
	unsigned int slot;

	open_slots(dump);
	output_string(out, "kind", dump->is_record ? "record" : "region");
	output_u64(out, "size", dump->size);
	if (dump->newest >= 0) {
		output_s64(out, "newest_slot", dump->newest);
		output_fields(out, kch_header_fields,
			      &dump->records[dump->newest].header);
	} else {
		output_string(out, "newest_slot", NULL);
	}
	print_slots(out, dump);
	output_table(out, "vms");
	print_entries(out, dump, print_vm);
	output_table_end(out);
	output_table(out, "vcpus");
	print_entries(out, dump, print_vcpus);
	output_table_end(out);
	print_damages(tool, dump);
	if (dump->damaged)
		return EXIT_FAILED;
	for (slot = 0; slot < dump->slots; slot++)
		if (dump->errs[slot] == -EPROTONOSUPPORT)
			return complain(tool, tool->options.file,
					-EPROTONOSUPPORT,
					dump->reasons[slot].text, NULL);
	if (dump->newest < 0)
		return complain(tool, tool->options.file, -ENODATA,
				"there is no record in it", NULL);
	return EXIT_DONE;
}

int cmd_decode(struct tool *tool)
{
	const char *file = tool->options.file;
	struct dump dump = {};
	char *data;
	int code;

	data = read_file(file, DUMP_MAX, &dump.size);
	if (!data) {
		char *text = errno == EFBIG ?
			     xasprintf("more than %u bytes: no region is that large",
				       DUMP_MAX) : xstrdup(strerror(errno));

		complain(tool, file, -errno, text, NULL);
		free(text);
		return EXIT_FAILED;
	}
	dump.data = (u8 *)data;
	dump.is_record = tool->options.record ||
			 looks_like_record(dump.data, dump.size);
	if (kch_slot_size(dump.size) < sizeof(struct kch_rec_header) &&
	    !dump.is_record) {
		complain(tool, file, -EINVAL, "too small for a region of two records",
			 "use --record for a dump of one");
		code = EXIT_FAILED;
	} else {
		code = decode(tool, &dump);
	}
	free(data);
	return code;
}
