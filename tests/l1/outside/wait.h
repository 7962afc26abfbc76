/* SPDX-License-Identifier: GPL-2.0 */
/* The VMM's side of the guest that lies in wait (waiter.h); it has one vCPU. */
#ifndef KCH_OUTSIDE_WAIT_H
#define KCH_OUTSIDE_WAIT_H

#include "vm.h"

/* The guest in place of the one that guestmem_load_guest() put there. */
void wait_load_guest(struct guestmem *mem);

/* Between KVM_CREATE_VM and the first vCPU: what this guest needs of both. */
void wait_prepare_vm(struct vm *vm);

/* How far ahead it arms, and whether it halts meanwhile; before it runs. */
void wait_set(struct vm *vm, uint32_t ms, bool spin);

/* Deadlines that have fired. */
uint64_t wait_count(const struct vm *vm);

/* Of the stopped VM, besides state_save() and state_load(). */
void wait_save(struct vm *vm);
void wait_load(struct vm *vm);

/*
 * The deadlines since @before had fired, in the report and as checks.  @host_go: host
 * TSC when a VM that came back was let go, 0 for a new one.
 */
void wait_judge(const struct vm *vm, uint64_t before, uint64_t host_go);

#endif /* KCH_OUTSIDE_WAIT_H */
