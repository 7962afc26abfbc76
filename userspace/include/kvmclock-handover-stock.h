/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-handover without the module: a VM's clock saved and restored with
 * KVM's own ioctls.  For hosts on which the module cannot be loaded, and for VMs
 * that it refuses because they have no master clock.
 *
 * A VMM calls, before the kexec, with its vCPUs stopped:
 *
 *	kch_open_stock, kch_stock_save
 *
 * and keeps the buffer with the guest's other state;
 *
 * after it, for the same guest in a new VM:
 *
 *	KVM_CREATE_VM, kch_stock_prepare, KVM_CREATE_VCPU for each vCPU,
 *	all other guest state, kch_stock_restore, KVM_RUN
 *
 * TSC offsets are restored exactly.  kvmclock is restored with an error that is
 * measured and reported, and runs at the rate of the new kernel: that is mode
 * converged; the module gives identical.  kvmclock-handover.h has the conventions.
 * Nothing here needs CAP_SYS_ADMIN, but only the process that made the VM can do it.
 *
 * Errnos with the same meaning for all functions: -EBADF, -EBADFD (@vm_fd is not a VM, or
 * a descriptor not a vCPU), -EIO (the VM was not made by this process, or is dead),
 * -ENOSYS (no KVM_VCPU_TSC_OFFSET), -ENXIO (KVM's frequency cannot be asked), -EXDEV (a
 * vCPU is of another VM), -EMLINK (the VM has one more vCPU), -ELIBBAD (a vCPU's TSC
 * disagrees with its offset and frequency).
 */
#ifndef KVMCLOCK_HANDOVER_STOCK_H
#define KVMCLOCK_HANDOVER_STOCK_H

#include <kvmclock-handover.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KCH_PVCLOCK_SIZE	32	/* struct pvclock_vcpu_time_info, bytes */

/**
 * kch_open_stock() - a handle without the module
 *
 * For the functions of this header; others that ask the device return -ENOTTY.
 * Close it with kch_close().
 *
 * Return: the handle; NULL with errno set: ENOMEM.
 */
KCH_API struct kch_handle *kch_open_stock(void);

/**
 * struct kch_stock_vcpu - a vCPU to be saved
 * @vcpu_id: in: the id given to KVM_CREATE_VCPU
 * @fd: in: what that returned
 * @pvclock: in: the guest's pvclock page, KCH_PVCLOCK_SIZE bytes at the guest
 *	physical address in MSR_KVM_SYSTEM_TIME_NEW (or MSR_KVM_SYSTEM_TIME).  The
 *	lowest bit of the MSR is not part of the address: it enables the page.  NULL if
 *	that bit is clear
 */
struct kch_stock_vcpu {
	uint32_t vcpu_id;
	int32_t fd;
	const void *pvclock;
};

/**
 * kch_stock_save() - a VM's clock as bytes
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @vm_fd: in: the VM
 * @vcpus: in: all its vCPUs, in any order; none runs
 * @count: in: length of @vcpus
 * @uuid: in: an id for the VM, not all zero
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none
 * @buffer: out: the clock, to be kept with the guest's other state; NULL if
 *	*@size is 0
 * @size: in: bytes @buffer has; out: bytes the clock has
 *
 * The bytes are a record as the module writes it (region-abi.rst), with this one VM;
 * kvmclockctl decode shows it.  Members that only the module can know are 0.  The
 * clock is taken from the guest's pages and compared with KVM_GET_CLOCK; if no page is
 * given it is taken from KVM_GET_CLOCK.
 *
 * If the VM has no master clock, each page is ahead of KVM's clock by the time that
 * passed while KVM wrote it.  The largest such time, plus how far KVM's clock may be
 * from what was read of it, is struct kch_vm_info::kvmclock_slack_ns.
 *
 * All vCPUs of the VM that this process has open must be given, and none of another
 * VM.  To check that, KVM_CAP_X86_TRIPLE_FAULT_EVENT is switched for a moment: do not
 * use KVM_GET_VCPU_EVENTS or KVM_SET_VCPU_EVENTS on this VM meanwhile.
 *
 * Return: 0; -ENOBUFS (*@size tells what is needed); -EINVAL (no vCPU, one
 * given twice or by the id of another, @vcpus is NULL, @uuid is all zero, @name has a
 * control character), -ENAMETOOLONG,
 * -EBADMSG (@pvclock is not a pvclock page), -ESTALE (a page disagrees with KVM's clock:
 * it is other memory, or KVM's clock was set and the vCPU has not run since), -EOVERFLOW
 * (the slack does not fit kvmclock_slack_ns), -ENOTRECOVERABLE (KVM changes a vCPU's TSC
 * offset itself: catch-up); -EBADF, -EBADFD, -EIO, -ENOSYS, -ENXIO, -EXDEV, -EMLINK,
 * -ELIBBAD, -ENOMEM.
 */
KCH_API int kch_stock_save(struct kch_handle *handle, int vm_fd, const struct kch_stock_vcpu *vcpus,
			   size_t count, const uint8_t uuid[KCH_UUID_SIZE], const char *name,
			   void *buffer, size_t *size);

/**
 * kch_stock_vm() - the clock that kch_stock_save() made
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @buffer: in: what kch_stock_save() made; need not be trusted
 * @size: in: its length, bytes
 * @vm: out: the clock, to be freed with kch_vm_free()
 *
 * For kch_vm_info(), kch_vm_vcpu(), and kch_vm_compare().
 *
 * Return: 0, or -ENODATA (no record), -EBADMSG (damaged, or something else),
 * -EPROTONOSUPPORT (of a newer version), -ENOMEM.
 */
KCH_API int kch_stock_vm(struct kch_handle *handle, const void *buffer,
			 size_t size, struct kch_vm **vm);

/**
 * kch_stock_prepare() - give a new VM the saved TSC frequency
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @vm_fd: in: the new VM, made by this process, without vCPUs
 * @buffer: in: what kch_stock_save() made
 * @size: in: its length, bytes
 *
 * Return: 0, or as kch_stock_vm(); -ERANGE (the host's TSC cannot give the saved
 * frequency); -EINVAL (the frequency is above what KVM allows, or the VM has vCPUs
 * already and another frequency); -EBADF, -EBADFD, -EIO, -ENXIO.  Older kernels do not
 * check for vCPUs: then kch_stock_restore() refuses, with -ERANGE.
 */
KCH_API int kch_stock_prepare(struct kch_handle *handle, int vm_fd,
			      const void *buffer, size_t size);

/**
 * kch_stock_restore() - give a VM its saved clock, by KVM's own ioctls
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @vm_fd: in: the new VM
 * @vcpus: in: all its vCPUs, in any order
 * @count: in: length of @vcpus
 * @buffer: in: what kch_stock_save() made; need not be trusted
 * @size: in: its length, bytes
 * @opts: in: options, or NULL: then the weakest mode is KCH_MODE_CONVERGED.  Without
 *	KCH_RESTORE_HOLD and KCH_RESTORE_ELSEWHERE, which the module does
 * @result: in: its member sz; out: the rest, also after a refusal; or NULL
 *
 * Callable when kch_vm_restore() is.  Writes each vCPU's saved TSC offset, and an armed
 * MSR_IA32_TSC_DEADLINE again, so that its timer goes by that TSC.  Then it sets
 * the clock with KVM_SET_CLOCK, compares what KVM_GET_CLOCK returns with the saved clock
 * at the same host TSC, corrects, and repeats, until the error is at most
 * @opts->bound_ns or @opts->rounds_max is reached.  The error reported is that after
 * the last write.  At any later time, unless the clock is set again,
 *
 *	|error| <= |error_ns| + error_slack_ns + KCH_ROUNDING_NS
 *		   + error_growth_ppb * time since host_tsc
 *
 * That is the error of KVM's clock, which is what the guest reads while the VM has a master
 * clock.  Without one, what it reads is off by at most the kvmclock_slack_ns more that a
 * kch_stock_save() of the new pages gives; vmm-integration.rst says why.
 *
 * If @handle has the module, that is told: what it has of this guest is out of date then
 * (KCH_RESTORE_ELSEWHERE).
 *
 * @vcpus must be all of the VM's, as for kch_stock_save(), and that is checked in the
 * same way.  After a refusal the old TSC offsets are back, and so is the old clock, to
 * within the duration of the call.
 *
 * Return: 0, or as kch_stock_vm(); -EREMCHG (of another machine), -ETIME (the
 * host TSC did not run on), -EBADRQC (time is to be hidden, and the clock may not be the
 * guest's last), -ENOTRECOVERABLE (a vCPU was in TSC catch-up when it was saved);
 * -EINVAL, -ELNRNG, -ERANGE, -EDOM, -EOVERFLOW, -E2BIG as kch_vm_restore(); -ENOSYS also
 * where the weakest mode accepted is identical, which needs the module; -EREMOTEIO (the
 * module could not note it); -EBADF, -EBADFD, -EIO, -EXDEV, -EMLINK, -ELIBBAD, -ENXIO,
 * -ENOMEM.
 */
KCH_API int kch_stock_restore(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
			      size_t count, const void *buffer, size_t size,
			      const struct kch_restore_opts *opts,
			      struct kch_restore_result *result);

/**
 * kch_export() - a VM's clock as bytes, for another host, or for later
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @vm_fd: in: the VM
 * @vcpus: in: all its vCPUs, as for kch_stock_save(); NULL: the module reads the VM, which
 *	may be of any process, and may be running
 * @count: in: length of @vcpus; 0 if that is NULL
 * @uuid: in: an id for the VM, not all zero
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none
 * @buffer: out: the clock, to be carried with the guest's other state; NULL if *@size is 0
 * @size: in: bytes @buffer has; out: bytes the clock has
 *
 * The bytes are a record with this one VM (region-abi.rst).  They tie kvmclock to this
 * host's wall clock, and say how good that is: what adjtimex(2) tells.  A guest that runs
 * on after it has a clock that goes on as the bytes say.
 *
 * Return: 0, or as kch_stock_save(); with @vcpus NULL as kch_vm_read(), -ENOTRECOVERABLE
 * (a vCPU is in TSC catch-up), -EOPNOTSUPP (no master clock: only the VMM, with @vcpus, can
 * export it), -ENODATA (no vCPU has run), -ENOBUFS (*@size tells what is needed).
 */
KCH_API int kch_export(struct kch_handle *handle, int vm_fd, const struct kch_stock_vcpu *vcpus,
		       size_t count, const uint8_t uuid[KCH_UUID_SIZE], const char *name,
		       void *buffer, size_t *size);

/* struct kch_restore_opts::flags that kch_import() takes */
#define KCH_IMPORT_FLAGS	(KCH_RESTORE_CHECK | KCH_RESTORE_ANY_WALL | KCH_RESTORE_BEST_EFFORT)

/**
 * kch_import() - give a VM the clock that kch_export() made, on any host
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @vm_fd: in: the new VM, whose frequency kch_stock_prepare() has set
 * @vcpus: in: all its vCPUs, in any order; may be NULL where the module restores
 * @count: in: length of @vcpus
 * @buffer: in: what kch_export() made; need not be trusted
 * @size: in: its length, bytes
 * @opts: in: options, or NULL: then the weakest mode is KCH_MODE_IDENTICAL with the module,
 *	KCH_MODE_CONVERGED without.  Its policy: what of the time since the export the guest's
 *	clocks go on by.  Of the flags KCH_IMPORT_FLAGS; KCH_RESTORE_ANY_WALL: take a wall
 *	clock that is not synchronised.  blackout_ms_max must be 0
 * @result: in: its member sz; out: the rest, also after a refusal; or NULL
 *
 * Callable when kch_vm_restore() is.  kvmclock is then what it was at the export and
 * @result->elapsed_ns more, give or take @result->wall_bound_ns; the vCPUs' TSCs belong to
 * that as they did, and are as far from each other.  With the module kvmclock is the same
 * function of the guest's TSC as it was, to the bit, and the errors in @result->outcome are
 * 0.  Without it they are those of kch_stock_restore(), besides.  The guest should be told
 * that its time was disrupted.  Nothing keeps the same bytes from being imported twice.
 *
 * Return: 0, or as kch_stock_restore() but for -EREMCHG, -ETIME and -EBADRQC, with the module
 * as kch_vm_restore(); -ENOTCONN (a wall clock was not synchronised, or the bytes do not say
 * so), -EILSEQ (the export is in the future by more than both clocks may be off), -ERANGE
 * (another frequency, and a CPU that cannot scale), -EAGAIN (this host's TSC counts for some
 * seconds only).
 */
KCH_API int kch_import(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		       size_t count, const void *buffer, size_t size,
		       const struct kch_restore_opts *opts, struct kch_restore_result *result);

/**
 * kch_import_fd() - the clock that kch_export() made, as a descriptor for a VM of this host
 * @handle: what kch_open() returned
 * @vm_fd: in: the VM, of any process: for what its KVM can scale
 * @buffer: in: what kch_export() made; need not be trusted
 * @size: in: its length, bytes
 * @opts: in: as for kch_import(), or NULL
 * @result: in: its member sz; out: policy, hidden_ns, elapsed_ns, wall_bound_ns, by_tai; or
 *	NULL
 *
 * The same as kch_import() with the module, in two steps: the descriptor is of the clock as
 * it is here, as kch_clock_fd() makes them.  It can be passed to another process, and
 * KCH_IOC_RESTORE on it can hold the VM.
 *
 * Return: the descriptor, close-on-exec; or as kch_import() and kch_clock_fd().
 */
KCH_API int kch_import_fd(struct kch_handle *handle, int vm_fd, const void *buffer, size_t size,
			  const struct kch_restore_opts *opts, struct kch_restore_result *result);

#ifdef __cplusplus
}
#endif

#endif /* KVMCLOCK_HANDOVER_STOCK_H */
