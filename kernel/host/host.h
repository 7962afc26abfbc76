/* SPDX-License-Identifier: GPL-2.0 */
/* This host: its clocks at one instant, its TSC frequency, who it is. */
#ifndef KCH_HOST_H
#define KCH_HOST_H

#include "core/clock.h"
#include "core/record.h"

void kch_host_instant(struct kch_instant *now);

/* How tsc_khz is known, and whether it will change again. */
enum kch_tsc_source kch_host_tsc_source(void);

/* The TSC when this kernel started, however long ago, and whatever NTP did to its clocks. */
u64 kch_host_started_tsc(void);

/* This boot's id, as /proc/sys/kernel/random/boot_id; all zero if unreadable. */
void kch_host_boot_id(u8 id[16]);

/* Fills in all that a header says of the host, its clocks at this instant. */
void kch_host_describe(struct kch_rec_header *header, u32 kvm_khz);

/*
 * Is this the machine the record is from, and did its TSC run on since?  See
 * kch_machine_same().
 */
int kch_host_same_machine(const struct kch_rec_header *header, bool any_wall,
			  struct kch_outcome *outcome,
			  struct kch_message *message);

/* Is the clocksource the TSC?  Not so where that cannot be told. */
bool kch_host_tsc_is_clocksource(void);

/* -EPFNOSUPPORT: the clocksource is not the TSC; waiting does not help. */
int kch_host_tsc_used(struct kch_message *message);

/*
 * The same, also where it cannot be told; and -EAGAIN while a restored clock would
 * be undone by a change of tsc_khz.
 */
int kch_host_tsc_settled(struct kch_message *message);

#endif /* KCH_HOST_H */
