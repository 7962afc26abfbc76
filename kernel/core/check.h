/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a restore demands of a VM, and what came of it, by the entries that were
 * read from the VM: pure, for every way there is to read and write one.
 */
#ifndef KCH_CHECK_H
#define KCH_CHECK_H

#include "clock.h"
#include "record.h"

/* What KVM says of itself. */
struct kch_kvm_facts {
	u32 kvm_khz;	/* frequency it computes guest clocks from */
	u8 frac_bits;	/* fraction bits of its TSC scaling ratios */
};

/* One restore, see kch_kvm_restore(). */
struct kch_kvm_restore {
	/* In: the entry, in this version's layout, every vCPU's pair filled in. */
	const struct kch_rec_vm *saved;
	struct kch_kvm_facts facts;	/* in */
	bool check_only;		/* in: stop before the first write */
	/*
	 * In, with @check_only: frequencies and TSC offsets are still to be set, and a
	 * master clock still to come, so that they are no reason to refuse.
	 */
	bool sets_vcpus;
	u64 reference_cycles;		/* out: of the clock that was written */
	struct kch_outcome outcome;	/* out: what the checks found, of the worst vCPU */
	bool stays;			/* out: refused, but the clock was given, and stays */
};

/* What kch_kvm_keep() keeps. */
struct kch_kvm_keep {
	struct kch_kvm_facts facts;
	s8 shift;	/* the VM's tsc_shift */
	u32 mul;	/* its tsc_to_system_mul; 0: its vCPUs have several, and keep them */
	u64 ratio;	/* scaling ratio of vCPUs that have that pair */
};

/* -EOPNOTSUPP, -ENOTRECOVERABLE for an entry that cannot be restored exactly. */
int kch_entry_exact(const struct kch_rec_vm *entry, struct kch_message *message);

/*
 * May the VM get the saved clock?  -ENOTRECOVERABLE, -EOPNOTSUPP; -ELNRNG, -ERANGE,
 * -EL2NSYNC: its VMM has not set up what was saved; -EALREADY.
 */
int kch_check_ready(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		    struct kch_message *message);

/*
 * Has a vCPU of @live the TSC scaling ratio that was saved, with as many fraction bits?
 * -ERANGE, with the outcome.
 */
int kch_check_ratio(const struct kch_rec_vm *live, const struct kch_rec_vcpu *has,
		    const struct kch_rec_vcpu *want, struct kch_kvm_restore *r,
		    struct kch_message *message);

/*
 * Is what was read back what was saved?  Evaluates both functions of every vCPU at one
 * host TSC, and fills in the outcome of the worst.  -ELNRNG: it is of other vCPUs;
 * -EOVERFLOW.
 */
int kch_check_written(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		      struct kch_message *message);

/*
 * May each vCPU that never ran take over the clock of one that did?  -ENODATA,
 * -ERANGE, -EL2NSYNC.
 */
int kch_check_added(const struct kch_rec_vm *entry, struct kch_adopt *a,
		    struct kch_message *message);

/*
 * Makes @entry, which is a copy of the saved one, what is written: with a reference
 * that KVM evaluates as the guest does.  Where their rates differ, the difference
 * grows with the age of the reference, so that it must be young; where KVM agrees,
 * its bytes stay.  @hyperv: the guest has a Hyper-V reference TSC page.  default_tsc_khz is 0
 * if it is none of a saved vCPU.
 */
void kch_entry_to_write(struct kch_rec_vm *entry, u32 kvm_khz, bool hyperv,
			const struct kch_instant *now);

/*
 * Makes @entry, the VM's clock as it is, what it should be; false: it is, or KVM is about to
 * change it.  A vCPU that was added since the restore has a pair of KVM's own making.
 */
bool kch_entry_renew(struct kch_rec_vm *entry, const struct kch_kvm_keep *keep,
		     bool hyperv, const struct kch_instant *now);

#endif /* KCH_CHECK_H */
