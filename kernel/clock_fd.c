// SPDX-License-Identifier: GPL-2.0
/* The descriptor of one VM's clock: opening it, and what its holder can do. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "clock_fd.h"
#include "ioctl/ioctl.h"
#include "ioctl/records.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "state/state.h"
#include "watch/watch.h"

struct kch_clock_file *kch_clock_file_new(void)
{
	struct kch_clock_file *clock = kzalloc(sizeof(*clock), GFP_KERNEL);

	if (!clock)
		return NULL;
	clock->incoming.error = -ENODATA;
	clock->record = &clock->incoming;
	kch_say(&clock->incoming.message, "this clock has not been through a kexec yet");
	kch_holder_init(&clock->holder);
	return clock;
}

void kch_clock_file_free(struct kch_clock_file *clock)
{
	kch_holder_exit(&clock->holder);
	kch_incoming_exit(&clock->incoming);
	if (clock->vm_file)
		fput(clock->vm_file);
	kfree(clock);
}

struct kch_incoming_vm *kch_clock_file_entry(struct kch_clock_file *clock)
{
	struct kch_incoming_vm *vm;
	struct kch_message none;

	return kch_incoming_find(&clock->incoming, clock->uuid, &vm, &none) ? NULL : vm;
}

struct file *kch_clock_file_vm(struct kch_clock_file *clock)
{
	struct kch_incoming_vm *vm;
	struct kch_message none;
	struct file *vm_file = NULL;

	if (!kch_incoming_find(clock->record, clock->uuid, &vm, &none))
		vm_file = kch_watch_get(vm->watch);
	if (!vm_file && clock->vm_file)
		vm_file = get_file(clock->vm_file);
	return vm_file;
}

/* The descriptor is good for one clock. */
static int check_id(const struct kch_clock_file *clock, const u8 uuid[KCH_UUID_SIZE],
		    struct kch_message *message)
{
	if (!memcmp(clock->uuid, uuid, sizeof(clock->uuid)))
		return 0;
	kch_say(message, "this descriptor is of the clock of %pUb, not of %pUb", clock->uuid, uuid);
	return -ENOENT;
}

/* Of the module's state only what a reader of one clock needs. */
static int clock_info(void *context, void *arg, struct kch_message *message)
{
	struct kch_info *info = arg;

	kch_info_of_host(info, message);
	return 0;
}

/* The VM's clock as it is; before a kexec there is nothing else. */
static int read_live(struct kch_clock_file *clock, struct kch_rec_vm **entry,
		     struct kch_message *message)
{
	struct kch_kvm_facts facts;
	struct file *vm_file;
	int err;

	mutex_lock(&kch_lock);
	vm_file = kch_clock_file_vm(clock);
	mutex_unlock(&kch_lock);
	if (!vm_file) {
		kch_say(message, "this clock is of no VM yet: it was not restored");
		return -ENODATA;
	}
	err = kch_kvm_ask(&facts, message) ?:
	      kch_kvm_read(kch_kvm_of(vm_file), facts.frac_bits, entry, message);
	fput(vm_file);
	if (err)
		return err;
	memcpy((*entry)->uuid, clock->uuid, sizeof(clock->uuid));
	memcpy((*entry)->name, clock->name, sizeof(clock->name));
	kch_rec_entry_close(*entry);
	return 0;
}

static int clock_get(void *context, void *arg, struct kch_message *message)
{
	struct kch_clock_file *clock = context;
	struct kch_rec_vm *entry = NULL;
	struct kch_get *get = arg;
	void *data = NULL;
	size_t size;
	int err;

	if (get->flags || get->which > KCH_INCOMING) {
		kch_say(message, "flags %#x and record %u, there are no flags and records 0 and 1",
			get->flags, get->which);
		return -EINVAL;
	}
	if (memchr_inv(get->uuid, 0, sizeof(get->uuid))) {
		err = check_id(clock, get->uuid, message);
		if (err)
			return err;
	}
	if (get->which == KCH_OUTGOING) {
		err = read_live(clock, &entry, message);
		data = entry;
		size = err ? 0 : kch_rec_entry_size(le32_to_cpu(entry->vcpu_count));
	} else {
		if (mutex_lock_killable(&kch_lock))
			return -EINTR;
		err = clock->record->error;
		if (err)
			*message = clock->record->message;
		else
			err = kch_get_incoming(clock->record, get->uuid, &data, &size, message);
		mutex_unlock(&kch_lock);
	}
	if (!err)
		err = kch_ioctl_give(get->buffer, &get->buffer_size, data, size, message);
	kvfree(data);
	return err;
}

/*
 * If only our reference and the watch's are left, the VM is gone, and its clock may be
 * restored to another one.  The file is kept until then: of it the guest's last clock can
 * still be read.
 */
static void let_go_of_dead(struct kch_clock_file *clock)
{
	struct kch_incoming_vm *vm;

	mutex_lock(&kch_lock);
	vm = kch_clock_file_entry(clock);
	if (vm && clock->vm_file && kch_watch_is(vm->watch, clock->vm_file) &&
	    file_count(clock->vm_file) <= 2 &&
	    !kch_kvm_has_others(kch_kvm_of(clock->vm_file))) {
		kch_watch_stop(vm->watch);
		vm->watch = NULL;
	}
	mutex_unlock(&kch_lock);
}

/* From now on it is the clock of that VM, for the next kexec. */
static void bind(struct kch_clock_file *clock)
{
	struct kch_incoming_vm *vm;
	struct file *vm_file = NULL;

	mutex_lock(&kch_lock);
	/* The VMs of the module's record are preserved with that. */
	vm = kch_clock_file_entry(clock);
	if (vm)
		vm_file = kch_watch_get(vm->watch);
	if (vm_file)
		swap(clock->vm_file, vm_file);
	mutex_unlock(&kch_lock);
	if (vm_file)
		fput(vm_file);
}

static int clock_restore(void *context, void *arg, struct kch_message *message)
{
	struct kch_clock_file *clock = context;
	struct kch_restore *r = arg;
	int err = check_id(clock, r->uuid, message);

	if (err)
		return err;
	let_go_of_dead(clock);
	err = kch_restore(clock->record, r, &clock->holder, message);
	kch_state_restored(r, err);
	if (!err && r->outcome.mode == KCH_MODE_IDENTICAL)
		bind(clock);
	return err;
}

static int clock_wait(void *context, void *arg, struct kch_message *message)
{
	struct kch_clock_file *clock = context;
	int err = kch_restore_wait(&clock->holder, arg, message);

	if (!err)
		bind(clock);
	return err;
}

/* Who was given the descriptor may use it: no capability is asked for. */
static long clock_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	static const struct kch_ioctl_op ops[] = {
		[_IOC_NR(KCH_IOC_INFO)] = KCH_IOCTL_OP(clock_info, kch_info),
		[_IOC_NR(KCH_IOC_GET)] = KCH_IOCTL_OP(clock_get, kch_get),
		[_IOC_NR(KCH_IOC_RESTORE)] = KCH_IOCTL_OP(clock_restore, kch_restore),
		[_IOC_NR(KCH_IOC_WAIT)] = KCH_IOCTL_OP(clock_wait, kch_restore),
	};

	return kch_ioctl_run(ops, ARRAY_SIZE(ops), file->private_data, cmd, arg);
}

static void clock_fdinfo(struct seq_file *m, struct file *file)
{
	struct kch_clock_file *clock = file->private_data;

	mutex_lock(&kch_lock);
	seq_printf(m, "vm:\t%pUb\nname:\t%s\n", clock->uuid, clock->name);
	seq_printf(m, "generation:\t%llu\n", clock->generation);
	seq_printf(m, "bound:\t%d\n", !!clock->vm_file);
	mutex_unlock(&kch_lock);
}

static int clock_release(struct inode *inode, struct file *file)
{
	kch_clock_file_free(file->private_data);
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

struct kch_clock_file *kch_clock_file_of(const struct file *file)
{
	return file->f_op == &clock_fops ? file->private_data : NULL;
}

struct file *kch_clock_file_open(struct kch_clock_file *clock)
{
	return anon_inode_getfile("[kvmclock]", &clock_fops, clock, O_RDWR);
}

/* The clock of a VM that is here.  That it can be read is seen now. */
static int of_vm(struct kch_clock_file *clock, struct file *vm_file,
		 const struct kch_clock_fd *c, struct kch_message *message)
{
	struct kch_rec_vm *entry = NULL;
	int err;

	clock->vm_file = get_file(vm_file);
	strscpy(clock->name, c->name, sizeof(clock->name));
	err = read_live(clock, &entry, message);
	kvfree(entry);
	return err;
}

/* The clock of a VM that is still to be restored, from the module's record. */
static int of_entry(struct kch_clock_file *clock, const struct kch_clock_fd *c,
		    struct kch_message *message)
{
	struct kch_kvm_facts facts;
	struct kch_incoming_vm *in;
	int err;

	/* Whoever gets the descriptor may have no /dev/kvm to ask by. */
	err = kch_kvm_ask(&facts, message);
	if (err)
		return err;
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = kch_check_incoming(message) ?:
	      kch_incoming_find(&kch.incoming, c->uuid, &in, message);
	if (!err) {
		clock->record = &kch.incoming;
		clock->generation = le64_to_cpu(kch.incoming.record.header.generation) + 1;
		strscpy(clock->name, in->vm.vm.name, sizeof(clock->name));
	}
	mutex_unlock(&kch_lock);
	return err;
}

/*
 * The clock of a record that the caller has made, as of one that came: every check of that is
 * due, and besides it is of this machine, since its TSC was reset.
 */
static int of_bytes(struct kch_clock_file *clock, const struct kch_clock_fd *c,
		    struct kch_message *message)
{
	struct kch_kvm_facts facts;
	struct kch_incoming_vm *in;
	void *copy;
	int err;

	if (!c->record_bytes || c->record_bytes > KCH_RECORD_BYTES_MAX) {
		kch_say(message, "a record of %u bytes, expected 1 to %u", c->record_bytes,
			KCH_RECORD_BYTES_MAX);
		return -EINVAL;
	}
	err = kch_kvm_ask(&facts, message);
	if (err)
		return err;
	copy = kvmalloc(c->record_bytes, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	if (copy_from_user(copy, u64_to_user_ptr(c->record), c->record_bytes)) {
		kch_say(message, "record at %#llx: %u bytes cannot be read there", c->record,
			c->record_bytes);
		kvfree(copy);
		return -EFAULT;
	}
	/* From here on the clock has the copy. */
	mutex_lock(&kch_lock);
	err = kch_incoming_open(&clock->incoming, copy, c->record_bytes) ?:
	      kch_incoming_find(&clock->incoming, c->uuid, &in, message);
	if (!err)
		strscpy(clock->name, in->vm.vm.name, sizeof(clock->name));
	mutex_unlock(&kch_lock);
	return err;
}

/* Behind the structure: nobody can close a descriptor that nobody was told of. */
static struct file **opened(struct kch_clock_fd *c)
{
	BUILD_BUG_ON(sizeof(struct file *) > KCH_IOCTL_REST);
	return (struct file **)(c + 1);
}

static int open_fd(struct kch_clock_file *clock, struct kch_clock_fd *c)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;

	if (fd < 0)
		return fd;
	file = kch_clock_file_open(clock);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	*opened(c) = file;
	c->fd = fd;
	return 0;
}

void kch_clock_fd_end(void *arg, bool given)
{
	struct kch_clock_fd *c = arg;
	struct file *file = *opened(c);

	if (!file)
		return;
	if (given) {
		fd_install(c->fd, file);
		return;
	}
	put_unused_fd(c->fd);
	fput(file);
}

int kch_clock_fd(void *context, void *arg, struct kch_message *message)
{
	struct kch_clock_fd *c = arg;
	struct kch_clock_file *clock;
	struct file *vm_file = NULL;
	int err;

	c->fd = -1;
	err = kch_ioctl_flags(c->flags, 0, message) ?:
	      kch_ioctl_reserved(c->reserved, message) ?:
	      kch_ioctl_names(c->uuid, c->name, message);
	if (err)
		return err;
	if (c->vm_fd != -1) {
		vm_file = kch_kvm_get_vm(c->vm_fd, message);
		if (IS_ERR(vm_file))
			return PTR_ERR(vm_file);
	} else if (c->name[0]) {
		kch_say(message, "a name is given, but the record has one");
		return -EINVAL;
	}
	if (c->record ? c->vm_fd != -1 : c->record_bytes) {
		kch_say(message, "a record at %#llx of %u bytes, with vm_fd %d", c->record,
			c->record_bytes, c->vm_fd);
		err = -EINVAL;
		goto put;
	}
	clock = kch_clock_file_new();
	if (!clock) {
		err = -ENOMEM;
		goto put;
	}
	memcpy(clock->uuid, c->uuid, sizeof(clock->uuid));
	err = (vm_file ? of_vm(clock, vm_file, c, message) :
	       c->record ? of_bytes(clock, c, message) : of_entry(clock, c, message)) ?:
	      open_fd(clock, c);
	if (err)
		kch_clock_file_free(clock);
put:
	if (vm_file)
		fput(vm_file);
	return err;
}
