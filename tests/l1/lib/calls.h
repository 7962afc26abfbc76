/* SPDX-License-Identifier: GPL-2.0 */
/* The module's ioctls as functions.  VMs have short ids. */
#ifndef KCH_TESTS_CALLS_H
#define KCH_TESTS_CALLS_H

#include <linux/kvmclock_handover_record.h>

#include "device.h"
#include "vm.h"

/* All 16 bytes are ID; of a larger one the first four tell it from others. */
void set_uuid(__u8 uuid[KCH_UUID_SIZE], uint32_t id);

/* 0 or an errno; @arg gets all the kernel said. */
int preserve(const struct vm *vm, uint32_t id, struct kch_preserve *arg);
int unpreserve(uint32_t id);
int restore(const struct vm *vm, uint32_t id, uint32_t flags,
	    struct kch_restore *arg);
/*
 * KCH_RESTORE_HOLD on another open file than the device, also of a clock that was given
 * back before, and KCH_IOC_WAIT.
 */
int hold(int fd, const struct vm *vm, uint32_t id, uint32_t hold_ms,
	 struct kch_restore *arg);
int hold_wait(int fd, struct kch_restore *arg);
int adopt(const struct vm *vm, struct kch_adopt *arg);
int finish(uint32_t flags, struct kch_finish *arg);
int list(uint32_t which, struct kch_entry *entries, uint32_t *count);
/* Of one that must be in it.  The second waits until its VM is gone; false if it stays. */
uint32_t list_flags(uint32_t which, uint32_t id);
bool becomes_dead(uint32_t which, uint32_t id);
int get(uint32_t which, uint32_t id, void *buffer, uint32_t *size);

/* The VM's entry by KCH_IOC_READ: 0 or an errno. */
int read_entry(const struct vm *vm, struct kch_rec_vm *entry, size_t size);

/* Waits until a vCPU is in KVM_RUN, or in another ioctl; false if none is, for long. */
bool vm_gets_busy(const struct vm *vm);

/* Die if they are refused. */
void must_preserve(const struct vm *vm, uint32_t id);
void must_unpreserve(uint32_t id);

#endif /* KCH_TESTS_CALLS_H */
