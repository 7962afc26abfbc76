/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record being made for the next kernel.  It is whole in the region after
 * every change, and sealed by the reboot path.  All functions need kch_lock.
 */
#ifndef KCH_OUTGOING_H
#define KCH_OUTGOING_H

#include <linux/hashtable.h>
#include <linux/list.h>

#include "core/slots.h"
#include "region/region.h"

struct file;
struct kch_watch;

/*
 * VMs are found by hash: the work for one is not to grow with their number.  Nobody can
 * choose ids whose keys are the same.
 */
#define KCH_HASH_BITS	10

u32 kch_uuid_key(const u8 uuid[KCH_UUID_SIZE]);

/**
 * struct kch_outgoing_vm - one VM preserved
 * @link: in the order of preserving, which is that of the record
 * @by_uuid: to find it by its id
 * @by_file: to find it by its VM's file; not hashed without a VM
 * @entry: closed entry, of @size bytes
 * @size: bytes
 * @at: bytes of the record's entries before it
 * @sum: kch_rec_bind() of these and of it
 * @watch: the VM it was read from, NULL if it is gone
 */
struct kch_outgoing_vm {
	struct list_head link;
	struct hlist_node by_uuid;
	struct hlist_node by_file;
	struct kch_rec_vm *entry;
	size_t size;
	size_t at;
	u32 sum;
	struct kch_watch *watch;
};

/**
 * struct kch_outgoing - the record
 * @vms: struct kch_outgoing_vm
 * @by_uuid: the same
 * @by_file: the same
 * @count: how many
 * @entries_size: bytes of all their entries
 * @header: of the record as last written
 * @slots: where it is written
 * @scratch: an entry, of a VM that is read again or carried on: the seal needs no memory
 * @scratch_vcpus: it has room for, which are as many as any VM has here or in what came
 * @sealed_size: bytes of the entries that are written at the seal so far
 * @sealed_sum: kch_rec_bind() of them
 * @sealed_count: how many
 */
struct kch_outgoing {
	struct list_head vms;
	DECLARE_HASHTABLE(by_uuid, KCH_HASH_BITS);
	DECLARE_HASHTABLE(by_file, KCH_HASH_BITS);
	u32 count;
	size_t entries_size;
	struct kch_rec_header header;
	struct kch_slots slots;
	struct kch_rec_vm *scratch;
	u32 scratch_vcpus;
	size_t sealed_size;
	u32 sealed_sum;
	u32 sealed_count;
};

/*
 * Begins with what was found when the module was loaded: goes on with a record of this
 * boot, as the module was loaded before.  @vcpus: at most, of a VM that may be carried on.
 * -ENOMEM; kch_outgoing_exit() is due also then.
 */
int kch_outgoing_init(struct kch_outgoing *out, const struct kch_region *region,
		      const struct kch_slots_found *found, u32 vcpus);
void kch_outgoing_exit(struct kch_outgoing *out);

struct kch_outgoing_vm *kch_outgoing_find(struct kch_outgoing *out,
					  const u8 uuid[KCH_UUID_SIZE]);

/* Bytes the record has now. */
size_t kch_outgoing_used(const struct kch_outgoing *out);

/* Bytes the record would have with @entry, which may take the place of another. */
size_t kch_outgoing_needed(struct kch_outgoing *out, const struct kch_rec_vm *entry);

/*
 * May the VM be preserved by this id?  No VM may be preserved twice, and no id used twice.
 * -ENOTUNIQ, -EEXIST, -ENOSPC.
 */
int kch_outgoing_may_add(struct kch_outgoing *out, const u8 uuid[KCH_UUID_SIZE],
			 const struct file *vm_file, struct kch_message *message);

/*
 * @entry: read from the VM; taken over on success.  One of the same id whose VM
 * is gone makes room for it.  Errors: see KCH_IOC_PRESERVE.
 */
int kch_outgoing_add(struct kch_outgoing *out, const struct kch_region *region,
		     struct kch_rec_vm *entry, struct file *vm_file,
		     u32 kvm_khz, struct kch_message *message);
int kch_outgoing_remove(struct kch_outgoing *out,
			const struct kch_region *region,
			const u8 uuid[KCH_UUID_SIZE], u32 kvm_khz,
			struct kch_message *message);

/* At a kexec: that VM, if it is preserved, is not any more. */
void kch_outgoing_forget(struct kch_outgoing *out, const struct file *vm_file);

/*
 * The guest of that id is back here, by other means than this module's: what was read
 * of its VM that is gone is out of date.
 */
void kch_outgoing_replaced(struct kch_outgoing *out, const u8 uuid[KCH_UUID_SIZE],
			   u32 kvm_khz);

/*
 * The module was loaded anew: looks for the VMs that were preserved before.
 * @can_read: KVM's answers are those that the module reads.  A VM that is not
 * found, or has another clock now, makes its entry stale.
 */
void kch_outgoing_find_again(struct kch_outgoing *out, bool can_read);

/* Reads those VMs again that are about to be let go, and writes the record. */
void kch_outgoing_last_look(struct kch_outgoing *out, u32 kvm_khz);

/*
 * The final record, for which nothing is allocated: begins it, adds an entry that came from
 * before and is in @out->scratch (-ENOSPC, -EREMOTEIO), reads every VM that is still there
 * again and writes the rest.  What is known of VMs here stays as it was.
 */
void kch_outgoing_seal_begin(struct kch_outgoing *out);
int kch_outgoing_carry(struct kch_outgoing *out);
int kch_outgoing_seal(struct kch_outgoing *out, u32 kvm_khz);

#endif /* KCH_OUTGOING_H */
