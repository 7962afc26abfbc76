/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-handover: telling a guest that its clock was disrupted, and only then.
 *
 * The vmclock page is a page of guest memory in which the VMM says whether what the guest
 * knows of its TSC still holds, and what time it is (version 1 of the layout in
 * <linux/vmclock-abi.h>; Linux 6.13 and later read it).  A VMM calls kch_vmclock_make()
 * for a new guest, keeps the page with the guest's memory, and calls kch_vmclock_restored()
 * each time it has restored the guest's clock, before the guest runs:
 *
 * - after a live update in which nothing was lost it writes nothing: the guest notices
 *   nothing, and has nothing to do;
 * - after any other restore the page's disruption marker changes, so that the guest
 *   forgets what it has measured of its clock, and the page's time is put right.
 *
 * If the page announces notifications (bit 9 of its flags) the VMM sends the one it has after
 * a call that changed the page.  All functions check the page first and change nothing if
 * they refuse:
 *
 *	-EBADMSG		it does not begin with the magic number
 *	-EPROTONOSUPPORT	it is of another version than 1
 *	-EMSGSIZE		its size is not one from the layout's length to
 *				KCH_VMCLOCK_SIZE
 *	-ECHRNG			its counter is not the TSC, and not none
 *	-EBUSY			an update of it is under way
 *
 * Nothing here needs the module: a handle of kch_open_stock() will do.  kvmclock-handover.h
 * has the conventions.
 */
#ifndef KVMCLOCK_HANDOVER_VMCLOCK_H
#define KVMCLOCK_HANDOVER_VMCLOCK_H

#include <kvmclock-handover.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KCH_VMCLOCK_SIZE	4096	/* of the page, bytes */

/**
 * enum kch_vmclock_time_type - what a page's time counts from
 * @KCH_VMCLOCK_UTC: 1970, without leap seconds.  Linux takes no PTP clock from it
 * @KCH_VMCLOCK_TAI: 1970, in International Atomic Time
 * @KCH_VMCLOCK_MONOTONIC: any instant.  Linux takes no PTP clock from it
 */
enum kch_vmclock_time_type {
	KCH_VMCLOCK_UTC		= 0,
	KCH_VMCLOCK_TAI		= 1,
	KCH_VMCLOCK_MONOTONIC	= 2,
};

/**
 * struct kch_vmclock_time - what time it is, as a function of the guest's TSC
 * @sz: in: sizeof(struct kch_vmclock_time)
 * @type: in: enum kch_vmclock_time_type
 * @synchronized: in: 1: the time is kept by an external reference; 0: it runs freely
 * @guest_tsc: in: the guest's TSC at @time_ns, cycles
 * @tsc_uhz: in: the TSC's frequency, 1e-6 Hz; 1e12 (1 MHz) to 1e17 (100 GHz)
 * @time_ns: in: the time, ns since what @type says
 * @esterror_ns: in: estimated error of @time_ns, ns; 0: not known
 * @maxerror_ns: in: largest possible error of @time_ns, ns; 0: not known
 * @esterror_ppb: in: estimated error of @tsc_uhz, parts per 1e9, at most 1e9; 0: not known
 * @maxerror_ppb: in: largest possible error of @tsc_uhz, parts per 1e9, at most 1e9; 0: not known
 */
struct kch_vmclock_time {
	size_t sz;
	uint32_t type;
	uint32_t synchronized;
	uint64_t guest_tsc;
	uint64_t tsc_uhz;
	uint64_t time_ns;
	uint64_t esterror_ns;
	uint64_t maxerror_ns;
	uint32_t esterror_ppb;
	uint32_t maxerror_ppb;
};

/**
 * kch_vmclock_make() - a new guest's page
 * @handle: in: any; for the message
 * @page: out: KCH_VMCLOCK_SIZE bytes of guest memory
 * @time: in: what time it is; NULL: the page says nothing of time, only whether there was
 *	a disruption
 *
 * Return: 0, or -EINVAL (a member of @time is out of its range, or its sz too small),
 * -E2BIG (unknown bytes of @time are set).
 */
KCH_API int kch_vmclock_make(struct kch_handle *handle, void *page,
			     const struct kch_vmclock_time *time);

/**
 * kch_vmclock_set_time() - what time it is now
 * @handle: in: any; for the message
 * @page: in/out: the page; the guest may be running
 * @time: in: what time it is
 *
 * For a VMM that keeps the page's time by its host's.  The TSC was not disrupted, and so
 * the marker does not change.
 *
 * Return: 0, or -EINVAL, -E2BIG as kch_vmclock_make(); -ENODATA (the page was made without
 * time; the guest has looked at that once, when it started); -EBADMSG, -EPROTONOSUPPORT,
 * -EMSGSIZE, -ECHRNG, -EBUSY.
 */
KCH_API int kch_vmclock_set_time(struct kch_handle *handle, void *page,
				 const struct kch_vmclock_time *time);

/* struct kch_vmclock_restore::flags */
#define KCH_VMCLOCK_IMPORTED	(1U << 0) /* from another host, or from before a reset */
#define KCH_VMCLOCK_COPY	(1U << 1) /* the guest may run, or have run on, elsewhere */

/**
 * struct kch_vmclock_restore - what became of a guest's clock
 * @sz: in: sizeof(struct kch_vmclock_restore)
 * @flags: in: KCH_VMCLOCK_*
 * @mode: in: enum kch_mode that the restore reached
 * @reserved: in: must be 0
 * @hidden_ns: in: by how much less than the time that passed the guest's TSC went on, ns
 * @maxerror_ns: in: by how much the restore, with @hidden_ns, may be wrong about the time,
 *	ns
 * @time: in: what time it is; NULL: what the page says is corrected by @hidden_ns
 */
struct kch_vmclock_restore {
	size_t sz;
	uint32_t flags;
	uint32_t mode;
	uint32_t reserved;
	uint64_t hidden_ns;
	uint64_t maxerror_ns;
	const struct kch_vmclock_time *time;
};

/**
 * kch_vmclock_restored() - tell a guest what became of its clock, if there is something
 * @handle: in: any; for the message
 * @page: in/out: the page as it was saved, in the guest's memory
 * @restore: in: what became of the clock
 * @told: out: 1 if the page was changed, else 0; or NULL
 *
 * If the mode is KCH_MODE_IDENTICAL, no time was hidden and no flag is set, nothing is
 * written, and @time is not looked at.  Else:
 *
 * - the disruption marker changes; with KCH_VMCLOCK_COPY the VM generation counter, too;
 * - the page's time, if it has one, becomes @time; without that it is moved by @hidden_ns,
 *   @maxerror_ns is added to its largest error, and its status becomes freerunning.  If the
 *   TSC is not the one the page was about (KCH_VMCLOCK_IMPORTED, a mode below
 *   KCH_MODE_CONVERGED) its status becomes unreliable: then Linux gives no time from it.
 *
 * Return: 0, or -EINVAL, -E2BIG (@restore or @time), -EOPNOTSUPP (KCH_VMCLOCK_COPY, and
 * the page has no VM generation counter), -EOVERFLOW (@hidden_ns or @maxerror_ns, added to
 * what the page says, exceeds 64 bits), -ENODATA (there is @time, and the page was made
 * without); -EBADMSG, -EPROTONOSUPPORT, -EMSGSIZE, -ECHRNG, -EBUSY.
 */
KCH_API int kch_vmclock_restored(struct kch_handle *handle, void *page,
				 const struct kch_vmclock_restore *restore, uint32_t *told);

#ifdef __cplusplus
}
#endif

#endif /* KVMCLOCK_HANDOVER_VMCLOCK_H */
