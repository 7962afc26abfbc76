/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A VM's clock at another place on a host's TSC.  kvmclock stays the function of the
 * guest's TSC that it was, to the bit; only the host TSC at which the guest's TSC has a
 * value becomes another one.  Pure.
 */
#ifndef KCH_PLACE_H
#define KCH_PLACE_H

#include "clock.h"
#include "record.h"

/*
 * As if @cycles of this host had not passed: from @entry's host_tsc on TSCs and kvmclock
 * are what they would have been so much earlier.
 */
void kch_entry_hide(struct kch_rec_vm *entry, u64 cycles);

/* Where a clock goes on that was saved on any host. */
struct kch_place {
	const struct kch_rec_vm *here;	/* the new VM's entry, for its scaling ratios */
	u64 host_tsc;			/* of this host, cycles */
	u64 elapsed_ns;			/* what shall have passed by then */
};

/*
 * Makes @entry, which has its vCPUs' pairs and was saved when its host's TSC was @then_cycles,
 * one of this host.  At @place->host_tsc kvmclock is what it was then, and @place->elapsed_ns
 * more; @error_ns is by how much it is not, as a TSC counts whole cycles.  The vCPUs' TSCs
 * are as far from each other as they were.  (A Hyper-V reference page, which KVM makes of the
 * reference, may be another by its unit, 100 ns.)
 *
 * -ELNRNG: other vCPUs.  -ERANGE: vCPUs of several frequencies, or a sum that no clock gets
 * to.  -EAGAIN: this host's TSC has counted for too short a time.  @entry is undefined then.
 */
int kch_entry_place(struct kch_rec_vm *entry, u64 then_cycles, const struct kch_place *place,
		    s64 *error_ns, struct kch_message *message);

#endif /* KCH_PLACE_H */
