/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks saved without the module: a record of one VM, made in user space. */
#ifndef KCH_LIB_STOCK_H
#define KCH_LIB_STOCK_H

#include <kvmclock-handover-stock.h>
#include "converge.h"
#include "machine.h"

/**
 * struct kch_page - struct pvclock_vcpu_time_info, as the guest has it
 * @version: odd while it is being written
 * @pad0: unused
 * @tsc_timestamp: guest TSC of the reference, cycles
 * @system_time: kvmclock then, ns
 * @tsc_to_system_mul: nanoseconds per shifted cycle, 0.32 fixed point
 * @tsc_shift: before the multiplication
 * @flags: PVCLOCK_*
 * @pad: unused
 */
struct kch_page {
	__le32 version;
	__le32 pad0;
	__le64 tsc_timestamp;
	__le64 system_time;
	__le32 tsc_to_system_mul;
	__s8 tsc_shift;
	__u8 flags;
	__u8 pad[2];
};

/* This machine now; @host_tsc and @realtime_ns are of one instant, nearly. */
void kch_this_machine(struct kch_machine *machine);

/* The record's header and its VM, out of bytes that nobody vouches for. */
int kch_stock_parse(struct kch_handle *handle, const void *buffer, size_t size,
		    struct kch_rec_header *header, struct kch_vm **vm);

/* KVM_SET_TSC_KHZ on a VM, if it can be kept; the host's frequency is @host_khz. */
int kch_set_khz(struct kch_handle *handle, int vm_fd, uint32_t khz,
		uint32_t host_khz);

#endif /* KCH_LIB_STOCK_H */
