// SPDX-License-Identifier: GPL-2.0
/* The record that came: taking it in, what may be restored from it, and its end. */
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/time64.h>

#include "host/host.h"
#include "restore/incoming.h"
#include "watch/watch.h"

DEFINE_MUTEX(kch_lock);	/* of both records and the region */

unsigned int kch_kexec_seconds_max = 60;

static struct hlist_head *bucket(const struct kch_incoming *in, const u8 uuid[KCH_UUID_SIZE])
{
	return &in->by_uuid[kch_uuid_key(uuid) & (in->buckets - 1)];
}

/* Makes the list of entries that are whole. */
static int index_vms(struct kch_incoming *in)
{
	struct kch_message message;
	struct kch_record_vm vm;
	size_t offset = 0;
	u32 room = 0;
	int err;

	while ((err = kch_record_next(&in->record, &offset, &vm, &message)) != -ENODATA) {
		if (!err) {
			room++;
			in->vcpus_max = max(in->vcpus_max, vm.vcpu_count);
		} else if (!in->damaged++) {
			in->damage = message;
		}
	}
	if (in->damaged)
		pr_err("incoming record: %u entries are damaged, whose guests' clocks cannot be restored; the first: %s\n",
		       in->damaged, in->damage.text);
	in->vms = kvcalloc(room ?: 1, sizeof(*in->vms), GFP_KERNEL);
	in->buckets = roundup_pow_of_two(room ?: 1);
	in->by_uuid = kvcalloc(in->buckets, sizeof(*in->by_uuid), GFP_KERNEL);
	if (!in->vms || !in->by_uuid)
		return -ENOMEM;
	offset = 0;
	while ((err = kch_record_next(&in->record, &offset, &vm, NULL)) != -ENODATA) {
		if (err)
			continue;
		in->vms[in->count].vm = vm;
		in->vms[in->count].vm.record = &in->record;
		in->vms[in->count].restored = vm.vm.used;
		in->restored += in->vms[in->count].restored;
		hlist_add_head(&in->vms[in->count].by_uuid, bucket(in, vm.vm.uuid));
		in->count++;
	}
	/* Entries that the header counts, but that are not there, count as damaged. */
	if (in->record.vm_count > in->count + in->damaged)
		in->damaged = in->record.vm_count - in->count;
	return 0;
}

/* What came is copied before anything is written, as it may be damaged, or change. */
static int judge(struct kch_incoming *in, const struct kch_region *region,
		 struct kch_slots_found *found)
{
	unsigned int slot;
	u8 boot_id[16];

	in->copy = kvmalloc(region->incoming_size, GFP_KERNEL);
	if (!in->copy)
		return -ENOMEM;
	in->size = region->incoming_size;
	in->origin = (u8 *)region->incoming;
	memcpy(in->copy, region->incoming, region->incoming_size);
	kch_host_boot_id(boot_id);
	kch_slots_look(in->copy, in->size, boot_id, found);
	for (slot = 0; slot < 2; slot++)
		if (found->errors[slot] && found->errors[slot] != -ENODATA)
			pr_err("slot %u of the region: %s\n",
			       slot, found->why[slot].text);
	in->error = found->error;
	in->record = found->came;
	in->other_damaged = found->errors[!found->came_slot] == -EBADMSG;
	if (!in->error)
		return index_vms(in);
	if (in->error != -ENODATA) {
		kch_say(&in->message, "slot %u: %.230s", found->came_slot,
			found->why[found->came_slot].text);
		pr_err("no guest clock can be restored from the region; its bytes are kept in debugfs\n");
	}
	return 0;
}

int kch_incoming_init(struct kch_incoming *in, struct kch_region *region,
		      struct kch_slots_found *found)
{
	const struct kch_message *why = &region->incoming_message;
	int err;

	memset(in, 0, sizeof(*in));
	memset(found, 0, sizeof(*found));
	found->error = -ENODATA;
	found->own_slot = -1;
	if (!region->memory) {
		in->error = -ENODEV;
		kch_say(&in->message, "the module has no region: %.200s",
			region->why.text);
		return 0;
	}
	if (region->incoming_error) {
		in->error = region->incoming_error;
		in->message = *why;
		pr_err("%s; no guest clock can be restored\n",
		       in->message.text);
		return 0;
	}
	in->error = -ENODATA;
	kch_say(&in->message, "no record came from before the kexec%s%.200s",
		why->text[0] ? ": " : "", why->text);
	if (why->text[0])
		pr_notice("%s\n", in->message.text);
	if (!region->incoming)
		return 0;
	err = judge(in, region, found);
	/* Nothing was preserved: memory that came for it alone is not needed. */
	if (!err && in->error == -ENODATA && !kch_region_shared(region))
		kch_region_finish_incoming(region);
	return err;
}

int kch_incoming_open(struct kch_incoming *in, u8 *copy, size_t size)
{
	memset(in, 0, sizeof(*in));
	in->copy = copy;
	in->size = size;
	in->error = kch_record_open(copy, size, &in->record, &in->message);
	return in->error ? 0 : index_vms(in);
}

void kch_incoming_exit(struct kch_incoming *in)
{
	u32 i;

	for (i = 0; i < in->count; i++)
		kch_watch_stop(in->vms[i].watch);
	kvfree(in->vms);
	kvfree(in->copy);
	in->vms = NULL;
	kvfree(in->by_uuid);
	in->by_uuid = NULL;
	in->copy = NULL;
	in->origin = NULL;
	in->size = 0;
	in->count = 0;
}

int kch_incoming_find(struct kch_incoming *in, const u8 uuid[KCH_UUID_SIZE],
		      struct kch_incoming_vm **vm, struct kch_message *message)
{
	struct kch_incoming_vm *one, *found = NULL;

	if (in->error) {
		*message = in->message;
		return in->error;
	}
	hlist_for_each_entry(one, bucket(in, uuid), by_uuid) {
		if (memcmp(one->vm.vm.uuid, uuid, KCH_UUID_SIZE))
			continue;
		if (found) {
			kch_say(message, "two entries have id %pUb, and which is the VM's cannot be told: the record is forged",
				uuid);
			return -EBADMSG;
		}
		found = one;
	}
	if (found) {
		*vm = found;
		return 0;
	}
	if (in->damaged) {
		kch_say(message, "no whole entry has id %pUb, and %u of the record's %u are damaged: %.150s",
			uuid, in->damaged, in->count + in->damaged, in->damage.text);
		return -EBADMSG;
	}
	kch_say(message, "no VM of id %pUb among the %u in the record%s", uuid, in->count,
		in->other_damaged ? "; a record that is damaged may have had it" : "");
	return in->other_damaged ? -EBADMSG : -ENOENT;
}

/* In this version's layout; false: no rate of its vCPUs can be had. */
static bool copy_entry(const struct kch_record_vm *vm, struct kch_rec_vm *to)
{
	kch_record_copy(vm, to);
	return kch_clock_fill_pairs(to, le32_to_cpu(vm->record->header.kvm_tsc_khz));
}

int kch_incoming_entry(const struct kch_record_vm *vm, struct kch_rec_vm **entry,
		       struct kch_message *message)
{
	*entry = kvzalloc(kch_rec_entry_size(vm->vcpu_count), GFP_KERNEL);
	if (!*entry)
		return -ENOMEM;
	if (copy_entry(vm, *entry))
		return 0;
	kch_say(message, "the record has neither the rate of the VM's kvmclock nor the frequency KVM would have computed it from: no vCPU had run, and KVM was gone at the end");
	kvfree(*entry);
	*entry = NULL;
	return -EBADMSG;
}

int kch_incoming_saved(const struct kch_record_vm *vm, u32 flags,
		       struct kch_rec_vm **entry, struct kch_message *message)
{
	const struct kch_rec_header *header = &vm->record->header;
	bool stale = le32_to_cpu(vm->vm.flags) & KCH_VM_STALE;
	u64 age_cycles;
	int err;

	*entry = NULL;
	if (vm->vm.used && !(flags & KCH_RESTORE_STALE)) {
		kch_say(message, "the saved clock was given back already: the guest ran on with it, and may have had another one since");
		return -EALREADY;
	}
	if (stale && !(flags & KCH_RESTORE_STALE)) {
		age_cycles = le64_to_cpu(header->host_tsc) -
			     le64_to_cpu(vm->vm.host_tsc);
		kch_say(message, "the saved clock was read %llu s before the record was made, and the VM was lost sight of then, or could not be read again: it may have had another clock since",
			kch_cycles_to_ns(age_cycles, le32_to_cpu(header->tsc_khz) ?: 1) /
			NSEC_PER_SEC);
		return -ESTALE;
	}
	err = kch_incoming_entry(vm, entry, message);
	/* It had one when it was preserved. */
	if (!err && stale)
		(*entry)->flags |= cpu_to_le32(KCH_VM_MASTER_CLOCK);
	return err;
}

/*
 * A record is for the kernel after the one that made it.  If another one ran in between
 * that could not use it, this kernel started later than a kexec takes.
 */
static int check_gap(const struct kch_rec_header *header, u32 flags,
		     struct kch_message *message)
{
	u64 started = kch_host_started_tsc(), then = le64_to_cpu(header->host_tsc);
	u32 khz = le32_to_cpu(header->tsc_khz);
	u64 gap_ns;

	if (!khz || started <= then || flags & KCH_RESTORE_OLD)
		return 0;
	gap_ns = kch_cycles_to_ns(started - then, khz);
	if (gap_ns <= kch_kexec_seconds_max * NSEC_PER_SEC)
		return 0;
	kch_say(message, "this kernel started %llu s after the record was made, a kexec takes %u s at most (kexec_seconds_max): another kernel ran in between, and guests may have had other clocks in it",
		gap_ns / NSEC_PER_SEC, kch_kexec_seconds_max);
	return -EKEYEXPIRED;
}

/* So much is this kernel's start not told by its clocks. */
#define STARTED_SLACK_S	10

/*
 * Without the wall clock as a witness: no kernel before this one can have made a record after
 * this one's start.  One without a boot is a program's.
 */
static int check_start(const struct kch_rec_header *header, struct kch_message *message)
{
	u64 started = kch_host_started_tsc(), then = le64_to_cpu(header->host_tsc);
	u32 khz = le32_to_cpu(header->tsc_khz);
	u8 boot_id[16];
	u64 late_ns;

	kch_host_boot_id(boot_id);
	if (!khz || then <= started || !memchr_inv(header->boot_id, 0, sizeof(boot_id)) ||
	    !memcmp(header->boot_id, boot_id, sizeof(boot_id)))
		return 0;
	late_ns = kch_cycles_to_ns(then - started, khz);
	if (late_ns <= STARTED_SLACK_S * NSEC_PER_SEC)
		return 0;
	kch_say(message, "another kernel made the record, by the host TSC %llu s after this one started: the TSC was reset in between",
		late_ns / NSEC_PER_SEC);
	return -ETIME;
}

int kch_incoming_usable(struct kch_incoming *in, u32 flags,
			struct kch_outcome *outcome, struct kch_message *message)
{
	const struct kch_rec_header *header = &in->record.header;
	int err;

	if (header->superseded && !(flags & KCH_RESTORE_OLD)) {
		kch_say(message, "kernel %.63s made this record for the kernel after it, whose own record was not finished: guests may have had other clocks since",
			header->kernel_release);
		return -EKEYEXPIRED;
	}
	if (!(le32_to_cpu(header->flags) & KCH_REC_SEALED) &&
	    !(flags & KCH_RESTORE_UNSEALED)) {
		if (in->other_damaged) {
			kch_say(message, "a record of the region is damaged, maybe the sealed one: what is left was never sealed");
			return -EBADMSG;
		}
		kch_say(message, "the record was never sealed: kernel %.63s went down without its orderly kexec path, and the guest's clock may have moved on after it was read",
			header->kernel_release);
		return -EINPROGRESS;
	}
	err = check_gap(header, flags, message) ?:
	      (flags & KCH_RESTORE_ANY_WALL ? check_start(header, message) : 0);
	if (err)
		return err;
	return kch_host_same_machine(header, flags & KCH_RESTORE_ANY_WALL, outcome, message);
}

int kch_incoming_use(struct kch_incoming *in, const u8 *uuid, bool used,
		     struct kch_message *message)
{
	struct kch_incoming_vm *vm;
	struct kch_rec_vm *at;
	int err;

	err = kch_incoming_find(in, uuid, &vm, message);
	if (err)
		return err;
	at = in->origin ? (void *)(in->origin + (vm->vm.vcpus - in->copy) -
				   in->record.vm_size) : NULL;
	if (!used) {
		vm->vm.vm.used = 0;
		if (at)
			WRITE_ONCE(at->used, 0);
		return 0;
	}
	if (at && !kch_record_mark(&at->used)) {
		kch_say(message, "the region does not read back what was written to it: it could not be marked there that the clock is given back");
		return -EREMOTEIO;
	}
	if (vm->vm.vm.used)
		return 1;
	vm->vm.vm.used = cpu_to_le64(KCH_RECORD_MARK);
	return 0;
}

void kch_incoming_outcome(struct kch_incoming *in, const u8 *uuid, struct file *vm_file, int err,
			  u64 hidden_cycles)
{
	struct kch_incoming_vm *vm;
	struct kch_message none;

	if (kch_incoming_find(in, uuid, &vm, &none))
		return;
	vm->let_go = err;
	if (!vm->restored && vm->vm.vm.used) {
		in->restored++;
		vm->restored = true;
	}
	if (err)
		return;
	vm->hidden_cycles = hidden_cycles;
	kch_watch_stop(vm->watch);
	vm->watch = kch_watch_start(vm_file);
	kch_watch_call(vm->watch, &vm->vm.vm);
}

bool kch_incoming_is_sealed_again(struct kch_incoming *in, const struct kch_region *region)
{
	struct kch_message message;
	struct kch_outcome unused;

	if (in->restored || !in->count || !kch_region_shared(region))
		return in->restored || in->count;
	/* What is not carried on stays: a record without it would hide it. */
	return !kch_incoming_usable(in, 0, &unused, &message);
}

void kch_incoming_carry_over(struct kch_incoming *in, struct kch_outgoing *out)
{
	const struct kch_record_vm *lost = NULL;
	struct kch_message message = { "" };
	struct kch_incoming_vm *vm, *found;
	struct kch_outcome unused;
	u32 losses = 0;
	int err;

	if (in->error || in->count == in->restored)
		return;
	/* What would be refused here must not be sealed again as if it were good. */
	err = kch_incoming_usable(in, 0, &unused, &message);
	if (err) {
		pr_err("%u VMs were not restored, and their clocks are not carried on: %s\n",
		       in->count - in->restored, message.text);
		return;
	}
	for (vm = in->vms; vm < in->vms + in->count; vm++) {
		if (vm->restored || kch_outgoing_find(out, vm->vm.vm.uuid))
			continue;
		/*
		 * With all rates: the next kernel's record says nothing of the old KVM.  Of a hold
		 * that has not come to its end there may be a mark still.
		 */
		if (!kch_incoming_find(in, vm->vm.vm.uuid, &found, &message) &&
		    copy_entry(&vm->vm, out->scratch)) {
			out->scratch->used = 0;
			if (!kch_outgoing_carry(out))
				continue;
		}
		lost = lost ?: &vm->vm;
		losses++;
	}
	if (lost)
		pr_err("%u VMs were not restored, and cannot be carried on (no room, no rate, or two of one id): their clocks are lost; the first: %.63s (%pUb)\n",
		       losses, lost->vm.name, lost->vm.uuid);
}

int kch_incoming_finish(struct kch_incoming *in, struct kch_slots *slots,
			struct kch_region *region, bool discard,
			struct kch_message *message)
{
	u32 left = in->count + in->damaged - in->restored;
	u8 boot_id[16];
	int err = 0;

	if (in->error && (in->error == -ENODATA || in->error == -ENODEV ||
			  !discard)) {
		*message = in->message;
		return in->error;
	}
	if (left && !discard) {
		kch_say(message, "%u of the record's %u VMs were not restored: their clocks would be lost",
			left, in->count + in->damaged);
		return -ENOTEMPTY;
	}
	/* Memory of its own goes back; in shared memory, only its slot. */
	kch_host_boot_id(boot_id);
	if (kch_region_shared(region))
		err = kch_slots_clear(slots, boot_id, message);
	else
		kch_region_finish_incoming(region);
	if (err)
		return err;
	kch_incoming_exit(in);
	in->damaged = 0;
	in->restored = 0;
	in->error = -ENODATA;
	kch_say(&in->message, "the record was finished with");
	kch_slots_release(slots);
	return 0;
}
