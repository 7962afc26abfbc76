/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the published sample records under data/ hold.  A file there is never
 * changed: a later version of the record gets samples of its own, and every
 * later reader must read these.  v1 is what 0.1.0 writes, v2 what 0.2.0 does.
 */
#ifndef KCH_TESTS_SAMPLES_H
#define KCH_TESTS_SAMPLES_H

#include "record.h"

#define SAMPLE_VCPUS_MAX	4
#define SAMPLE_VMS_MAX		3

struct sample_vcpu {
	u32 vcpu_id, flags;
	u64 tsc_offset, tsc_scaling_ratio, ia32_tsc_adjust, pvclock_gpa;
	u32 virtual_tsc_khz, hw_tsc_khz, tsc_to_system_mul;
	s8 tsc_shift;
	u8 pvclock_flags;
	/* guest TSC and kvmclock when the host TSC is the header's */
	u64 tsc_then, ns_then;
};

struct sample_vm {
	char uuid[KCH_UUID_SIZE + 1];
	const char *name;
	u32 flags;
	u64 used;
	u64 master_cycle_now, master_kernel_ns, kvmclock_offset;
	u64 host_tsc, kvmclock_ns;
	u32 kvmclock_slack_ns;
	u8 tsc_scaling_frac_bits;
	u32 pid, default_tsc_khz;
	u32 vcpu_count;
	struct sample_vcpu vcpus[SAMPLE_VCPUS_MAX];
};

struct sample {
	const char *file;
	u64 sequence, generation;
	u32 flags, compat;
	u64 superseded;
	u32 wall_maxerror_us, wall_flags;
	u32 tsc_khz, kvm_tsc_khz, tsc_source;
	u64 host_tsc, realtime_ns, tai_ns, boottime_ns, raw_ns;
	char boot_id[17], machine_id[17];
	u32 cpu_signature;
	char cpu_vendor[5];
	const char *kernel_release, *module_version;
	u32 vm_count;
	struct sample_vm vms[SAMPLE_VMS_MAX];
};

#define SAMPLE_COUNT	6
extern const struct sample samples[SAMPLE_COUNT];

/* A region of 8192 bytes: samples[1] in slot 0, samples[2], newer, in slot 1. */
#define SAMPLE_REGION		"region-v1.bin"
#define SAMPLE_REGION_SIZE	8192

/* Another one: samples[4] in slot 0, and in slot 1 what was to be the record after it. */
#define SAMPLE_REGION_CUT	"region-v2.bin"

#endif /* KCH_TESTS_SAMPLES_H */
