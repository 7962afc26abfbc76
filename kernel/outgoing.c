// SPDX-License-Identifier: GPL-2.0
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "host.h"
#include "kvm_private.h"
#include "outgoing.h"
#include "watch.h"

static void *slot_memory(const struct kch_region *region, unsigned int slot)
{
	return region->memory + slot * kch_slot_size(region->size);
}

size_t kch_outgoing_capacity(const struct kch_region *region)
{
	return kch_slot_size(region->size);
}

size_t kch_outgoing_used(const struct kch_outgoing *out)
{
	return sizeof(struct kch_rec_header) + out->entries_size;
}

struct kch_outgoing_vm *kch_outgoing_find(struct kch_outgoing *out,
					  const u8 uuid[KCH_UUID_SIZE])
{
	struct kch_outgoing_vm *vm;

	hash_for_each_possible(out->by_uuid, vm, by_uuid, kch_uuid_key(uuid))
		if (!memcmp(vm->entry->uuid, uuid, KCH_UUID_SIZE))
			return vm;
	return NULL;
}

static struct kch_outgoing_vm *find_file(struct kch_outgoing *out,
					 const struct file *vm_file)
{
	struct kch_outgoing_vm *vm;

	hash_for_each_possible(out->by_file, vm, by_file, (unsigned long)vm_file)
		if (kch_watch_is(vm->watch, vm_file))
			return vm;
	return NULL;
}

/* Entries from @vm on are now at @at: what slots have there is out of date. */
static void place(struct kch_outgoing *out, struct kch_outgoing_vm *vm, size_t at)
{
	out->written[0] = min(out->written[0], at);
	out->written[1] = min(out->written[1], at);
	list_for_each_entry_from(vm, &out->vms, link) {
		vm->at = at;
		at += vm->size;
	}
}

/* @vm_file: of the VM that it watches, if any. */
static void insert(struct kch_outgoing *out, struct kch_outgoing_vm *vm,
		   const struct file *vm_file, struct list_head *before)
{
	const struct kch_outgoing_vm *last;
	size_t at = 0;

	if (before != &out->vms) {
		last = list_entry(before, struct kch_outgoing_vm, link);
		at = last->at + last->size;
	}
	list_add(&vm->link, before);
	hash_add(out->by_uuid, &vm->by_uuid, kch_uuid_key(vm->entry->uuid));
	if (vm_file)
		hash_add(out->by_file, &vm->by_file, (unsigned long)vm_file);
	out->entries_size += vm->size;
	out->count++;
	place(out, vm, at);
}

static void take_out(struct kch_outgoing *out, struct kch_outgoing_vm *vm)
{
	struct kch_outgoing_vm *next = list_next_entry(vm, link);

	list_del(&vm->link);
	hash_del(&vm->by_uuid);
	out->entries_size -= vm->size;
	out->count--;
	place(out, next, vm->at);
}

static void destroy(struct kch_outgoing_vm *vm)
{
	hash_del(&vm->by_file);
	kch_watch_stop(vm->watch);
	kvfree(vm->entry);
	kfree(vm);
}

/*
 * Writes the record to the next slot and makes sure that it is there.  Of the
 * entries, those that the slot still has from an earlier record are left in
 * place: a VM more is then not the more work the more VMs there are.
 */
static int write_record(struct kch_outgoing *out, const struct kch_region *region,
			u32 flags, u32 kvm_khz, struct kch_message *message)
{
	size_t slot_size = kch_slot_size(region->size);
	void *slot = slot_memory(region, out->slot);
	size_t kept = out->written[out->slot];
	size_t size = out->entries_size - kept;
	struct kch_rec_header header;
	struct kch_outgoing_vm *vm;
	u8 *entries;
	int err;

	entries = kvmalloc(size ?: 1, GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	list_for_each_entry_reverse(vm, &out->vms, link) {
		if (vm->at < kept)
			break;
		memcpy(entries + vm->at - kept, vm->entry, vm->size);
	}
	kch_rec_header_init(&header);
	/* KVM may be gone by now; pairs may have to be computed from it. */
	kch_host_describe(&header, kvm_khz ?:
				   le32_to_cpu(out->header.kvm_tsc_khz));
	header.sequence = cpu_to_le64(out->sequence + 1);
	header.generation = cpu_to_le64(out->generation);
	header.flags = cpu_to_le32(flags);
	out->written[out->slot] = 0;
	err = kch_record_extend(slot, slot_size, &header, kept, entries, size,
				out->count);
	if (!err && (memcmp(slot, &header, sizeof(header)) ||
		     memcmp(slot + sizeof(header) + kept, entries, size))) {
		kch_say(message, "the region at %pa does not read back what was written to it",
			&region->start);
		kch_record_revoke(slot);
		err = -EREMOTEIO;
	}
	kvfree(entries);
	if (err)
		return err;
	out->written[out->slot] = out->entries_size;
	out->header = header;
	out->sequence++;
	if (out->slots_free == 2)
		out->slot ^= 1;
	return 0;
}

int kch_outgoing_init(struct kch_outgoing *out, const struct kch_record *own,
		      unsigned int own_slot, int incoming_slot, u64 sequence,
		      u64 generation)
{
	struct kch_record_vm found;
	size_t offset = 0;
	int err;

	memset(out, 0, sizeof(*out));
	INIT_LIST_HEAD(&out->vms);
	out->sequence = sequence;
	out->generation = generation;
	out->slots_free = incoming_slot < 0 ? 2 : 1;
	out->slot = incoming_slot >= 0 ? !incoming_slot : own ? !own_slot : 0;
	if (!own)
		return 0;
	out->header = own->header;
	while ((err = kch_record_next(own, &offset, &found, NULL)) != -ENODATA) {
		struct kch_outgoing_vm *vm;

		if (err)
			continue;
		vm = kzalloc(sizeof(*vm), GFP_KERNEL);
		if (!vm)
			return -ENOMEM;
		/* Perhaps another version of this module wrote it. */
		vm->size = kch_rec_entry_size(found.vcpu_count);
		vm->entry = kvzalloc(vm->size, GFP_KERNEL);
		if (!vm->entry) {
			kfree(vm);
			return -ENOMEM;
		}
		kch_record_copy(&found, vm->entry);
		kch_rec_entry_close(vm->entry);
		insert(out, vm, NULL, out->vms.prev);
	}
	return 0;
}

void kch_outgoing_exit(struct kch_outgoing *out)
{
	struct kch_outgoing_vm *vm, *next;

	list_for_each_entry_safe_reverse(vm, next, &out->vms, link) {
		take_out(out, vm);
		destroy(vm);
	}
}

int kch_outgoing_add(struct kch_outgoing *out, const struct kch_region *region,
		     struct kch_rec_vm *entry, struct file *vm_file,
		     u32 kvm_khz, struct kch_message *message)
{
	struct kch_outgoing_vm *vm;
	int err;

	vm = find_file(out, vm_file);
	if (vm && memcmp(vm->entry->uuid, entry->uuid, KCH_UUID_SIZE)) {
		kch_say(message, "this VM is preserved already, as %pUb (%.63s)",
			vm->entry->uuid, vm->entry->name);
		return -ENOTUNIQ;
	}
	vm = kch_outgoing_find(out, entry->uuid);
	if (vm) {
		kch_say(message, "a VM of id %pUb is preserved already (%.63s)",
			vm->entry->uuid, vm->entry->name);
		return -EEXIST;
	}
	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	vm->entry = entry;
	vm->size = kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	if (kch_outgoing_used(out) + vm->size > kch_outgoing_capacity(region)) {
		kch_say(message, "the region is full: the record would have %zu bytes with this VM, a slot of the region has %zu",
			kch_outgoing_used(out) + vm->size,
			kch_outgoing_capacity(region));
		kfree(vm);
		return -ENOSPC;
	}
	if (out->count == KCH_REC_VMS_MAX) {
		kch_say(message, "the record has %u VMs, more there cannot be",
			out->count);
		kfree(vm);
		return -ENOSPC;
	}
	kch_rec_entry_close(entry);
	vm->watch = kch_watch_start(vm_file);
	insert(out, vm, vm->watch ? vm_file : NULL, out->vms.prev);
	err = write_record(out, region, 0, kvm_khz, message);
	if (err) {
		take_out(out, vm);
		vm->entry = NULL;	/* remains the caller's */
		destroy(vm);
	}
	kch_region_hold(region, out->count);
	return err;
}

int kch_outgoing_carry(struct kch_outgoing *out, const struct kch_region *region,
		       struct kch_rec_vm *entry)
{
	size_t size = kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	struct kch_outgoing_vm *vm;

	if (kch_outgoing_used(out) + size > kch_outgoing_capacity(region) ||
	    out->count == KCH_REC_VMS_MAX)
		return -ENOSPC;
	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	kch_rec_entry_close(entry);
	vm->entry = entry;
	vm->size = size;
	insert(out, vm, NULL, out->vms.prev);
	return 0;
}

int kch_outgoing_remove(struct kch_outgoing *out,
			const struct kch_region *region,
			const u8 uuid[KCH_UUID_SIZE], u32 kvm_khz,
			struct kch_message *message)
{
	struct kch_outgoing_vm *vm = kch_outgoing_find(out, uuid);
	struct list_head *before;
	int err;

	if (!vm) {
		kch_say(message, "no VM of id %pUb is preserved", uuid);
		return -ENOENT;
	}
	before = vm->link.prev;
	take_out(out, vm);
	err = write_record(out, region, 0, kvm_khz, message);
	if (err) {
		insert(out, vm, NULL, before);
	} else {
		destroy(vm);
		/* A newer record of none must not hide the one that came. */
		if (!out->count && out->slots_free == 1)
			kch_record_revoke(slot_memory(region, out->slot));
	}
	kch_region_hold(region, out->count);
	return err;
}

/* What the guest has seen last counts: it may have run since it was read. */
static void read_again(struct kch_outgoing *out, const struct kch_region *region,
		       struct kch_outgoing_vm *vm)
{
	struct file *file = kch_watch_get(vm->watch);
	struct kch_rec_vm *entry;
	size_t size, others;

	if (!file)
		return;
	if (kch_kvm_read(kch_kvm_of(file), vm->entry->tsc_scaling_frac_bits,
			 &entry, NULL))
		goto out;
	size = kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	others = kch_outgoing_used(out) - vm->size;
	/* What cannot be restored any more, or has no room, is kept as it was. */
	if (kch_kvm_entry_exact(entry, NULL) ||
	    others + size > kch_outgoing_capacity(region)) {
		pr_warn("kvmclock_handover: %.63s (%pUb): its clock changed so that it cannot be read again; the record keeps what was read when it was preserved\n",
			vm->entry->name, vm->entry->uuid);
		kvfree(entry);
		goto out;
	}
	memcpy(entry->uuid, vm->entry->uuid, sizeof(entry->uuid));
	memcpy(entry->name, vm->entry->name, sizeof(entry->name));
	entry->flags |= cpu_to_le32(KCH_VM_AT_SEAL);
	kch_rec_entry_close(entry);
	kvfree(vm->entry);
	out->entries_size += size - vm->size;
	vm->entry = entry;
	vm->size = size;
out:
	fput(file);
}

int kch_outgoing_seal(struct kch_outgoing *out, const struct kch_region *region,
		      u32 kvm_khz)
{
	struct kch_message message = { "" };
	struct kch_outgoing_vm *vm;
	int err;

	list_for_each_entry(vm, &out->vms, link)
		read_again(out, region, vm);
	/* Sizes may have changed; and what is sealed is all written, and read back. */
	place(out, list_first_entry(&out->vms, struct kch_outgoing_vm, link), 0);
	err = write_record(out, region, KCH_REC_SEALED, kvm_khz, &message);
	if (err)
		pr_err("kvmclock_handover: the record of %u VMs was not sealed (%d): %s\n",
		       out->count, err, message.text);
	else
		pr_info("kvmclock_handover: record of %u VMs sealed for the next kernel\n",
			out->count);
	return err;
}

void kch_outgoing_free_slot(struct kch_outgoing *out)
{
	/* Until now every record went over the one before, into the same slot. */
	if (out->slots_free == 1)
		out->slot ^= 1;
	out->slots_free = 2;
}
