// SPDX-License-Identifier: GPL-2.0
#include "damage.h"
#include "util.h"
#include <stdlib.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define FIELD(type, member) \
	{ #member, offsetof(struct type, member), \
	  sizeof(((struct type *)0)->member) }

struct field {
	const char *name;
	size_t offset, size;
};

static const struct field header_fields[] = {
	FIELD(kch_rec_header, magic),
	FIELD(kch_rec_header, header_size),
	FIELD(kch_rec_header, vm_size),
	FIELD(kch_rec_header, vcpu_size),
	FIELD(kch_rec_header, vm_count),
	FIELD(kch_rec_header, compat),
	FIELD(kch_rec_header, incompat),
	FIELD(kch_rec_header, sequence),
	FIELD(kch_rec_header, total_size),
	FIELD(kch_rec_header, generation),
	FIELD(kch_rec_header, flags),
	FIELD(kch_rec_header, tsc_khz),
	FIELD(kch_rec_header, kvm_tsc_khz),
	FIELD(kch_rec_header, tsc_source),
	FIELD(kch_rec_header, host_tsc),
	FIELD(kch_rec_header, realtime_ns),
	FIELD(kch_rec_header, tai_ns),
	FIELD(kch_rec_header, boottime_ns),
	FIELD(kch_rec_header, raw_ns),
	FIELD(kch_rec_header, boot_id),
	FIELD(kch_rec_header, machine_id),
	FIELD(kch_rec_header, cpu_signature),
	FIELD(kch_rec_header, cpu_vendor),
	FIELD(kch_rec_header, kernel_release),
	FIELD(kch_rec_header, module_version),
	FIELD(kch_rec_header, reserved),
	FIELD(kch_rec_header, crc32c),
	FIELD(kch_rec_header, reserved2),
	FIELD(kch_rec_header, commit),
};

static const struct field vm_fields[] = {
	FIELD(kch_rec_vm, size),
	FIELD(kch_rec_vm, crc32c),
	FIELD(kch_rec_vm, uuid),
	FIELD(kch_rec_vm, name),
	FIELD(kch_rec_vm, vcpu_count),
	FIELD(kch_rec_vm, flags),
	FIELD(kch_rec_vm, master_cycle_now),
	FIELD(kch_rec_vm, master_kernel_ns),
	FIELD(kch_rec_vm, kvmclock_offset),
	FIELD(kch_rec_vm, host_tsc),
	FIELD(kch_rec_vm, kvmclock_ns),
	FIELD(kch_rec_vm, tsc_scaling_frac_bits),
	FIELD(kch_rec_vm, reserved1),
	FIELD(kch_rec_vm, pid),
	FIELD(kch_rec_vm, default_tsc_khz),
	FIELD(kch_rec_vm, kvmclock_slack_ns),
	FIELD(kch_rec_vm, reserved),
};

static const struct field vcpu_fields[] = {
	FIELD(kch_rec_vcpu, vcpu_id),
	FIELD(kch_rec_vcpu, flags),
	FIELD(kch_rec_vcpu, tsc_offset),
	FIELD(kch_rec_vcpu, tsc_scaling_ratio),
	FIELD(kch_rec_vcpu, ia32_tsc_adjust),
	FIELD(kch_rec_vcpu, pvclock_gpa),
	FIELD(kch_rec_vcpu, virtual_tsc_khz),
	FIELD(kch_rec_vcpu, hw_tsc_khz),
	FIELD(kch_rec_vcpu, tsc_to_system_mul),
	FIELD(kch_rec_vcpu, tsc_shift),
	FIELD(kch_rec_vcpu, pvclock_flags),
	FIELD(kch_rec_vcpu, reserved),
};

static const char *field_name(const struct field *fields, size_t count,
			      size_t offset)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (offset - fields[i].offset < fields[i].size)
			return fields[i].name;
	return "a member of a newer version";
}

static bool one_bit(u32 syndrome, unsigned int *bit)
{
	if (!syndrome || (syndrome & (syndrome - 1)))
		return false;
	*bit = (unsigned int)__builtin_ctz(syndrome);
	return true;
}

/*
 * Where in @data, whose checksum @stored at @crc was made with itself and the
 * commit marker as zero, one bit is wrong; @commit is 0 where there is none.
 *
 * CRC is linear: a wrong bit changes the checksum by an amount that depends
 * only on how many bytes follow it.  So it is enough to walk from the last
 * byte to the first, with that amount for each of a byte's eight bits.
 */
static bool find_flip(const u8 *data, size_t size, size_t crc, size_t commit,
		      size_t *offset, unsigned int *bit)
{
	const size_t commit_end = commit ? commit + sizeof(__le64) : 0;
	static const u8 zero;
	u8 *copy = xmalloc(size);
	u32 syndrome, effect[8];
	unsigned int b;
	__le32 stored;

	memcpy(&stored, data + crc, sizeof(stored));
	memcpy(copy, data, size);
	memset(copy + crc, 0, sizeof(stored));
	memset(copy + commit, 0, commit_end - commit);
	syndrome = ~kch_crc32c(~0U, copy, size) ^ le32_to_cpu(stored);
	free(copy);
	if (!syndrome)
		return false;
	if (one_bit(syndrome, bit)) {
		*offset = crc + *bit / 8;
		*bit %= 8;
		return true;
	}
	for (b = 0; b < 8; b++) {
		const u8 byte = (u8)(1U << b);

		effect[b] = kch_crc32c(0, &byte, 1);
	}
	while (size--) {
		for (b = 0; b < 8; b++) {
			if (effect[b] == syndrome &&
			    size - crc >= sizeof(stored) &&
			    (size < commit || size >= commit_end)) {
				*offset = size;
				*bit = b;
				return true;
			}
			effect[b] = kch_crc32c(effect[b], &zero, 1);
		}
	}
	return false;
}

static bool flip_in_header(const u8 *slot, size_t header_size,
			   struct damage *damage)
{
	return find_flip(slot, header_size, offsetof(struct kch_rec_header, crc32c),
			 offsetof(struct kch_rec_header, commit),
			 &damage->offset, &damage->bit);
}

/* The marker is not under the checksum, but is known from the sequence. */
static bool flip_in_commit(const struct kch_rec_header *header,
			   struct damage *damage)
{
	u64 wrong = le64_to_cpu(header->commit) ^ KCH_RECORD_COMMIT ^
		    le64_to_cpu(header->sequence);
	unsigned int bit;

	if (!wrong || (wrong & (wrong - 1)))
		return false;
	bit = (unsigned int)__builtin_ctzll(wrong);
	damage->offset = offsetof(struct kch_rec_header, commit) + bit / 8;
	damage->bit = bit % 8;
	return true;
}

bool damage_in_header(const u8 *slot, size_t size, struct damage *damage)
{
	struct kch_rec_header header;
	u32 header_size;
	bool found;

	if (size < sizeof(header))
		return false;
	memcpy(&header, slot, sizeof(header));
	header_size = le32_to_cpu(header.header_size);
	/* The size may be what is wrong: then take version 1's. */
	if (header_size < sizeof(header) || header_size > KCH_REC_SIZE_MAX ||
	    header_size > size)
		header_size = sizeof(header);
	found = flip_in_header(slot, header_size, damage);
	if (!found && header_size != sizeof(header))
		found = flip_in_header(slot, sizeof(header), damage);
	if (!found)
		found = flip_in_commit(&header, damage);
	if (found)
		snprintf(damage->field, sizeof(damage->field), "%s",
			 field_name(header_fields, ARRAY_SIZE(header_fields),
				    damage->offset));
	return found;
}

static void name_entry_field(const struct kch_record *record,
			     struct damage *damage)
{
	size_t in_vcpus;

	if (damage->offset < record->vm_size) {
		snprintf(damage->field, sizeof(damage->field), "%s",
			 field_name(vm_fields, ARRAY_SIZE(vm_fields),
				    damage->offset));
		return;
	}
	in_vcpus = damage->offset - record->vm_size;
	snprintf(damage->field, sizeof(damage->field), "vcpu %zu %s",
		 in_vcpus / record->vcpu_size,
		 field_name(vcpu_fields, ARRAY_SIZE(vcpu_fields),
			    in_vcpus % record->vcpu_size));
}

bool damage_in_entry(const u8 *entry, size_t size, const struct kch_record *record,
		     struct damage *damage)
{
	if (size < sizeof(struct kch_rec_vm))
		return false;
	if (!find_flip(entry, size, offsetof(struct kch_rec_vm, crc32c), 0,
		       &damage->offset, &damage->bit))
		return false;
	name_entry_field(record, damage);
	return true;
}

size_t damage_entry_size(const u8 *entry, size_t left,
			 const struct kch_record *record)
{
	struct damage damage;
	struct kch_rec_vm vm;
	u64 sizes[2];
	size_t i;

	if (left < sizeof(vm))
		return 0;
	memcpy(&vm, entry, sizeof(vm));
	/* Either the count is right, or the size is. */
	sizes[0] = record->vm_size +
		   (u64)le32_to_cpu(vm.vcpu_count) * record->vcpu_size;
	sizes[1] = le32_to_cpu(vm.size);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (sizes[i] >= record->vm_size && sizes[i] <= left &&
		    damage_in_entry(entry, (size_t)sizes[i], record, &damage))
			return (size_t)sizes[i];
	return 0;
}
