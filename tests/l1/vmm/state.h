/* SPDX-License-Identifier: GPL-2.0 */
/* The VM's state to and from the memory that survives. */
#ifndef KCH_VMM_STATE_H
#define KCH_VMM_STATE_H

#include "vm.h"

#define MSR_IA32_TSC			0x10
#define MSR_IA32_TSC_ADJUST		0x3b
#define MSR_KVM_SYSTEM_TIME_NEW		0x4b564d01

/*
 * Saves the stopped VM: all that any of the clock methods needs.
 * @registers_valid false: it will run on, and is started anew after the kexec.
 */
void state_save(struct vm *vm, bool registers_valid);

/* The next save is the first one: the clock was set anew. */
void state_forget(struct saved_vm *saved);

/* What the header says of the VM itself; kept by every save. */
void state_init(struct guestmem *mem, const uint8_t uuid[16], const char *name);

/*
 * Loads everything of the saved vCPUs but their clock: the TSC and kvmclock
 * stay as KVM made them.
 */
void state_load(struct vm *vm);

#endif /* KCH_VMM_STATE_H */
