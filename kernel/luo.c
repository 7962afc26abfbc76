// SPDX-License-Identifier: GPL-2.0
/* A clock's descriptor in a live update: its record in memory that KHO preserves. */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "clock_fd.h"
#include "core/slots.h"
#include "host/host.h"
#include "kvm/common.h"
#include "luo.h"
#include "kvm/facts.h"
#include "restore/restore.h"
#include "state/state.h"
#include "watch/watch.h"

/*
 * LUO hands this string over, and with it the meaning of the number it keeps
 * for a file: the physical address of a folio that starts with a record of one
 * VM.  What a record is, and how it may change, is the record's own business.
 */
#define COMPATIBLE	"kvmclock-handover-v1"

/* What the VM's next kernel has to know of it; not closed.  @flags: of the record */
static int make_entry(struct kch_clock_file *clock, u32 flags, u32 *kvm_khz,
		      struct kch_rec_vm **entry, struct kch_message *message)
{
	struct kch_incoming *in = &clock->incoming;
	struct kch_kvm_facts facts = { };
	struct kch_incoming_vm *vm = kch_clock_file_entry(clock);
	struct file *vm_file = kch_clock_file_vm(clock);
	struct kch_outcome unused;
	int err;

	*entry = NULL;
	if (!vm && !clock->vm_file) {
		kch_say(message, "it is of an entry of the module's record, which goes on by itself");
		err = -EOPNOTSUPP;
	} else if (vm_file) {
		err = kch_kvm_ask(&facts, message) ?:
		      kch_kvm_read_exact(kch_kvm_of(vm_file),
					 facts.frac_bits, entry, message);
		if (!err && flags & KCH_REC_SEALED)
			(*entry)->flags |= cpu_to_le32(KCH_VM_AT_SEAL);
	} else if (vm->vm.vm.used) {
		kch_say(message, "it was given back already, and its VM is gone: what the guest had last is not known");
		err = -EALREADY;
	} else {
		/* It is carried on as it came, and must be as good as for a restore. */
		kch_kvm_known(&facts, NULL);
		err = kch_incoming_usable(in, 0, &unused, message) ?:
		      kch_incoming_entry(&vm->vm, entry, message);
	}
	if (vm_file)
		fput(vm_file);
	if (err) {
		kvfree(*entry);
		return err;
	}
	*kvm_khz = facts.kvm_khz;
	memcpy((*entry)->uuid, clock->uuid, sizeof(clock->uuid));
	memcpy((*entry)->name, clock->name, sizeof(clock->name));
	return 0;
}

/* Writes the record to *@preserved, or, if that has no room, to other memory. */
static int write_record(struct kch_clock_file *clock, u32 flags, void **preserved,
			struct kch_message *message)
{
	struct kch_rec_header header;
	struct kch_rec_vm *entry;
	void *memory = *preserved;
	size_t size;
	u32 kvm_khz;
	int err;

	err = make_entry(clock, flags, &kvm_khz, &entry, message);
	if (err)
		return err;
	kch_rec_entry_close(entry);
	size = kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	if (!memory || folio_size(virt_to_folio(memory)) < sizeof(header) + size) {
		memory = kho_alloc_preserve(sizeof(header) + size);
		if (IS_ERR(memory)) {
			err = PTR_ERR(memory);
			goto out;
		}
	}
	kch_rec_header_init(&header);
	kch_host_describe(&header, kvm_khz);
	header.sequence = cpu_to_le64(clock->generation + 1);
	header.generation = cpu_to_le64(clock->generation);
	header.flags = cpu_to_le32(flags);
	err = kch_record_write(memory, folio_size(virt_to_folio(memory)), &header, entry, size, 1);
	if (memory != *preserved) {
		if (*preserved)
			kho_unpreserve_free(*preserved);
		*preserved = memory;
	}
out:
	kvfree(entry);
	return err;
}

/* To be put to kho_restore_folio() by the next kernel. */
static int clock_write(struct liveupdate_file_op_args *args, u32 flags)
{
	struct kch_clock_file *clock = kch_clock_file_of(args->file);
	struct kch_message message = { "" };
	void *preserved = NULL;
	int err;

	if (args->serialized_data)
		preserved = phys_to_virt(args->serialized_data);
	err = kch_lock_at_kexec();
	if (err) {
		kch_say(&message, "an ioctl does not come to its end");
	} else {
		err = write_record(clock, flags, &preserved, &message);
		mutex_unlock(&kch_lock);
	}
	if (preserved)
		args->serialized_data = virt_to_phys(preserved);
	if (err)
		pr_err("the clock of %.63s (%pUb) cannot be preserved (%pe): %s\n",
		       clock->name, clock->uuid, ERR_PTR(err), message.text);
	return err;
}

static bool clock_can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return kch_clock_file_of(file);
}

/* A first version: so the last one has its memory, and what can be refused is refused now. */
static int clock_preserve(struct liveupdate_file_op_args *args)
{
	args->serialized_data = 0;
	return clock_write(args, 0);
}

static void clock_unpreserve(struct liveupdate_file_op_args *args)
{
	kho_unpreserve_free(phys_to_virt(args->serialized_data));
}

/*
 * The VM may have run on since, and KVM may have taken another reference.  If it has no
 * clock now that can be preserved, there is no kexec: what was read before is out of date.
 */
static int clock_freeze(struct liveupdate_file_op_args *args)
{
	return clock_write(args, KCH_REC_SEALED);
}

/* The guest goes on here: its clock is not the one that was sealed. */
static void clock_unfreeze(struct liveupdate_file_op_args *args)
{
	kch_record_revoke(phys_to_virt(args->serialized_data));
}

/* What came is hostile until proven. */
static int clock_from_folio(struct kch_clock_file *clock, struct folio *folio)
{
	struct kch_incoming *in = &clock->incoming;
	size_t size = folio_size(folio);
	u8 *copy = kvmalloc(size, GFP_KERNEL);
	int err;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, folio_address(folio), size);
	err = kch_incoming_open(in, copy, size);
	if (err)
		return err;
	if (!in->error && in->count != 1) {
		in->error = -EBADMSG;
		kch_say(&in->message, "the record has %u whole VMs and %u damaged ones, expected is one: %.150s",
			in->count, in->damaged, in->damage.text);
	}
	if (in->error) {
		pr_err("a preserved clock cannot be used (%pe): %s\n",
		       ERR_PTR(in->error), in->message.text);
		return in->error;
	}
	memcpy(clock->uuid, in->vms->vm.vm.uuid, sizeof(clock->uuid));
	memcpy(clock->name, in->vms->vm.vm.name, sizeof(clock->name));
	clock->generation = le64_to_cpu(in->record.header.generation) + 1;
	return 0;
}

static int clock_retrieve(struct liveupdate_file_op_args *args)
{
	struct folio *folio = kho_restore_folio(args->serialized_data);
	struct kch_clock_file *clock;
	struct file *file;
	int err;

	if (!folio)
		return -EBADMSG;
	clock = kch_clock_file_new();
	err = clock ? clock_from_folio(clock, folio) : -ENOMEM;
	folio_put(folio);
	if (!clock)
		return err;
	file = err ? ERR_PTR(err) : kch_clock_file_open(clock);
	if (IS_ERR(file)) {
		kch_clock_file_free(clock);
		return PTR_ERR(file);
	}
	args->file = file;
	return 0;
}

/* A descriptor that was retrieved lives on; retrieving has used the memory up. */
static void clock_finish(struct liveupdate_file_op_args *args)
{
	struct folio *folio;

	if (args->retrieve_status)
		return;
	folio = kho_restore_folio(args->serialized_data);
	if (folio)
		folio_put(folio);
	pr_notice("a preserved clock was never retrieved: it is gone\n");
}

static const struct liveupdate_file_ops clock_luo_ops = {
	.can_preserve = clock_can_preserve,
	.preserve = clock_preserve,
	.unpreserve = clock_unpreserve,
	.freeze = clock_freeze,
	.unfreeze = clock_unfreeze,
	.retrieve = clock_retrieve,
	.finish = clock_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler clock_handler = {
	.ops = &clock_luo_ops,
	.compatible = COMPATIBLE,
};

int kch_luo_register(void)
{
	int err = liveupdate_register_file_handler(&clock_handler);

	return err == -EOPNOTSUPP ? 0 : err;
}

void kch_luo_unregister(void)
{
	liveupdate_unregister_file_handler(&clock_handler);
}
