/* SPDX-License-Identifier: GPL-2.0 */
/* The things that are timed: what KVM's own ioctls cost, and what ours do. */
#ifndef KCH_BENCH_UNITS_H
#define KCH_BENCH_UNITS_H

#include "calls.h"

#define BENCH_OFFSET	(-123456789012345ULL)

/* Each returns cycles, and dies if the thing could not be done. */

/* KVM_GET_CLOCK, and KVM_VCPU_TSC_OFFSET of each vCPU. */
double unit_kvm_save(const struct vm *vm);
/* KVM_VCPU_TSC_OFFSET of each vCPU, and KVM_SET_CLOCK. */
double unit_kvm_restore(const struct vm *vm);
/* KCH_IOC_PRESERVE */
double unit_preserve(const struct vm *vm, uint32_t id);
/* KCH_IOC_RESTORE */
double unit_restore(const struct vm *vm, uint32_t id);
/* The same with KCH_RESTORE_CHECK: all that can refuse, and KVM is asked. */
double unit_restore_check(const struct vm *vm, uint32_t id);
/* The name in /proc of each vCPU's descriptor, from which the library has its id. */
double unit_names(const struct vm *vm);
/* kch_vm_restore() of the library, with all that it does besides. */
double unit_library_restore(const struct vm *vm, uint32_t id);
/* An ioctl of ours that is refused for its flags: entry, copies, exit. */
double unit_refused(const struct vm *vm);
/* KCH_IOC_READ: the VM is found and read, nothing is written. */
double unit_read(const struct vm *vm);

/* For the library; after module_load(), before module_unload(). */
void units_open(void);
void units_close(void);

#endif /* KCH_BENCH_UNITS_H */
