/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a restore demands of a VM, and what came of it, by the entries that were
 * read from the VM: pure, for every way there is to read and write one.
 */
#ifndef KCH_CHECK_H
#define KCH_CHECK_H

#include "kvm_private.h"

struct kch_instant;

/*
 * May the VM get the saved clock?  -ENOTRECOVERABLE, -EOPNOTSUPP; -ELNRNG, -ERANGE,
 * -EL2NSYNC: its VMM has not set up what was saved; -EALREADY.
 */
int kch_check_ready(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		    struct kch_message *message);

/* Evaluates both functions of every vCPU at one host TSC; true if all agree. */
bool kch_check_identical(const struct kch_rec_vm *live, struct kch_kvm_restore *r);

/*
 * May each vCPU that never ran take over the clock of one that did?  -ENODATA,
 * -ERANGE, -EL2NSYNC.
 */
int kch_check_added(const struct kch_rec_vm *entry, struct kch_kvm_adopt *a,
		    struct kch_message *message);

/*
 * The entry as it is written, to be freed, or NULL: with a reference that KVM
 * evaluates as the guest does.  Where their rates differ, the difference grows with
 * the age of the reference, so that it must be young; where KVM agrees, its bytes
 * stay.  @hyperv: the guest has a Hyper-V reference TSC page.
 */
struct kch_rec_vm *kch_entry_to_write(const struct kch_kvm_restore *r, bool hyperv);

/*
 * Makes @entry, the VM's clock as it is, what it should be; false: it is.  A vCPU
 * that was added since the restore has a pair of KVM's own making.
 */
bool kch_entry_renew(struct kch_rec_vm *entry, const struct kch_kvm_keep *keep,
		     bool hyperv, const struct kch_instant *now);

#endif /* KCH_CHECK_H */
