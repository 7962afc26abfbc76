// SPDX-License-Identifier: GPL-2.0
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <asm/tsc.h>

#include "clock_fd.h"
#include "host/host.h"
#include "kvm/common.h"
#include "restore/keep.h"
#include "restore/restore.h"
#include "kvm/facts.h"
#include "state/state.h"
#include "watch/watch.h"

/* The structures are user ABI: they may grow, not move. */
static_assert(sizeof(struct kch_info) == 352);
static_assert(sizeof(struct kch_preserve) == 368);
static_assert(sizeof(struct kch_unpreserve) == 280);
static_assert(sizeof(struct kch_entry) == 96);
static_assert(sizeof(struct kch_list) == 288);
static_assert(sizeof(struct kch_get) == 296);
static_assert(sizeof(struct kch_read) == 312);
static_assert(sizeof(struct kch_outcome) == 80);
static_assert(sizeof(struct kch_restore) == 376);
static_assert(sizeof(struct kch_finish) == 272);
static_assert(sizeof(struct kch_adopt) == 296);
static_assert(sizeof(struct kch_clock_fd) == 352);

static bool all_zero(const void *data, size_t size)
{
	return !memchr_inv(data, 0, size);
}

static int bad_flags(u32 flags, u32 known, struct kch_message *message)
{
	if (!(flags & ~known))
		return 0;
	kch_say(message, "flags %#x, known are %#x", flags, known);
	return -EINVAL;
}

static int bad_reserved(u32 reserved, struct kch_message *message)
{
	if (!reserved)
		return 0;
	kch_say(message, "reserved member is %#x, must be 0", reserved);
	return -EINVAL;
}

static int give_bytes(u64 to, const void *data, size_t size, const char *what,
		      struct kch_message *message)
{
	if (!copy_to_user(u64_to_user_ptr(to), data, size))
		return 0;
	kch_say(message, "%s at %#llx: %zu bytes cannot be written there", what,
		to, size);
	return -EFAULT;
}

static int need_region(struct kch_message *message)
{
	if (kch.region.memory)
		return 0;
	kch_say(message, "the module has no region to keep a record in (%.160s): load it with region= or reserve_mem=",
		kch.region.why.text);
	return -ENODEV;
}

/* A record written now would never be sealed, and hide one that is. */
static int in_time(struct kch_message *message)
{
	if (!READ_ONCE(kch.too_late))
		return 0;
	kch_say(message, "the host is being kexec'ed: the record for the next kernel stays as it is, of %u VMs",
		kch.outgoing.count);
	return -ESHUTDOWN;
}

static int do_info(void *context, void *arg, struct kch_message *message)
{
	struct kch_info *info = arg;
	struct kch_kvm_facts facts;
	struct kch_message why = { "" }, never = { "" };
	bool has_tsc;
	int err;

	memset_startat(info, 0, abi_version);
	info->flags = 0;
	/* Asks KVM if that was not done yet; without it there is less to say. */
	err = kch_kvm_ask(&facts, NULL);
	if (err == -EINTR)
		return err;
	err = kch_kvm_known(&facts, &why);
	has_tsc = !kch_host_tsc_used(&never);
	if (mutex_lock_killable(&kch.lock))
		return -EINTR;
	if (!err)
		info->flags |= KCH_INFO_SELFCHECKED;
	info->selfcheck_error = err == -ENODATA ? 0 : -err;
	info->kvm_tsc_khz = facts.kvm_khz;
	info->abi_version = KCH_ABI_VERSION;
	info->modes = 1U << KCH_MODE_IDENTICAL;
	info->rec_vm_size = sizeof(struct kch_rec_vm);
	info->rec_vcpu_size = sizeof(struct kch_rec_vcpu);
	info->backend = kch.region.backend;
	info->tsc_source = kch_host_tsc_source();
	info->tsc_khz = tsc_khz;
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
		err = kch_incoming_usable(&kch.incoming, 0, &unused, message);
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
	mutex_unlock(&kch.lock);
	return 0;
}

static int do_preserve(void *context, void *arg, struct kch_message *message)
{
	struct kch_preserve *p = arg;
	struct kch_kvm_facts facts;
	struct kch_rec_vm *entry = NULL;
	struct file *vm_file;
	int err;

	memset_startat(p, 0, needed);
	err = bad_flags(p->flags, 0, message) ?:
	      bad_reserved(p->reserved, message);
	if (err)
		return err;
	if (all_zero(p->uuid, sizeof(p->uuid))) {
		kch_say(message, "the id is all zero");
		return -EINVAL;
	}
	if (!memchr(p->name, '\0', sizeof(p->name))) {
		kch_say(message, "the name has no end within %zu bytes",
			sizeof(p->name));
		return -EINVAL;
	}
	vm_file = kch_kvm_get_vm(p->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = need_region(message) ?:
	      in_time(message) ?:
	      kch_host_tsc_used(message) ?:
	      kch_kvm_ask(&facts, message) ?:
	      kch_kvm_read_exact(kch_kvm_of(vm_file), facts.frac_bits, &entry,
				 message);
	if (err)
		goto out;
	memcpy(entry->uuid, p->uuid, sizeof(entry->uuid));
	strscpy(entry->name, p->name, sizeof(entry->name));
	err = -EINTR;
	if (mutex_lock_killable(&kch.lock))
		goto out;
	p->capacity = kch.outgoing.slots.slot_size;
	p->needed = kch_outgoing_needed(&kch.outgoing, entry);
	/* The kexec may have begun meanwhile. */
	err = in_time(message) ?:
	      kch_outgoing_add(&kch.outgoing, &kch.region, entry, vm_file,
			       facts.kvm_khz, message);
	mutex_unlock(&kch.lock);
	if (!err)
		entry = NULL;
out:
	kvfree(entry);
	fput(vm_file);
	return err;
}

static int do_unpreserve(void *context, void *arg, struct kch_message *message)
{
	struct kch_unpreserve *u = arg;
	struct kch_kvm_facts facts = { };

	int err = bad_flags(u->flags, 0, message) ?:
		  need_region(message);

	if (err)
		return err;
	kch_kvm_known(&facts, NULL);
	if (mutex_lock_killable(&kch.lock))
		return -EINTR;
	err = in_time(message) ?:
	      kch_outgoing_remove(&kch.outgoing, &kch.region, u->uuid,
				  facts.kvm_khz, message);
	mutex_unlock(&kch.lock);
	return err;
}

static void entry_of(const struct kch_rec_vm *vm, struct kch_watch *watch,
		     struct kch_entry *to)
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

static int check_which(u32 which, struct kch_message *message)
{
	if (which > KCH_INCOMING) {
		kch_say(message, "record %u, there are 0 (outgoing) and 1 (incoming)",
			which);
		return -EINVAL;
	}
	if (which == KCH_INCOMING && kch.incoming.error) {
		*message = kch.incoming.message;
		return kch.incoming.error == -ENODEV ? -ENODATA :
						       kch.incoming.error;
	}
	return 0;
}

/* The entries, to be freed.  With the lock. */
static int make_list(struct kch_list *list, struct kch_entry **entries,
		     struct kch_message *message)
{
	u32 room = list->count;
	int err = check_which(list->which, message);

	if (err)
		return err;
	list->count = list->which == KCH_OUTGOING ? kch.outgoing.count :
		      kch.incoming.count + kch.incoming.damaged;
	if (room < list->count) {
		kch_say(message, "room for %u entries, the record has %u", room,
			list->count);
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

static int do_list(void *context, void *arg, struct kch_message *message)
{
	struct kch_list *list = arg;
	struct kch_entry *entries = NULL;
	int err;

	err = bad_flags(list->flags, 0, message) ?:
	      bad_reserved(list->reserved, message);
	if (err)
		return err;
	if (list->entry_size != sizeof(struct kch_entry)) {
		kch_say(message, "entries of %u bytes, expected %zu",
			list->entry_size, sizeof(struct kch_entry));
		return -EINVAL;
	}
	if (mutex_lock_killable(&kch.lock))
		return -EINTR;
	err = make_list(list, &entries, message);
	mutex_unlock(&kch.lock);
	if (!err)
		err = give_bytes(list->entries, entries,
				 list->count * sizeof(*entries), "entries",
				 message);
	kvfree(entries);
	return err;
}

int kch_give(u64 buffer, u32 *buffer_size, const void *data, size_t size,
	     struct kch_message *message)
{
	u32 room = *buffer_size;

	*buffer_size = size;
	if (room < size) {
		kch_say(message, "buffer of %u bytes, %zu are needed", room, size);
		return -ENOBUFS;
	}
	return give_bytes(buffer, data, size, "buffer", message);
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

	if (all_zero(uuid, KCH_UUID_SIZE))
		return copy_of(&record->record.header,
			       sizeof(record->record.header), data, size);
	err = kch_incoming_find(record, uuid, &in, message);
	if (err)
		return err;
	/* In this version's layout, whatever version wrote it. */
	*size = kch_rec_entry_size(in->vm.vcpu_count);
	*data = kvzalloc(*size, GFP_KERNEL);
	if (!*data)
		return -ENOMEM;
	kch_record_copy(&in->vm, *data);
	kch_rec_entry_close(*data);
	return 0;
}

static int get_outgoing(const u8 uuid[KCH_UUID_SIZE], void **data, size_t *size,
			struct kch_message *message)
{
	struct kch_outgoing_vm *vm;

	if (all_zero(uuid, KCH_UUID_SIZE)) {
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

static int do_get(void *context, void *arg, struct kch_message *message)
{
	struct kch_get *get = arg;
	void *data = NULL;
	size_t size;
	int err = bad_flags(get->flags, 0, message);

	if (err)
		return err;
	if (mutex_lock_killable(&kch.lock))
		return -EINTR;
	err = check_which(get->which, message);
	if (!err)
		err = get->which == KCH_INCOMING ?
		      kch_get_incoming(&kch.incoming, get->uuid, &data, &size, message) :
		      get_outgoing(get->uuid, &data, &size, message);
	mutex_unlock(&kch.lock);
	if (!err)
		err = kch_give(get->buffer, &get->buffer_size, data, size, message);
	kvfree(data);
	return err;
}

/*
 * By how much KVM is off the guest's clock now, in the worse of two ways; without
 * master clock, what KVM takes for each page anew is its host clock at this offset.
 */
static void say_agreement(struct kch_rec_vm *entry, u32 kvm_khz,
			  const struct file *vm_file, struct kch_read *read)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	struct kch_instant now;
	struct kch_clock clock;
	s64 answer_ns;

	kch_host_instant(&now);
	read->host_tsc = now.host_tsc;
	if (!(le32_to_cpu(entry->flags) & KCH_VM_MASTER_CLOCK)) {
		entry->host_tsc = cpu_to_le64(now.host_tsc);
		entry->kvmclock_ns = cpu_to_le64(now.kvm_ns +
						 le64_to_cpu(entry->kvmclock_offset));
		/* Either clock is whole ns. */
		entry->kvmclock_slack_ns =
			cpu_to_le32(min_t(u64, U32_MAX,
					  kch_cycles_to_ns(now.slack_cycles,
							   tsc_khz) + 2));
		return;
	}
	if (!(le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID))
		return;
	kch_clock_of(entry, vcpu, &clock);
	read->rebase_step_ns = kch_entry_reference_step(entry, now.host_tsc,
							now.kvm_ns);
	answer_ns = kch_clock_kvm_ns(&clock, kvm_khz, now.host_tsc) -
		    kch_clock_ns(&clock, now.host_tsc);
	if (abs(answer_ns) > abs(read->rebase_step_ns))
		read->rebase_step_ns = answer_ns;
	if (kch_is_kept(vm_file))
		read->rebase_bound_ns =
			kch_entry_bound_ns(entry, kvm_khz, tsc_khz, now.host_tsc,
					   kch_kvm_hyperv_page(kch_kvm_of(vm_file)));
}

static int do_read(void *context, void *arg, struct kch_message *message)
{
	struct kch_read *read = arg;
	struct kch_kvm_facts facts;
	struct kch_rec_vm *entry;
	struct file *vm_file;
	int err;

	memset_startat(read, 0, host_tsc);
	err = bad_flags(read->flags, 0, message);
	if (err)
		return err;
	vm_file = kch_kvm_get_vm(read->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = kch_kvm_ask(&facts, message) ?:
	      kch_kvm_read(kch_kvm_of(vm_file), facts.frac_bits, &entry, message);
	if (err)
		goto out;
	read->kvm_tsc_khz = facts.kvm_khz;
	read->pid = le32_to_cpu(entry->pid);
	say_agreement(entry, facts.kvm_khz, vm_file, read);
	kch_watch_known_as(vm_file, entry);
	kch_rec_entry_close(entry);
	err = kch_give(read->buffer, &read->buffer_size, entry,
		       kch_rec_entry_size(le32_to_cpu(entry->vcpu_count)), message);
	kvfree(entry);
out:
	fput(vm_file);
	return err;
}

/* What was given, and only that: everything else of @r is zeroed. */
int kch_restore_check(struct kch_restore *r, struct kch_message *message)
{
	const struct kch_restore in = *r;
	bool hold = in.flags & KCH_RESTORE_HOLD;
	u32 reserved;

	memset_startat(r, 0, outcome);
	r->outcome.vcpu_id = -1;
	if (in.flags & ~KCH_RESTORE_FLAGS) {
		kch_say(message, "flags %#x, known are %#x", in.flags,
			KCH_RESTORE_FLAGS);
		return -EINVAL;
	}
	reserved = in.reserved | in.outcome.reserved;
	if (in.outcome.page || reserved) {
		kch_say(message, "reserved members are %#x and %#x, must be 0",
			in.outcome.page, reserved);
		return -EINVAL;
	}
	if (hold ? !in.hold_ms || in.hold_ms > KCH_HOLD_MS_MAX : in.hold_ms) {
		kch_say(message, "hold_ms is %u, expected %s", in.hold_ms,
			hold ? "1 to 3600000" : "0 without KCH_RESTORE_HOLD");
		return -EINVAL;
	}
	if (in.mode < KCH_MODE_REALTIME || in.mode > KCH_MODE_IDENTICAL) {
		kch_say(message, "mode %u, there are %u to %u", in.mode,
			KCH_MODE_REALTIME, KCH_MODE_IDENTICAL);
		return -EINVAL;
	}
	return 0;
}

static int do_restore(void *context, void *arg, struct kch_message *message)
{
	return kch_restore(&kch.incoming, arg, context, message);
}

static int do_wait(void *context, void *arg, struct kch_message *message)
{
	return kch_restore_wait(context, arg, message);
}

static int do_finish(void *context, void *arg, struct kch_message *message)
{
	struct kch_finish *f = arg;
	int err;

	memset_startat(f, 0, restored);
	err = bad_flags(f->flags, KCH_FINISH_DISCARD, message);
	if (err)
		return err;
	if (mutex_lock_killable(&kch.lock))
		return -EINTR;
	f->restored = kch.incoming.restored;
	f->left = kch.incoming.count + kch.incoming.damaged - f->restored;
	err = kch_incoming_finish(&kch.incoming, &kch.outgoing.slots, &kch.region,
				  f->flags & KCH_FINISH_DISCARD, message);
	mutex_unlock(&kch.lock);
	return err;
}

static int do_adopt(void *context, void *arg, struct kch_message *message)
{
	struct kch_adopt *a = arg;
	struct kch_kvm_facts facts;
	struct file *vm_file;
	u32 reserved = a->reserved;
	int err;

	memset_startat(a, 0, vcpu_id);
	a->vcpu_id = -1;
	a->adopted = 0;
	err = bad_flags(a->flags, 0, message) ?:
	      bad_reserved(reserved, message);
	if (err)
		return err;
	vm_file = kch_kvm_get_vm(a->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = kch_host_tsc_used(message) ?: kch_kvm_ask(&facts, message);
	if (!err)
		err = kch_kvm_adopt(kch_kvm_of(vm_file), &facts, a, message);
	fput(vm_file);
	return err;
}

/* Every structure ends with its message, which the kernel only writes. */
#define OP(name, type) {						\
	.fn = do_##name,						\
	.size = sizeof(struct type),					\
	.message = offsetof(struct type, message),			\
}

static const struct kch_ioctl_op ops[] = {
	[_IOC_NR(KCH_IOC_INFO)] = OP(info, kch_info),
	[_IOC_NR(KCH_IOC_PRESERVE)] = OP(preserve, kch_preserve),
	[_IOC_NR(KCH_IOC_UNPRESERVE)] = OP(unpreserve, kch_unpreserve),
	[_IOC_NR(KCH_IOC_LIST)] = OP(list, kch_list),
	[_IOC_NR(KCH_IOC_GET)] = OP(get, kch_get),
	[_IOC_NR(KCH_IOC_READ)] = OP(read, kch_read),
	[_IOC_NR(KCH_IOC_RESTORE)] = OP(restore, kch_restore),
	[_IOC_NR(KCH_IOC_FINISH)] = OP(finish, kch_finish),
	[_IOC_NR(KCH_IOC_ADOPT)] = OP(adopt, kch_adopt),
	[_IOC_NR(KCH_IOC_WAIT)] = OP(wait, kch_restore),
	[_IOC_NR(KCH_IOC_CLOCK_FD)] = {
		.fn = kch_clock_fd,
		.size = sizeof(struct kch_clock_fd),
		.message = offsetof(struct kch_clock_fd, message),
	},
};

long kch_ioctl_run(const struct kch_ioctl_op *op, void *context, void __user *user)
{
	struct kch_message *message;
	void *arg;
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	/* There is one version so far: nobody has a shorter structure. */
	if (size < op->size)
		return -EINVAL;
	arg = kzalloc(op->size, GFP_KERNEL);
	if (!arg)
		return -ENOMEM;
	err = copy_struct_from_user(arg, op->size, user, size);
	if (err)
		goto out;
	message = arg + op->message;
	memset(message, 0, sizeof(*message));
	/* An answer that could not be given must not be found out afterwards. */
	if (copy_to_user(user, arg, op->size)) {
		err = -EFAULT;
		goto out;
	}
	err = op->fn(context, arg, message);
	/* Interrupted, it is called again with the same arguments. */
	if (err == -EINTR ?
	    copy_to_user(user + op->message, message, sizeof(*message)) :
	    copy_to_user(user, arg, op->size))
		err = -EFAULT;
out:
	kfree(arg);
	return err;
}

static long kch_ioctl(struct file *file, unsigned int cmd, unsigned long user_arg)
{
	void __user *user = (void __user *)user_arg;
	unsigned int nr = _IOC_NR(cmd);

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (_IOC_TYPE(cmd) != KCH_IOC_TYPE || nr >= ARRAY_SIZE(ops) ||
	    !ops[nr].fn || cmd != _IO(KCH_IOC_TYPE, nr))
		return -ENOTTY;
	return kch_ioctl_run(&ops[nr], file->private_data, user);
}

static int kch_open(struct inode *inode, struct file *file)
{
	struct kch_holder *holder;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	holder = kzalloc(sizeof(*holder), GFP_KERNEL);
	if (!holder)
		return -ENOMEM;
	kch_holder_init(holder);
	file->private_data = holder;
	return 0;
}

static int kch_release(struct inode *inode, struct file *file)
{
	kch_holder_exit(file->private_data);
	kfree(file->private_data);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = kch_open,
	.release = kch_release,
	.unlocked_ioctl = kch_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kvmclock_handover",
	.fops = &fops,
	.mode = 0600,
};

int kch_device_register(void)
{
	return misc_register(&device);
}

void kch_device_unregister(void)
{
	misc_deregister(&device);
}
