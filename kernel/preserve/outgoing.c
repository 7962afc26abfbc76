// SPDX-License-Identifier: GPL-2.0
/*
 * The record for the next kernel: which VMs are in it, writing it anew at every change,
 * reading VMs once more before they are gone, and sealing.
 */
#include <linux/file.h>
#include <linux/jhash.h>
#include <linux/mm.h>
#include <linux/once.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "kvm/common.h"
#include "preserve/outgoing.h"
#include "watch/watch.h"

u32 kch_uuid_key(const u8 uuid[KCH_UUID_SIZE])
{
	static u32 seed;

	get_random_once(&seed, sizeof(seed));
	return jhash(uuid, KCH_UUID_SIZE, seed);
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
	u32 sum = at ? list_prev_entry(vm, link)->sum : KCH_REC_UNBOUND;

	kch_slots_changed(&out->slots, at);
	list_for_each_entry_from(vm, &out->vms, link) {
		vm->at = at;
		at += vm->size;
		sum = kch_rec_bind(sum, vm->entry);
		vm->sum = sum;
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

/* Its entries are in the slot. */
static int write_header(struct kch_outgoing *out, u32 flags, u32 kvm_khz, u32 count,
			u32 sum, struct kch_message *message)
{
	struct kch_rec_header header;
	int err;

	kch_rec_header_init(&header);
	/* KVM may be gone by now; pairs may have to be computed from it. */
	kch_host_describe(&header, kvm_khz ?:
				   le32_to_cpu(out->header.kvm_tsc_khz));
	header.flags = cpu_to_le32(flags);
	err = kch_slots_write(&out->slots, &header, count, sum, message);
	if (!err)
		out->header = header;
	return err;
}

/*
 * Writes the record to the next slot.  Of the entries, those that the slot still has
 * from an earlier record are left in place: so the work for one VM does not grow with
 * the number of VMs.
 */
static int write_record(struct kch_outgoing *out, u32 kvm_khz, struct kch_message *message)
{
	size_t kept = kch_slots_kept(&out->slots);
	struct kch_outgoing_vm *vm;
	u32 sum = KCH_REC_UNBOUND;
	int err;

	if (out->count)
		sum = list_last_entry(&out->vms, struct kch_outgoing_vm, link)->sum;
	list_for_each_entry_reverse(vm, &out->vms, link)
		if (vm->at < kept)
			break;
	list_for_each_entry_continue(vm, &out->vms, link) {
		err = kch_slots_put(&out->slots, vm->at, vm->entry, message);
		if (err)
			return err;
	}
	return write_header(out, 0, kvm_khz, out->count, sum, message);
}

int kch_outgoing_init(struct kch_outgoing *out, const struct kch_region *region,
		      const struct kch_slots_found *found, u32 vcpus)
{
	const struct kch_record *own = &found->own;
	struct kch_record_vm was;
	size_t offset = 0;
	int err;

	memset(out, 0, sizeof(*out));
	INIT_LIST_HEAD(&out->vms);
	kch_slots_begin(&out->slots, region->memory, region->start, region->size,
			found, kch_region_shared(region));
	if (!region->memory)
		return 0;
	out->scratch_vcpus = max(vcpus, kch_kvm_vcpus_max());
	out->scratch = kvzalloc(kch_rec_entry_size(out->scratch_vcpus), GFP_KERNEL);
	if (!out->scratch)
		return -ENOMEM;
	if (found->own_slot < 0)
		return 0;
	out->header = own->header;
	while ((err = kch_record_next(own, &offset, &was, NULL)) != -ENODATA) {
		struct kch_outgoing_vm *vm;

		if (err)
			continue;
		vm = kzalloc(sizeof(*vm), GFP_KERNEL);
		if (!vm)
			return -ENOMEM;
		/* Perhaps another version of this module wrote it. */
		vm->size = kch_rec_entry_size(was.vcpu_count);
		vm->entry = kvzalloc(vm->size, GFP_KERNEL);
		if (!vm->entry) {
			kfree(vm);
			return -ENOMEM;
		}
		kch_record_copy(&was, vm->entry);
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
	kvfree(out->scratch);
	out->scratch = NULL;
}

size_t kch_outgoing_needed(struct kch_outgoing *out, const struct kch_rec_vm *entry)
{
	const struct kch_outgoing_vm *old = kch_outgoing_find(out, entry->uuid);

	return kch_outgoing_used(out) - (old ? old->size : 0) +
	       kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
}

int kch_outgoing_may_add(struct kch_outgoing *out, const u8 uuid[KCH_UUID_SIZE],
			 const struct file *vm_file, struct kch_message *message)
{
	struct kch_outgoing_vm *vm = find_file(out, vm_file);
	struct file *live;

	if (vm && memcmp(vm->entry->uuid, uuid, KCH_UUID_SIZE)) {
		kch_say(message, "this VM is preserved already, as %pUb (%.63s)",
			vm->entry->uuid, vm->entry->name);
		return -ENOTUNIQ;
	}
	vm = kch_outgoing_find(out, uuid);
	if (!vm && out->count == KCH_REC_VMS_MAX) {
		kch_say(message, "the record has %u VMs, more there cannot be", out->count);
		return -ENOSPC;
	}
	live = vm ? kch_watch_get(vm->watch) : NULL;
	if (!live)
		return 0;
	kch_say(message, "a VM of id %pUb is preserved already (%.63s), and process %d still has it",
		vm->entry->uuid, vm->entry->name, kch_kvm_pid(kch_kvm_of(live)));
	fput(live);
	return -EEXIST;
}

int kch_outgoing_add(struct kch_outgoing *out, const struct kch_region *region,
		     struct kch_rec_vm *entry, struct file *vm_file,
		     u32 kvm_khz, struct kch_message *message)
{
	struct kch_outgoing_vm *vm, *old;
	struct list_head *before = NULL;
	size_t needed;
	int err;

	err = kch_outgoing_may_add(out, entry->uuid, vm_file, message);
	if (err)
		return err;
	/* Its VM is gone: the new VM of that id takes its place. */
	old = kch_outgoing_find(out, entry->uuid);
	needed = kch_outgoing_needed(out, entry);
	if (needed > out->slots.slot_size) {
		kch_say(message, "the region is full: the record would have %zu bytes with this VM, a slot of the region has %zu",
			needed, out->slots.slot_size);
		return -ENOSPC;
	}
	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return -ENOMEM;
	vm->watch = kch_watch_start(vm_file);
	if (!vm->watch) {
		kfree(vm);
		return -ENOMEM;
	}
	kch_rec_entry_close(entry);
	vm->entry = entry;
	vm->size = kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	if (old) {
		before = old->link.prev;
		take_out(out, old);
	}
	insert(out, vm, vm_file, out->vms.prev);
	err = write_record(out, kvm_khz, message);
	if (err) {
		take_out(out, vm);
		vm->entry = NULL;	/* remains the caller's */
		destroy(vm);
		if (old)
			insert(out, old, NULL, before);
	} else {
		kch_watch_call(vm->watch, entry);
		if (old) {
			kch_say(message, "took the place of %.63s of the same id, whose VM, of process %u, is gone",
				old->entry->name, le32_to_cpu(old->entry->pid));
			pr_notice_ratelimited("%.63s (%pUb) %s\n", entry->name, entry->uuid,
					      message->text);
			destroy(old);
		}
	}
	kch_region_hold(region, out->count);
	return err;
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
	err = write_record(out, kvm_khz, message);
	if (err) {
		insert(out, vm, NULL, before);
	} else {
		destroy(vm);
		if (!out->count)
			kch_slots_show_came(&out->slots);
	}
	kch_region_hold(region, out->count);
	return err;
}

void kch_outgoing_forget(struct kch_outgoing *out, const struct file *vm_file)
{
	struct kch_outgoing_vm *vm = find_file(out, vm_file);

	if (!vm)
		return;
	pr_notice_ratelimited("%.63s (%pUb): its restore has not come to its end: what came of its clock goes on, not what the VM has\n",
			      vm->entry->name, vm->entry->uuid);
	take_out(out, vm);
	destroy(vm);
	if (!out->count)
		kch_slots_show_came(&out->slots);
}

/* The VM may have run on since, and how cannot be found out any more. */
static void make_stale(struct kch_outgoing_vm *vm, const char *why)
{
	u32 flags = le32_to_cpu(vm->entry->flags);

	flags &= ~(KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL | KCH_VM_AT_END);
	vm->entry->flags = cpu_to_le32(flags | KCH_VM_STALE);
	kch_rec_entry_close(vm->entry);
	pr_warn_ratelimited("%.63s (%pUb): %s; the record has only what was read before, and a restore of that has to be asked for\n",
			    vm->entry->name, vm->entry->uuid, why);
}

void kch_outgoing_replaced(struct kch_outgoing *out, const u8 uuid[KCH_UUID_SIZE],
			   u32 kvm_khz)
{
	struct kch_outgoing_vm *vm = kch_outgoing_find(out, uuid);
	struct file *live = vm ? kch_watch_get(vm->watch) : NULL;
	struct kch_message message = { "" };
	int err;

	if (live)
		fput(live);
	if (!vm || live)
		return;
	make_stale(vm, "its guest is back here, with a clock that this module has not set");
	place(out, vm, vm->at);
	err = write_record(out, kvm_khz, &message);
	if (err)
		pr_err("the record was not written again (%pe): %s\n",
		       ERR_PTR(err), message.text);
}

/* Without a master clock KVM makes a guest's clock from the host's, each time. */
static void refer_to_now(struct kch_rec_vm *entry)
{
	u64 before = rdtsc_ordered();
	struct kch_instant now;

	kch_host_instant(&now);
	entry->host_tsc = cpu_to_le64(now.host_tsc);
	entry->master_cycle_now = entry->host_tsc;
	entry->master_kernel_ns = cpu_to_le64(now.kvm_ns);
	entry->kvmclock_ns = cpu_to_le64(now.kvm_ns +
					 le64_to_cpu(entry->kvmclock_offset));
	entry->kvmclock_slack_ns =
		cpu_to_le32(kch_cycles_to_ns(rdtsc_ordered() - before, tsc_khz));
}

/*
 * Reads a VM to @out->scratch.  If it is a clock that cannot be restored exactly it is read
 * as it is, and the next kernel refuses it: what was read before would be out of date.
 * NULL: it cannot be read.
 */
static struct kch_rec_vm *read_last(struct kch_outgoing *out, struct kvm *kvm,
				    const struct kch_rec_vm *was, struct kch_message *message)
{
	u8 frac_bits = was->tsc_scaling_frac_bits;
	struct kch_rec_vm *entry = out->scratch;
	u32 room = out->scratch_vcpus;
	int inexact;

	inexact = kch_kvm_read_exact_to(kvm, frac_bits, entry, room, message);
	if (inexact == -ENOMEM ||
	    (inexact && kch_kvm_read_to(kvm, frac_bits, entry, room, message)))
		return NULL;
	memcpy(entry->uuid, was->uuid, sizeof(entry->uuid));
	memcpy(entry->name, was->name, sizeof(entry->name));
	if (!inexact)
		return entry;
	pr_warn_ratelimited("%.63s (%pUb) had a clock at last that cannot be restored exactly: %s\n",
			    entry->name, entry->uuid, message->text);
	/* KVM moves its offsets, but the reference is one. */
	if (inexact == -ENOTRECOVERABLE)
		return entry;
	/* It has no master clock, or will have none when it runs next. */
	entry->flags &= cpu_to_le32(~KCH_VM_MASTER_CLOCK);
	refer_to_now(entry);
	return entry;
}

/*
 * What the guest had last counts: it may have run since it was read.  Returns the entry, in
 * @out->scratch; NULL: the one that is there is stale.
 * @others: bytes of all else in the record; @when: KCH_VM_AT_SEAL or KCH_VM_AT_END
 */
static struct kch_rec_vm *read_again(struct kch_outgoing *out, struct kch_outgoing_vm *vm,
				     struct file *vm_file, size_t others, u32 when)
{
	struct kch_message message = { "it cannot be read again" };
	struct kch_rec_vm *entry;
	size_t needed;

	entry = read_last(out, kch_kvm_of(vm_file), vm->entry, &message);
	if (!entry) {
		make_stale(vm, message.text);
		return NULL;
	}
	needed = others + kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	if (needed > out->slots.slot_size) {
		kch_say(&message, "with its vCPUs of now the record would have %zu bytes, a slot of the region has %zu",
			needed, out->slots.slot_size);
		make_stale(vm, message.text);
		return NULL;
	}
	entry->flags |= cpu_to_le32(when);
	kch_rec_entry_close(entry);
	return entry;
}

/* Makes @entry, which is in @out->scratch, that of @vm. */
static void take_over(struct kch_outgoing *out, struct kch_outgoing_vm *vm,
		      const struct kch_rec_vm *entry)
{
	size_t size = le32_to_cpu(entry->size);
	struct kch_rec_vm *larger;

	if (size != vm->size) {
		larger = kvmalloc(size, GFP_KERNEL);
		if (!larger) {
			make_stale(vm, "there is no memory for its vCPUs of now");
			return;
		}
		kvfree(vm->entry);
		vm->entry = larger;
		out->entries_size += size - vm->size;
		vm->size = size;
	}
	memcpy(vm->entry, entry, size);
}

void kch_outgoing_last_look(struct kch_outgoing *out, u32 kvm_khz)
{
	struct kch_outgoing_vm *vm, *first = NULL;
	struct kch_message message = { "" };
	struct kch_rec_vm *entry;
	struct file *file;
	int err;

	list_for_each_entry(vm, &out->vms, link) {
		if (!kch_watch_gone(vm->watch))
			continue;
		file = kch_watch_get_last(vm->watch);
		if (!file)
			continue;
		entry = read_again(out, vm, file, kch_outgoing_used(out) - vm->size,
				   KCH_VM_AT_END);
		if (entry)
			take_over(out, vm, entry);
		fput(file);
		first = first ?: vm;
	}
	if (!first)
		return;
	place(out, first, first->at);
	err = write_record(out, kvm_khz, &message);
	/* What was read is in the next record that is written. */
	if (err)
		pr_err("the record was not written again (%pe): %s\n",
		       ERR_PTR(err), message.text);
}

/* The next entry of the record that is sealed, closed. */
static int seal_entry(struct kch_outgoing *out, const struct kch_rec_vm *entry,
		      struct kch_message *message)
{
	int err = kch_slots_put(&out->slots, out->sealed_size, entry, message);

	if (err)
		return err;
	out->sealed_size += le32_to_cpu(entry->size);
	out->sealed_sum = kch_rec_bind(out->sealed_sum, entry);
	out->sealed_count++;
	return 0;
}

void kch_outgoing_seal_begin(struct kch_outgoing *out)
{
	kch_slots_changed(&out->slots, 0);
	out->sealed_size = 0;
	out->sealed_sum = KCH_REC_UNBOUND;
	out->sealed_count = 0;
}

int kch_outgoing_carry(struct kch_outgoing *out)
{
	size_t size = kch_rec_entry_size(le32_to_cpu(out->scratch->vcpu_count));

	if (kch_outgoing_used(out) + out->sealed_size + size > out->slots.slot_size ||
	    out->sealed_count + out->count == KCH_REC_VMS_MAX)
		return -ENOSPC;
	kch_rec_entry_close(out->scratch);
	return seal_entry(out, out->scratch, NULL);
}

int kch_outgoing_seal(struct kch_outgoing *out, u32 kvm_khz)
{
	struct kch_message message = { "" };
	size_t left = kch_outgoing_used(out);
	struct kch_outgoing_vm *vm;
	int err = 0;

	/* From the slot's start: what is sealed is all written, and read back. */
	list_for_each_entry(vm, &out->vms, link) {
		struct file *file = kch_watch_get_last(vm->watch);
		struct kch_rec_vm *entry = NULL;

		left -= vm->size;
		if (file) {
			entry = read_again(out, vm, file, left + out->sealed_size,
					   KCH_VM_AT_SEAL);
			fput(file);
		} else if (!(le32_to_cpu(vm->entry->flags) & (KCH_VM_AT_END | KCH_VM_STALE))) {
			make_stale(vm, "it is gone, and was not read since");
		}
		err = seal_entry(out, entry ?: vm->entry, &message);
		if (err)
			break;
	}
	err = err ?: write_header(out, KCH_REC_SEALED, kvm_khz, out->sealed_count,
				  out->sealed_sum, &message);
	if (err)
		pr_err("the record of %u VMs was not sealed (%pe): %s\n",
		       out->count, ERR_PTR(err), message.text);
	else
		pr_info("record of %u VMs sealed for the next kernel\n",
			out->sealed_count);
	return err;
}

/* Does the VM still have the saved clock?  vCPUs may have been added. */
static bool has_clock_of(const struct kch_rec_vm *saved, const struct file *vm_file)
{
	const struct kch_rec_vcpu *was = (const void *)(saved + 1), *is;
	u32 n = le32_to_cpu(saved->vcpu_count);
	struct kch_clock_error error;
	struct kch_clock a, b;
	struct kch_rec_vm *live;
	bool same;

	if (kch_kvm_read_exact(kch_kvm_of(vm_file), saved->tsc_scaling_frac_bits,
			       &live, NULL))
		return false;
	same = true;
	for (; n && same; n--, was++) {
		is = kch_entry_vcpu(live, le32_to_cpu(was->vcpu_id));
		same = is;
		if (!is)
			break;
		kch_clock_of(saved, was, &a);
		kch_clock_of(live, is, &b);
		/* It had no rate of its own before it ran. */
		if (!(le32_to_cpu(was->flags) & KCH_VCPU_PAIR_VALID)) {
			a.tsc_to_system_mul = b.tsc_to_system_mul;
			a.tsc_shift = b.tsc_shift;
		}
		kch_clock_compare(&a, &b, le64_to_cpu(live->host_tsc), &error);
		same = !error.ns && !error.cycles && !error.rate_ppb;
	}
	kvfree(live);
	return same;
}

static bool find_again(struct kch_outgoing *out, struct kch_outgoing_vm *vm)
{
	unsigned int fd = 0;
	struct file *file;

	while (!vm->watch &&
	       (file = kch_watch_next_vm(le32_to_cpu(vm->entry->pid), &fd))) {
		if (!find_file(out, file) && has_clock_of(vm->entry, file))
			vm->watch = kch_watch_start(file);
		if (vm->watch) {
			kch_watch_call(vm->watch, vm->entry);
			hash_add(out->by_file, &vm->by_file, (unsigned long)file);
		}
		fput(file);
	}
	return vm->watch;
}

void kch_outgoing_find_again(struct kch_outgoing *out, bool can_read)
{
	struct kch_outgoing_vm *vm;

	list_for_each_entry(vm, &out->vms, link) {
		u32 flags = le32_to_cpu(vm->entry->flags);

		if (flags & (KCH_VM_AT_END | KCH_VM_STALE) ||
		    (can_read && find_again(out, vm)))
			continue;
		make_stale(vm, "the module was loaded anew, and the VM this was read from is not found any more with the clock it had");
	}
	place(out, list_first_entry(&out->vms, struct kch_outgoing_vm, link), 0);
}
