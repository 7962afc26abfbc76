/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The record: the contract between the kernel that preserves guest clocks and
 * the kernel that restores them, which may differ in version and in the
 * version of this module.
 *
 * This interface is a contract.  All numbers are little-endian, there are no
 * pointers, all padding is explicit and zero.  Rules for changing it:
 *
 * - Structures grow at their end only.  The sizes of all three are in the
 *   header; a reader steps by the written sizes and reads what it knows.
 * - A member that an old reader may ignore needs nothing else at a structure's
 *   end.  In reserved bytes, and of a flag, a new bit in @compat announces it: what
 *   nobody has announced is refused as forged.
 * - A change that an old reader must not ignore sets a bit in @incompat; a
 *   reader that finds a bit it does not know refuses the whole record.
 * - Bits, once published, keep their meaning for ever.
 *
 * A region holds two slots of equal size, each holding at most one record.  A
 * record is made valid by writing @commit last; a writer clears it first.  Of
 * two valid records the one with the larger @sequence is the newer.
 *
 * What each member and each flag means, its unit and its published offset are
 * written once, in the driver's core/fields.c; Documentation/region-abi.rst has
 * them as tables.
 */
#ifndef _LINUX_KVMCLOCK_HANDOVER_RECORD_H
#define _LINUX_KVMCLOCK_HANDOVER_RECORD_H

#include <linux/types.h>

#define KCH_RECORD_MAGIC	"KVMCLKHO"
#define KCH_RECORD_MAGIC_SIZE	8
#define KCH_RECORD_COMMIT	0x54494d4d4f434843ULL	/* "CHCOMMIT" */
#define KCH_RECORD_MARK		0x4b52414d48434bULL	/* "KCHMARK" */
#define KCH_RECORD_ALIGN	64	/* of a slot's start, bytes */

#define KCH_REC_HEADER_SIZE	320	/* version 1 of each structure */
#define KCH_REC_VM_SIZE		192
#define KCH_REC_VCPU_SIZE	64

/* Limits a reader enforces before it believes a number it was given. */
#define KCH_REC_SIZE_MAX	4096	/* of any one structure */
#define KCH_REC_VMS_MAX		65536
#define KCH_REC_VCPUS_MAX	65536	/* of one VM */
#define KCH_REC_SEQUENCE_MAX	0x7fffffffffffffffULL	/* nothing is written after it */

/* Feature bits */
#define KCH_COMPAT_BOUND	(1U << 0) /* there is an entries_crc32c */
#define KCH_COMPAT_WALL		(1U << 1) /* the writer says how good its wall clock is */
#define KCH_COMPAT_KNOWN	(KCH_COMPAT_BOUND | KCH_COMPAT_WALL)
#define KCH_INCOMPAT_KNOWN	0U

/* struct kch_rec_header::flags */
#define KCH_REC_SEALED		(1U << 0)

/* struct kch_rec_header::wall_flags */
#define KCH_WALL_SYNCED		(1U << 0)
#define KCH_WALL_TAI		(1U << 1)

/* A record starts with this. */
struct kch_rec_header {
	__u8   magic[KCH_RECORD_MAGIC_SIZE];
	__le32 header_size;
	__le32 vm_size;
	__le32 vcpu_size;
	__le32 vm_count;
	__le32 compat;
	__le32 incompat;
	__le64 sequence;
	__le64 total_size;
	__le64 generation;
	__le32 flags;
	__le32 tsc_khz;
	__le32 kvm_tsc_khz;
	__le32 tsc_source;
	__le64 host_tsc;
	__le64 realtime_ns;
	__le64 tai_ns;
	__le64 boottime_ns;
	__le64 raw_ns;
	__u8   boot_id[16];
	__u8   machine_id[16];
	__le32 cpu_signature;
	__u8   cpu_vendor[4];
	char   kernel_release[64];
	char   module_version[16];
	__le64 superseded;
	__le32 entries_crc32c;
	__le32 wall_maxerror_us;
	__le32 wall_flags;
	__u8   reserved[52];
	__le32 crc32c;
	__le32 reserved2;
	__le64 commit;
};

/* struct kch_rec_vm::flags */
#define KCH_VM_MASTER_CLOCK	(1U << 0)
#define KCH_VM_RUNNING		(1U << 1)
#define KCH_VM_AT_SEAL		(1U << 2)
#define KCH_VM_AT_END		(1U << 3)
#define KCH_VM_STALE		(1U << 4)

/* One VM's clock; its vCPUs follow. */
struct kch_rec_vm {
	__le32 size;
	__le32 crc32c;
	__u8   uuid[16];
	char   name[64];
	__le32 vcpu_count;
	__le32 flags;
	__le64 master_cycle_now;
	__le64 master_kernel_ns;
	__le64 kvmclock_offset;
	__le64 host_tsc;
	__le64 kvmclock_ns;
	__u8   tsc_scaling_frac_bits;
	__u8   reserved1[3];
	__le32 pid;
	__le32 default_tsc_khz;
	__le32 kvmclock_slack_ns;
	__le64 used;
	__u8   reserved[32];
};

/* struct kch_rec_vcpu::flags */
#define KCH_VCPU_PAIR_VALID	(1U << 0)
#define KCH_VCPU_PVCLOCK_ON	(1U << 1)
#define KCH_VCPU_CATCHUP	(1U << 2)

/* One vCPU's clock. */
struct kch_rec_vcpu {
	__le32 vcpu_id;
	__le32 flags;
	__le64 tsc_offset;
	__le64 tsc_scaling_ratio;
	__le64 ia32_tsc_adjust;
	__le64 pvclock_gpa;
	__le32 virtual_tsc_khz;
	__le32 hw_tsc_khz;
	__le32 tsc_to_system_mul;
	__s8   tsc_shift;
	__u8   pvclock_flags;
	__u8   reserved[10];
};

/*
 * Where a record is when its memory is preserved with KHO: an entry of this
 * name in KHO's root leads to a struct kch_kho_entry, at the start of a page.
 */
#define KCH_KHO_NAME		"kvmclock-handover"
#define KCH_KHO_MAGIC		"KVMCLKPT"
#define KCH_KHO_VERSION		1

/* What the name in KHO leads to.  It may grow at its end without another version. */
struct kch_kho_entry {
	__u8   magic[8];
	__le32 version;
	__le32 reserved;
	__le64 start;
	__le64 bytes;
	__le32 crc32c;
	__le32 returned;
};

#endif /* _LINUX_KVMCLOCK_HANDOVER_RECORD_H */
