/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks without the module: what the record made in user space says of this machine. */
#ifndef KCH_LIB_STOCK_H
#define KCH_LIB_STOCK_H

#include "machine.h"

/* This machine now; @host_tsc and @realtime_ns are of one instant, as far as that goes. */
void kch_this_machine(struct kch_machine *machine);

#endif /* KCH_LIB_STOCK_H */
