/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-handover: give a virtual machine its clock back after the host's
 * kernel was replaced by kexec.
 *
 * What a VMM does before the kexec:
 *
 *	kch_open, kch_vm_save
 *
 * and after it, for the same guest in a new VM:
 *
 *	KVM_CREATE_VM, kch_vm_prepare, KVM_CREATE_VCPU for each vCPU,
 *	all other guest state, kch_vm_restore, KVM_RUN
 *
 * Conventions, unless a function says otherwise:
 *
 * - A function that can fail returns 0 or a negative errno, and sets errno to
 *   its positive value.  A refusal changes nothing.  kch_last_message() tells
 *   what was found, what was expected and what that means for the guest.
 * - The errnos of the device's ioctls are passed on as they are; the table is
 *   in <linux/kvmclock_handover.h>.  Every function that takes a handle can
 *   return those marked there for every ioctl.
 * - Signals are held back while the device, or KVM, is asked, and what was
 *   interrupted all the same is asked again: no function returns -EINTR.
 * - Structures whose first member is @sz grow in later versions.  The caller
 *   sets it to sizeof(the structure).  An input structure that is longer than
 *   the library's is refused with -E2BIG unless the rest is zero; of an output
 *   structure as many bytes are filled in as both sides know, and the rest is
 *   set to zero.  A NULL options pointer means all defaults.
 * - Functions of one handle must not be called by two threads at once.
 * - UUIDs are 16 bytes in the order of their text form.  All zero is no UUID.
 * - Calling them needs CAP_SYS_ADMIN, but for those of kvmclock-handover-stock.h
 *   with a handle that is without the module; reading and saving works on VMs
 *   of other processes, but KVM lets only the process that made a VM write to
 *   it.
 */
#ifndef KVMCLOCK_HANDOVER_H
#define KVMCLOCK_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvmclock_handover.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KCH_API __attribute__((visibility("default")))

#define KCH_UUID_TEXT_SIZE	37	/* with the terminating NUL */

/* The opened device. */
struct kch_handle;

/* One VM's clock: out of a record, or live at one instant.  Immutable. */
struct kch_vm;

/**
 * struct kch_open_opts - options of kch_open()
 * @sz: in: sizeof(struct kch_open_opts)
 * @device: in: path of the device; NULL for KCH_DEVICE
 * @clock_fd: in: descriptor of one VM's clock (kch_clock_fd()), from which that
 *	VM is got and restored instead of from the device's incoming record; 0: none.
 *	It stays the caller's and must stay open.  Without @device the handle is
 *	opened also if the device cannot be: for a VMM that has no capability
 * @reserved: in: must be 0
 */
struct kch_open_opts {
	size_t sz;
	const char *device;
	int32_t clock_fd;
	uint32_t reserved;
};

/**
 * kch_open() - open the device
 * @opts: in: options, or NULL
 *
 * Callable at any time.
 *
 * Return: the handle, to be closed with kch_close(); NULL with errno set:
 * ENOENT (the module is not loaded), EPERM or EACCES (not privileged), ENOTTY
 * (the file is not the device), EINVAL (@opts is too short), E2BIG (@opts has
 * unknown bytes set), ENOMEM, or another errno of open(2).
 */
KCH_API struct kch_handle *kch_open(const struct kch_open_opts *opts);

/**
 * kch_clock_fd() - one VM's clock as a descriptor, to be passed to its VMM
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM, of any process; -1: the clock of @uuid that came from before
 *	the kexec
 * @uuid: in: the VM's id
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none, and with
 *	@vm_fd -1
 *
 * Who has the descriptor can read this one clock, and restore it to a VM of its own,
 * without a capability, /dev/kvm or the device: see @clock_fd of struct
 * kch_open_opts.  It is passed on as any other (SCM_RIGHTS, or over exec: it is
 * close-on-exec).
 *
 * Return: the descriptor, close-on-exec, or any errno of KCH_IOC_CLOCK_FD as a
 * negative number; -ENAMETOOLONG (@name).
 */
KCH_API int kch_clock_fd(struct kch_handle *handle, int vm_fd,
			 const uint8_t uuid[KCH_UUID_SIZE], const char *name);

/**
 * kch_close() - close the device
 * @handle: what kch_open() returned, or NULL
 *
 * VMs that were saved stay saved.
 */
KCH_API void kch_close(struct kch_handle *handle);

/**
 * kch_fd() - the file descriptor of the device
 * @handle: what kch_open() returned
 *
 * Return: the file descriptor; it belongs to the handle.
 */
KCH_API int kch_fd(const struct kch_handle *handle);

/**
 * kch_last_message() - why the last call on this handle failed
 * @handle: what kch_open() returned
 *
 * Return: a text for people without a newline, empty when the last call was
 * successful, but for a restore in a mode weaker than identical that the module
 * refused: then why it did; and for a kch_vm_save() that replaced a VM: then which.
 * Valid until the next call on the handle.
 */
KCH_API const char *kch_last_message(const struct kch_handle *handle);

/**
 * kch_info() - what the module is and has
 * @handle: what kch_open() returned
 * @info: in: its size member, sizeof(struct kch_info); out: the rest
 *
 * Callable at any time.  Only the errors of every ioctl.
 */
KCH_API int kch_info(struct kch_handle *handle, struct kch_info *info);

/**
 * kch_list() - the VMs of a record
 * @handle: what kch_open() returned
 * @which: the record
 * @entry_size: sizeof(struct kch_entry)
 * @entries: out: an array, to be freed with free(); NULL if there are none
 * @count: out: its length
 *
 * Return: 0, or -ENODATA: there is no incoming record.
 */
KCH_API int kch_list(struct kch_handle *handle, enum kch_which which,
		     size_t entry_size, struct kch_entry **entries,
		     uint32_t *count);

/**
 * struct kch_host_info - what a record says of the host that wrote it
 * @sz: in: sizeof(struct kch_host_info)
 * @vm_count: VMs in the record
 * @sealed: 1 if it was finished by the reboot path, else 0
 * @sequence: grows with every record written
 * @generation: kexecs this chain of records has passed through
 * @host_tsc: host TSC at the instant of the following four times, cycles
 * @realtime_ns: CLOCK_REALTIME, ns since 1970
 * @tai_ns: CLOCK_TAI, ns
 * @boottime_ns: CLOCK_BOOTTIME, ns
 * @raw_ns: CLOCK_MONOTONIC_RAW, ns
 * @tsc_khz: the writing kernel's TSC frequency, kHz
 * @kvm_tsc_khz: the frequency its KVM computed guest clocks from, kHz; 0 when
 *	it was not known
 * @tsc_source: enum kch_tsc_source
 * @cpu_signature: CPUID leaf 1 EAX
 * @boot_id: the writing kernel's boot id
 * @machine_id: the machine's DMI product UUID; all zero if it has none
 * @cpu_vendor: first four characters of the CPUID vendor string, and a NUL
 * @kernel_release: uname -r
 * @module_version: version of the module that wrote it
 */
struct kch_host_info {
	size_t sz;
	uint32_t vm_count;
	uint32_t sealed;
	uint64_t sequence;
	uint64_t generation;
	uint64_t host_tsc;
	uint64_t realtime_ns;
	uint64_t tai_ns;
	uint64_t boottime_ns;
	uint64_t raw_ns;
	uint32_t tsc_khz;
	uint32_t kvm_tsc_khz;
	uint32_t tsc_source;
	uint32_t cpu_signature;
	uint8_t boot_id[KCH_UUID_SIZE];
	uint8_t machine_id[KCH_UUID_SIZE];
	char cpu_vendor[8];
	char kernel_release[64];
	char module_version[16];
};

/**
 * kch_host() - the host part of a record
 * @handle: what kch_open() returned
 * @which: the record
 * @host: in: its member sz; out: the rest
 *
 * Return: 0, or -ENODATA (there is no such record), -EBADMSG (it is shorter
 * than any version of it was), -EINVAL (sz is too small).
 */
KCH_API int kch_host(struct kch_handle *handle, enum kch_which which,
		     struct kch_host_info *host);

/**
 * kch_vm_get() - one VM's clock out of a record
 * @handle: what kch_open() returned
 * @which: the record
 * @uuid: in: the id it was saved under
 * @vm: out: the clock, to be freed with kch_vm_free()
 *
 * Return: 0, or -ENODATA (there is no incoming record), -ENOENT (no VM of that
 * id), -EINVAL (@uuid is all zero), -EBADMSG (the answer makes no sense),
 * -ENOMEM.
 */
KCH_API int kch_vm_get(struct kch_handle *handle, enum kch_which which,
		       const uint8_t uuid[KCH_UUID_SIZE], struct kch_vm **vm);

/**
 * struct kch_live_info - what kch_vm_read() tells besides the clock
 * @sz: in: sizeof(struct kch_live_info)
 * @host_tsc: host TSC at which the two rebase numbers were taken, cycles
 * @rebase_step_ns: by how much the guest's kvmclock would step if it became what
 *	KVM says it is, by a new reference or by KVM_SET_CLOCK of what KVM_GET_CLOCK
 *	returned, ns
 * @rebase_bound_ns: what that stays below as long as the module keeps the clock,
 *	ns; 0: it does not
 * @pid: the process that has the VM; 0 unknown
 * @kvm_tsc_khz: the frequency KVM computes guest clocks from, kHz; 0 unknown
 */
struct kch_live_info {
	size_t sz;
	uint64_t host_tsc;
	int64_t rebase_step_ns;
	uint64_t rebase_bound_ns;
	int32_t pid;
	uint32_t kvm_tsc_khz;
};

/**
 * kch_vm_read() - a VM's clock as it is now
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM, of any process (see pidfd_getfd(2)); may be running
 * @vm: out: the clock, to be freed with kch_vm_free()
 * @live: in: its member sz; out: the rest; or NULL
 *
 * Changes nothing.
 *
 * Return: 0, or -EBADF, -EBADFD, -EIO, -ECHILD, -ELIBBAD as KCH_IOC_READ;
 * -EBADMSG (the answer makes no sense), -EINVAL (sz is too small), -ENOMEM.
 */
KCH_API int kch_vm_read(struct kch_handle *handle, int vm_fd,
			struct kch_vm **vm, struct kch_live_info *live);

/**
 * kch_vm_free() - free a VM's clock
 * @vm: what kch_vm_get() or kch_vm_read() returned, or NULL
 */
KCH_API void kch_vm_free(struct kch_vm *vm);

/* struct kch_vm_info::flags and struct kch_vcpu_info::flags */
#define KCH_VM_INFO_MASTER_CLOCK (1U << 0) /* KVM's master clock is on */
#define KCH_VM_INFO_RUNNING	(1U << 1) /* a vCPU was in an ioctl meanwhile */
#define KCH_VM_INFO_AT_SEAL	(1U << 2) /* read again at the reboot */
#define KCH_VM_INFO_AT_END	(1U << 3) /* read again when it went away */
#define KCH_VM_INFO_STALE	(1U << 4) /* it may have had another clock since */
#define KCH_VCPU_INFO_PAIR	(1U << 0) /* mul and shift: it has run */
#define KCH_VCPU_INFO_PVCLOCK	(1U << 1) /* the guest enabled its page */
#define KCH_VCPU_INFO_CATCHUP	(1U << 2) /* KVM moves its TSC offset */

/**
 * struct kch_vm_info - a VM's part of its clock
 * @sz: in: sizeof(struct kch_vm_info)
 * @uuid: its id; of a live VM the one it was restored or saved under, all zero
 *	if it was neither
 * @name: its name; may be empty
 * @vcpu_count: vCPUs it has
 * @flags: KCH_VM_INFO_*
 * @master_cycle_now: host TSC of the master clock reference, cycles
 * @master_kernel_ns: KVM's host clock at the reference, ns
 * @kvmclock_offset: kvmclock minus KVM's host clock, ns
 * @host_tsc: host TSC when this was read, cycles
 * @kvmclock_ns: kvmclock of the first vCPU at @host_tsc, ns
 * @tsc_scaling_frac_bits: fraction bits of the scaling ratios: an unscaled vCPU
 *	has the ratio 1 << @tsc_scaling_frac_bits
 * @default_tsc_khz: frequency a new vCPU gets, kHz
 * @pid: the process that had the VM; 0 unknown
 * @kvmclock_slack_ns: how far @kvmclock_ns may be off KVM's clock, and what the
 *	guest read off that, together, ns; 0 not said, or exact
 */
struct kch_vm_info {
	size_t sz;
	uint8_t uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
	uint32_t vcpu_count;
	uint32_t flags;
	uint64_t master_cycle_now;
	uint64_t master_kernel_ns;
	int64_t kvmclock_offset;
	uint64_t host_tsc;
	uint64_t kvmclock_ns;
	uint32_t tsc_scaling_frac_bits;
	uint32_t default_tsc_khz;
	int32_t pid;
	uint32_t kvmclock_slack_ns;
};

/**
 * kch_vm_info() - a VM's part of its clock
 * @vm: what kch_vm_get() or kch_vm_read() returned
 * @info: in: its member sz; out: the rest
 *
 * Return: 0, or -EINVAL: sz is too small.
 */
KCH_API int kch_vm_info(const struct kch_vm *vm, struct kch_vm_info *info);

/**
 * struct kch_vcpu_info - a vCPU's part of a clock
 * @sz: in: sizeof(struct kch_vcpu_info)
 * @vcpu_id: the id given to KVM_CREATE_VCPU
 * @flags: KCH_VCPU_INFO_*
 * @tsc_offset: guest TSC minus scaled host TSC, cycles, modulo 2^64
 * @tsc_scaling_ratio: guest frequency over host frequency, fixed point
 * @ia32_tsc_adjust: MSR_IA32_TSC_ADJUST, cycles
 * @pvclock_gpa: guest physical address of its pvclock page, 0 if off
 * @virtual_tsc_khz: frequency the guest was promised, kHz
 * @hw_tsc_khz: frequency the pair was computed from, kHz
 * @tsc_to_system_mul: as in the pvclock page
 * @tsc_shift: as in the pvclock page
 * @pvclock_flags: flags byte of the pvclock page
 */
struct kch_vcpu_info {
	size_t sz;
	uint32_t vcpu_id;
	uint32_t flags;
	uint64_t tsc_offset;
	uint64_t tsc_scaling_ratio;
	int64_t ia32_tsc_adjust;
	uint64_t pvclock_gpa;
	uint32_t virtual_tsc_khz;
	uint32_t hw_tsc_khz;
	uint32_t tsc_to_system_mul;
	int32_t tsc_shift;
	uint32_t pvclock_flags;
};

/**
 * kch_vm_vcpu() - a vCPU's part of a clock
 * @vm: what kch_vm_get() or kch_vm_read() returned
 * @index: in: 0 to vcpu_count - 1; ascending by vcpu_id
 * @info: in: its member sz; out: the rest
 *
 * Return: 0, or -EINVAL: sz is too small, or @index too large.
 */
KCH_API int kch_vm_vcpu(const struct kch_vm *vm, uint32_t index,
			struct kch_vcpu_info *info);

/**
 * struct kch_vcpu_error - how far a vCPU's live clock is from the saved one
 * @sz: in: sizeof(struct kch_vcpu_error)
 * @vcpu_id: the vCPU
 * @identical: 1 if TSC and kvmclock are the same functions, with the same value at
 *	every host TSC (then the other three are 0), else 0
 * @ns: live kvmclock minus saved kvmclock, ns
 * @cycles: live guest TSC minus saved guest TSC, cycles
 * @rate_ppb: how much faster the live kvmclock runs, parts per 1e9; INT64_MAX
 *	when that is not known, because a vCPU has not run, or there is no master clock
 * @slack_ns: how far @ns may be off, ns; not 0 only where the live VM has no master
 *	clock: then @ns is of KVM's clock, which its pages are made from now and then
 */
struct kch_vcpu_error {
	size_t sz;
	uint32_t vcpu_id;
	uint32_t identical;
	int64_t ns;
	int64_t cycles;
	int64_t rate_ppb;
	uint64_t slack_ns;
};

/**
 * kch_vm_compare() - compare two clocks, evaluated at one host TSC
 * @saved: in: as it should be
 * @live: in: as it is; from the same boot of the machine
 * @index: in: vCPU of @saved, 0 to its vcpu_count - 1; the vCPU of @live with
 *	the same vcpu_id is compared with it
 * @host_tsc: in: where to compare, cycles, not before the master_cycle_now of
 *	either; 0 for the one @live was read at, which is the only one possible
 *	if @live has no master clock
 * @error: in: its member sz; out: the rest
 *
 * Pure: no handle, no I/O.
 *
 * Return: 0, or -EINVAL (sz is too small, @index too large, or @host_tsc before a
 * reference), -ENOENT (@live has no such vCPU), -EOPNOTSUPP (one of them was read
 * without master clock, so that there is no one function to compare; of @live, only
 * if its clock is not known at @host_tsc).
 */
KCH_API int kch_vm_compare(const struct kch_vm *saved,
			   const struct kch_vm *live, uint32_t index,
			   uint64_t host_tsc, struct kch_vcpu_error *error);

/**
 * struct kch_save_opts - options of kch_vm_save()
 * @sz: in: sizeof(struct kch_save_opts)
 * @flags: in: must be 0
 * @reserved: in: must be 0
 */
struct kch_save_opts {
	size_t sz;
	uint32_t flags;
	uint32_t reserved;
};

/**
 * kch_vm_save() - put a VM's clock into the record for the next kernel
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM, of any process; may be running
 * @uuid: in: an id, not all zero, that the VM will be known by after the kexec
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none
 * @opts: in: options, or NULL
 *
 * The clock is read now, and once more by the kernel itself when it reboots, or
 * when the VM goes away.  A VM of that id that is gone is replaced;
 * kch_last_message() then says so, and is empty otherwise.
 *
 * Return: 0, or -EBADF, -EBADFD, -EIO, -ECHILD, -EOPNOTSUPP, -ENOTRECOVERABLE,
 * -EPFNOSUPPORT, -ELIBBAD, -ENODEV, -EEXIST, -ENOTUNIQ, -ENOSPC, -ESHUTDOWN, -EREMOTEIO as
 * KCH_IOC_PRESERVE; -ENAMETOOLONG (@name), -EINVAL or -E2BIG (@opts).
 */
KCH_API int kch_vm_save(struct kch_handle *handle, int vm_fd,
			const uint8_t uuid[KCH_UUID_SIZE], const char *name,
			const struct kch_save_opts *opts);

/**
 * kch_vm_unsave() - take a VM out of the record for the next kernel
 * @handle: what kch_open() returned
 * @uuid: in: the id it was saved under
 *
 * Return: 0, or -ENODEV, -ENOENT, -ESHUTDOWN, -EREMOTEIO as KCH_IOC_UNPRESERVE.
 */
KCH_API int kch_vm_unsave(struct kch_handle *handle,
			  const uint8_t uuid[KCH_UUID_SIZE]);

/**
 * kch_vm_prepare() - give a new VM the saved TSC frequency
 * @handle: what kch_open() returned
 * @vm_fd: in: the new VM, made by this process
 * @uuid: in: the id it was saved under
 *
 * Callable after KVM_CREATE_VM and before the first KVM_CREATE_VCPU.  Uses
 * KVM_SET_TSC_KHZ on the VM, unless the VM has that frequency already.  On a
 * CPU without TSC scaling a frequency further from the host's than KVM
 * tolerates (250 ppm by default) is refused: KVM would emulate it by moving
 * TSC offsets, and the guest's TSC could not be the saved one.
 *
 * Return: 0, or -ENODATA, -ENOENT as kch_vm_get(); -EBADFD (@vm_fd is not a KVM
 * VM), -EBADF, -EIO (not made by this process, or dead); -EBUSY (it has vCPUs
 * already); -ERANGE (the host's TSC cannot give the saved frequency, or the
 * saved vCPUs had different ones); -EINVAL (the frequency is above what KVM
 * allows).
 */
KCH_API int kch_vm_prepare(struct kch_handle *handle, int vm_fd,
			   const uint8_t uuid[KCH_UUID_SIZE]);

/**
 * struct kch_vcpu_fd - a vCPU of the new VM
 * @vcpu_id: the id given to KVM_CREATE_VCPU
 * @fd: what that returned
 */
struct kch_vcpu_fd {
	uint32_t vcpu_id;
	int32_t fd;
};

/*
 * struct kch_restore_opts::flags, besides those of the device: accept a clock
 * of a weaker mode whose error is larger than @bound_ns, too.
 */
#define KCH_RESTORE_BEST_EFFORT	(1U << 31)

#define KCH_ROUNDS_DEFAULT	100
#define KCH_ROUNDS_MAX		10000

/**
 * struct kch_restore_opts - options of a restore
 * @sz: in: sizeof(struct kch_restore_opts)
 * @flags: in: KCH_RESTORE_*
 * @mode: in: the weakest enum kch_mode accepted; 0 for KCH_MODE_IDENTICAL, or
 *	KCH_MODE_CONVERGED of kch_stock_restore()
 * @bound_ns: in: of the modes weaker than identical, the error of kvmclock that
 *	is small enough, ns; 0: none, take the best of the rounds
 * @rounds_max: in: how often KVM_SET_CLOCK is tried to get there, at most
 *	KCH_ROUNDS_MAX; 0 for KCH_ROUNDS_DEFAULT
 * @reserved: in: must be 0
 */
struct kch_restore_opts {
	size_t sz;
	uint32_t flags;
	uint32_t mode;
	uint64_t bound_ns;
	uint32_t rounds_max;
	uint32_t reserved;
};

/*
 * By how much two readings of an error may differ although the clocks have
 * the same rate, ns.  Either clock is whole ns, rounded down, of cycles that a
 * page's negative shift takes the low bits of, which are less than another ns:
 * 2 ns for each.  And KVM's references are whole ns of its host clock.  All of
 * that together is below 5 ns.
 */
#define KCH_ROUNDING_NS		4

/**
 * struct kch_restore_result - what a restore reached, measured
 * @sz: in: sizeof(struct kch_restore_result)
 * @outcome: as of KCH_IOC_RESTORE; of a mode weaker than identical, its
 *	rebase_bound_ns and page are 0
 * @error_slack_ns: how far error_ns may be off, because KVM could not be asked
 *	for clock and host TSC of one instant, and the guest's pages were off, ns
 * @error_growth_ppb: at most so fast the error grows, parts per 1e9 of the time
 *	that has passed since host_tsc; 0 for KCH_MODE_IDENTICAL
 * @tsc_rate_ppb: how much faster the guest's TSC runs than it did, parts per
 *	1e9, rounded toward zero: not 0 only for KCH_MODE_CONTINUOUS; error_cycles
 *	grows at that rate
 * @rounds: times KVM_SET_CLOCK was tried
 * @refusal: of a mode weaker than identical that kch_vm_restore() reached: the
 *	errno (positive) with which the module refused that; else 0
 */
struct kch_restore_result {
	size_t sz;
	struct kch_outcome outcome;
	uint64_t error_slack_ns;
	uint64_t error_growth_ppb;
	int64_t tsc_rate_ppb;
	uint32_t rounds;
	int32_t refusal;
};

/**
 * kch_vm_restore() - give a VM its saved clock
 * @handle: what kch_open() returned
 * @vm_fd: in: the new VM
 * @vcpus: in: all its vCPUs, in any order, for a weaker mode; NULL: no weaker mode
 * @count: in: length of @vcpus; 0 if that is NULL
 * @uuid: in: the id it was saved under
 * @opts: in: options, or NULL
 * @result: in: its member sz; out: the rest, also after a refusal; or NULL
 *
 * Callable when the VM has all its vCPUs with all their MSRs (writing
 * MSR_IA32_TSC or MSR_IA32_TSC_ADJUST later moves the TSC offset) and none of
 * them is in KVM_RUN (-EBUSY).  By any process that has descriptors of the VM and
 * its vCPUs, its own or duplicates: the module takes the vCPUs' from the caller's
 * table, not from @vcpus.  Do not use KVM_SET_CLOCK or write a TSC after it: that
 * undoes it.
 *
 * The module checks everything first; then it sets what is not as saved (the
 * vCPUs' frequency and KVM_VCPU_TSC_OFFSET), writes each armed
 * MSR_IA32_TSC_DEADLINE again, has KVM take a reference, and writes the exact
 * clock over that.  If it refuses then, all is put back.
 *
 * If @opts->mode is weaker than identical and the module refuses for a reason
 * that leaves a weaker mode true (EOPNOTSUPP, EAGAIN, EPFNOSUPPORT, ERANGE,
 * EOVERFLOW, ELIBBAD, ENXIO), the strongest of them is reached as
 * kch_stock_restore() does, with the same promise about the error; @result->outcome.mode,
 * @result->refusal and kch_last_message() say so.  With another scaling ratio than the saved one
 * (ERANGE) that is KCH_MODE_CONTINUOUS at the best.  All other reasons, a reset
 * TSC for one, refuse.
 *
 * MSR_IA32_TSC_ADJUST is not touched: it is guest state that the VMM saves and
 * restores as any other, before this call.
 *
 * Return: 0, or any errno of KCH_IOC_RESTORE; -EBADF, -EBADFD (a member of
 * @vcpus is not a vCPU), -ELNRNG (@vcpus are not those that were saved),
 * -ERANGE (a vCPU's frequency is not the saved one: call kch_vm_prepare()
 * before making vCPUs), -ENOSYS (this kernel has no KVM_VCPU_TSC_OFFSET), -EIO
 * (not made by this process), -EINVAL (bad @opts, or @vcpus names a vCPU twice
 * or by the id of another), -EXDEV (a vCPU is of another VM), -EMLINK (the VM has one
 * more vCPU), -E2BIG (unknown @opts), -EDOM (a weaker mode's error
 * stayed above @opts->bound_ns), -ENOMEM.
 */
KCH_API int kch_vm_restore(struct kch_handle *handle, int vm_fd,
			   const struct kch_vcpu_fd *vcpus, size_t count,
			   const uint8_t uuid[KCH_UUID_SIZE],
			   const struct kch_restore_opts *opts,
			   struct kch_restore_result *result);

/**
 * kch_vm_adopt() - give added vCPUs the clock their VM has
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM
 * @adopted: out: vCPUs that got it; or NULL
 *
 * To be called between making a vCPU and its first KVM_RUN, in a VM that runs
 * on with a restored clock; the other vCPUs may be running.  Without it the new
 * vCPU's clock is computed from the host's present frequency, and may differ from
 * the others' until the module looks, a second later, by rebase_bound_ns at most.
 *
 * Return: 0, or any errno of KCH_IOC_ADOPT.
 */
KCH_API int kch_vm_adopt(struct kch_handle *handle, int vm_fd,
			 uint32_t *adopted);

/**
 * kch_finish() - the incoming record is no longer needed
 * @handle: what kch_open() returned
 * @flags: in: 0, or KCH_FINISH_DISCARD
 * @restored: out: VMs of the record that were restored; or NULL
 * @left: out: VMs that were not; or NULL
 *
 * Return: 0, or -ENODEV, -ENODATA, -ENOTEMPTY, -EREMOTEIO, -EBADMSG,
 * -EPROTONOSUPPORT as KCH_IOC_FINISH.
 */
KCH_API int kch_finish(struct kch_handle *handle, uint32_t flags,
		       uint32_t *restored, uint32_t *left);

/**
 * kch_uuid_parse() - a UUID from its text form
 * @text: in: 32 hexadecimal digits, with or without the usual four hyphens
 * @uuid: out: its bytes
 *
 * Return: 0, or -EINVAL: not a UUID, or all zero.
 */
KCH_API int kch_uuid_parse(const char *text, uint8_t uuid[KCH_UUID_SIZE]);

/**
 * kch_uuid_format() - a UUID's text form
 * @uuid: in: its bytes
 * @text: out: 36 characters and a NUL
 */
KCH_API void kch_uuid_format(const uint8_t uuid[KCH_UUID_SIZE],
			     char text[KCH_UUID_TEXT_SIZE]);

/**
 * kch_mode_name() - the name of a mode
 * @mode: enum kch_mode
 *
 * Return: "none", "realtime", "continuous", "converged", "identical", or "unknown".
 */
KCH_API const char *kch_mode_name(uint32_t mode);

#ifdef __cplusplus
}
#endif

#endif /* KVMCLOCK_HANDOVER_H */
