// SPDX-License-Identifier: GPL-2.0
/* The ioctls that are about a VM, but for its restore: PRESERVE, UNPRESERVE, READ, ADOPT. */
#include <linux/file.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "ioctl/ioctl.h"
#include "ioctl/vms.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "restore/keep.h"
#include "state/state.h"
#include "watch/watch.h"

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

/* What can be refused before KVM is asked of the VM. */
static int may_preserve(const struct kch_preserve *p, const struct file *vm_file,
			struct kch_message *message)
{
	int err = need_region(message);

	if (err)
		return err;
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = in_time(message) ?:
	      kch_outgoing_may_add(&kch.outgoing, p->uuid, vm_file, message);
	mutex_unlock(&kch_lock);
	return err;
}

int kch_do_preserve(void *context, void *arg, struct kch_message *message)
{
	struct kch_preserve *p = arg;
	struct kch_kvm_facts facts;
	struct kch_rec_vm *entry = NULL;
	struct file *vm_file;
	int err;

	memset_startat(p, 0, needed);
	err = kch_ioctl_flags(p->flags, 0, message) ?:
	      kch_ioctl_reserved(p->reserved, message) ?:
	      kch_ioctl_names(p->uuid, p->name, message);
	if (err)
		return err;
	vm_file = kch_kvm_get_vm(p->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = may_preserve(p, vm_file, message) ?:
	      kch_host_tsc_used(message) ?:
	      kch_kvm_ask(&facts, message) ?:
	      kch_kvm_read_exact(kch_kvm_of(vm_file), facts.frac_bits, &entry, message);
	if (err)
		goto out;
	memcpy(entry->uuid, p->uuid, sizeof(entry->uuid));
	strscpy(entry->name, p->name, sizeof(entry->name));
	err = -EINTR;
	if (mutex_lock_killable(&kch_lock))
		goto out;
	p->capacity = kch.outgoing.slots.slot_size;
	p->needed = kch_outgoing_needed(&kch.outgoing, entry);
	/* The kexec may have begun meanwhile, and another have been faster. */
	err = in_time(message) ?:
	      kch_outgoing_add(&kch.outgoing, &kch.region, entry, vm_file, facts.kvm_khz, message);
	mutex_unlock(&kch_lock);
	if (!err)
		entry = NULL;
out:
	kvfree(entry);
	fput(vm_file);
	return err;
}

int kch_do_unpreserve(void *context, void *arg, struct kch_message *message)
{
	struct kch_unpreserve *u = arg;
	struct kch_kvm_facts facts = { };
	int err = kch_ioctl_flags(u->flags, 0, message) ?: need_region(message);

	if (err)
		return err;
	kch_kvm_known(&facts, NULL);
	if (mutex_lock_killable(&kch_lock))
		return -EINTR;
	err = in_time(message) ?:
	      kch_outgoing_remove(&kch.outgoing, &kch.region, u->uuid, facts.kvm_khz, message);
	mutex_unlock(&kch_lock);
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
		entry->kvmclock_ns = cpu_to_le64(now.kvm_ns + le64_to_cpu(entry->kvmclock_offset));
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
	read->rebase_step_ns = kch_entry_reference_step(entry, now.host_tsc, now.kvm_ns);
	answer_ns = kch_clock_kvm_ns(&clock, kvm_khz, now.host_tsc) -
		    kch_clock_ns(&clock, now.host_tsc);
	if (abs(answer_ns) > abs(read->rebase_step_ns))
		read->rebase_step_ns = answer_ns;
	if (kch_is_kept(vm_file))
		read->rebase_bound_ns =
			kch_entry_bound_ns(entry, kvm_khz, tsc_khz, now.host_tsc,
					   kch_kvm_hyperv_page(kch_kvm_of(vm_file)));
}

int kch_do_read(void *context, void *arg, struct kch_message *message)
{
	struct kch_read *read = arg;
	struct kch_kvm_facts facts;
	struct kch_rec_vm *entry;
	struct file *vm_file;
	int err;

	memset_startat(read, 0, host_tsc);
	err = kch_ioctl_flags(read->flags, 0, message);
	if (err)
		return err;
	vm_file = kch_kvm_get_vm(read->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = kch_kvm_ask(&facts, message) ?:
	      kch_kvm_read(kch_kvm_of(vm_file), facts.frac_bits, &entry, message);
	if (err)
		goto out;
	read->kvm_tsc_khz = kch_kvm_khz(kch_kvm_of(vm_file), &facts);
	read->pid = le32_to_cpu(entry->pid);
	say_agreement(entry, read->kvm_tsc_khz, vm_file, read);
	kch_watch_known_as(vm_file, entry);
	kch_rec_entry_close(entry);
	err = kch_ioctl_give(read->buffer, &read->buffer_size, entry,
			     kch_rec_entry_size(le32_to_cpu(entry->vcpu_count)), message);
	kvfree(entry);
out:
	fput(vm_file);
	return err;
}

int kch_do_adopt(void *context, void *arg, struct kch_message *message)
{
	struct kch_adopt *a = arg;
	struct kch_kvm_facts facts;
	struct file *vm_file;
	u32 reserved = a->reserved;
	int err;

	memset_startat(a, 0, vcpu_id);
	a->vcpu_id = -1;
	a->adopted = 0;
	err = kch_ioctl_flags(a->flags, 0, message) ?:
	      kch_ioctl_reserved(reserved, message);
	if (err)
		return err;
	vm_file = kch_kvm_get_vm(a->vm_fd, message);
	if (IS_ERR(vm_file))
		return PTR_ERR(vm_file);
	err = kch_host_tsc_used(message) ?:
	      kch_kvm_ask(&facts, message) ?:
	      kch_kvm_adopt(kch_kvm_of(vm_file), &facts, a, message);
	fput(vm_file);
	return err;
}
