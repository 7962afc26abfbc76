// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Reading records: nothing of one is believed before it was checked.  And their
 * checksums.  Their layout is in fields.c.
 */
#include "forged.h"
#include "record.h"

void kch_say(struct kch_message *message, const char *format, ...)
{
	va_list args;

	if (!message)
		return;
	va_start(args, format);
	vsnprintf(message->text, sizeof(message->text), format, args);
	va_end(args);
}

/* Without what is written later, and the checksum itself. */
static u32 header_crc(const u8 *at, size_t size)
{
	struct kch_rec_header header;

	memcpy(&header, at, sizeof(header));
	header.superseded = 0;
	header.crc32c = 0;
	header.commit = 0;
	return ~kch_crc32c(kch_crc32c(~0U, &header, sizeof(header)),
			   at + sizeof(header), size - sizeof(header));
}

static u32 entry_crc(const u8 *at, size_t size)
{
	struct kch_rec_vm vm;

	memcpy(&vm, at, sizeof(vm));
	vm.crc32c = 0;
	vm.used = 0;
	return ~kch_crc32c(kch_crc32c(~0U, &vm, sizeof(vm)), at + sizeof(vm),
			   size - sizeof(vm));
}

u32 kch_rec_bind(u32 sum, const struct kch_rec_vm *entry)
{
	return kch_crc32c(sum, &entry->crc32c, sizeof(entry->crc32c));
}

/* Of all entries, and of what no other record has. */
static u32 bound_crc(u32 sum, const struct kch_rec_header *header)
{
	sum = kch_crc32c(sum, &header->sequence, sizeof(header->sequence));
	return ~kch_crc32c(sum, header->boot_id, sizeof(header->boot_id));
}

#define NO_COUNT	UINT_MAX

/*
 * How many entries fill the record, to the byte: NO_COUNT, if they do not.  @sum binds
 * them, by the checksums that are written in them; or, with @anew, by those that they
 * ought to have, where one of these alone is damaged.
 */
static u32 count_entries(const struct kch_record *record, bool anew, u32 *sum)
{
	size_t at = record->header_size, size;
	struct kch_rec_vm vm;
	u32 n = 0;

	*sum = KCH_REC_UNBOUND;
	for (; record->total_size - at >= record->vm_size; at += size, n++) {
		memcpy(&vm, record->data + at, sizeof(vm));
		size = le32_to_cpu(vm.size);
		if (size < record->vm_size || size > record->total_size - at)
			return NO_COUNT;
		if (anew)
			vm.crc32c = cpu_to_le32(entry_crc(record->data + at, size));
		*sum = kch_rec_bind(*sum, &vm);
	}
	return at == record->total_size ? n : NO_COUNT;
}

/* Are the entries those of this header, and not what an earlier record has left? */
static bool is_bound(const struct kch_record *record, bool anew)
{
	u32 sum;

	return count_entries(record, anew, &sum) == record->vm_count &&
	       bound_crc(sum, &record->header) ==
	       le32_to_cpu(record->header.entries_crc32c);
}

static int check_entries(const struct kch_record *record, struct kch_message *message)
{
	u32 count, unused;

	if (le32_to_cpu(record->header.compat) & KCH_COMPAT_BOUND) {
		if (is_bound(record, false) || is_bound(record, true))
			return 0;
		kch_say(message, "the %u VM entries are not those that the header of record %llu is for: some are damaged, lost, or of an earlier record",
			record->vm_count, (unsigned long long)record->sequence);
		return -EBADMSG;
	}
	count = count_entries(record, false, &unused);
	if (count == NO_COUNT || count == record->vm_count)
		return 0;
	kch_say(message, "vm_count %u, but there are %u VM entries: the record is forged",
		record->vm_count, count);
	return -EBADMSG;
}

static bool mark_ok(__le64 mark)
{
	return !mark || mark == cpu_to_le64(KCH_RECORD_MARK);
}

static bool structure_size_ok(u32 size, u32 min, size_t max)
{
	return size >= min && size <= KCH_REC_SIZE_MAX && size % 8 == 0 &&
	       size <= max;
}

static bool all_zero(const void *data, size_t size)
{
	const u8 *p = data;

	while (size--)
		if (*p++)
			return false;
	return true;
}

int kch_record_open(const void *slot, size_t size, struct kch_record *record,
		    struct kch_message *message)
{
	struct kch_rec_header *header = &record->header;
	u64 sequence, commit, total;
	struct kch_message why;
	__le64 magic;
	u32 crc;

	if (size < sizeof(*header)) {
		kch_say(message, "slot of %zu bytes, a record header has %zu",
			size, sizeof(*header));
		return -EBADMSG;
	}
	memcpy(header, slot, sizeof(*header));
	if (memcmp(header->magic, KCH_RECORD_MAGIC, sizeof(header->magic))) {
		if (all_zero(header, sizeof(*header))) {
			kch_say(message, "no record was ever written here");
			return -ENODATA;
		}
		memcpy(&magic, header->magic, sizeof(magic));
		kch_say(message, "found %#llx where a record has its magic number",
			(unsigned long long)le64_to_cpu(magic));
		return -EBADMSG;
	}
	sequence = le64_to_cpu(header->sequence);
	commit = le64_to_cpu(header->commit);
	if (commit != (KCH_RECORD_COMMIT ^ sequence)) {
		/* Taken back on purpose: finished with, not damaged. */
		if (commit == 0) {
			kch_say(message, "the record with sequence number %llu was taken back, or its writing was cut short",
				(unsigned long long)sequence);
			return -ENODATA;
		}
		kch_say(message, "commit marker %#llx, expected %#llx: the record is damaged",
			(unsigned long long)commit,
			(unsigned long long)(KCH_RECORD_COMMIT ^ sequence));
		return -EBADMSG;
	}
	record->header_size = le32_to_cpu(header->header_size);
	if (!structure_size_ok(record->header_size, KCH_REC_HEADER_SIZE, size)) {
		kch_say(message, "header of %u bytes, expected %u to %u: the record is damaged",
			record->header_size, KCH_REC_HEADER_SIZE, KCH_REC_SIZE_MAX);
		return -EBADMSG;
	}
	crc = header_crc(slot, record->header_size);
	if (crc != le32_to_cpu(header->crc32c)) {
		kch_say(message, "header checksum %#x, expected %#x: the record is damaged",
			le32_to_cpu(header->crc32c), crc);
		return -EBADMSG;
	}
	if (!mark_ok(header->superseded)) {
		kch_say(message, "superseded mark %#llx, expected 0 or %#llx: the record is damaged",
			(unsigned long long)le64_to_cpu(header->superseded),
			KCH_RECORD_MARK);
		return -EBADMSG;
	}
	/* The next record's would not be larger. */
	if (sequence > KCH_REC_SEQUENCE_MAX) {
		kch_say(message, "sequence %llu, the last there can be is %llu: the record is forged",
			(unsigned long long)sequence, KCH_REC_SEQUENCE_MAX);
		return -EBADMSG;
	}
	/* From here on the header is what its writer wrote. */
	if (le32_to_cpu(header->incompat) & ~KCH_INCOMPAT_KNOWN) {
		/* What a later version writes there is not known. */
		kch_say(message, "incompatible features %#x, known are %#x: the record is from a newer module (%.*s of kernel %.*s)",
			le32_to_cpu(header->incompat), KCH_INCOMPAT_KNOWN,
			(int)kch_printable(header->module_version, 15), header->module_version,
			(int)kch_printable(header->kernel_release, 63), header->kernel_release);
		return -EPROTONOSUPPORT;
	}
	record->vm_size = le32_to_cpu(header->vm_size);
	record->vcpu_size = le32_to_cpu(header->vcpu_size);
	record->vm_count = le32_to_cpu(header->vm_count);
	total = le64_to_cpu(header->total_size);
	if (!structure_size_ok(record->vm_size, KCH_REC_VM_SIZE, KCH_REC_SIZE_MAX) ||
	    !structure_size_ok(record->vcpu_size, KCH_REC_VCPU_SIZE, KCH_REC_SIZE_MAX) ||
	    record->vm_count > KCH_REC_VMS_MAX ||
	    total < record->header_size || total > size ||
	    (u64)record->vm_count * record->vm_size > total - record->header_size) {
		kch_say(message, "%llu bytes with %u VMs of %u and vCPUs of %u bytes do not make a record in a slot of %zu",
			(unsigned long long)total, record->vm_count,
			record->vm_size, record->vcpu_size, size);
		return -EBADMSG;
	}
	if (kch_header_forged(header, &why)) {
		kch_say(message, "%.200s: the record is forged", why.text);
		return -EBADMSG;
	}
	record->data = slot;
	record->total_size = (size_t)total;
	record->sequence = sequence;
	return check_entries(record, message);
}

int kch_record_next(const struct kch_record *record, size_t *offset,
		    struct kch_record_vm *vm, struct kch_message *message)
{
	struct kch_message why;
	const u8 *entry;
	size_t left;
	u32 crc;

	if (*offset == 0)
		*offset = record->header_size;
	left = record->total_size - *offset;
	if (left == 0)
		return -ENODATA;
	if (left < record->vm_size)
		goto lost;
	entry = record->data + *offset;
	memcpy(&vm->vm, entry, sizeof(vm->vm));
	vm->record = record;
	vm->vcpus = entry + record->vm_size;
	vm->size = le32_to_cpu(vm->vm.size);
	vm->vcpu_count = le32_to_cpu(vm->vm.vcpu_count);
	if (vm->size > left || vm->vcpu_count > KCH_REC_VCPUS_MAX ||
	    vm->size != record->vm_size +
			(u64)vm->vcpu_count * record->vcpu_size)
		goto lost;
	*offset += vm->size;
	crc = entry_crc(entry, vm->size);
	if (crc != le32_to_cpu(vm->vm.crc32c)) {
		kch_say(message, "VM entry at byte %zu: checksum %#x, expected %#x: it is damaged",
			(size_t)(entry - record->data),
			le32_to_cpu(vm->vm.crc32c), crc);
		return -EBADMSG;
	}
	if (!mark_ok(vm->vm.used)) {
		kch_say(message, "VM entry at byte %zu: used mark %#llx, expected 0 or %#llx: it is damaged",
			(size_t)(entry - record->data),
			(unsigned long long)le64_to_cpu(vm->vm.used), KCH_RECORD_MARK);
		return -EBADMSG;
	}
	if (kch_entry_forged(vm, &why)) {
		kch_say(message, "VM entry at byte %zu: %.200s: it is forged",
			(size_t)(entry - record->data), why.text);
		return -EBADMSG;
	}
	return 0;
lost:
	kch_say(message, "VM entry at byte %zu does not fit into the %zu bytes of the record: it and all behind it are lost",
		*offset, record->total_size);
	*offset = record->total_size;
	return -EBADE;
}

int kch_record_find(const struct kch_record *record,
		    const u8 uuid[KCH_UUID_SIZE], struct kch_record_vm *vm,
		    struct kch_message *message)
{
	bool damaged = false, found = false;
	struct kch_record_vm next;
	size_t offset = 0;
	int err;

	/* The id asked for may be that of *vm, which is overwritten with one of that id only. */
	while ((err = kch_record_next(record, &offset, &next, message)) != -ENODATA) {
		if (err) {
			damaged = true;
		} else if (!memcmp(next.vm.uuid, uuid, sizeof(next.vm.uuid))) {
			if (found) {
				kch_say(message, "two VM entries have that id, and which is the VM's cannot be told: the record is forged");
				return -EBADMSG;
			}
			found = true;
			*vm = next;
		}
	}
	if (found)
		return 0;
	if (damaged)
		return -EBADMSG;
	kch_say(message, "no VM of that id among the %u in the record",
		record->vm_count);
	return -ENOENT;
}

void kch_record_vcpu(const struct kch_record_vm *vm, u32 index,
		     struct kch_rec_vcpu *vcpu)
{
	memcpy(vcpu, vm->vcpus + (size_t)index * vm->record->vcpu_size,
	       sizeof(*vcpu));
}

void kch_record_copy(const struct kch_record_vm *vm, struct kch_rec_vm *to)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(to + 1);
	u32 i;

	*to = vm->vm;
	for (i = 0; i < vm->vcpu_count; i++)
		kch_record_vcpu(vm, i, &vcpus[i]);
	/* Under a header that does not announce it, it would be forged. */
	kch_entry_forget_newer(to);
}

void kch_rec_entry_close(struct kch_rec_vm *vm)
{
	size_t size = kch_rec_entry_size(le32_to_cpu(vm->vcpu_count));

	vm->size = cpu_to_le32((u32)size);
	vm->crc32c = cpu_to_le32(entry_crc((const u8 *)vm, size));
}

void kch_rec_header_init(struct kch_rec_header *header)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, KCH_RECORD_MAGIC, sizeof(header->magic));
	header->header_size = cpu_to_le32(sizeof(struct kch_rec_header));
	header->vm_size = cpu_to_le32(sizeof(struct kch_rec_vm));
	header->vcpu_size = cpu_to_le32(sizeof(struct kch_rec_vcpu));
}

void kch_rec_header_close(struct kch_rec_header *header, u32 sum)
{
	header->compat |= cpu_to_le32(KCH_COMPAT_BOUND);
	header->entries_crc32c = cpu_to_le32(bound_crc(sum, header));
	header->superseded = 0;
	header->commit = 0;
	header->crc32c = cpu_to_le32(header_crc((const u8 *)header,
						sizeof(*header)));
}
