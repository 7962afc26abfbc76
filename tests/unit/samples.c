// SPDX-License-Identifier: GPL-2.0
#include "samples.h"

#define RAN		(KCH_VCPU_PAIR_VALID | KCH_VCPU_PVCLOCK_ON)

/* Of the AMD host's guest, too. */
#define LAST_CLOCK							\
	.master_cycle_now = 7788365900000,				\
	.master_kernel_ns = 2999989000000,				\
	.kvmclock_offset = (u64)-1999989000000,				\
	.host_tsc = 7788365990000,					\
	.kvmclock_ns = 1000000034666,					\
	.pid = 4711,							\
	.default_tsc_khz = 2596148,					\
	.vcpu_count = 1,						\
	.vcpus = {							\
		{							\
			.flags = RAN,					\
			.tsc_offset = (u64)-5192244000000,		\
			.tsc_scaling_ratio = 1,				\
			.pvclock_gpa = 0x7ffe0001,			\
			.virtual_tsc_khz = 2596148,			\
			.hw_tsc_khz = 2596148,				\
			.tsc_to_system_mul = 3308722997,		\
			.tsc_shift = -1,				\
			.pvclock_flags = 1,				\
			.tsc_then = 2596122000000,			\
			.ns_then = 1000000038518,			\
		},							\
	}

/* Of an AMD host as KVM has it: with fraction bits, though it does not scale. */
#define LIFE_VCPU(gpa)							\
	.flags = RAN,							\
	.tsc_scaling_ratio = 1ULL << 32,				\
	.pvclock_gpa = (gpa),						\
	.virtual_tsc_khz = 2596122,					\
	.hw_tsc_khz = 2596122,						\
	.tsc_to_system_mul = 3308756133,				\
	.tsc_shift = -1,						\
	.pvclock_flags = 1

const struct sample samples[SAMPLE_COUNT] = {
	/* A host without guests; nothing is known of its machine. */
	{
		.file = "record-v1-empty.bin",
		.sequence = 1,
		.tsc_khz = 2596124,
		.tsc_source = KCH_TSC_EARLY,
		.host_tsc = 51922480000,
		.realtime_ns = 1700000000123456789,
		.tai_ns = 1700000037123456789,
		.boottime_ns = 20000000123,
		.raw_ns = 20000000456,
		.boot_id = "boot id, 16 byte",
		.kernel_release = "6.1.0-1-cloud-amd64",
		.module_version = "1.0.0",
	},
	/* AMD without TSC scaling, one guest whose TSC started at 0. */
	{
		.file = "record-v1-amd.bin",
		.sequence = 7,
		.generation = 2,
		.flags = KCH_REC_SEALED,
		.tsc_khz = 2596122,
		.kvm_tsc_khz = 2596148,
		.tsc_source = KCH_TSC_SETTLED,
		.host_tsc = 7788366000000,
		.realtime_ns = 1700003000000000001,
		.tai_ns = 1700003037000000001,
		.boottime_ns = 2999990000000,
		.raw_ns = 2999990001234,
		.boot_id = "0123456789abcdef",
		.machine_id = "the machine's id",
		.cpu_signature = 0x00800f12,
		.cpu_vendor = "Auth",
		.kernel_release = "6.12.0-1-cloud-amd64",
		.module_version = "1.0.0",
		.vm_count = 1,
		.vms = {
			{
				.uuid = "uuid of VM web-1",
				.name = "web1",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL,
				.master_cycle_now = 7788365900000,
				.master_kernel_ns = 2999989000000,
				.kvmclock_offset = (u64)-1999989000000,
				.host_tsc = 7788365990000,
				.kvmclock_ns = 1000000034666,
				.pid = 4711,
				.default_tsc_khz = 2596148,
				.vcpu_count = 1,
				.vcpus = {
					{
						.flags = RAN,
						.tsc_offset = (u64)-5192244000000,
						.tsc_scaling_ratio = 1,
						.pvclock_gpa = 0x7ffe0001,
						.virtual_tsc_khz = 2596148,
						.hw_tsc_khz = 2596148,
						.tsc_to_system_mul = 3308722997,
						.tsc_shift = -1,
						.pvclock_flags = 1,
						.tsc_then = 2596122000000,
						.ns_then = 1000000038518,
					},
				},
			},
		},
	},
	/* Intel with scaling: guests faster and slower, and not started yet. */
	{
		.file = "record-v1-intel.bin",
		.sequence = 8,
		.generation = 3,
		.flags = KCH_REC_SEALED,
		.tsc_khz = 2800000,
		.kvm_tsc_khz = 2800000,
		.tsc_source = KCH_TSC_KNOWN,
		.host_tsc = 88300800000000000,
		.realtime_ns = 1731536000000000000,
		.tai_ns = 1731536037000000000,
		.boottime_ns = 31536000000000000,
		.raw_ns = 31536000000000000,
		.boot_id = "fedcba9876543210",
		.machine_id = "the other box id",
		.cpu_signature = 0x000806f8,
		.cpu_vendor = "Genu",
		.kernel_release = "7.3.0",
		.module_version = "1.0.0",
		.vm_count = 3,
		.vms = {
			{
				.uuid = "uuid of VM db-01",
				.name = "db1",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_RUNNING,
				.master_cycle_now = 1000000000000,
				.master_kernel_ns = 357142857142,
				.kvmclock_offset = (u64)-300000000000,
				.host_tsc = 88300799999990000,
				.kvmclock_ns = 31535699991185470,
				.tsc_scaling_frac_bits = 48,
				.pid = 99999,
				.default_tsc_khz = 5600000,
				.vcpu_count = 2,
				.vcpus = {
					{
						.flags = RAN,
						.tsc_offset = (u64)-1680000000000,
						.tsc_scaling_ratio = 2ULL << 48,
						.pvclock_gpa = 0x1000001,
						.virtual_tsc_khz = 5600000,
						.hw_tsc_khz = 5600000,
						.tsc_to_system_mul = 3067833782,
						.tsc_shift = -2,
						.pvclock_flags = 1,
						.tsc_then = 176599920000000000,
						.ns_then = 31535699991189042,
					},
					{
						.vcpu_id = 7,
						.flags = RAN,
						.tsc_offset = (u64)-1680000000000,
						.tsc_scaling_ratio = 2ULL << 48,
						.ia32_tsc_adjust = (u64)-3,
						.pvclock_gpa = 0x1000041,
						.virtual_tsc_khz = 5600000,
						.hw_tsc_khz = 5600000,
						.tsc_to_system_mul = 3067833782,
						.tsc_shift = -2,
						.pvclock_flags = 3,
						.tsc_then = 176599920000000000,
						.ns_then = 31535699991189042,
					},
				},
			},
			{
				.uuid = "uuid: no vCPU.. ",
				.name = "",
				.tsc_scaling_frac_bits = 48,
			},
			{
				.uuid = "uuid of VM old-1",
				.name = "a name of 63 bytes, which is all that fits with its NUL: 456789",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL,
				.master_cycle_now = 88300000000000000,
				.master_kernel_ns = 31535714285714285,
				.kvmclock_offset = 0,
				.host_tsc = 88300799999990000,
				.kvmclock_ns = 31535999999996394,
				.tsc_scaling_frac_bits = 48,
				.pid = 1,
				.default_tsc_khz = 1401078,
				.vcpu_count = 4,
				.vcpus = {
					{
						.flags = RAN | KCH_VCPU_CATCHUP,
						.tsc_offset = 12345678901234567,
						.tsc_scaling_ratio = 140845856221361,
						.pvclock_gpa = 0x2001,
						.virtual_tsc_khz = 1401078,
						.hw_tsc_khz = 1401078,
						.tsc_to_system_mul = 3065473368,
						.tsc_then = 56530074709234377,
						.ns_then = 31535999999999965,
					},
					{
						.vcpu_id = 1,
						.flags = KCH_VCPU_PAIR_VALID,
						.tsc_offset = 12345678901234568,
						.tsc_scaling_ratio = 140845856221361,
						.virtual_tsc_khz = 1401078,
						.hw_tsc_khz = 1401078,
						.tsc_to_system_mul = 3065473368,
						.tsc_then = 56530074709234378,
						.ns_then = 31535999999999965,
					},
					/* has not run: no pair yet */
					{
						.vcpu_id = 2,
						.tsc_scaling_ratio = 140845856221361,
						.virtual_tsc_khz = 1401078,
						.tsc_then = 44184395807999810,
						.ns_then = 31535714285714285,
					},
					{
						.vcpu_id = 4000000000,
						.flags = RAN,
						.tsc_offset = U64_MAX,
						.tsc_scaling_ratio = 1ULL << 48,
						.ia32_tsc_adjust = 1ULL << 63,
						.pvclock_gpa = 0xfffffffffffc1,
						.virtual_tsc_khz = 1000000,
						.hw_tsc_khz = 1000000,
						.tsc_to_system_mul = 0x80000000,
						.tsc_shift = 1,
						.pvclock_flags = 2,
						.tsc_then = 88300799999999999U,
						.ns_then = 31536514285714285,
					},
				},
			},
		},
	},
	/* How VMs were read last: gone before the seal, lost sight of, without master clock. */
	{
		.file = "record-v1-last.bin",
		.sequence = 9,
		.generation = 4,
		.flags = KCH_REC_SEALED,
		.tsc_khz = 2596122,
		.kvm_tsc_khz = 2596148,
		.tsc_source = KCH_TSC_SETTLED,
		.host_tsc = 7788366000000,
		.realtime_ns = 1700003000000000001,
		.tai_ns = 1700003037000000001,
		.boottime_ns = 2999990000000,
		.raw_ns = 2999990001234,
		.boot_id = "0123456789abcdef",
		.machine_id = "the machine's id",
		.cpu_signature = 0x00800f12,
		.cpu_vendor = "Auth",
		.kernel_release = "6.12.0-1-cloud-amd64",
		.module_version = "1.0.0",
		.vm_count = 3,
		.vms = {
			{
				.uuid = "uuid of VM end-1",
				.name = "end1",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_AT_END,
				LAST_CLOCK,
			},
			{
				.uuid = "uuid of VM lost1",
				.name = "lost1",
				.flags = KCH_VM_STALE,
				LAST_CLOCK,
			},
			{
				.uuid = "uuid of VM none1",
				.name = "none1",
				.flags = KCH_VM_AT_SEAL,
				LAST_CLOCK,
			},
		},
	},
	/*
	 * With the marks of a record's life: the clock of one VM was given back, and the seal
	 * of the record after this one was begun.  Whether that was finished is for its slot.
	 */
	{
		.file = "record-v2-life.bin",
		.sequence = 12,
		.generation = 5,
		.flags = KCH_REC_SEALED,
		.compat = KCH_COMPAT_BOUND,
		.superseded = KCH_RECORD_MARK,
		.tsc_khz = 2596122,
		.kvm_tsc_khz = 2596122,
		.tsc_source = KCH_TSC_SETTLED,
		.host_tsc = 23365098000000,
		.realtime_ns = 1764356400000000001,
		.tai_ns = 1764356437000000001,
		.boottime_ns = 8999990000000,
		.raw_ns = 8999990001234,
		.boot_id = "0123456789abcdef",
		.machine_id = "the machine's id",
		.cpu_signature = 0x00800f12,
		.cpu_vendor = "Auth",
		.kernel_release = "6.12.117+deb12-cloud-amd64",
		.module_version = "0.2.0",
		.vm_count = 3,
		.vms = {
			{
				.uuid = "uuid of VM used1",
				.name = "used1",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL,
				.used = KCH_RECORD_MARK,
				.master_cycle_now = 23000000000000,
				.master_kernel_ns = 8859200000000,
				.kvmclock_offset = (u64)-3600000000000,
				.host_tsc = 23365097601056,
				.kvmclock_ns = 5399831912117,
				.tsc_scaling_frac_bits = 32,
				.pid = 4711,
				.default_tsc_khz = 2596122,
				.vcpu_count = 2,
				.vcpus = {
					{
						LIFE_VCPU(0x4000),
						.tsc_offset = (u64)-1234567890123,
						.tsc_then = 22130530109877,
						.ns_then = 5399832065786,
					},
					{
						LIFE_VCPU(0x4040),
						.vcpu_id = 1,
						.tsc_offset = (u64)-1234567890123,
						.tsc_then = 22130530109877,
						.ns_then = 5399832065786,
					},
				},
			},
			/* Its second vCPU has not run. */
			{
				.uuid = "uuid of VM end-2",
				.name = "b\303\274ro",
				.flags = KCH_VM_MASTER_CLOCK | KCH_VM_AT_END,
				.master_cycle_now = 23100000000000,
				.master_kernel_ns = 8897700000000,
				.kvmclock_offset = 250,
				.host_tsc = 23364007743040,
				.kvmclock_ns = 8999393119049,
				.tsc_scaling_frac_bits = 32,
				.pid = 4712,
				.default_tsc_khz = 2596122,
				.vcpu_count = 2,
				.vcpus = {
					{
						LIFE_VCPU(0x5000),
						.tsc_offset = (u64)-77,
						.tsc_then = 23365097999923,
						.ns_then = 8999813075029,
					},
					{
						.vcpu_id = 1,
						.tsc_offset = (u64)-77,
						.tsc_scaling_ratio = 1ULL << 32,
						.virtual_tsc_khz = 2596122,
						.tsc_then = 23365097999923,
						.ns_then = 8897700000250,
					},
				},
			},
			/* Without master clock: known to within so many ns. */
			{
				.uuid = "uuid of VM none2",
				.name = "none2",
				.flags = KCH_VM_AT_SEAL | KCH_VM_RUNNING,
				.master_cycle_now = 23365097881284,
				.master_kernel_ns = 8999990000000,
				.kvmclock_offset = (u64)-5000,
				.host_tsc = 23365097881284,
				.kvmclock_ns = 8999989995000,
				.kvmclock_slack_ns = 57,
				.tsc_scaling_frac_bits = 32,
				.pid = 4713,
				.default_tsc_khz = 2596122,
				.vcpu_count = 1,
				.vcpus = {
					{
						LIFE_VCPU(0x6000),
						.tsc_offset = 5,
						.tsc_then = 23365098000005,
						.ns_then = 8999990040728,
					},
				},
			},
		},
	},
	/* Exported for another host: how good its wall clock was. */
	{
		.file = "record-v3-wall.bin",
		.flags = KCH_REC_SEALED,
		.compat = KCH_COMPAT_BOUND | KCH_COMPAT_WALL,
		.wall_maxerror_us = 1234567,
		.wall_flags = KCH_WALL_SYNCED | KCH_WALL_TAI,
		.tsc_khz = 2596122,
		.kvm_tsc_khz = 2596122,
		.host_tsc = 23365098000000,
		.realtime_ns = 1764356400000000001,
		.tai_ns = 1764356437000000001,
		.boot_id = "",
		.machine_id = "the machine's id",
		.cpu_signature = 0x00800f12,
		.cpu_vendor = "Auth",
		.kernel_release = "6.12.117+deb12-cloud-amd64",
		.module_version = "0.2.0",
		.vm_count = 1,
		.vms = {
			{
				.uuid = "uuid of VM wall1",
				.name = "wall1",
				.flags = KCH_VM_AT_SEAL | KCH_VM_RUNNING,
				.master_cycle_now = 23365097881284,
				.master_kernel_ns = 8999990000000,
				.kvmclock_offset = (u64)-5000,
				.host_tsc = 23365097881284,
				.kvmclock_ns = 8999989995000,
				.kvmclock_slack_ns = 57,
				.tsc_scaling_frac_bits = 32,
				.pid = 4713,
				.default_tsc_khz = 2596122,
				.vcpu_count = 1,
				.vcpus = {
					{
						LIFE_VCPU(0x6000),
						.tsc_offset = 5,
						.tsc_then = 23365098000005,
						.ns_then = 8999990040728,
					},
				},
			},
		},
	},
};
