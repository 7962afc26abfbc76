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
 * - A member that an old reader may ignore needs nothing else; setting a bit
 *   in @compat announces it.
 * - A change that an old reader must not ignore sets a bit in @incompat; a
 *   reader that finds a bit it does not know refuses the whole record.
 * - Bits, once published, keep their meaning for ever.
 *
 * A region holds two slots of equal size, each holding at most one record.  A
 * record is made valid by writing @commit last; a writer clears it first.  Of
 * two valid records the one with the larger @sequence is the newer.
 *
 * Documentation/region-abi.rst has the layout as a table.
 */
#ifndef _LINUX_KVMCLOCK_HANDOVER_RECORD_H
#define _LINUX_KVMCLOCK_HANDOVER_RECORD_H

#include <linux/types.h>

#define KCH_RECORD_MAGIC	"KVMCLKHO"
#define KCH_RECORD_MAGIC_SIZE	8
#define KCH_RECORD_COMMIT	0x54494d4d4f434843ULL	/* "CHCOMMIT" */
#define KCH_RECORD_ALIGN	64	/* of a slot's start, bytes */

#define KCH_REC_HEADER_SIZE	320	/* version 1 of each structure */
#define KCH_REC_VM_SIZE		192
#define KCH_REC_VCPU_SIZE	64

/* Limits a reader enforces before it believes a number it was given. */
#define KCH_REC_SIZE_MAX	4096	/* of any one structure */
#define KCH_REC_VMS_MAX		65536
#define KCH_REC_VCPUS_MAX	65536	/* of one VM */

/* Feature bits.  None is published yet. */
#define KCH_COMPAT_KNOWN	0U
#define KCH_INCOMPAT_KNOWN	0U

/* struct kch_rec_header::flags */
#define KCH_REC_SEALED		(1U << 0) /* final: written by the reboot path */

/**
 * struct kch_rec_header - a record starts with this
 * @magic: KCH_RECORD_MAGIC, without its NUL
 * @header_size: bytes this structure has, multiple of 8; VM entries follow
 * @vm_size: bytes of each struct kch_rec_vm, multiple of 8
 * @vcpu_size: bytes of each struct kch_rec_vcpu, multiple of 8
 * @vm_count: VM entries that follow
 * @compat: feature bits that a reader may ignore
 * @incompat: feature bits that a reader must know
 * @sequence: grows with every record written, over kexecs too
 * @total_size: bytes of the header and all VM entries
 * @generation: kexecs this chain of records has passed through
 * @flags: KCH_REC_*
 * @tsc_khz: the writing kernel's TSC frequency, kHz
 * @kvm_tsc_khz: the frequency its KVM computed guest clocks from, kHz, 0 unknown
 * @tsc_source: enum kch_tsc_source
 * @host_tsc: host TSC at the instant of the following times, cycles
 * @realtime_ns: CLOCK_REALTIME at @host_tsc, ns since 1970
 * @tai_ns: CLOCK_TAI at @host_tsc, ns
 * @boottime_ns: CLOCK_BOOTTIME at @host_tsc, ns
 * @raw_ns: CLOCK_MONOTONIC_RAW at @host_tsc, ns
 * @boot_id: the writing kernel's /proc/sys/kernel/random/boot_id
 * @machine_id: the machine's DMI product UUID, all zero if it has none
 * @cpu_signature: CPUID leaf 1 EAX of the boot CPU
 * @cpu_vendor: first four bytes of the CPUID vendor string
 * @kernel_release: uname -r, NUL-terminated
 * @module_version: version of the module that wrote it, NUL-terminated
 * @reserved: zero
 * @crc32c: CRC32C (Castagnoli, initial value and final XOR 0xffffffff) of the
 *	whole header with @crc32c and @commit as zero
 * @reserved2: zero
 * @commit: KCH_RECORD_COMMIT ^ @sequence when the record is whole, else 0;
 *	at this offset in every version
 */
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
	__u8   reserved[72];
	__le32 crc32c;
	__le32 reserved2;
	__le64 commit;
};

/* struct kch_rec_vm::flags */
#define KCH_VM_MASTER_CLOCK	(1U << 0) /* KVM's master clock was on */
#define KCH_VM_RUNNING		(1U << 1) /* a vCPU was in an ioctl meanwhile */
#define KCH_VM_AT_SEAL		(1U << 2) /* read again when it was sealed */
#define KCH_VM_AT_END		(1U << 3) /* read again when the VM went away */
/*
 * The VM may have had another clock since: it was lost sight of, or could not be
 * read again.  Comes instead of KCH_VM_MASTER_CLOCK, which it had, so that a
 * reader that does not know this bit refuses the VM, and only that one.
 */
#define KCH_VM_STALE		(1U << 4)

/**
 * struct kch_rec_vm - one VM's clock; its vCPUs follow
 * @size: bytes of this and all its vCPUs: vm_size + vcpu_count * vcpu_size
 * @crc32c: CRC32C of those bytes with @crc32c as zero
 * @uuid: the VM's id, given by who preserved it
 * @name: NUL-terminated
 * @vcpu_count: vCPUs that follow, ascending by vcpu_id
 * @flags: KCH_VM_*
 * @master_cycle_now: host TSC of the master clock reference, cycles
 * @master_kernel_ns: KVM's host clock at the reference, ns
 * @kvmclock_offset: kvmclock minus KVM's host clock, ns, signed
 * @host_tsc: host TSC when this was read, cycles
 * @kvmclock_ns: kvmclock of the first vCPU at @host_tsc, ns
 * @tsc_scaling_frac_bits: fraction bits of all scaling ratios: an unscaled
 *	vCPU has the ratio 1 << @tsc_scaling_frac_bits
 * @reserved1: zero
 * @pid: the process that had the VM
 * @default_tsc_khz: frequency a new vCPU of the VM gets, kHz
 * @kvmclock_slack_ns: how far @kvmclock_ns may be off, ns: of a VM without master
 *	clock, where KVM does not tell both of one instant; 0 not said, or exact
 * @reserved: zero
 */
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
	__u8   reserved[40];
};

/* struct kch_rec_vcpu::flags */
#define KCH_VCPU_PAIR_VALID	(1U << 0) /* mul and shift: it has run */
#define KCH_VCPU_PVCLOCK_ON	(1U << 1) /* the guest enabled its page */
#define KCH_VCPU_CATCHUP	(1U << 2) /* KVM moves its TSC offset itself */

/**
 * struct kch_rec_vcpu - one vCPU's clock
 * @vcpu_id: the id given to KVM_CREATE_VCPU
 * @flags: KCH_VCPU_*
 * @tsc_offset: guest TSC minus scaled host TSC, cycles, modulo 2^64
 * @tsc_scaling_ratio: guest frequency over host frequency, fixed point
 * @ia32_tsc_adjust: MSR_IA32_TSC_ADJUST, cycles, signed
 * @pvclock_gpa: guest physical address of its pvclock page, 0 if off
 * @virtual_tsc_khz: frequency the guest was promised, kHz
 * @hw_tsc_khz: frequency @tsc_to_system_mul was computed from, kHz
 * @tsc_to_system_mul: as in the pvclock page
 * @tsc_shift: as in the pvclock page, signed
 * @pvclock_flags: flags byte of the page as KVM last computed it
 * @reserved: zero
 */
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

/**
 * struct kch_kho_entry - what the name in KHO leads to
 * @magic: KCH_KHO_MAGIC, without its NUL
 * @version: KCH_KHO_VERSION; another one is refused.  The entry may grow at its
 *	end without that
 * @reserved: zero
 * @start: physical address of the region, a multiple of its size, bytes
 * @bytes: size of the region, a power of two: one folio preserved with KHO
 * @crc32c: CRC32C of the bytes before it; at this offset in every version
 * @returned: not zero once the region was given back to the kernel, written by
 *	the kernel that found it, for itself
 */
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
