/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks without the module: what the record made in user space says of this machine. */
#ifndef KCH_LIB_STOCK_H
#define KCH_LIB_STOCK_H

#include "machine.h"
#include "vm.h"

/* This machine now; @host_tsc and @realtime_ns are of one instant, as far as that goes. */
void kch_this_machine(struct kch_machine *machine);

/* The header of a record that is made now, in which it says how good the wall clock is. */
void kch_fill_header(struct kch_rec_header *header, uint32_t host_khz);

/*
 * The header and the VM of a record of one, from bytes that need not be trusted.  -ENODATA,
 * -EBADMSG, -EPROTONOSUPPORT, -ENOMEM; *@vm is NULL then.
 */
int kch_stock_parse(struct kch_handle *handle, const void *buffer, size_t size,
		    struct kch_rec_header *header, struct kch_vm **vm);

#endif /* KCH_LIB_STOCK_H */
