/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that an ioctl which refuses must leave as it is: the clocks of
 * the VMs under watch, as the module and as KVM tell them; the records, as
 * LIST and GET give them; the region's bytes, and those of the evidence.
 */
#ifndef KCH_ERRNO_SNAPSHOT_H
#define KCH_ERRNO_SNAPSHOT_H

#include <stddef.h>

struct snapshot;
struct vm;

/* VMs whose clocks are in every snapshot from now on. */
void snapshot_watch(const struct vm *vm);
void snapshot_watch_none(void);

struct snapshot *snapshot_take(void);
void snapshot_free(struct snapshot *snapshot);

/* What differs, in words, or NULL. */
const char *snapshot_difference(const struct snapshot *before,
				const struct snapshot *after);

#endif /* KCH_ERRNO_SNAPSHOT_H */
