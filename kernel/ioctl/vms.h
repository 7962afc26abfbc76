/* SPDX-License-Identifier: GPL-2.0 */
/* The ioctls that are about a VM, but for its restore.  Without the lock. */
#ifndef KCH_IOCTL_VMS_H
#define KCH_IOCTL_VMS_H

struct kch_message;

int kch_do_preserve(void *context, void *arg, struct kch_message *message);
int kch_do_unpreserve(void *context, void *arg, struct kch_message *message);
int kch_do_read(void *context, void *arg, struct kch_message *message);
int kch_do_adopt(void *context, void *arg, struct kch_message *message);

#endif /* KCH_IOCTL_VMS_H */
