// SPDX-License-Identifier: GPL-2.0
/*
 * What auditors read: /sys/kernel/debug/kvmclock_handover/.  Text is one
 * "key: value" a line.  A record's keys are the names of its members, from the
 * tables in core/fields.c; Documentation/user-abi.rst has the others.  They stay.
 */
#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "core/fields.h"
#include "core/place.h"
#include "debugfs.h"
#include "host/host.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "state/state.h"
#include "core/version.h"
#include "watch/watch.h"

static struct dentry *dir;

static const char * const backend_names[] = {
	[KCH_BACKEND_NONE] = "none",
	[KCH_BACKEND_RANGE] = "range",
	[KCH_BACKEND_RESERVE_MEM] = "reserve_mem",
	[KCH_BACKEND_KHO] = "kho",
};

/* Every member that is for people, by the table of the structure. */
static void show_fields(struct seq_file *m, const struct kch_field *field, const void *structure)
{
	char text[KCH_FIELD_TEXT_SIZE];

	for (; field->name; field++) {
		if (!kch_field_shown(field))
			continue;
		kch_field_text(field, structure, text);
		seq_printf(m, "%s: %s\n", field->name, text);
	}
}

static void show_vm(struct seq_file *m, const struct kch_rec_vm *vm)
{
	seq_puts(m, "\n");
	show_fields(m, kch_vm_fields, vm);
	seq_printf(m, "system_time_ns: %llu\n", le64_to_cpu(vm->master_kernel_ns) +
		   le64_to_cpu(vm->kvmclock_offset));
}

static void show_entry(struct seq_file *m, const struct kch_rec_vm *entry)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	u32 i;

	show_vm(m, entry);
	for (i = 0; i < le32_to_cpu(entry->vcpu_count); i++)
		show_fields(m, kch_vcpu_fields, vcpu + i);
}

static void status_show(struct seq_file *m)
{
	struct kch_message message = { "" };
	struct kch_kvm_facts facts;
	int err;

	seq_printf(m, "module_version: %s\n", KCH_MODULE_VERSION);
	seq_printf(m, "abi_version: %u\n", KCH_ABI_VERSION);
	seq_printf(m, "backend: %s\n", backend_names[kch.region.backend]);
	seq_printf(m, "backend_why: %s\n", kch.region.why.text);
	seq_printf(m, "region_start: %pa\n", &kch.region.start);
	seq_printf(m, "region_size: %zu\n", kch.region.size);
	if (kch.region.memory)
		seq_printf(m, "outgoing_capacity: %zu\n", kch.outgoing.slots.slot_size);
	seq_printf(m, "outgoing_used: %zu\n", kch_outgoing_used(&kch.outgoing));
	seq_printf(m, "outgoing_vms: %u\n", kch.outgoing.count);
	seq_printf(m, "generation: %llu\n", kch.outgoing.slots.generation);
	seq_printf(m, "incoming_vms: %u\n", kch.incoming.count);
	seq_printf(m, "damaged_vms: %u\n", kch.incoming.damaged);
	seq_printf(m, "restored_vms: %u\n", kch.incoming.restored);
	seq_printf(m, "incoming_errno: %d\n", -kch.incoming.error);
	seq_printf(m, "incoming_message: %s\n",
		   kch.incoming.error ? kch.incoming.message.text : "");
	seq_printf(m, "tsc_khz: %u\n", tsc_khz);
	seq_printf(m, "tsc_source: %s\n", kch_tsc_source_name(kch_host_tsc_source()));
	err = kch_kvm_known(&facts, &message);
	seq_printf(m, "kvm_tsc_khz: %u\n", facts.kvm_khz);
	seq_printf(m, "tsc_scaling_frac_bits: %u\n", facts.frac_bits);
	seq_printf(m, "selfcheck: %s\n", !err ? "passed" : err == -ENODATA ? "not yet" : "failed");
	seq_printf(m, "selfcheck_message: %s\n", message.text);
}

static void outgoing_show(struct seq_file *m)
{
	struct kch_outgoing_vm *vm;

	if (le64_to_cpu(kch.outgoing.header.sequence))
		show_fields(m, kch_header_fields, &kch.outgoing.header);
	list_for_each_entry(vm, &kch.outgoing.vms, link)
		show_entry(m, vm->entry);
}

static void incoming_show(struct seq_file *m)
{
	struct kch_rec_vcpu vcpu;
	u32 i, n;

	seq_printf(m, "errno: %d\n", -kch.incoming.error);
	if (kch.incoming.error) {
		seq_printf(m, "message: %s\n", kch.incoming.message.text);
	} else {
		show_fields(m, kch_header_fields, &kch.incoming.record.header);
		seq_printf(m, "damaged_vms: %u\n", kch.incoming.damaged);
		for (i = 0; i < kch.incoming.count; i++) {
			struct kch_incoming_vm *in = &kch.incoming.vms[i];

			show_vm(m, &in->vm.vm);
			seq_printf(m, "restored: %u\n", in->restored);
			for (n = 0; n < in->vm.vcpu_count; n++) {
				kch_record_vcpu(&in->vm, n, &vcpu);
				show_fields(m, kch_vcpu_fields, &vcpu);
			}
		}
	}
}

/* The live clock of the VM under watch; returns it, or NULL if it is gone. */
static struct kch_rec_vm *read_live(struct kch_watch *watch, u8 frac_bits)
{
	struct file *file = kch_watch_get(watch);
	struct kch_rec_vm *live = NULL;

	if (!file)
		return NULL;
	kch_kvm_read(kch_kvm_of(file), frac_bits, &live, NULL);
	fput(file);
	return live;
}

static void show_live(struct seq_file *m, const struct kch_rec_vm *known,
		      struct kch_watch *watch, u8 frac_bits)
{
	struct kch_rec_vm *live = read_live(watch, frac_bits);

	if (!live)
		return;
	memcpy(live->uuid, known->uuid, sizeof(live->uuid));
	memcpy(live->name, known->name, sizeof(live->name));
	show_entry(m, live);
	kvfree(live);
}

static void vms_show(struct seq_file *m)
{
	struct kch_kvm_facts facts;
	struct kch_outgoing_vm *vm;
	u32 i;

	kch_kvm_known(&facts, NULL);
	list_for_each_entry(vm, &kch.outgoing.vms, link)
		show_live(m, vm->entry, vm->watch, facts.frac_bits);
	for (i = 0; i < kch.incoming.count; i++) {
		struct kch_incoming_vm *in = &kch.incoming.vms[i];

		/* Shown above if it was preserved again. */
		if (!kch_outgoing_find(&kch.outgoing, in->vm.vm.uuid))
			show_live(m, &in->vm.vm, in->watch, facts.frac_bits);
	}
}

static void show_difference(struct seq_file *m, const struct kch_rec_vm *saved,
			    const struct kch_rec_vm *live)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(live + 1), *was;
	struct kch_clock saved_clock, live_clock;
	struct kch_clock_error error;
	u32 n;

	for (n = le32_to_cpu(live->vcpu_count); n; n--, vcpu++) {
		was = kch_entry_vcpu(saved, le32_to_cpu(vcpu->vcpu_id));
		seq_printf(m, "vcpu_id: %u\n", le32_to_cpu(vcpu->vcpu_id));
		seq_printf(m, "in_record: %u\n", !!was);
		if (!was)
			continue;
		kch_clock_of(saved, was, &saved_clock);
		kch_clock_of(live, vcpu, &live_clock);
		kch_clock_compare(&saved_clock, &live_clock, le64_to_cpu(live->host_tsc), &error);
		seq_printf(m, "saved_tsc_offset: %lld\n", (s64)saved_clock.tsc_offset);
		seq_printf(m, "live_tsc_offset: %lld\n", (s64)live_clock.tsc_offset);
		seq_printf(m, "saved_tsc_to_system_mul: %u\n", saved_clock.tsc_to_system_mul);
		seq_printf(m, "live_tsc_to_system_mul: %u\n", live_clock.tsc_to_system_mul);
		seq_printf(m, "saved_tsc_shift: %d\n", saved_clock.tsc_shift);
		seq_printf(m, "live_tsc_shift: %d\n", live_clock.tsc_shift);
		seq_printf(m, "error_ns: %lld\n", error.ns);
		seq_printf(m, "error_cycles: %lld\n", error.cycles);
		seq_printf(m, "error_rate_ppb: %lld\n", error.rate_ppb);
		seq_printf(m, "identical: %u\n", error.identical);
	}
}

static void restored_show(struct seq_file *m)
{
	struct kch_kvm_facts facts;
	u32 i;

	kch_kvm_known(&facts, NULL);
	for (i = 0; i < kch.incoming.count; i++) {
		struct kch_incoming_vm *in = &kch.incoming.vms[i];
		struct kch_rec_vm *saved, *live;

		if (!in->restored)
			continue;
		kch_incoming_entry(&in->vm, &saved, NULL);
		/* The clock that was given back, if some of the time was hidden. */
		if (saved)
			kch_entry_hide(saved, in->hidden_cycles);
		live = saved ? read_live(in->watch, facts.frac_bits) : NULL;
		seq_printf(m, "\nuuid: %pUb\n", in->vm.vm.uuid);
		seq_printf(m, "name: %.63s\n", in->vm.vm.name);
		seq_printf(m, "live: %u\n", !!live);
		if (live) {
			seq_printf(m, "host_tsc: %llu\n", le64_to_cpu(live->host_tsc));
			show_difference(m, saved, live);
		}
		kvfree(live);
		kvfree(saved);
	}
}

static int text_show(struct seq_file *m, void *unused)
{
	void (*show)(struct seq_file *m) = m->private;

	mutex_lock(&kch_lock);
	show(m);
	mutex_unlock(&kch_lock);
	return 0;
}

/*
 * Mode 0400 alone would let a process that lost its capabilities open the file.  It is
 * asked again at each read: the file may have been left, or passed, to another process.
 */
static int text_open(struct inode *inode, struct file *file)
{
	return capable(CAP_SYS_ADMIN) ?
	       single_open(file, text_show, inode->i_private) : -EPERM;
}

static ssize_t text_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	return capable(CAP_SYS_ADMIN) ? seq_read(file, to, size, pos) : -EPERM;
}

static const struct file_operations text_fops = {
	.owner = THIS_MODULE,
	.open = text_open,
	.read = text_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static int raw_open(struct inode *inode, struct file *file)
{
	file->private_data = inode->i_private;
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

#define RAW_BYTES_MAX	(1UL << 20)	/* at once */

/* User memory may not come, so it is not touched under the lock. */
static ssize_t raw_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	loff_t at = *pos, none = 0;
	ssize_t n;
	u8 *copy;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	size = min(size, RAW_BYTES_MAX);
	copy = kvmalloc(size, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	mutex_lock(&kch_lock);
	if (file->private_data == &kch.region)
		n = memory_read_from_buffer(copy, size, &at, kch.region.memory, kch.region.size);
	else
		n = memory_read_from_buffer(copy, size, &at, kch.incoming.copy, kch.incoming.size);
	mutex_unlock(&kch_lock);
	if (n > 0)
		n = simple_read_from_buffer(to, n, &none, copy, n);
	if (n > 0)
		*pos += n;
	kvfree(copy);
	return n;
}

static const struct file_operations raw_fops = {
	.owner = THIS_MODULE,
	.open = raw_open,
	.read = raw_read,
	.llseek = default_llseek,
};

void kch_debugfs_register(void)
{
	dir = debugfs_create_dir("kvmclock_handover", NULL);
	debugfs_create_file("status", 0400, dir, status_show, &text_fops);
	debugfs_create_file("outgoing", 0400, dir, outgoing_show, &text_fops);
	debugfs_create_file("incoming", 0400, dir, incoming_show, &text_fops);
	debugfs_create_file("vms", 0400, dir, vms_show, &text_fops);
	debugfs_create_file("restored", 0400, dir, restored_show, &text_fops);
	debugfs_create_file("region_raw", 0400, dir, &kch.region, &raw_fops);
	debugfs_create_file("incoming_raw", 0400, dir, &kch.incoming, &raw_fops);
}

void kch_debugfs_unregister(void)
{
	debugfs_remove(dir);
}
