/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record that came from before the kexec, and what was restored from it.
 * It is a copy of all that came, made before anything is written to it;
 * a damaged one is kept as it is, for evidence.  All functions need kch_lock.
 */
#ifndef KCH_INCOMING_H
#define KCH_INCOMING_H

#include <linux/mutex.h>

#include "core/slots.h"
#include "preserve/outgoing.h"
#include "region/region.h"

struct kch_watch;

/*
 * Of both records and the region; taken before any lock of KVM's or the mm's.  It is not
 * held while a vCPU is waited for, or user memory is used.
 */
extern struct mutex kch_lock;

/*
 * What a kexec takes at most, from the seal to the start of the next kernel, seconds: a
 * record that was older when this kernel started was not made by the kernel before it.
 */
extern unsigned int kch_kexec_seconds_max;

/**
 * struct kch_incoming_vm - one whole entry of the record
 * @vm: the entry
 * @by_uuid: to find it by its id
 * @watch: the VM it was restored to last, NULL if none or gone
 * @restored: it was
 * @hidden_cycles: of the time since it was saved, hidden from the guest
 * @let_go: a hold of it ended without that, and it was not restored since
 */
struct kch_incoming_vm {
	struct kch_record_vm vm;
	struct hlist_node by_uuid;
	struct kch_watch *watch;
	u64 hidden_cycles;
	bool restored;
	bool let_go;
};

/**
 * struct kch_incoming - the record
 * @copy: of the region's bytes, NULL once finished
 * @origin: what @copy is of; NULL for a record that did not come in the region
 * @size: bytes
 * @error: 0, or why no record can be used: -ENODATA, -EBADMSG, ...
 * @message: the reason in words
 * @record: valid if @error is 0
 * @vms: its whole entries
 * @by_uuid: the same by kch_uuid_key(), in so many @buckets as make the work for one the same
 *	with any number of them
 * @buckets: a power of two
 * @count: how many
 * @damaged: entries that are not whole
 * @damage: why the first of them is not
 * @vcpus_max: most vCPUs of an entry
 * @restored: VMs restored
 * @other_damaged: the region's other slot has a record that is damaged
 */
struct kch_incoming {
	u8 *copy;
	u8 *origin;
	size_t size;
	int error;
	struct kch_message message;
	struct kch_record record;
	struct kch_incoming_vm *vms;
	struct hlist_head *by_uuid;
	u32 buckets;
	u32 count;
	u32 damaged;
	struct kch_message damage;
	u32 vcpus_max;
	u32 restored;
	bool other_damaged;
};

/*
 * Copies what came, and judges it; @found is for the record of the next kernel to go on
 * from.  -ENOMEM; kch_incoming_exit() is due also then.
 */
int kch_incoming_init(struct kch_incoming *in, struct kch_region *region,
		      struct kch_slots_found *found);

/*
 * One record that did not come in a region; keeps @copy, also if it is of no use
 * (@in->error).  -ENOMEM; kch_incoming_exit() is due also then.
 */
int kch_incoming_open(struct kch_incoming *in, u8 *copy, size_t size);
void kch_incoming_exit(struct kch_incoming *in);

/* -ENODATA ... if there is no usable record, -ENOENT, -EBADMSG. */
int kch_incoming_find(struct kch_incoming *in, const u8 uuid[KCH_UUID_SIZE],
		      struct kch_incoming_vm **vm, struct kch_message *message);

/*
 * The entry in this version's layout, as it is restored: every vCPU has a rate.
 * -ENOMEM, -EBADMSG no rate can be had; *@entry is NULL then.
 */
int kch_incoming_entry(const struct kch_record_vm *vm, struct kch_rec_vm **entry,
		       struct kch_message *message);

/*
 * The same, to be restored: of a clock that is not known to be the VM's last one
 * only if KCH_RESTORE_STALE is among @flags.  Also -ESTALE.
 */
int kch_incoming_saved(const struct kch_record_vm *vm, u32 flags,
		       struct kch_rec_vm **entry, struct kch_message *message);

/*
 * May this record be restored here, as a whole?  -EINPROGRESS, -EKEYEXPIRED, -EREMCHG,
 * -ETIME, -EBADMSG.  Of the host's TSC nothing is said: that has nothing to do with the record.
 * @flags: KCH_RESTORE_*; fills in what it measured.
 */
int kch_incoming_usable(struct kch_incoming *in, u32 flags,
			struct kch_outcome *outcome, struct kch_message *message);

/*
 * The clock is about to be given back, by whatever means: that is marked in the region
 * before the guest can run on it, so that nobody gives it again.  1: it was before, which
 * stays.  @used false: it was not given after all.  -ENOENT and the like; -EREMOTEIO: the
 * memory has not kept it.
 */
int kch_incoming_use(struct kch_incoming *in, const u8 *uuid, bool used,
		     struct kch_message *message);

/*
 * Notes that the VM of @uuid was restored to @vm_file, without @hidden_cycles; or with @err that
 * a hold of it ended.  If it is marked then all the same, its guest ran on.
 */
void kch_incoming_outcome(struct kch_incoming *in, const u8 *uuid, struct file *vm_file, int err,
			  u64 hidden_cycles);

/*
 * Is a record to be sealed for the next kernel, though no VM was preserved here?  Not if
 * what came stays in the region, and is of no use.
 */
bool kch_incoming_is_sealed_again(struct kch_incoming *in, const struct kch_region *region);

/*
 * Before the record for the next kernel is sealed: what was not restored here
 * goes into it as it is, so that a host that is updated twice loses nothing.
 */
void kch_incoming_carry_over(struct kch_incoming *in, struct kch_outgoing *out);

/* Takes the record back in the region, or gives its memory back; forgets it. */
int kch_incoming_finish(struct kch_incoming *in, struct kch_slots *slots,
			struct kch_region *region, bool discard,
			struct kch_message *message);

#endif /* KCH_INCOMING_H */
