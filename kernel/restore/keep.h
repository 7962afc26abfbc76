/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VMs that were restored here, and run on: KVM is kept in agreement with them.
 */
#ifndef KCH_KEEP_H
#define KCH_KEEP_H

#include "kvm/kvm.h"

struct file;
struct kch_kept;

/* Made before a restore, so that nothing can fail after it.  NULL: no memory. */
struct kch_kept *kch_kept_new(struct file *vm_file);
/* Of a VM that was not restored; NULL is allowed. */
void kch_kept_free(struct kch_kept *kept);

/* The VM was restored, to the clock of @saved: takes @kept over. */
void kch_keep(struct kch_kept *kept, const struct kch_rec_vm *saved,
	      const struct kch_kvm_facts *facts);

/* Is that VM's clock kept? */
bool kch_is_kept(const struct file *vm_file);

void kch_keep_exit(void);

#endif /* KCH_KEEP_H */
