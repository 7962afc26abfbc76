/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading records, and closing what they are written from.  Pure: works on memory it
 * is given, which must be a private copy (a record is hostile until proven, and must
 * not change while it is being proven).
 *
 * Functions that can refuse return a negative errno and describe the reason in
 * a struct kch_message, if one is given.
 */
#ifndef KCH_RECORD_H
#define KCH_RECORD_H

#include <linux/kvmclock_handover.h>
#include <linux/kvmclock_handover_record.h>
#include "portable.h"

/**
 * struct kch_message - the reason for a refusal, for people
 * @text: NUL-terminated; what was found, what was expected
 */
struct kch_message {
	char text[KCH_MESSAGE_SIZE];
};

__printf(2, 3)
void kch_say(struct kch_message *message, const char *format, ...);

/**
 * struct kch_record - a record whose header was validated
 * @data: its first byte
 * @total_size: bytes, never more than the slot has
 * @sequence: of the header
 * @header_size: bytes to step from the header to the first VM
 * @vm_size: bytes to step from a VM to its first vCPU
 * @vcpu_size: bytes to step from one vCPU to the next
 * @vm_count: VM entries the header promises
 * @header: host-independent copy of the header; members that an old writer did
 *	not have are zero
 */
struct kch_record {
	const u8 *data;
	size_t total_size;
	u64 sequence;
	u32 header_size;
	u32 vm_size;
	u32 vcpu_size;
	u32 vm_count;
	struct kch_rec_header header;
};

/*
 * Validates the header of the record that starts a slot.
 *
 * 0: @record is filled in.  -ENODATA: the slot holds no record: never written,
 * taken back, or its writing was cut short.  -EBADMSG: damaged.
 * -EPROTONOSUPPORT: whole, but with incompatible features this code does not
 * know, which it names.  Once this is not 0, only @record->header may be used:
 * it holds the bytes that were found.
 */
int kch_record_open(const void *slot, size_t size, struct kch_record *record,
		    struct kch_message *message);

/**
 * struct kch_record_vm - one VM of a record
 * @vm: copy of its entry; members an old writer did not have are zero
 * @vcpus: its first vCPU, in the record
 * @vcpu_count: how many there are
 * @size: bytes of the entry and its vCPUs, as written
 * @record: the record it is in
 */
struct kch_record_vm {
	struct kch_rec_vm vm;
	const u8 *vcpus;
	u32 vcpu_count;
	u32 size;
	const struct kch_record *record;
};

/*
 * Steps through the VMs: @offset starts at 0 and is moved on.
 *
 * 0: @vm is valid.  -ENODATA: there are no more.  -EBADMSG: this entry is
 * damaged, @offset stands behind it, later entries may be whole.  -EBADE: so
 * badly damaged that nothing behind it can be found.
 */
int kch_record_next(const struct kch_record *record, size_t *offset,
		    struct kch_record_vm *vm, struct kch_message *message);

/*
 * The VM with that id.  -ENOENT: no whole entry has it.  -EBADMSG: none has it,
 * and an entry that is damaged may have been it; or two have it.
 */
int kch_record_find(const struct kch_record *record,
		    const u8 uuid[KCH_UUID_SIZE], struct kch_record_vm *vm,
		    struct kch_message *message);

/* Copies vCPU @index (below vcpu_count); unknown members are zero. */
void kch_record_vcpu(const struct kch_record_vm *vm, u32 index,
		     struct kch_rec_vcpu *vcpu);

/*
 * Copies an entry and its vCPUs into this version's layout, whatever version
 * wrote it, without what this one does not know; @to has room for
 * kch_rec_entry_size(vcpu_count).  Not closed.
 */
void kch_record_copy(const struct kch_record_vm *vm, struct kch_rec_vm *to);

/* Bytes an entry with that many vCPUs has in this version. */
static inline size_t kch_rec_entry_size(u32 vcpus)
{
	return sizeof(struct kch_rec_vm) + (size_t)vcpus * sizeof(struct kch_rec_vcpu);
}

/* Sets the size and the checksum of an entry of this version, vCPUs behind it. */
void kch_rec_entry_close(struct kch_rec_vm *vm);

/* Fills in what makes a header of this version: magic, sizes, feature bits. */
void kch_rec_header_init(struct kch_rec_header *header);

/*
 * What binds entries to their header: a checksum of those of all entries, closed, in
 * their order.  Begins with KCH_REC_UNBOUND, and goes on from entry to entry.
 */
#define KCH_REC_UNBOUND		(~0U)
u32 kch_rec_bind(u32 sum, const struct kch_rec_vm *entry);

/*
 * Sets the checksums of a header of this version, whose entries are bound by @sum; it has
 * no commit marker yet.
 */
void kch_rec_header_close(struct kch_rec_header *header, u32 sum);

#endif /* KCH_RECORD_H */
