// SPDX-License-Identifier: GPL-2.0
/* What both ways to reach KVM's clocks, stock.c and intree.c, share. */
#include <linux/mm.h>
#include <linux/slab.h>

#include "host/host.h"
#include "kvm/kvm.h"

struct kch_rec_vm *kch_kvm_wanted(const struct kch_kvm_restore *restore, bool hyperv)
{
	size_t size = kch_rec_entry_size(le32_to_cpu(restore->saved->vcpu_count));
	struct kch_rec_vm *entry = kvmalloc(size, GFP_KERNEL);
	struct kch_instant now;

	if (!entry)
		return NULL;
	memcpy(entry, restore->saved, size);
	kch_host_instant(&now);
	kch_entry_to_write(entry, restore->kvm_khz, hyperv, &now);
	return entry;
}
