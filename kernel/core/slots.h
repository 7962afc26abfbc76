/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The two slots of a region: which holds what, and where the next record goes.
 * Nothing else knows that there are two.  Pure: works on memory it is given, which
 * for reading must be a private copy, as of record.h.
 */
#ifndef KCH_SLOTS_H
#define KCH_SLOTS_H

#include "record.h"

/* Bytes of each of a region's two slots. */
size_t kch_slot_size(size_t region_size);

/*
 * Writes a record into a slot: takes back the old one's commit marker, then
 * copies header and entries, then sets the marker.  @entries are @vm_count
 * closed entries, back to back.  Fills in vm_count, total_size, crc32c and
 * commit of @header.  -ENOSPC: the slot is too small, or the sequence number too
 * large; nothing was written.
 */
int kch_record_write(void *slot, size_t slot_size,
		     struct kch_rec_header *header, const void *entries,
		     size_t entries_size, u32 vm_count);

/*
 * The same where the slot has the first @kept bytes of the entries already, from
 * a record that was written to it before: only what comes behind them is
 * copied.  They are not looked at; each has its own checksum.  @sum: kch_rec_bind()
 * of all entries.
 */
int kch_record_extend(void *slot, size_t slot_size,
		      struct kch_rec_header *header, size_t kept,
		      const void *entries, size_t entries_size, u32 vm_count, u32 sum);

/*
 * Marks an entry as used, or a header as superseded, in the region.  False: the memory
 * has not kept it.
 */
bool kch_record_mark(__le64 *mark);

/* Takes a slot's record back: it is no longer valid. */
void kch_record_revoke(void *slot);

/**
 * struct kch_slots_found - what the slots of a region hold
 * @error: 0: @came is a record.  Else what kch_record_open() said of the slot that
 *	counts
 * @came: the newest record of another boot; after an error only its header, as it
 *	was found.  A newer record counts also when it is of no use to this reader
 *	(-EPROTONOSUPPORT): an older one is out of date then
 * @came_slot: where that is
 * @own: the newest record of this boot, of a module that was loaded before
 * @own_slot: where that is; -1: there is none
 * @sequence: the largest of all whole records
 * @generation: kexecs that the chain of records has passed through by now
 * @errors: what kch_record_open() said of each slot
 * @why: that in words
 */
struct kch_slots_found {
	int error;
	struct kch_record came;
	unsigned int came_slot;
	struct kch_record own;
	int own_slot;
	u64 sequence;
	u64 generation;
	int errors[2];
	struct kch_message why[2];
};

/*
 * Looks into both slots of a region of @size bytes, which has room for two headers.
 * @boot_id: of this boot; all zero, or NULL: not known, so that all records are
 * another's.
 */
void kch_slots_look(const void *region, size_t size, const u8 *boot_id,
		    struct kch_slots_found *found);

/*
 * The newer of the two records of a region, in @record, and which slot it is
 * in.  A damaged or empty slot is passed over if the other is whole; @message
 * then tells the damage, and is empty if there is none.  If neither is whole,
 * the error of the one that holds something is returned.
 * -ENODATA: the region holds no record.  -EPROTONOSUPPORT: the newer one is
 * incompatible; an older one is not taken instead, it is out of date.
 * -EINVAL: the region is too small.
 */
int kch_region_open(const void *region, size_t size, struct kch_record *record,
		    unsigned int *slot, struct kch_message *message);

/**
 * struct kch_slots - the slots of a region that is written to
 * @memory: the region, NULL if there is none
 * @start: its physical address, for messages
 * @slot_size: bytes of a slot, and so of a record at most
 * @sequence: of the record written last, or of the newest one found
 * @generation: kexecs so far
 * @next: where the next record is written
 * @came: the slot of the record that came, or of what is left of one: it is not
 *	written to.  -1: there is none, and records are written to both in turn
 * @usable: it is a record
 * @written: bytes of each slot's entries that are as they would be written now
 */
struct kch_slots {
	void *memory;
	u64 start;
	size_t slot_size;
	u64 sequence;
	u64 generation;
	unsigned int next;
	int came;
	bool usable;
	size_t written[2];
};

/*
 * Begins to write to a region.  @found: what was found in it; or, if it is not
 * @shared with what came, in the memory that came.
 */
void kch_slots_begin(struct kch_slots *slots, void *memory, u64 start, size_t size,
		     const struct kch_slots_found *found, bool shared);

/* The entries from byte @at on are other ones now than those that were written. */
void kch_slots_changed(struct kch_slots *slots, size_t at);

/* So many bytes of the entries need not be written: the next slot has them. */
size_t kch_slots_kept(const struct kch_slots *slots);

/*
 * Puts a closed entry to byte @at of the next record's entries, behind the one that was
 * put before, and reads it back.  The slot has no record from then on until that is
 * written.  -ENOSPC: nothing was done; -EREMOTEIO: the memory has not kept it.
 */
int kch_slots_put(struct kch_slots *slots, size_t at, const struct kch_rec_vm *entry,
		  struct kch_message *message);

/*
 * Makes the next record of the entries that are there, and reads its header back.
 * @sum: kch_rec_bind() of all.
 * Fills in sequence and generation of @header, too.  -ENOSPC, also where there is no
 * larger sequence number; or -EREMOTEIO: the memory has not kept it, and the record
 * was taken back.
 */
int kch_slots_write(struct kch_slots *slots, struct kch_rec_header *header, u32 vm_count,
		    u32 sum, struct kch_message *message);

/* The record written last has no VM: it must not hide the one that came. */
void kch_slots_show_came(struct kch_slots *slots);

/*
 * The next record is about to be sealed.  Until that is whole, the one that came is all
 * there is, and says that it is out of date.
 */
void kch_slots_seal_begins(struct kch_slots *slots);

/* A newer record was sealed: the one that came is out of date. */
void kch_slots_supersede(struct kch_slots *slots);

/*
 * What came is done with: clears each slot, unless it has a record of @boot_id, which
 * was preserved for the next kernel since.  Where no slot starts as a record does,
 * the bytes are another's, and stay.  -EREMOTEIO: the memory cannot be written.
 */
int kch_slots_clear(const struct kch_slots *slots, const u8 boot_id[16],
		    struct kch_message *message);

/* That was done: both slots may be written to from now on. */
void kch_slots_release(struct kch_slots *slots);

#endif /* KCH_SLOTS_H */
