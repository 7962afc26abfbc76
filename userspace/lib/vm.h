/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM's clock, from a record or live. */
#ifndef KCH_LIB_VM_H
#define KCH_LIB_VM_H

#include "clock.h"
#include "handle.h"

struct kch_vm {
	uint32_t vcpu_count;
	struct kch_rec_vm entry;	/* with its vCPUs behind it, as in a record */
	struct kch_rec_vcpu vcpus[];	/* ascending by vcpu_id */
};

/* Without its vCPUs, which the caller fills in.  NULL: no memory. */
struct kch_vm *kch_vm_new(struct kch_handle *handle,
			  const struct kch_rec_vm *entry, uint32_t vcpu_count);

/* A vCPU with another TSC frequency than the first, which is rare; NULL: there is none. */
const struct kch_rec_vcpu *kch_vm_other_khz(const struct kch_vm *vm);

/* The clock of vCPU @index.  False: it has not run, mul and shift are expected ones. */
bool kch_vm_clock(const struct kch_vm *vm, uint32_t index, struct kch_clock *clock);

#endif /* KCH_LIB_VM_H */
