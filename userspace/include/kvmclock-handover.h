/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-handover: give a virtual machine its clock back after the host's
 * kernel was replaced by kexec.
 *
 * A VMM calls, before the kexec:
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
 * - The errnos of the device's ioctls are passed on unchanged; the table is in
 *   <linux/kvmclock_handover.h>.  Every function that takes a handle can return
 *   those listed there for every ioctl.
 * - No function returns -EINTR: an ioctl that a signal interrupts is repeated
 *   with signals blocked.
 * - Structures whose first member is @sz grow in later versions.  The caller
 *   sets it to sizeof(the structure).  An input structure that is longer than
 *   the library's is refused with -E2BIG unless the excess is zero.  An output
 *   structure is filled in as far as both sides know it, and zero behind that.
 *   A NULL options pointer means all defaults.
 * - Functions of one handle must not be called by two threads at once.
 * - UUIDs are 16 bytes in the order of their text form.  All zero is no UUID.
 * - The device needs CAP_SYS_ADMIN.  Two kinds of handle do not: one of a single
 *   clock (kch_clock_fd()), and one without the module (kvmclock-handover-stock.h).
 * - VMs of other processes can be read and saved through a descriptor.  KVM's own
 *   ioctls, which the weaker modes use, work only in the process that made the VM.
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

/* The opened device, or one VM's clock, or neither (kch_open_stock()). */
struct kch_handle;

/* One VM's clock: from a record, or live at one instant.  Does not change. */
struct kch_vm;

/**
 * struct kch_open_opts - options of kch_open()
 * @sz: in: sizeof(struct kch_open_opts)
 * @device: in: path of the device; NULL for KCH_DEVICE
 * @clock_fd: in: descriptor of one VM's clock, from kch_clock_fd(); 0: none.
 *	kch_vm_get() and kch_vm_restore() then use this clock, not the device's
 *	incoming record.  The descriptor stays the caller's and must stay open.
 *	If @device is NULL and the device cannot be opened, the handle has this
 *	clock alone: for a VMM without a capability
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
 * Return: the handle, to be closed with kch_close(); NULL with errno set:
 * ENOENT (the module is not loaded), EPERM or EACCES (not privileged), ENOTTY
 * (the file is not the device), EINVAL (@opts is too short), E2BIG (@opts has
 * unknown bytes set), ENOMEM, or another errno of open(2).
 */
KCH_API struct kch_handle *kch_open(const struct kch_open_opts *opts);

/**
 * kch_clock_fd() - one VM's clock as a descriptor, to pass to its VMM
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM, of any process; -1: the clock of @uuid in the incoming
 *	record
 * @uuid: in: the VM's id
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none; must be
 *	NULL if @vm_fd is -1
 *
 * A process that has the descriptor can read this one clock, and restore it to a VM of
 * its own, without a capability, /dev/kvm or the device: see @clock_fd of struct
 * kch_open_opts.  Pass it with SCM_RIGHTS, or clear close-on-exec and pass it over exec.
 *
 * Return: the descriptor, close-on-exec, or any errno of KCH_IOC_CLOCK_FD as a
 * negative number; -ENAMETOOLONG, or -EINVAL for a control character (@name).
 */
KCH_API int kch_clock_fd(struct kch_handle *handle, int vm_fd,
			 const uint8_t uuid[KCH_UUID_SIZE], const char *name);

/**
 * kch_use_kvm() - an open /dev/kvm, for a process that cannot open it
 * @handle: what kch_open() or kch_open_stock() returned
 * @kvm_fd: in: the descriptor; -1: /dev/kvm is opened where it is needed, as without this
 *	call.  It stays the caller's, and must stay open
 *
 * It is needed without the module, and by the weaker modes, for the frequency that KVM
 * computes clocks from.
 *
 * Return: 0, or -EBADF; -EBADFD (@kvm_fd is not /dev/kvm).
 */
KCH_API int kch_use_kvm(struct kch_handle *handle, int kvm_fd);

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
 * Return: a text for people without a newline, valid until the next call on the
 * handle.  Empty when the last call was successful, with three exceptions: a restore in
 * a mode weaker than identical (why the module refused), a kch_vm_save() that replaced a
 * VM (which one), and a kch_stock_restore() that cannot tell by its id that this is the
 * machine.
 */
KCH_API const char *kch_last_message(const struct kch_handle *handle);

/**
 * kch_info() - what the module is and has
 * @handle: what kch_open() returned
 * @info: in: its size member, sizeof(struct kch_info); out: the rest
 *
 * Return: 0, or an errno of every ioctl.
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
 * Return: 0, or any errno of KCH_IOC_LIST, among them -ENODATA: there is no incoming
 * record.
 */
KCH_API int kch_list(struct kch_handle *handle, enum kch_which which, size_t entry_size,
		     struct kch_entry **entries, uint32_t *count);

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
 * @wall_maxerror_us: how far @realtime_ns and @tai_ns may be off, us; of a record that
 *	kch_export() made
 * @wall_flags: KCH_HOST_INFO_WALL_*; 0: not said
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
	uint32_t wall_maxerror_us;
	uint32_t wall_flags;
};

#define KCH_HOST_INFO_WALL_SYNCED (1U << 0) /* wall_maxerror_us is a bound */
#define KCH_HOST_INFO_WALL_TAI	(1U << 1) /* tai_ns is TAI */

/**
 * kch_host() - the host part of a record
 * @handle: what kch_open() returned
 * @which: the record
 * @host: in: its member sz; out: the rest
 *
 * Return: 0, or any errno of KCH_IOC_GET, among them -ENODATA (there is no such
 * record); -EBADMSG (it is shorter than any version of it was), -EINVAL (sz is too
 * small).
 */
KCH_API int kch_host(struct kch_handle *handle, enum kch_which which, struct kch_host_info *host);

/**
 * kch_vm_get() - one VM's clock from a record
 * @handle: what kch_open() returned
 * @which: the record
 * @uuid: in: the id it was saved under
 * @vm: out: the clock, to be freed with kch_vm_free()
 *
 * Return: 0, or any errno of KCH_IOC_GET, among them -ENODATA (there is no incoming
 * record) and -ENOENT (no VM of that id); -EINVAL (@uuid is all zero), -EBADMSG (the
 * module's answer is malformed), -ENOMEM.
 */
KCH_API int kch_vm_get(struct kch_handle *handle, enum kch_which which,
		       const uint8_t uuid[KCH_UUID_SIZE], struct kch_vm **vm);

/**
 * struct kch_live_info - what kch_vm_read() tells besides the clock
 * @sz: in: sizeof(struct kch_live_info)
 * @host_tsc: host TSC at which the two rebase numbers were taken, cycles
 * @rebase_step_ns: by how much the guest's kvmclock would step now if KVM took a new
 *	master clock reference, or if what KVM_GET_CLOCK returns were set with
 *	KVM_SET_CLOCK, ns
 * @rebase_bound_ns: upper bound of that step as long as the module keeps the clock,
 *	ns; 0: the module does not keep it
 * @pid: the process that has the VM; 0 unknown
 * @kvm_tsc_khz: the frequency KVM computes this VM's clock from, kHz; 0 unknown
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
 * Return: 0, or any errno of KCH_IOC_READ; -EBADMSG (the module's answer is
 * malformed), -EINVAL (sz is too small), -ENOMEM.
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
#define KCH_VM_INFO_STALE	(1U << 4) /* its clock may have changed since */
#define KCH_VCPU_INFO_PAIR_VALID	(1U << 0) /* mul and shift: it has run */
#define KCH_VCPU_INFO_PVCLOCK_ON	(1U << 1) /* the guest enabled its page */
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
 * @kvmclock_slack_ns: without a master clock: how far @kvmclock_ns may be off KVM's
 *	clock, plus how far what the guest reads may be off that, ns; 0: exact, or
 *	not known
 * @used: not 0: the clock was given back already
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
	uint64_t used;
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
KCH_API int kch_vm_vcpu(const struct kch_vm *vm, uint32_t index, struct kch_vcpu_info *info);

/**
 * struct kch_vcpu_error - how far a vCPU's live clock is from the saved one
 * @sz: in: sizeof(struct kch_vcpu_error)
 * @vcpu_id: the vCPU
 * @identical: 1 if TSC and kvmclock have the same value at every host TSC; then
 *	@ns, @cycles and @rate_ppb are 0.  Else 0
 * @ns: live kvmclock minus saved kvmclock, ns
 * @cycles: live guest TSC minus saved guest TSC, cycles
 * @rate_ppb: how much faster the live kvmclock runs, parts per 1e9; INT64_MAX: not
 *	known, because a vCPU has not run, or there is no master clock
 * @slack_ns: how far @ns may be off, ns; 0 if the live VM has a master clock.  If it
 *	has none @ns is about KVM's clock, from which KVM makes the guest's pages
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
 * @saved: in: the clock as it should be
 * @live: in: the clock as it is; read on the same machine since its last reset
 * @index: in: vCPU of @saved, 0 to its vcpu_count - 1; the vCPU of @live with
 *	the same vcpu_id is compared with it
 * @host_tsc: in: the host TSC at which to compare, cycles, not before the
 *	master_cycle_now of either; 0: the one at which @live was read.  If @live has
 *	no master clock, only that one is possible
 * @error: in: its member sz; out: the rest
 *
 * Pure: no handle, no I/O.
 *
 * Return: 0, or -EINVAL (sz is too small, @index too large, or @host_tsc before a
 * reference), -ENOENT (@live has no such vCPU), -EOPNOTSUPP (@saved was read without
 * a master clock; or @live was, and its clock is not known at @host_tsc).
 */
KCH_API int kch_vm_compare(const struct kch_vm *saved, const struct kch_vm *live, uint32_t index,
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
 * The clock is read now, and again by the kernel when it reboots, or when the VM goes
 * away.  If a VM was saved under that id and is gone, it is replaced, and
 * kch_last_message() says so.
 *
 * Return: 0, or any errno of KCH_IOC_PRESERVE; -ENAMETOOLONG (@name), -EINVAL (@opts; a
 * control character in @name), -E2BIG (@opts).
 */
KCH_API int kch_vm_save(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE],
			const char *name, const struct kch_save_opts *opts);

/**
 * kch_vm_unsave() - take a VM out of the record for the next kernel
 * @handle: what kch_open() returned
 * @uuid: in: the id it was saved under
 *
 * Return: 0, or any errno of KCH_IOC_UNPRESERVE.
 */
KCH_API int kch_vm_unsave(struct kch_handle *handle, const uint8_t uuid[KCH_UUID_SIZE]);

/**
 * kch_vm_prepare() - give a new VM the saved TSC frequency
 * @handle: what kch_open() returned
 * @vm_fd: in: the new VM, made by this process
 * @uuid: in: the id it was saved under
 *
 * Callable after KVM_CREATE_VM and before the first KVM_CREATE_VCPU.  Uses
 * KVM_SET_TSC_KHZ on the VM, unless the VM has that frequency already.
 *
 * Return: 0, or -ENODATA, -ENOENT as kch_vm_get(); -EBADFD (@vm_fd is not a KVM
 * VM), -EBADF, -EIO (not made by this process, or dead); -EBUSY (it has vCPUs
 * already); -ERANGE (without TSC scaling the host's TSC is further off the saved
 * frequency than KVM tolerates, 250 ppm by default, or the saved vCPUs had different
 * ones); -EINVAL (the frequency is above what KVM allows).  With a handle of one clock, and
 * where the module does not understand this KVM, whether there are vCPUs is told as by
 * kch_stock_prepare().
 */
KCH_API int kch_vm_prepare(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE]);

/**
 * struct kch_vcpu_fd - a vCPU of the new VM
 * @vcpu_id: in: the id given to KVM_CREATE_VCPU
 * @fd: in: what that returned
 */
struct kch_vcpu_fd {
	uint32_t vcpu_id;
	int32_t fd;
};

/*
 * struct kch_restore_opts::flags, besides those of the device: in a weaker mode,
 * accept a clock whose error is larger than @bound_ns, too.
 */
#define KCH_RESTORE_BEST_EFFORT	(1U << 31)

#define KCH_ROUNDS_DEFAULT	100
#define KCH_ROUNDS_MAX		10000

/**
 * struct kch_restore_opts - options of a restore
 * @sz: in: sizeof(struct kch_restore_opts)
 * @flags: in: KCH_RESTORE_*; not KCH_RESTORE_HOLD (-EINVAL), which is for the ioctl
 * @mode: in: the weakest enum kch_mode accepted; 0: KCH_MODE_IDENTICAL, for
 *	kch_stock_restore() KCH_MODE_CONVERGED
 * @bound_ns: in: for modes weaker than identical, the largest error of kvmclock that
 *	is accepted, ns; 0: the smallest that is found in the rounds
 * @rounds_max: in: how often KVM_SET_CLOCK is tried to reach that, at most
 *	KCH_ROUNDS_MAX; 0: KCH_ROUNDS_DEFAULT
 * @blackout_ms_max: in: the longest blackout that the guest may be restored after, ms;
 *	0: however long
 * @policy: in: enum kch_policy: what of the time that passed is hidden from the guest.
 *	Without the module KCH_POLICY_DEFAULT is KCH_POLICY_CONTINUE
 * @limit_ms: in: with KCH_POLICY_LIMIT, ms; else 0
 */
struct kch_restore_opts {
	size_t sz;
	uint32_t flags;
	uint32_t mode;
	uint64_t bound_ns;
	uint32_t rounds_max;
	uint32_t blackout_ms_max;
	uint32_t policy;
	uint32_t limit_ms;
};

/*
 * By how much two readings of an error may differ although the clocks have the same
 * rate, ns.  Each clock is rounded down to whole ns (1 ns), and a page's negative shift
 * drops low bits of the cycles (less than 1 ns): 2 ns for each clock.  KVM's references
 * are whole ns of its host clock.  The sum is below 5 ns.
 */
#define KCH_ROUNDING_NS		4

/**
 * struct kch_restore_result - what a restore reached, measured
 * @sz: in: sizeof(struct kch_restore_result)
 * @outcome: as KCH_IOC_RESTORE gives it; in a mode weaker than identical,
 *	rebase_bound_ns and page in it are 0
 * @error_slack_ns: how far error_ns may be off, ns: without a master clock KVM does
 *	not give its clock and the host TSC of one instant, and the guest's pages are
 *	off KVM's clock
 * @error_growth_ppb: how fast the error grows, at most, parts per 1e9 of the time
 *	since host_tsc; 0 for KCH_MODE_IDENTICAL
 * @tsc_rate_ppb: how much faster the guest's TSC runs than before, parts per 1e9,
 *	rounded toward zero; error_cycles grows at that rate.  0 unless the mode is
 *	KCH_MODE_CONTINUOUS
 * @rounds: times KVM_SET_CLOCK was tried
 * @refusal: if kch_vm_restore() or kch_import() reached a mode weaker than identical: the
 *	errno (positive) with which the module refused; else 0
 * @policy: enum kch_policy that was followed; 0: the module is older than policies
 * @limit_ms: of that policy
 * @hidden_ns: time that the guest's clocks do not have because of it, ns; not 0: the
 *	guest should be told.  The outcome's errors are by the clock without it
 * @elapsed_ns: of kch_import(): time since the export that the clocks went on by, ns
 * @wall_bound_ns: of kch_import(): how far @elapsed_ns may be off, ns: by what both hosts
 *	knew of their wall clocks, the readings, and the rounding to cycles.  UINT64_MAX:
 *	a wall clock was not synchronised, and nobody knows
 * @by_tai: of kch_import(): 1: by TAI, 0: by CLOCK_REALTIME, off by leap seconds between
 * @reserved: 0
 */
struct kch_restore_result {
	size_t sz;
	struct kch_outcome outcome;
	uint64_t error_slack_ns;
	uint64_t error_growth_ppb;
	int64_t tsc_rate_ppb;
	uint32_t rounds;
	int32_t refusal;
	uint32_t policy;
	uint32_t limit_ms;
	uint64_t hidden_ns;
	uint64_t elapsed_ns;
	uint64_t wall_bound_ns;
	uint32_t by_tai;
	uint32_t reserved;
};

/**
 * kch_vm_restore() - give a VM its saved clock
 * @handle: what kch_open() returned
 * @vm_fd: in: the new VM
 * @vcpus: in: all its vCPUs, in any order; needed for a weaker mode only, else NULL
 * @count: in: length of @vcpus; 0 if that is NULL
 * @uuid: in: the id it was saved under
 * @opts: in: options, or NULL
 * @result: in: its member sz; out: the rest, also after a refusal; or NULL
 *
 * Callable when the VM has all its vCPUs, all their MSRs are set, and none of them is
 * in KVM_RUN (-EBUSY).  Any process can call it that has descriptors of the VM and of
 * its vCPUs, its own or duplicates; the module finds the vCPUs' among the caller's open
 * files, not in @vcpus.  After it, do not use KVM_SET_CLOCK and do not write
 * MSR_IA32_TSC or MSR_IA32_TSC_ADJUST: that changes the clock again.
 *
 * The module checks everything before it writes, and puts everything back if it has to
 * refuse later; user-abi.rst says what it writes.
 *
 * If @opts->mode is weaker than identical, and the module refuses for a reason that
 * still allows a weaker mode (EOPNOTSUPP, EAGAIN, EPFNOSUPPORT, ERANGE, EOVERFLOW,
 * ELIBBAD, ENXIO), the clock is restored as kch_stock_restore() does it, in the
 * strongest mode possible and with the same bound on the error.
 * @result->outcome.mode, @result->refusal and kch_last_message() tell so.  If the
 * scaling ratio is not the saved one (ERANGE) that mode is KCH_MODE_CONTINUOUS.  For all
 * other reasons, such as a TSC that was reset, the call is refused.
 *
 * MSR_IA32_TSC_ADJUST is not changed: it is guest state, which the VMM saves and
 * restores like any other, before this call.
 *
 * Return: 0, or any errno of KCH_IOC_RESTORE; -EINVAL (bad @opts, or @vcpus names a
 * vCPU twice or by the id of another), -E2BIG (unknown @opts), -ELNRNG (@vcpus are not
 * those that were saved), -ERANGE (a vCPU's frequency is not the saved one: call
 * kch_vm_prepare() before making vCPUs; or the host's TSC cannot give it), -EDOM (a
 * weaker mode's error stayed above @opts->bound_ns, without KCH_RESTORE_BEST_EFFORT),
 * -EOVERFLOW (an offset did not read back as written); -EBADF, -EBADFD, -EIO, -ENOSYS,
 * -EXDEV, -EMLINK, -ELIBBAD, -ENXIO as kvmclock-handover-stock.h says; -ENOMEM.
 */
KCH_API int kch_vm_restore(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
			   size_t count, const uint8_t uuid[KCH_UUID_SIZE],
			   const struct kch_restore_opts *opts, struct kch_restore_result *result);

/**
 * kch_vm_adopt() - give added vCPUs the clock their VM has
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM
 * @adopted: out: vCPUs that got it; or NULL
 *
 * Call it between making a vCPU and its first KVM_RUN, in a VM with a restored clock;
 * its other vCPUs may be running.  Without it KVM computes the new vCPU's clock from
 * the host's present frequency.  It then differs from the others' by rebase_bound_ns at
 * most, until the module's next look, within a second.
 *
 * Return: 0, or any errno of KCH_IOC_ADOPT.
 */
KCH_API int kch_vm_adopt(struct kch_handle *handle, int vm_fd, uint32_t *adopted);

/**
 * kch_finish() - drop the incoming record
 * @handle: what kch_open() returned
 * @flags: in: 0, or KCH_FINISH_DISCARD
 * @restored: out: VMs of the record that were restored; or NULL
 * @left: out: VMs that were not; or NULL
 *
 * Return: 0, or any errno of KCH_IOC_FINISH.
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
KCH_API void kch_uuid_format(const uint8_t uuid[KCH_UUID_SIZE], char text[KCH_UUID_TEXT_SIZE]);

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
