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

static void print_header(struct output *out, const struct kch_rec_header *header)
{
	char vendor[sizeof(header->cpu_vendor) + 1] = "";

	memcpy(vendor, header->cpu_vendor, sizeof(header->cpu_vendor));
	output_u64(out, "sequence", le64_to_cpu(header->sequence));
	output_u64(out, "generation", le64_to_cpu(header->generation));
	output_bool(out, "sealed", le32_to_cpu(header->flags) & KCH_REC_SEALED);
	output_u64(out, "header_size", le32_to_cpu(header->header_size));
	output_u64(out, "vm_size", le32_to_cpu(header->vm_size));
	output_u64(out, "vcpu_size", le32_to_cpu(header->vcpu_size));
	output_u64(out, "total_size", le64_to_cpu(header->total_size));
	output_u64(out, "vm_count", le32_to_cpu(header->vm_count));
	output_hex(out, "compat", le32_to_cpu(header->compat));
	output_hex(out, "incompat", le32_to_cpu(header->incompat));
	output_u64(out, "tsc_khz", le32_to_cpu(header->tsc_khz));
	output_u64(out, "kvm_tsc_khz", le32_to_cpu(header->kvm_tsc_khz));
	output_string(out, "tsc_source",
		      tsc_source_name(le32_to_cpu(header->tsc_source)));
	output_u64(out, "host_tsc", le64_to_cpu(header->host_tsc));
	output_u64(out, "realtime_ns", le64_to_cpu(header->realtime_ns));
	output_u64(out, "tai_ns", le64_to_cpu(header->tai_ns));
	output_u64(out, "boottime_ns", le64_to_cpu(header->boottime_ns));
	output_u64(out, "raw_ns", le64_to_cpu(header->raw_ns));
	output_uuid(out, "boot_id", header->boot_id);
	output_uuid(out, "machine_id", header->machine_id);
	output_string(out, "cpu_vendor", vendor);
	output_hex(out, "cpu_signature", le32_to_cpu(header->cpu_signature));
	output_string(out, "kernel_release", header->kernel_release);
	output_string(out, "module_version", header->module_version);
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
	const struct kch_rec_vm *vm = &entry->vm.vm;
	u32 flags = le32_to_cpu(vm->flags);

	output_row(out);
	output_u64(out, "slot", slot);
	output_u64(out, "offset", entry->offset);
	output_uuid(out, "uuid", vm->uuid);
	output_string(out, "name", vm->name);
	output_s64(out, "pid", (s32)le32_to_cpu(vm->pid));
	output_u64(out, "vcpus", entry->vm.vcpu_count);
	output_bool(out, "master_clock", flags & KCH_VM_MASTER_CLOCK);
	output_bool(out, "running", flags & KCH_VM_RUNNING);
	output_bool(out, "at_seal", flags & KCH_VM_AT_SEAL);
	output_u64(out, "master_cycle_now", le64_to_cpu(vm->master_cycle_now));
	output_u64(out, "master_kernel_ns", le64_to_cpu(vm->master_kernel_ns));
	output_s64(out, "kvmclock_offset",
		   (s64)le64_to_cpu(vm->kvmclock_offset));
	output_u64(out, "host_tsc", le64_to_cpu(vm->host_tsc));
	output_u64(out, "kvmclock_ns", le64_to_cpu(vm->kvmclock_ns));
	output_u64(out, "tsc_scaling_frac_bits", vm->tsc_scaling_frac_bits);
	output_u64(out, "default_tsc_khz", le32_to_cpu(vm->default_tsc_khz));
	output_u64(out, "kvmclock_slack_ns", le32_to_cpu(vm->kvmclock_slack_ns));
	output_bool(out, "at_end", flags & KCH_VM_AT_END);
	output_bool(out, "stale", flags & KCH_VM_STALE);
}

static void print_vcpus(struct output *out, unsigned int slot,
			const struct entry *entry)
{
	struct kch_rec_vcpu vcpu;
	u32 i, flags;

	for (i = 0; i < entry->vm.vcpu_count; i++) {
		kch_record_vcpu(&entry->vm, i, &vcpu);
		flags = le32_to_cpu(vcpu.flags);
		output_row(out);
		output_u64(out, "slot", slot);
		output_uuid(out, "uuid", entry->vm.vm.uuid);
		output_u64(out, "vcpu_id", le32_to_cpu(vcpu.vcpu_id));
		output_u64(out, "tsc_offset", le64_to_cpu(vcpu.tsc_offset));
		output_u64(out, "tsc_scaling_ratio",
			   le64_to_cpu(vcpu.tsc_scaling_ratio));
		output_s64(out, "ia32_tsc_adjust",
			   (s64)le64_to_cpu(vcpu.ia32_tsc_adjust));
		output_u64(out, "virtual_tsc_khz",
			   le32_to_cpu(vcpu.virtual_tsc_khz));
		output_u64(out, "hw_tsc_khz", le32_to_cpu(vcpu.hw_tsc_khz));
		output_u64(out, "tsc_to_system_mul",
			   le32_to_cpu(vcpu.tsc_to_system_mul));
		output_s64(out, "tsc_shift", vcpu.tsc_shift);
		output_hex(out, "pvclock_gpa", le64_to_cpu(vcpu.pvclock_gpa));
		output_hex(out, "pvclock_flags", vcpu.pvclock_flags);
		output_bool(out, "has_run", flags & KCH_VCPU_PAIR_VALID);
		output_bool(out, "pvclock_on", flags & KCH_VCPU_PVCLOCK_ON);
		output_bool(out, "catchup", flags & KCH_VCPU_CATCHUP);
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
		print_header(out, &dump->records[dump->newest].header);
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
