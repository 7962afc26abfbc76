/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a restore demands of a VM, and what came of it, by the entries that were
 * read from the VM: pure, for every way there is to read and write one.
 */
#ifndef KCH_CHECK_H
#define KCH_CHECK_H

#include "kvm_private.h"

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

#endif /* KCH_CHECK_H */
