/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User ABI of /dev/kvmclock_handover.
 *
 * Every ioctl takes one structure whose first member is its size.  A caller
 * with an older (shorter) structure is served as long as it holds the members
 * of the first published version; a caller with a newer (longer) one is served
 * if the bytes this kernel does not know are zero.
 *
 * Every ioctl that refuses changes nothing, returns an errno of its own (see
 * the table), and fills @message with what was found, what was expected and
 * what that means for the guest.  The structure is copied back on error too,
 * but for EPERM, ENOTTY, E2BIG, EFAULT of the structure itself, and EINVAL for
 * its size; with EINTR only @message is, so that the call can be made again.
 *
 * Errors every ioctl can return:
 *
 * =============== ==========================================================
 * EPERM           the caller lacks CAP_SYS_ADMIN (also returned by open())
 * ENOTTY          not an ioctl of this device
 * EFAULT          the structure, or a buffer it names, is not accessible; of RESTORE also:
 *                 the VM's process has unmapped the page it is done by
 * EINVAL          size below the first version, unknown flag, or a reserved
 *                 member that is not zero
 * E2BIG           size above this kernel's structure, with unknown bytes set; or above
 *                 a page
 * EINTR           interrupted while waiting for a lock or asking KVM, by what cannot
 *                 be held back: call again, with the same structure
 * ENOMEM          no memory for a copy, or no thread to do it by
 * =============== ==========================================================
 *
 * Errors of single ioctls; each condition has exactly one of them:
 *
 * =============== ==========================================================
 * EBADF           vm_fd is not an open file
 * EBADFD          vm_fd is a file, but not a KVM virtual machine
 * EIO             KVM has marked the VM dead or bugged
 * ECHILD          the VM has no vCPU
 * EOPNOTSUPP      the VM runs without KVM's master clock, will when it runs next, or
 *                 did at last
 * ENOTRECOVERABLE a vCPU is in TSC catch-up: KVM moves its offset itself
 * ENODEV          there is no region to keep a record in
 * EEXIST          a VM of that id is preserved already, and still there
 * ENOTUNIQ        that VM is preserved already, under another id
 * ENOSPC          the region is full, the bytes needed are reported; or no larger
 *                 sequence number is left
 * ESHUTDOWN       it is too late: the host is being kexec'ed
 * EREMOTEIO       the region does not read back what was written to it
 * ENOENT          no VM of that id in the record
 * ENOBUFS         the buffer is too small; the bytes needed are reported
 * ENODATA         there is no record: none came from before the kexec, or
 *                 nothing was preserved yet; no vCPU has a clock to adopt
 * EBADMSG         the record, or this VM's entry in it, is damaged, or is what no
 *                 kernel writes, or has no rate of its kvmclock
 * EPROTONOSUPPORT the record has incompatible features unknown to this module
 * EINPROGRESS     the record was never sealed: the reboot did not go through
 *                 the kernel's orderly kexec path
 * ESTALE          the VM may have had another clock after the saved one was read
 * EKEYEXPIRED     the record is older than a kexec takes: not of the kernel before this
 *                 one; or the blackout is longer than the caller allows
 * EREMCHG         the record was written on another machine
 * ETIME           the host TSC was reset, stopped or replaced since the seal
 * EAGAIN          the host's TSC frequency is not settled yet
 * EPFNOSUPPORT    the host's clocksource is not the TSC, or cannot be told: to
 *                 wait does not help
 * ELIBBAD         this module's reading of KVM disagrees with KVM's own answers
 * ENXIO           KVM did not answer whether this module reads it right: no VM can be
 *                 made or run here (no /dev/kvm, descriptor or thread to be had); or,
 *                 of a clock's descriptor and without CAP_SYS_ADMIN, nobody has asked yet
 * EALREADY        this VM was restored from the record before, or has the saved
 *                 clock already
 * EBUSY           a vCPU is running, or in an ioctl; preserve: KVM does not come to
 *                 taking the new reference that it is about to take; finish: a
 *                 VM is being restored from the record; wait: the memory of the
 *                 guest's Hyper-V page does not come
 * ELNRNG          the VM's vCPUs are not those that were saved
 * EL2NSYNC        a vCPU's TSC offset is not the saved one, and the caller has no
 *                 descriptor to set it by; or not that of its VM's other vCPUs
 * ERANGE          a vCPU's TSC scaling ratio or frequency is not the saved one, or
 *                 that of its VM's other vCPUs
 * EOVERFLOW       the written clock did not read back as saved; undone, if the
 *                 message does not say otherwise
 * ENOTEMPTY       finish: VMs in the record were not restored
 * ENOKEY          a vCPU's TSC is protected by the CPU (SEV-SNP, TDX)
 * EBADRQC         time is to be hidden, and what is saved may not be the last clock the
 *                 guest had: nobody can tell from when on
 * EDEADLK         this open file has a hold that was not waited for
 * ENOLINK         this open file has no hold to wait for
 * ETIMEDOUT       the VMM did not resume while the VM was held
 * ECANCELED       the hold was ended before the VMM resumed
 * ESRCH           the VM's process has ended, or closed the VM
 * EMFILE          the process has no descriptor left
 * =============== ==========================================================
 */
#ifndef _UAPI_LINUX_KVMCLOCK_HANDOVER_H
#define _UAPI_LINUX_KVMCLOCK_HANDOVER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KCH_DEVICE		"/dev/kvmclock_handover"
#define KCH_ABI_VERSION		3

#define KCH_UUID_SIZE		16
#define KCH_NAME_SIZE		64	/* with the terminating NUL */
#define KCH_MESSAGE_SIZE	256	/* with the terminating NUL */

/**
 * enum kch_mode - how exactly a clock was restored, weakest first
 * @KCH_MODE_NONE: not restored
 * @KCH_MODE_REALTIME: by CLOCK_REALTIME, as KVM_CLOCK_REALTIME does
 * @KCH_MODE_CONTINUOUS: as the next, but the guest's TSC has another frequency
 *	than it had: continuous at the restore, by another offset
 * @KCH_MODE_CONVERGED: by KVM's stock ioctls, residual measured; same TSC offsets
 * @KCH_MODE_IDENTICAL: same TSC offsets, and pages of the same value at every TSC: 0 ns,
 *	0 cycles, 0 ppb.  The only one the module itself gives.
 */
enum kch_mode {
	KCH_MODE_NONE		= 0,
	KCH_MODE_REALTIME	= 1,
	KCH_MODE_CONTINUOUS	= 2,
	KCH_MODE_CONVERGED	= 3,
	/* 4 was for an ioctl that no kernel has, and stays unused. */
	KCH_MODE_IDENTICAL	= 5,
};

/**
 * enum kch_tsc_source - how the kernel knows its tsc_khz
 * @KCH_TSC_UNKNOWN: could not be told
 * @KCH_TSC_EARLY: early calibration; will change when refinement ends
 * @KCH_TSC_SETTLED: calibration is over, or has nothing to measure with (``hpet=disable
 *	pmtmr=0``); it will not change again
 * @KCH_TSC_KNOWN: told by CPUID or the hypervisor; never calibrated
 * @KCH_TSC_OTHER: the clocksource is not the TSC, or the TSC is unstable: KVM has
 *	no master clock, and nothing can be saved or restored exactly
 */
enum kch_tsc_source {
	KCH_TSC_UNKNOWN		= 0,
	KCH_TSC_EARLY		= 1,
	KCH_TSC_SETTLED		= 2,
	KCH_TSC_KNOWN		= 3,
	KCH_TSC_OTHER		= 4,
};

/**
 * enum kch_backend - where the record is kept
 * @KCH_BACKEND_NONE: no region was given, and the kernel offers none
 * @KCH_BACKEND_RANGE: a physical range the firmware map marks reserved
 * @KCH_BACKEND_RESERVE_MEM: a reserve_mem= label
 * @KCH_BACKEND_KHO: pages preserved with kexec handover (KHO)
 */
enum kch_backend {
	KCH_BACKEND_NONE	= 0,
	KCH_BACKEND_RANGE	= 1,
	KCH_BACKEND_RESERVE_MEM	= 2,
	KCH_BACKEND_KHO		= 3,
};

/* struct kch_info::flags */
#define KCH_INFO_INCOMING	(1U << 0) /* a usable record came from before */
#define KCH_INFO_SEALED		(1U << 1) /* ... and it was sealed */
#define KCH_INFO_EVIDENCE	(1U << 2) /* bytes of a record are held */
#define KCH_INFO_SELFCHECKED	(1U << 3) /* KVM's answers were matched */

/**
 * struct kch_info - KCH_IOC_INFO: what this module is and has
 * @size: in: sizeof(struct kch_info)
 * @flags: out: KCH_INFO_*
 * @abi_version: out: KCH_ABI_VERSION
 * @modes: out: bit (1 << enum kch_mode) for each mode the module gives
 * @backend: out: enum kch_backend
 * @tsc_source: out: enum kch_tsc_source
 * @tsc_khz: out: the kernel's TSC frequency, kHz
 * @kvm_tsc_khz: out: the frequency KVM computes guest clocks from, kHz; 0 when
 *	KVM could not be asked yet
 * @region_start: out: physical address of the region, bytes
 * @region_size: out: its size, bytes
 * @outgoing_capacity: out: bytes one record can have
 * @outgoing_used: out: bytes the outgoing record has
 * @generation: out: kexecs the record chain has seen
 * @outgoing_vms: out: VMs preserved for the next kernel
 * @incoming_vms: out: VMs in the record from before the kexec
 * @restored_vms: out: of those, restored so far
 * @incoming_error: out: 0, or the errno (positive) that a restore would get
 *	from the record as a whole
 * @selfcheck_error: out: 0, or ELIBBAD and the like
 * @rec_vm_size: out: bytes of the struct kch_rec_vm in an answer of KCH_IOC_GET
 *	or KCH_IOC_READ, also on a clock's descriptor
 * @rec_vcpu_size: out: bytes of each struct kch_rec_vcpu behind it
 * @message: out: the reason for @incoming_error or @selfcheck_error; without
 *	either, why nothing can be saved or restored on this host (@tsc_source
 *	is KCH_TSC_OTHER), or why this backend is used
 *
 * Callable at any time.  Only the errors of every ioctl.
 */
struct kch_info {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 modes;
	__u32 backend;
	__u32 tsc_source;
	__u32 tsc_khz;
	__u32 kvm_tsc_khz;
	__u64 region_start;
	__u64 region_size;
	__u64 outgoing_capacity;
	__u64 outgoing_used;
	__u64 generation;
	__u32 outgoing_vms;
	__u32 incoming_vms;
	__u32 restored_vms;
	__s32 incoming_error;
	__s32 selfcheck_error;
	__u16 rec_vm_size;
	__u16 rec_vcpu_size;
	char message[KCH_MESSAGE_SIZE];
};

/**
 * struct kch_preserve - KCH_IOC_PRESERVE: put a VM's clock into the record
 * @size: in: sizeof(struct kch_preserve)
 * @flags: in: must be 0
 * @vm_fd: in: the VM, as KVM_CREATE_VM returned it or a duplicate
 * @reserved: in: must be 0
 * @uuid: in: the VM's id, not all zero; unique in the record.  An entry whose VM
 *	is gone makes room for another VM of the same id
 * @name: in: NUL-terminated, for people, without control characters; may be empty
 * @needed: out: bytes the record would have with this VM
 * @capacity: out: bytes it can have
 * @message: out: why it was refused; or whose place it took, else empty
 *
 * The VM may be running and may belong to another process.  The clock function
 * is read now, and once more when the kernel reboots into the next one, or when
 * the VM goes away.  What was read last is kept, also if it cannot be restored
 * exactly any more; the restore then says so.
 *
 * Errors: EBADF EBADFD EIO ECHILD EOPNOTSUPP ENOTRECOVERABLE ENOKEY EBUSY
 * EPFNOSUPPORT ELIBBAD ENXIO ENODEV EEXIST ENOTUNIQ ENOSPC ESHUTDOWN EREMOTEIO.
 */
struct kch_preserve {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 reserved;
	__u8  uuid[KCH_UUID_SIZE];
	char  name[KCH_NAME_SIZE];
	__u64 needed;
	__u64 capacity;
	char  message[KCH_MESSAGE_SIZE];
};

/**
 * struct kch_unpreserve - KCH_IOC_UNPRESERVE: take a VM out of the record
 * @size: in: sizeof(struct kch_unpreserve)
 * @flags: in: must be 0
 * @uuid: in: the id it was preserved under
 * @message: out: why it was refused
 *
 * Errors: ENODEV ENOENT ESHUTDOWN EREMOTEIO.
 */
struct kch_unpreserve {
	__u32 size;
	__u32 flags;
	__u8  uuid[KCH_UUID_SIZE];
	char  message[KCH_MESSAGE_SIZE];
};

/**
 * enum kch_which - which record
 * @KCH_OUTGOING: the one being made for the next kernel
 * @KCH_INCOMING: the one that came from before the kexec
 */
enum kch_which {
	KCH_OUTGOING		= 0,
	KCH_INCOMING		= 1,
};

/* struct kch_entry::flags */
#define KCH_ENTRY_RESTORED	(1U << 0) /* incoming: was restored */
#define KCH_ENTRY_LIVE		(1U << 1) /* the VM shown for it still exists */
#define KCH_ENTRY_DAMAGED	(1U << 2) /* incoming: its checksum is wrong */
#define KCH_ENTRY_STALE		(1U << 3) /* perhaps not the clock the VM had last */
#define KCH_ENTRY_NO_MASTER_CLOCK (1U << 4) /* had none when it was read last */
#define KCH_ENTRY_HELD		(1U << 5) /* incoming: is being restored, or held */
#define KCH_ENTRY_LET_GO	(1U << 6) /* incoming: a hold ended without that */

/**
 * struct kch_entry - one VM as KCH_IOC_LIST returns it
 * @uuid: its id
 * @name: its name
 * @flags: KCH_ENTRY_*
 * @vcpu_count: vCPUs it has in the record
 * @bytes: what KCH_IOC_GET needs for it
 * @pid: process that has the VM, or had it when it was preserved
 */
struct kch_entry {
	__u8  uuid[KCH_UUID_SIZE];
	char  name[KCH_NAME_SIZE];
	__u32 flags;
	__u32 vcpu_count;
	__u32 bytes;
	__s32 pid;
};

/**
 * struct kch_list - KCH_IOC_LIST: the VMs of a record
 * @size: in: sizeof(struct kch_list)
 * @flags: in: must be 0
 * @which: in: enum kch_which
 * @entry_size: in: sizeof(struct kch_entry)
 * @entries: in: address of an array of struct kch_entry, may be 0 if @count is
 * @count: in: its length; out: how many the record has
 * @reserved: in: must be 0
 * @message: out: why it was refused
 *
 * Errors: ENOBUFS (@count); of KCH_INCOMING also ENODATA, EBADMSG and
 * EPROTONOSUPPORT: there is none, or none that can be read.
 */
struct kch_list {
	__u32 size;
	__u32 flags;
	__u32 which;
	__u32 entry_size;
	__u64 entries;
	__u32 count;
	__u32 reserved;
	char  message[KCH_MESSAGE_SIZE];
};

/**
 * struct kch_get - KCH_IOC_GET: one VM of a record, or the record's header
 * @size: in: sizeof(struct kch_get)
 * @flags: in: must be 0
 * @which: in: enum kch_which
 * @buffer_size: in: bytes at @buffer; out: bytes the answer has
 * @buffer: in: address; gets a struct kch_rec_vm and its vCPUs, in the sizes of
 *	struct kch_info, or, for an all-zero @uuid, the struct kch_rec_header
 * @uuid: in: the VM's id, or all zero
 * @message: out: why it was refused
 *
 * Errors: ENODATA ENOENT ENOBUFS (@buffer_size); of KCH_INCOMING also EBADMSG
 * and EPROTONOSUPPORT: the record, or the VM's entry, cannot be read.
 */
struct kch_get {
	__u32 size;
	__u32 flags;
	__u32 which;
	__u32 buffer_size;
	__u64 buffer;
	__u8  uuid[KCH_UUID_SIZE];
	char  message[KCH_MESSAGE_SIZE];
};

/**
 * struct kch_read - KCH_IOC_READ: a VM's clock as it is now
 * @size: in: sizeof(struct kch_read)
 * @flags: in: must be 0
 * @vm_fd: in: the VM, of any process
 * @buffer_size: in: bytes at @buffer; out: bytes the answer has
 * @buffer: in: address; gets a struct kch_rec_vm and its vCPUs, in the sizes of
 *	struct kch_info.  Its uuid and name are those under which this very VM
 *	was restored or preserved, empty if it was neither.  A VM without
 *	master clock is read too (its flag is clear): then its kvmclock_ns is
 *	KVM's clock of it at @host_tsc, give or take kvmclock_slack_ns.
 * @host_tsc: out: host TSC at which the following two were taken, cycles
 * @rebase_step_ns: out: by how much the guest's clock would step if it became
 *	what KVM says it is, ns: the larger of two steps.  One comes with a new
 *	master clock reference (a vCPU is added, a TSC written), the other with
 *	KVM_SET_CLOCK of what KVM_GET_CLOCK returned (stop and cont).  0 without
 *	master clock
 * @rebase_bound_ns: out: what that step stays below as long as the module keeps
 *	the VM's clock, ns; 0: it does not, as it has not restored the VM
 * @pid: out: the process that has the VM
 * @kvm_tsc_khz: out: the frequency KVM computes this VM's clock from, kHz
 * @message: out: why it was refused
 *
 * Changes nothing.  Errors: EBADF EBADFD EIO ECHILD ELIBBAD ENXIO ENOBUFS.
 */
struct kch_read {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 buffer_size;
	__u64 buffer;
	__u64 host_tsc;
	__s64 rebase_step_ns;
	__u64 rebase_bound_ns;
	__s32 pid;
	__u32 kvm_tsc_khz;
	char  message[KCH_MESSAGE_SIZE];
};

/* struct kch_restore::flags */
#define KCH_RESTORE_CHECK	(1U << 0) /* check everything, write nothing */
#define KCH_RESTORE_UNSEALED	(1U << 1) /* take a record that was not sealed */
#define KCH_RESTORE_ANY_WALL	(1U << 2) /* the wall clock was stepped */
#define KCH_RESTORE_HOLD	(1U << 3) /* until its VMM has resumed the VM */
#define KCH_RESTORE_STALE	(1U << 4) /* take a clock that may be out of date */
#define KCH_RESTORE_OLD		(1U << 5) /* take a record of an earlier kernel */
#define KCH_RESTORE_ELSEWHERE	(1U << 6) /* write nothing: its VMM gives it one */
#define KCH_RESTORE_FLAGS	(KCH_RESTORE_CHECK | KCH_RESTORE_UNSEALED | \
				 KCH_RESTORE_ANY_WALL | KCH_RESTORE_HOLD |  \
				 KCH_RESTORE_STALE | KCH_RESTORE_OLD |	    \
				 KCH_RESTORE_ELSEWHERE)

#define KCH_HOLD_MS_MAX		3600000	/* an hour */

/**
 * enum kch_policy - what a guest's clocks make of the time since the saved instant
 * @KCH_POLICY_DEFAULT: what the module's parameter policy says, which is
 *	KCH_POLICY_CONTINUE unless it was set
 * @KCH_POLICY_CONTINUE: it passed for them, too: TSC and kvmclock have at every host TSC
 *	the value that they would have had
 * @KCH_POLICY_HIDE: they stood still: their time goes on from the saved instant
 * @KCH_POLICY_LIMIT: limit_ms of it passed at most; they stood still for the rest
 */
enum kch_policy {
	KCH_POLICY_DEFAULT	= 0,
	KCH_POLICY_CONTINUE	= 1,
	KCH_POLICY_HIDE		= 2,
	KCH_POLICY_LIMIT	= 3,
};

/**
 * enum kch_pvclock_page - what the guest's pvclock page is after a restore
 * @KCH_PAGE_NONE: not restored
 * @KCH_PAGE_SAME_BYTES: as it was, but for its version
 * @KCH_PAGE_SAME_FUNCTION: its reference was moved forward, as this kernel's KVM would
 *	not evaluate it as the guest does (another mul and shift, or a scaled TSC): other
 *	bytes, the same value at every TSC
 */
enum kch_pvclock_page {
	KCH_PAGE_NONE		= 0,
	KCH_PAGE_SAME_BYTES	= 1,
	KCH_PAGE_SAME_FUNCTION	= 2,
};

/**
 * struct kch_outcome - what came of a restore, also of one that was refused
 * @mode: enum kch_mode that was reached; KCH_MODE_NONE: nothing was restored
 * @vcpu_id: the vCPU a refusal is about, or -1
 * @host_tsc: host TSC at which the errors were measured, cycles
 * @error_ns: live clock minus saved clock at @host_tsc, the largest of all
 *	vCPUs, ns
 * @error_cycles: the same for the guest TSC, cycles
 * @error_rate_ppb: the same for the clock's rate, parts per 1e9
 * @rebase_bound_ns: how far what KVM itself says of the clock will be from it at
 *	most, at any later time, ns; see struct kch_read
 * @blackout_ns: host time from when the VM was read last to now, by the TSC, ns
 * @found: the number found, for refusals that compare numbers
 * @expected: the number expected
 * @page: enum kch_pvclock_page
 * @reserved: 0
 */
struct kch_outcome {
	__u32 mode;
	__s32 vcpu_id;
	__u64 host_tsc;
	__s64 error_ns;
	__s64 error_cycles;
	__s64 error_rate_ppb;
	__u64 rebase_bound_ns;
	__u64 blackout_ns;
	__u64 found;
	__u64 expected;
	__u32 page;
	__u32 reserved;
};

/**
 * struct kch_restore - KCH_IOC_RESTORE: give a VM its saved clock
 * @size: in: sizeof(struct kch_restore)
 * @flags: in: KCH_RESTORE_*
 * @vm_fd: in: the new VM
 * @mode: in: the weakest enum kch_mode accepted, from KCH_MODE_REALTIME; the
 *	module gives KCH_MODE_IDENTICAL or refuses
 * @uuid: in: the id it was preserved under
 * @hold_ms: in: with KCH_RESTORE_HOLD, how long the VM is held at most, 1 to
 *	KCH_HOLD_MS_MAX; else 0
 * @blackout_ms_max: in: the longest blackout that the guest may be restored after; 0:
 *	however long
 * @outcome: in: its page and reserved must be 0; out: all of it
 * @message: out: why it was refused
 * @policy: in: enum kch_policy; out: the one that was followed
 * @limit_ms: in: with KCH_POLICY_LIMIT, 1 to 4294967294; else 0; out: of that policy
 * @hidden_ns: out: time that the guest's clocks do not have because of it, by the host's
 *	TSC, ns; not 0: the guest should be told
 *
 * Callable when the VM has all its vCPUs with all their MSRs, and none of them is in
 * KVM_RUN.  Sets what is not as it was saved: the frequency of vCPUs
 * (KVM_SET_TSC_KHZ), their TSC offsets, the clock; and writes each armed
 * MSR_IA32_TSC_DEADLINE again.  It does so in the VM's process, whoever calls; but
 * the caller must have a descriptor of each vCPU, its own or a duplicate
 * (pidfd_getfd()).  A vCPU without one must have frequency and offset as saved.
 *
 * By policy the clocks do not go on for all of the time since the saved instant, at which
 * the VM's entry was read last.  The vCPUs' TSC offsets are then such that TSC and
 * kvmclock are, from the writing of the clock on, what they would have been so much
 * earlier; kvmclock as a function of the guest's TSC stays to the bit.  A hold that
 * follows is not hidden.
 *
 * A KVM_SET_CLOCK or TSC write after it undoes it.  A VMM that does so when it
 * resumes the VM is to be held: KCH_RESTORE_HOLD returns when all was set and no
 * vCPU can enter the guest.  All ioctls of the vCPUs work meanwhile.  When the VMM
 * calls KVM_RUN, the clock is written once more, and the vCPUs enter.  A hold
 * belongs to the open file it was begun by, which can have one: it ends when that is
 * closed, after @hold_ms, with the VM's process, and at a kexec.  The VM then has
 * the clock that its VMM gave it; if that cannot be put back, the message says so, and the
 * saved one counts as given back.  What is refused when the VMM has called KVM_RUN (ELNRNG,
 * EL2NSYNC and others) comes too late for that: the guest runs on with the saved TSC
 * offsets and kvmclock, but for those that its VMM has set since; nobody keeps that clock,
 * and the saved one counts as given back.  KCH_IOC_WAIT says what came of it.
 *
 * Errors: EBADF EBADFD EIO ECHILD EOPNOTSUPP ENOTRECOVERABLE ELIBBAD ENXIO ENODEV
 * ENODATA ENOENT EBADMSG EPROTONOSUPPORT EINPROGRESS ESTALE EKEYEXPIRED EREMCHG ETIME EAGAIN
 * EPFNOSUPPORT EALREADY EBUSY ELNRNG EL2NSYNC ERANGE EOVERFLOW ESHUTDOWN ESRCH
 * EDEADLK EBADRQC EREMOTEIO.
 */
struct kch_restore {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 mode;
	__u8  uuid[KCH_UUID_SIZE];
	__u32 hold_ms;
	__u32 blackout_ms_max;
	struct kch_outcome outcome;
	char  message[KCH_MESSAGE_SIZE];
	__u32 policy;
	__u32 limit_ms;
	__u64 hidden_ns;
};

/*
 * KCH_IOC_WAIT - wait for the end of the hold of this open file
 *
 * Takes a struct kch_restore, of which all members but size are out, as
 * KCH_IOC_RESTORE would have filled them in without a hold.  The hold is over then,
 * and another one can be begun.
 *
 * Errors: any of KCH_IOC_RESTORE, about what the VMM did meanwhile; ETIMEDOUT (it did
 * not resume within hold_ms), ECANCELED (the hold was ended by a kexec), ESRCH (its
 * process ended, or closed the VM), ENOLINK (this file has no hold), EINTR (a
 * signal came: the hold goes on).
 */

/**
 * struct kch_adopt - KCH_IOC_ADOPT: give added vCPUs the clock their VM has
 * @size: in: sizeof(struct kch_adopt)
 * @flags: in: must be 0
 * @vm_fd: in: the VM
 * @adopted: out: vCPUs that got it
 * @vcpu_id: out: the vCPU a refusal is about, or -1
 * @reserved: in: must be 0
 * @found: out: the number found, for refusals that compare numbers
 * @expected: out: the number expected
 * @message: out: why it was refused
 *
 * KVM computes the clock of a new vCPU from the host's present frequency, which
 * need not be that of the kernel the others' clock is from; and KVM of some
 * versions takes a new reference for all of them, a step.  Called between
 * KVM_CREATE_VCPU and the new vCPU's first KVM_RUN this prevents both: the new
 * vCPU gets the mul and shift of those that ran, and no reference is taken.
 * The others may be running.  vCPUs that have run are left alone, so that
 * calling it once too often does nothing.
 *
 * Errors: EBADF EBADFD EIO ECHILD EOPNOTSUPP ENOTRECOVERABLE EPFNOSUPPORT ELIBBAD
 * ENXIO; EBUSY (a new vCPU is in an ioctl already), EL2NSYNC, ERANGE (its TSC offset or
 * scaling ratio is not that of the others), ENODATA (no vCPU has run yet).
 */
struct kch_adopt {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__u32 adopted;
	__s32 vcpu_id;
	__u32 reserved;
	__u64 found;
	__u64 expected;
	char  message[KCH_MESSAGE_SIZE];
};

/**
 * struct kch_clock_fd - KCH_IOC_CLOCK_FD: a VM's clock as a file descriptor
 * @size: in: sizeof(struct kch_clock_fd)
 * @flags: in: must be 0
 * @vm_fd: in: the VM, as KVM_CREATE_VM returned it or a duplicate; -1: the clock of
 *	@uuid in the record from before the kexec
 * @fd: out: the descriptor, close-on-exec; -1 if refused
 * @uuid: in: the VM's id, not all zero
 * @name: in: of a VM: NUL-terminated, for people; may be empty.  With @vm_fd -1: empty
 * @message: out: why it was refused
 * @record: in: with @vm_fd -1: address of a record to take @uuid's clock from, instead of
 *	the one from before the kexec, made on this host; 0: none
 * @record_bytes: in: its length; 0 if @record is
 * @reserved: in: must be 0
 *
 * Who has the descriptor can call on it, without capability and without /dev/kvm,
 * KCH_IOC_INFO (without what is said of the records and the region), KCH_IOC_GET,
 * KCH_IOC_RESTORE and KCH_IOC_WAIT, for this one clock.  KCH_IOC_GET of
 * KCH_OUTGOING gives the VM's clock as it is now, of KCH_INCOMING what came from
 * before the kexec.  So a privileged process can open the clock of an entry, and pass
 * it to a VMM that may do nothing else.
 *
 * In a kernel with LUO, of which the driver is a part, it is also for /dev/liveupdate:
 * the clock of a VM, preserved in a session by its token, and retrieved from it after
 * the kexec, has the clock that the VM had.  It keeps the VM, though not the VM's
 * memory, until it is closed, so that it can be preserved when the VM's process has
 * ended.  Once restored from, it is the clock of the new VM.
 *
 * Errors of these are those described there; ENODATA: it has not been through a
 * kexec, or has no VM yet; ENOENT: another clock was asked for.
 *
 * Errors: EBADF EBADFD EIO ECHILD ENXIO ELIBBAD EMFILE; with @vm_fd -1 ENODATA
 * ENOENT EBADMSG EPROTONOSUPPORT.
 */
struct kch_clock_fd {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__s32 fd;
	__u8  uuid[KCH_UUID_SIZE];
	char  name[KCH_NAME_SIZE];
	char  message[KCH_MESSAGE_SIZE];
	__u64 record;
	__u32 record_bytes;
	__u32 reserved;
};

#define KCH_RECORD_BYTES_MAX	0x800000	/* of a record that a caller gives */

/* struct kch_finish::flags */
#define KCH_FINISH_DISCARD	(1U << 0) /* also VMs not restored, or damaged */

/**
 * struct kch_finish - KCH_IOC_FINISH: the incoming record is no longer needed
 * @size: in: sizeof(struct kch_finish)
 * @flags: in: KCH_FINISH_*
 * @restored: out: VMs of the record that were restored
 * @left: out: VMs that were not
 * @message: out: why it was refused
 *
 * Errors: ENODEV ENODATA EBUSY ENOTEMPTY EREMOTEIO; EBADMSG, EPROTONOSUPPORT for an
 * unusable record without KCH_FINISH_DISCARD.
 */
struct kch_finish {
	__u32 size;
	__u32 flags;
	__u32 restored;
	__u32 left;
	char  message[KCH_MESSAGE_SIZE];
};

#define KCH_IOC_TYPE		0xC7
#define KCH_IOC_INFO		_IO(KCH_IOC_TYPE, 0x00)
#define KCH_IOC_PRESERVE	_IO(KCH_IOC_TYPE, 0x01)
#define KCH_IOC_UNPRESERVE	_IO(KCH_IOC_TYPE, 0x02)
#define KCH_IOC_LIST		_IO(KCH_IOC_TYPE, 0x03)
#define KCH_IOC_GET		_IO(KCH_IOC_TYPE, 0x04)
#define KCH_IOC_READ		_IO(KCH_IOC_TYPE, 0x05)
#define KCH_IOC_RESTORE		_IO(KCH_IOC_TYPE, 0x06)
#define KCH_IOC_FINISH		_IO(KCH_IOC_TYPE, 0x07)
#define KCH_IOC_ADOPT		_IO(KCH_IOC_TYPE, 0x08)
#define KCH_IOC_CLOCK_FD	_IO(KCH_IOC_TYPE, 0x09)
#define KCH_IOC_WAIT		_IO(KCH_IOC_TYPE, 0x0a)

#endif /* _UAPI_LINUX_KVMCLOCK_HANDOVER_H */
