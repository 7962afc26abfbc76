// SPDX-License-Identifier: GPL-2.0
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "host.h"
#include "incoming.h"
#include "kvm_private.h"
#include "luo.h"
#include "selfcheck.h"
#include "state.h"
#include "watch.h"

/*
 * LUO hands this string over, and with it the meaning of the number it keeps
 * for a file: the physical address of a folio that starts with a record of one
 * VM.  What a record is, and how it may change, is the record's own business.
 */
#define COMPATIBLE	"kvmclock-handover-v1"

/**
 * struct clock_file - what the descriptor stands for; under kch.lock
 * @vm_file: the VM it is the clock of.  With a reference: who preserves the
 *	descriptor may be a service manager whose service has ended by then.
 *	NULL: it came from before the kexec and was not restored yet
 * @uuid: the VM's id
 * @name: the VM's name
 * @generation: kexecs it has passed through
 * @incoming: the record it came with; without one, @error says so
 */
struct clock_file {
	struct file *vm_file;
	u8 uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
	u64 generation;
	struct kch_incoming incoming;
};

static const struct file_operations clock_fops;

static void clock_free(struct clock_file *clock)
{
	kch_incoming_exit(&clock->incoming);
	if (clock->vm_file)
		fput(clock->vm_file);
	kfree(clock);
}

/* What the VM's next kernel has to know of it. */
static int make_entry(struct clock_file *clock, u32 *kvm_khz,
		      struct kch_rec_vm **entry, struct kch_message *message)
{
	struct kch_incoming *in = &clock->incoming;
	const struct kch_rec_header *header = &in->record.header;
	struct kch_kvm_facts facts = { };
	u64 blackout, found, expected;
	int err;

	*entry = NULL;
	if (clock->vm_file) {
		err = kch_selfcheck(&facts, message) ?:
		      kch_kvm_read(kch_kvm_of(clock->vm_file), facts.frac_bits,
				   entry, message) ?:
		      kch_kvm_entry_exact(*entry, message);
	} else {
		/* Carried on, not made new: it gets no better by that. */
		kch_selfcheck_known(&facts, NULL);
		if (!(le32_to_cpu(header->flags) & KCH_REC_SEALED)) {
			kch_say(message, "the record it came with was never sealed");
			return -EINPROGRESS;
		}
		err = kch_host_same_machine(header, false, &blackout, &found,
					    &expected, message) ?:
		      kch_incoming_entry(&in->vms->vm, entry, message);
	}
	if (err) {
		kvfree(*entry);
		return err;
	}
	*kvm_khz = facts.kvm_khz;
	memcpy((*entry)->uuid, clock->uuid, sizeof(clock->uuid));
	memcpy((*entry)->name, clock->name, sizeof(clock->name));
	kch_rec_entry_close(*entry);
	return 0;
}

/* Writes the record to *@preserved, or, if that has no room, to other memory. */
static int write_record(struct clock_file *clock, u32 flags, void **preserved,
			struct kch_message *message)
{
	struct kch_rec_header header;
	struct kch_rec_vm *entry;
	void *memory = *preserved;
	size_t size;
	u32 kvm_khz;
	int err;

	err = make_entry(clock, &kvm_khz, &entry, message);
	if (err)
		return err;
	if (flags & KCH_REC_SEALED && clock->vm_file) {
		entry->flags |= cpu_to_le32(KCH_VM_AT_SEAL);
		kch_rec_entry_close(entry);
	}
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
	err = kch_record_write(memory, folio_size(virt_to_folio(memory)),
			       &header, entry, size, 1);
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
	struct clock_file *clock = args->file->private_data;
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
		mutex_unlock(&kch.lock);
	}
	if (preserved)
		args->serialized_data = virt_to_phys(preserved);
	if (err)
		pr_err("kvmclock_handover: the clock of %.63s (%pUb) cannot be preserved (%d): %s\n",
		       clock->name, clock->uuid, err, message.text);
	return err;
}

static bool clock_can_preserve(struct liveupdate_file_handler *handler,
			       struct file *file)
{
	return file->f_op == &clock_fops;
}

/* A first version, for there to be memory for the last one, and no surprise. */
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
 * The VM may have run on since, and KVM may have taken another reference.  If
 * it has no clock now that can be preserved, there is no kexec: what was read
 * before is out of date.
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

/* Hostile until proven, also if it comes from our own kind. */
static int clock_from_folio(struct clock_file *clock, struct folio *folio)
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
		kch_say(&in->message, "the record has %u whole VMs and %u damaged ones, expected is one",
			in->count, in->damaged);
	}
	if (in->error) {
		pr_err("kvmclock_handover: a preserved clock cannot be used (%d): %s\n",
		       in->error, in->message.text);
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
	struct clock_file *clock;
	struct file *file;
	int err;

	if (!folio)
		return -EBADMSG;
	clock = kzalloc(sizeof(*clock), GFP_KERNEL);
	err = clock ? clock_from_folio(clock, folio) : -ENOMEM;
	folio_put(folio);
	if (!clock)
		return err;
	file = err ? ERR_PTR(err) :
		     anon_inode_getfile("[kvmclock]", &clock_fops, clock, O_RDWR);
	if (IS_ERR(file)) {
		clock_free(clock);
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
	pr_notice("kvmclock_handover: a preserved clock was never retrieved: it is gone\n");
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

static int clock_get(void *context, void *arg, void __user *user,
		     struct kch_message *message)
{
	struct clock_file *clock = context;
	struct kch_get *get = arg;

	if (get->flags || get->which != KCH_INCOMING) {
		kch_say(message, "a clock's descriptor has only what it came with, and no flags");
		return -EINVAL;
	}
	if (clock->incoming.error) {
		*message = clock->incoming.message;
		return clock->incoming.error;
	}
	return kch_get_incoming(&clock->incoming, get, message);
}

static int clock_restore(void *context, void *arg, void __user *user,
			 struct kch_message *message)
{
	struct clock_file *clock = context;
	struct kch_restore *r = arg;
	struct file *vm_file;
	int err;

	/*
	 * Our reference and the watch's are the last: that VM is gone, and its
	 * clock can be another's.  Until it is, what is left of the VM is the
	 * last that is known of the guest.
	 */
	if (clock->vm_file && clock->incoming.restored &&
	    file_count(clock->vm_file) <= 2) {
		kch_watch_stop(clock->incoming.vms->watch);
		clock->incoming.vms->watch = NULL;
	}
	err = kch_restore_incoming(&clock->incoming, r, user, message);
	if (err || r->flags & KCH_RESTORE_CHECK)
		return err;
	/* From now on it is the clock of that VM, for the next kexec. */
	vm_file = kch_watch_get(clock->incoming.vms->watch);
	if (clock->vm_file)
		fput(clock->vm_file);
	clock->vm_file = vm_file;
	return 0;
}

#define OP(name) {							\
	.fn = clock_##name,						\
	.size = sizeof(struct kch_##name),				\
	.message = offsetof(struct kch_##name, message),		\
}

/* Who was given the descriptor may use it: no capability is asked for. */
static long clock_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	static const struct kch_ioctl_op get = OP(get), restore = OP(restore);

	switch (cmd) {
	case KCH_IOC_GET:
		return kch_ioctl_run(&get, file->private_data, (void __user *)arg);
	case KCH_IOC_RESTORE:
		return kch_ioctl_run(&restore, file->private_data,
				     (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static void clock_fdinfo(struct seq_file *m, struct file *file)
{
	struct clock_file *clock = file->private_data;

	mutex_lock(&kch.lock);
	seq_printf(m, "vm:\t%pUb\nname:\t%s\n", clock->uuid, clock->name);
	seq_printf(m, "generation:\t%llu\n", clock->generation);
	seq_printf(m, "bound:\t%d\n", !!clock->vm_file);
	mutex_unlock(&kch.lock);
}

static int clock_release(struct inode *inode, struct file *file)
{
	clock_free(file->private_data);
	return 0;
}

static const struct file_operations clock_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = clock_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = clock_release,
	.show_fdinfo = clock_fdinfo,
	.llseek = noop_llseek,
};

int kch_clock_fd(void *context, void *arg, void __user *user,
		 struct kch_message *message)
{
	struct kch_clock_fd *c = arg;
	struct kch_rec_vm *entry = NULL;
	struct kch_kvm_facts facts;
	struct clock_file *clock;
	struct file *file;
	int err;

	c->fd = -1;
	if (c->flags) {
		kch_say(message, "flags %#x, there are none", c->flags);
		return -EINVAL;
	}
	if (!memchr_inv(c->uuid, 0, sizeof(c->uuid)) ||
	    !memchr(c->name, '\0', sizeof(c->name))) {
		kch_say(message, "an all-zero id, or a name without an end");
		return -EINVAL;
	}
	file = kch_get_vm(c->vm_fd, message);
	if (IS_ERR(file))
		return PTR_ERR(file);
	clock = kzalloc(sizeof(*clock), GFP_KERNEL);
	if (!clock) {
		fput(file);
		return -ENOMEM;
	}
	clock->vm_file = file;
	clock->incoming.error = -ENODATA;
	kch_say(&clock->incoming.message, "this clock has not been through a kexec yet");
	memcpy(clock->uuid, c->uuid, sizeof(clock->uuid));
	strscpy(clock->name, c->name, sizeof(clock->name));

	/* A VM that cannot be preserved is better known now than at the update. */
	err = kch_selfcheck(&facts, message) ?:
	      kch_kvm_read(kch_kvm_of(file), facts.frac_bits, &entry, message);
	kvfree(entry);
	if (!err)
		err = get_unused_fd_flags(O_CLOEXEC);
	if (err < 0)
		goto free;
	c->fd = err;
	file = anon_inode_getfile("[kvmclock]", &clock_fops, clock, O_RDWR);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		put_unused_fd(c->fd);
		c->fd = -1;
		goto free;
	}
	fd_install(c->fd, file);
	return 0;
free:
	clock_free(clock);
	return err;
}

int kch_luo_register(void)
{
	int err = liveupdate_register_file_handler(&clock_handler);

	return err == -EOPNOTSUPP ? 0 : err;
}

void kch_luo_unregister(void)
{
	liveupdate_unregister_file_handler(&clock_handler);
}
