// SPDX-License-Identifier: GPL-2.0
/*
 * The module's one instance of everything: taking in at its load what came, sealing the
 * record when the host is kexec'ed, and letting go.
 */
#include <linux/reboot.h>

#include "kvm/facts.h"
#include "restore/keep.h"
#include "restore/restore.h"
#include "state/state.h"
#include "watch/watch.h"

struct kch_state kch = {
	.outgoing.vms = LIST_HEAD_INIT(kch.outgoing.vms),
};

/*
 * The last moment at which processes and their VMs are still there, and the
 * region can be written.  Only a kexec keeps memory and TSC: a record of
 * another reboot stays unsealed, and is refused by whoever finds it.
 */
static int kch_seal(struct notifier_block *block, unsigned long event, void *cmd)
{
	struct kch_kvm_facts facts = { };
	int err;

	if (event != SYS_RESTART || !cmd || strcmp(cmd, "kexec reboot"))
		return NOTIFY_DONE;
	/* Processes still run, and this kernel does not come back. */
	WRITE_ONCE(kch.too_late, true);
	/* A VM that is held goes into the next record as it came. */
	err = kch_restore_end_all() ?: kch_lock_at_kexec();
	if (err) {
		pr_err("the record of %u VMs was not sealed (%pe): an ioctl does not come to its end\n",
		       kch.outgoing.count, ERR_PTR(err));
		return NOTIFY_DONE;
	}
	/* With nothing to hand on, what is there stays as it is. */
	if (kch.region.memory &&
	    (kch.outgoing.count ||
	     kch_incoming_is_sealed_again(&kch.incoming, &kch.region))) {
		kch_kvm_known(&facts, NULL);
		kch_slots_seal_begins(&kch.outgoing.slots);
		kch_outgoing_seal_begin(&kch.outgoing);
		kch_incoming_carry_over(&kch.incoming, &kch.outgoing);
		if (!kch_outgoing_seal(&kch.outgoing, facts.kvm_khz))
			kch_slots_supersede(&kch.outgoing.slots);
	}
	mutex_unlock(&kch_lock);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_block = { .notifier_call = kch_seal };

/* The record that came has not said no; it need know nothing of the VM. */
static bool is_elsewhere(int err)
{
	return !err || err == -ENOENT || err == -ENODATA || err == -ENODEV || err == -EBADMSG ||
	       err == -EPROTONOSUPPORT;
}

void kch_state_restored(const struct kch_restore *r, int err)
{
	struct kch_kvm_facts facts = { };

	if (!(r->flags & KCH_RESTORE_ELSEWHERE) || !is_elsewhere(err))
		return;
	kch_kvm_known(&facts, NULL);
	mutex_lock(&kch_lock);
	if (!READ_ONCE(kch.too_late))
		kch_outgoing_replaced(&kch.outgoing, r->uuid, facts.kvm_khz);
	mutex_unlock(&kch_lock);
}

/* What VMs had last, before they are let go; at a kexec the seal is to find them. */
static bool last_look(void)
{
	struct kch_kvm_facts facts = { };
	bool in_time;

	kch_kvm_known(&facts, NULL);
	mutex_lock(&kch_lock);
	in_time = !READ_ONCE(kch.too_late);
	if (in_time)
		kch_outgoing_last_look(&kch.outgoing, facts.kvm_khz);
	mutex_unlock(&kch_lock);
	return in_time;
}

static void let_go(void)
{
	kch_watch_end();
	kch_keep_exit();
	kch_incoming_exit(&kch.incoming);
	kch_outgoing_exit(&kch.outgoing);
	kch_watch_exit();
	kch_region_release(&kch.region);
}

int kch_state_load(const struct kch_region_wish *wish)
{
	struct kch_message message = { "" };
	struct kch_slots_found found;
	struct kch_kvm_facts facts;
	int err;

	err = kch_region_claim(&kch.region, wish, &message);
	if (err) {
		pr_err("%s\n", message.text);
		/*
		 * When nobody takes one of the descriptors that LUO has, it
		 * gives up all, the guests' memory too.  They need no region.
		 */
		if (!__is_defined(KCH_LUO))
			return err;
		memset(&kch.region, 0, sizeof(kch.region));
		kch.region.why = message;
	}
	if (kch.region.backend == KCH_BACKEND_NONE)
		pr_notice("no region (%s): clocks can be read, but not handed over\n",
			  kch.region.why.text);
	kch_watch_init(last_look);
	kch_restore_init(&kch.outgoing);
	err = kch_incoming_init(&kch.incoming, &kch.region, &found) ?:
	      kch_outgoing_init(&kch.outgoing, &kch.region, &found,
				kch.incoming.vcpus_max);
	if (err)
		goto free;
	err = kch_kvm_facts_init();
	if (err)
		goto free;
	err = register_reboot_notifier(&reboot_block);
	if (err)
		goto facts;
	/*
	 * The sooner it is known the better, but where KVM is not loaded yet, or
	 * guests wait for their clocks, it is done when it is first needed: a
	 * process that has made a VM takes some 15 ms more to end.
	 */
	if (!kch.incoming.count)
		kch_kvm_ask(&facts, NULL);
	if (kch.outgoing.count) {
		err = kch_kvm_ask(&facts, NULL);
		mutex_lock(&kch_lock);
		kch_outgoing_find_again(&kch.outgoing, !err);
		mutex_unlock(&kch_lock);
	}
	if (!kch.incoming.error)
		pr_info("%u VMs came from kernel %s, generation %llu\n",
			kch.incoming.count,
			kch.incoming.record.header.kernel_release,
			le64_to_cpu(kch.incoming.record.header.generation));
	return 0;
facts:
	kch_kvm_facts_exit();
free:
	let_go();
	return err;
}

void kch_state_unload(void)
{
	unregister_reboot_notifier(&reboot_block);
	kch_watch_end();
	kch_kvm_facts_exit();
	let_go();
}
