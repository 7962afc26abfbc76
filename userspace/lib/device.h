/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device says of its records. */
#ifndef KCH_LIB_DEVICE_H
#define KCH_LIB_DEVICE_H

#include <linux/kvmclock_handover_record.h>
#include "handle.h"

/* A record's header, as the module has it.  -ENODATA, -EBADMSG. */
int kch_header(struct kch_handle *handle, enum kch_which which, struct kch_rec_header *header);

#endif /* KCH_LIB_DEVICE_H */
