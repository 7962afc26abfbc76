// SPDX-License-Identifier: GPL-2.0
/* The ioctls that are about the records: INFO, LIST, GET, FINISH. */
#include <linux/file.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "core/place.h"
#include "host/host.h"
#include "ioctl/ioctl.h"
#include "ioctl/records.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "restore/restore.h"
#include "state/state.h"
#include "watch/watch.h"

int kch_info_of_host(struct kch_info *info, struct kch_message *message)
{
	struct kch_kvm_facts facts;
	int err;

	memset_startat(info, 0, flags);
	err = kch_kvm_known(&facts, message);
	if (!err)
		info->flags = KCH_INFO_SELFCHECKED;
	info->abi_version = KCH_ABI_VERSION;
	info->modes = 1U << KCH_MODE_IDENTICAL;
	info->tsc_source = kch_host_tsc_source();
	info->tsc_khz = tsc_khz;
	info->kvm_tsc_khz = facts.kvm_khz;
	info->rec_vm_size = sizeof(struct kch_rec_vm);
	info->rec_vcpu_size = sizeof(struct kch_rec_vcpu);
	return err;
}

int kch_do_info(void *context, void *arg, struct kch_message *message)
{
	struct kch_info *info = arg;
	struct kch_kvm_facts facts;
	struct kch_message why = { "" }, never = { "" };
	bool has_tsc;
	int err;

	/* Asks KVM if that was not done yet; without it there is less to say. */
	err = kch_kvm_ask(&facts, NULL);
	if (err == -EINTR)
		return err;
	err = kch_info_of_host(info, &why);
	has_tsc = !kch_host_tsc_used(&never);
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	info->selfcheck_error = err == -ENODATA ? 0 : -err;
	info->backend = kch.region.backend;
	info->region_start = kch.region.start;
	info->region_size = kch.region.size;
	if (kch.region.memory) {
		info->outgoing_capacity = kch.outgoing.slots.slot_size;
		info->outgoing_used = kch_outgoing_used(&kch.outgoing);
	}
	info->generation = kch.outgoing.slots.generation;
	info->outgoing_vms = kch.outgoing.count;
	info->incoming_vms = kch.incoming.count + kch.incoming.damaged;
	info->restored_vms = kch.incoming.restored;
	if (kch.incoming.copy)
		info->flags |= KCH_INFO_EVIDENCE;
	if (!kch.incoming.error) {
		struct kch_outcome unused;

		info->flags |= KCH_INFO_INCOMING;
		if (le32_to_cpu(kch.incoming.record.header.flags) & KCH_REC_SEALED)
			info->flags |= KCH_INFO_SEALED;
		err = kch_incoming_usable(&kch.incoming, 0, &unused, message) ?:
		      kch_host_tsc_settled(message);
		info->incoming_error = -err;
	} else {
		info->incoming_error = -kch.incoming.error;
		*message = kch.incoming.message;
	}
	if (info->selfcheck_error)
		*message = why;
	/* Where nothing can be restored, that there is no record is not the reason. */
	else if (!has_tsc && info->incoming_error == ENODATA)
		*message = never;
	else if (!message->text[0])
		kch_say(message, "backend: %.200s", kch.region.why.text);
	mutex_unlock(&kch_lock);
	return 0;
}

static void entry_of(const struct kch_rec_vm *vm, struct kch_watch *watch, struct kch_entry *to)
{
	struct file *live = kch_watch_get(watch);

	memset(to, 0, sizeof(*to));
	memcpy(to->uuid, vm->uuid, sizeof(to->uuid));
	strscpy(to->name, vm->name, sizeof(to->name));
	to->vcpu_count = le32_to_cpu(vm->vcpu_count);
	to->bytes = kch_rec_entry_size(to->vcpu_count);
	to->pid = le32_to_cpu(vm->pid);
	if (le32_to_cpu(vm->flags) & KCH_VM_STALE)
		to->flags |= KCH_ENTRY_STALE;
	else if (!(le32_to_cpu(vm->flags) & KCH_VM_MASTER_CLOCK))
		to->flags |= KCH_ENTRY_NO_MASTER_CLOCK;
	if (!live)
		return;
	to->flags |= KCH_ENTRY_LIVE;
	to->pid = kch_kvm_pid(kch_kvm_of(live));
	fput(live);
}

static void list_outgoing(struct kch_entry *to)
{
	struct kch_outgoing_vm *vm;

	list_for_each_entry(vm, &kch.outgoing.vms, link)
		entry_of(vm->entry, vm->watch, to++);
}

static void list_incoming(struct kch_entry *to, u32 count)
{
	const struct kch_entry *end = to + count;
	size_t offset = 0;
	struct kch_record_vm vm;
	u32 i = 0;
	int err;

	/* The record's own order, the damaged entries in their places. */
	while ((err = kch_record_next(&kch.incoming.record, &offset, &vm, NULL)) != -ENODATA) {
		if (err) {
			memset(to, 0, sizeof(*to));
			to->flags = KCH_ENTRY_DAMAGED;
		} else {
			struct kch_incoming_vm *in = &kch.incoming.vms[i++];

			entry_of(&vm.vm, in->watch, to);
			if (in->restored)
				to->flags |= KCH_ENTRY_RESTORED;
			if (in->let_go)
				to->flags |= KCH_ENTRY_LET_GO;
			if (kch_restore_is_busy(&kch.incoming, to->uuid))
				to->flags |= KCH_ENTRY_HELD;
		}
		to++;
	}
	/* Those the header promises, but that are not there. */
	while (to < end)
		(to++)->flags = KCH_ENTRY_DAMAGED;
}

int kch_check_incoming(struct kch_message *message)
{
	if (!kch.incoming.error)
		return 0;
	*message = kch.incoming.message;
	return kch.incoming.error == -ENODEV ? -ENODATA : kch.incoming.error;
}

static int check_which(u32 which, struct kch_message *message)
{
	if (which > KCH_INCOMING) {
		kch_say(message, "record %u, there are 0 (outgoing) and 1 (incoming)", which);
		return -EINVAL;
	}
	return which == KCH_INCOMING ? kch_check_incoming(message) : 0;
}

/* The entries, to be freed.  With the lock. */
static int make_list(struct kch_list *list, struct kch_entry **entries, struct kch_message *message)
{
	u32 room = list->count;
	int err = check_which(list->which, message);

	if (err)
		return err;
	list->count = list->which == KCH_OUTGOING ? kch.outgoing.count :
		      kch.incoming.count + kch.incoming.damaged;
	if (room < list->count) {
		kch_say(message, "room for %u entries, the record has %u", room, list->count);
		return -ENOBUFS;
	}
	*entries = kvcalloc(list->count ?: 1, sizeof(**entries), GFP_KERNEL);
	if (!*entries)
		return -ENOMEM;
	if (list->which == KCH_OUTGOING)
		list_outgoing(*entries);
	else
		list_incoming(*entries, list->count);
	return 0;
}

int kch_do_list(void *context, void *arg, struct kch_message *message)
{
	struct kch_list *list = arg;
	struct kch_entry *entries = NULL;
	int err;

	err = kch_ioctl_flags(list->flags, 0, message) ?:
	      kch_ioctl_reserved(list->reserved, message);
	if (err)
		return err;
	if (list->entry_size != sizeof(struct kch_entry)) {
		kch_say(message, "entries of %u bytes, expected %zu",
			list->entry_size, sizeof(struct kch_entry));
		return -EINVAL;
	}
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = make_list(list, &entries, message);
	mutex_unlock(&kch_lock);
	if (!err)
		err = kch_ioctl_give_bytes(list->entries, entries,
					   list->count * sizeof(*entries), "entries",
					   message);
	kvfree(entries);
	return err;
}

static int copy_of(const void *from, size_t size, void **data, size_t *data_size)
{
	*data = kvmalloc(size, GFP_KERNEL);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, from, size);
	*data_size = size;
	return 0;
}

int kch_get_incoming(struct kch_incoming *record, const u8 uuid[KCH_UUID_SIZE],
		     void **data, size_t *size, struct kch_message *message)
{
	struct kch_incoming_vm *in;
	int err;

	if (!memchr_inv(uuid, 0, KCH_UUID_SIZE))
		return copy_of(&record->record.header, sizeof(record->record.header), data, size);
	err = kch_incoming_find(record, uuid, &in, message);
	if (err)
		return err;
	/* In this version's layout, whatever version wrote it. */
	*size = kch_rec_entry_size(in->vm.vcpu_count);
	*data = kvzalloc(*size, GFP_KERNEL);
	if (!*data)
		return -ENOMEM;
	kch_record_copy(&in->vm, *data);
	/* The clock that was given back, if some of the time was hidden. */
	kch_entry_hide(*data, in->hidden_cycles);
	kch_rec_entry_close(*data);
	return 0;
}

static int get_outgoing(const u8 uuid[KCH_UUID_SIZE], void **data, size_t *size,
			struct kch_message *message)
{
	struct kch_outgoing_vm *vm;

	if (!memchr_inv(uuid, 0, KCH_UUID_SIZE)) {
		if (kch.outgoing.header.sequence)
			return copy_of(&kch.outgoing.header,
				       sizeof(kch.outgoing.header), data, size);
		kch_say(message, "nothing was preserved yet");
		return -ENODATA;
	}
	vm = kch_outgoing_find(&kch.outgoing, uuid);
	if (vm)
		return copy_of(vm->entry, vm->size, data, size);
	kch_say(message, "no VM of id %pUb is preserved", uuid);
	return -ENOENT;
}

int kch_do_get(void *context, void *arg, struct kch_message *message)
{
	struct kch_get *get = arg;
	void *data = NULL;
	size_t size;
	int err = kch_ioctl_flags(get->flags, 0, message);

	if (err)
		return err;
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = check_which(get->which, message);
	if (!err)
		err = get->which == KCH_INCOMING ?
		      kch_get_incoming(&kch.incoming, get->uuid, &data, &size, message) :
		      get_outgoing(get->uuid, &data, &size, message);
	mutex_unlock(&kch_lock);
	if (!err)
		err = kch_ioctl_give(get->buffer, &get->buffer_size, data, size, message);
	kvfree(data);
	return err;
}

int kch_do_finish(void *context, void *arg, struct kch_message *message)
{
	struct kch_finish *f = arg;
	int err;

	memset_startat(f, 0, restored);
	err = kch_ioctl_flags(f->flags, KCH_FINISH_DISCARD, message);
	if (err)
		return err;
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	f->restored = kch.incoming.restored;
	f->left = kch.incoming.count + kch.incoming.damaged - f->restored;
	if (kch_restore_is_busy(&kch.incoming, NULL)) {
		kch_say(message, "a VM is being restored from the record");
		err = -EBUSY;
	} else {
		err = kch_incoming_finish(&kch.incoming, &kch.outgoing.slots,
					  &kch.region, f->flags & KCH_FINISH_DISCARD,
					  message);
	}
	mutex_unlock(&kch_lock);
	return err;
}
