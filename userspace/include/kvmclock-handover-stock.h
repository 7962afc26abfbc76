/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-handover without the module: a VM's clock saved and restored with
 * KVM's own ioctls, for a host on which the module cannot be loaded, and for
 * VMs that it refuses because they have no master clock.
 *
 * What a VMM does before the kexec, with its vCPUs stopped:
 *
 *	kch_open_stock, kch_stock_save; the buffer goes with the guest's state
 *
 * and after it, for the same guest in a new VM:
 *
 *	KVM_CREATE_VM, kch_stock_prepare, KVM_CREATE_VCPU for each vCPU,
 *	all other guest state, kch_stock_restore, KVM_RUN
 *
 * TSC offsets come back exactly.  kvmclock comes back with an error that is
 * measured and reported, and at the rate of the new kernel: mode converged,
 * where the module gives identical.  kvmclock-handover.h has the
 * conventions; nothing here needs CAP_SYS_ADMIN, but it all has to be done by
 * the process that made the VM.
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
 * For the functions of this header only; all others that ask the device refuse
 * with -ENOTTY.  To be closed with kch_close().
 *
 * Return: the handle; NULL with errno set: ENOMEM.
 */
KCH_API struct kch_handle *kch_open_stock(void);

/**
 * struct kch_stock_vcpu - a vCPU to be saved
 * @vcpu_id: in: the id given to KVM_CREATE_VCPU
 * @fd: in: what that returned
 * @pvclock: in: the KCH_PVCLOCK_SIZE bytes that the guest has where its
 *	MSR_KVM_SYSTEM_TIME_NEW (or MSR_KVM_SYSTEM_TIME) points to, whose lowest
 *	bit, the enable bit, is not part of the address; NULL if that bit is
 *	clear
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
 * @uuid: in: an id for it, not all zero
 * @name: in: for people, at most KCH_NAME_SIZE - 1 bytes; NULL for none
 * @buffer: out: the clock, to be kept with the guest's other state; NULL if
 *	*@size is 0
 * @size: in: bytes @buffer has; out: bytes the clock has
 *
 * The bytes are a record as the module writes it (region-abi.rst), with this
 * VM alone; kvmclockctl decode shows it.  A member that cannot be known without
 * the module is 0.  The clock function comes from the guest's own pages; without
 * any, from KVM_GET_CLOCK.  What is read is compared with what KVM says.
 *
 * Of a VM without a master clock each page is ahead of KVM's clock by what passed
 * while KVM wrote it.  How far the farthest is, and how far KVM's clock may be from
 * what was read of it, is together in struct kch_vm_info::kvmclock_slack_ns.
 *
 * All vCPUs of the VM that this process has open must be given, and no other VM's.
 * To find that out KVM_CAP_X86_TRIPLE_FAULT_EVENT is switched for an instant: nobody
 * may use KVM_GET_VCPU_EVENTS or KVM_SET_VCPU_EVENTS of this VM meanwhile.
 *
 * Return: 0; -ENOBUFS (*@size tells what is needed); -EINVAL (no vCPU, one
 * given twice or by the id of another, @vcpus is NULL, @uuid is all zero), -ENAMETOOLONG,
 * -EBADF, -EBADFD (@vm_fd or a vCPU is not what it should be), -EIO (not made
 * by this process, or dead), -ENOSYS (no KVM_VCPU_TSC_OFFSET), -ENXIO (KVM's
 * frequency cannot be asked), -EBADMSG (a page is none), -ESTALE (a page is
 * not what KVM's clock is: it is other memory, or KVM's clock was set and the
 * vCPU has not run since), -EXDEV (a vCPU is of another VM), -EMLINK (the VM has
 * one more vCPU), -EOVERFLOW (kvmclock_slack_ns has no room for it), -ELIBBAD (a
 * vCPU's TSC is not what its offset and frequency make it), -ENOTRECOVERABLE (KVM
 * moves a vCPU's TSC offset itself: catch-up), -ENOMEM.
 */
KCH_API int kch_stock_save(struct kch_handle *handle, int vm_fd,
			   const struct kch_stock_vcpu *vcpus, size_t count,
			   const uint8_t uuid[KCH_UUID_SIZE], const char *name,
			   void *buffer, size_t *size);

/**
 * kch_stock_vm() - the clock that is in the bytes
 * @handle: what kch_open_stock(), or kch_open(), returned
 * @buffer: in: what kch_stock_save() made; need not be trusted
 * @size: in: its length, bytes
 * @vm: out: the clock, to be freed with kch_vm_free()
 *
 * For kch_vm_info(), kch_vm_vcpu(), and kch_vm_compare().
 *
 * Return: 0, or -ENODATA, -EBADMSG (not such bytes, or damaged),
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
 * Return: 0, or as kch_stock_vm(); -EBADF, -EBADFD (@vm_fd is not a KVM VM), -EIO
 * (not made by this process, or dead); -ERANGE (the host's TSC cannot give the
 * saved frequency); -EINVAL (the frequency is above what KVM allows, or the VM
 * has vCPUs already and another frequency); -ENXIO (KVM's frequency cannot be
 * asked).  Older kernels do not look whether there are vCPUs: then it is
 * kch_stock_restore() that refuses, with -ERANGE.
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
 * @opts: in: options, or NULL: the weakest mode is KCH_MODE_CONVERGED then
 * @result: in: its member sz; out: the rest, also after a refusal; or NULL
 *
 * Callable when kch_vm_restore() is.  Writes each vCPU's saved TSC offset; then
 * KVM_SET_CLOCK, compares what KVM_GET_CLOCK gives with the saved clock at the
 * same host TSC, corrects, and repeats, until the error is at most
 * @opts->bound_ns or @opts->rounds_max is reached.  The error reported is that
 * after the last write.  Later it is, at any time,
 *
 *	|error| <= |error_ns| + error_slack_ns + KCH_ROUNDING_NS
 *		   + error_growth_ppb * time since host_tsc
 *
 * as long as nobody sets the clock again.  That is the difference between KVM's
 * clock, as KVM_GET_CLOCK tells it, and what the guest's old page would give at the
 * same host TSC.  While the VM has a master clock it is what the guest reads.  Without
 * one, a new page is ahead of KVM's clock, as the old one was.  By how much depends on
 * what interrupts the host while it writes the page: no call can bound that, but it
 * can be measured.  What the guest reads is off by more than the above by at most the
 * kvmclock_slack_ns of a kch_stock_save() that is given the new pages.
 *
 * @vcpus must be all of the VM, as for kch_stock_save(), and that is found out in the
 * same way.  If it refuses, the old TSC offsets and clock (this within the duration
 * of the call) are put back.
 *
 * Return: 0, or as kch_stock_vm(); -EREMCHG (of another machine), -ETIME (the
 * host TSC did not run on), -EXDEV (a vCPU is of another VM), -EMLINK (the VM has one
 * more vCPU), -ELNRNG, -EINVAL, -EBADF, -EBADFD, -ERANGE, -ENOSYS,
 * -EIO as kch_vm_restore(); -ENOSYS (only a mode was accepted that this kernel
 * does not have); -EDOM (the error stayed above the bound; nothing of it with
 * KCH_RESTORE_BEST_EFFORT); -EOVERFLOW (an offset did not read back as written);
 * -ENXIO, -E2BIG, -ENOMEM.
 */
KCH_API int kch_stock_restore(struct kch_handle *handle, int vm_fd,
			      const struct kch_vcpu_fd *vcpus, size_t count,
			      const void *buffer, size_t size,
			      const struct kch_restore_opts *opts,
			      struct kch_restore_result *result);

#ifdef __cplusplus
}
#endif

#endif /* KVMCLOCK_HANDOVER_STOCK_H */
