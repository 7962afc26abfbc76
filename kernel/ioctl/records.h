/* SPDX-License-Identifier: GPL-2.0 */
/* The ioctls that are about the records: INFO, LIST, GET, FINISH.  Without the lock. */
#ifndef KCH_IOCTL_RECORDS_H
#define KCH_IOCTL_RECORDS_H

#include "restore/incoming.h"

int kch_do_info(void *context, void *arg, struct kch_message *message);
int kch_do_list(void *context, void *arg, struct kch_message *message);
int kch_do_get(void *context, void *arg, struct kch_message *message);
int kch_do_finish(void *context, void *arg, struct kch_message *message);

/* What KCH_IOC_INFO answers to a reader of one clock, too; kch_kvm_known()'s result. */
int kch_info_of_host(struct kch_info *info, struct kch_message *message);

/* With the lock: did a record come that can be read?  Without a region none did, -ENODATA. */
int kch_check_incoming(struct kch_message *message);

/* What KCH_IOC_GET answers from a record that came: with the lock, to be freed. */
int kch_get_incoming(struct kch_incoming *record, const u8 uuid[KCH_UUID_SIZE],
		     void **data, size_t *size, struct kch_message *message);

#endif /* KCH_IOCTL_RECORDS_H */
