/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vmclock page, as published (<linux/vmclock-abi.h>, version 1; older systems do not
 * have that header).  All members are little-endian.
 */
#ifndef KCH_LIB_VMCLOCK_PAGE_H
#define KCH_LIB_VMCLOCK_PAGE_H

#include <stddef.h>
#include <linux/types.h>

#define VMCLOCK_PAGE_MAGIC	0x4b4c4356U	/* "VCLK" */
#define VMCLOCK_PAGE_VERSION	1

enum vmclock_page_counter {
	VMCLOCK_PAGE_COUNTER_TSC = 1,
	VMCLOCK_PAGE_COUNTER_NONE = 0xff,	/* it says nothing of time */
};

enum vmclock_page_status {
	VMCLOCK_PAGE_STATUS_UNKNOWN = 0,
	VMCLOCK_PAGE_STATUS_SYNCHRONIZED = 2,
	VMCLOCK_PAGE_STATUS_FREERUNNING = 3,
	VMCLOCK_PAGE_STATUS_UNRELIABLE = 4,
};

enum vmclock_page_flags {
	VMCLOCK_PAGE_PERIOD_ESTERROR = 1 << 3,
	VMCLOCK_PAGE_PERIOD_MAXERROR = 1 << 4,
	VMCLOCK_PAGE_TIME_ESTERROR = 1 << 5,
	VMCLOCK_PAGE_TIME_MAXERROR = 1 << 6,
	VMCLOCK_PAGE_GENERATION = 1 << 8,	/* vm_generation_counter is kept */
	VMCLOCK_PAGE_NOTIFIES = 1 << 9,		/* an interrupt follows each update */
};

struct vmclock_page {
	__le32 magic;
	__le32 size;
	__le16 version;
	__u8 counter_id;
	__u8 time_type;
	/* From here on under the sequence count, which is odd during an update. */
	__le32 seq_count;
	__le64 disruption_marker;
	__le64 flags;
	__u8 pad[2];
	__u8 clock_status;
	__u8 leap_second_smearing_hint;
	__le16 tai_offset_sec;
	__u8 leap_indicator;
	__u8 counter_period_shift;
	__le64 counter_value;
	/* In 2^-(64 + counter_period_shift) s. */
	__le64 counter_period_frac_sec;
	__le64 counter_period_esterror_rate_frac_sec;
	__le64 counter_period_maxerror_rate_frac_sec;
	__le64 time_sec;
	__le64 time_frac_sec;	/* in 2^-64 s */
	__le64 time_esterror_nanosec;
	__le64 time_maxerror_nanosec;
	__le64 vm_generation_counter;
};

#endif /* KCH_LIB_VMCLOCK_PAGE_H */
