/* SPDX-License-Identifier: GPL-2.0 */
/* The region: memory that survives the kexec, and is nobody else's. */
#ifndef KCH_REGION_H
#define KCH_REGION_H

#include "core/record.h"

#define KCH_REGION_MIN	4096
#define KCH_REGION_MAX	(64 << 20)

/* Where the records are kept. */
struct kch_region {
	enum kch_backend backend;	/* KCH_BACKEND_NONE: there is none */
	phys_addr_t start;
	size_t size;
	void *memory;		/* its mapping; records for the next kernel go there */
	/*
	 * Records from before the kexec; the same as @memory but with KHO, whose memory
	 * is another after each kexec.  NULL: nothing came.
	 */
	const void *incoming;
	size_t incoming_size;
	int incoming_error;	/* -EBADMSG, -EPROTONOSUPPORT: it cannot be looked at */
	struct kch_message incoming_message;	/* why; or where it was looked for */
	struct kch_message why;	/* this backend is used */
};

/* The module parameters that name it, NULL if not given. */
struct kch_region_wish {
	const char *backend;	/* "auto" (or NULL), "range", "reserve_mem", "kho" */
	const char *range;	/* "START,SIZE" */
	const char *label;	/* of a reserve_mem= */
	unsigned long kho_size;	/* bytes to preserve with KHO */
};

/*
 * Claims and maps what the module parameters name.  With "auto" that is what is
 * named by @range or @label; without them KHO, if this kernel has it and it is
 * on; else nothing, which is no error.
 *
 * -EINVAL not of that form, or contradictory; -EDOM not page-aligned; -EMSGSIZE
 * too small or too large; -EADDRINUSE RAM in use; -EADDRNOTAVAIL not reserved;
 * -EBUSY claimed by another driver; -ENOENT no such label;
 * -EOPNOTSUPP the kernel has no reserve_mem= or no KHO, or it is off; -ENOMEM.
 */
int kch_region_claim(struct kch_region *region, const struct kch_region_wish *wish,
		     struct kch_message *message);
void kch_region_release(struct kch_region *region);

/* Do incoming and outgoing records share memory, a slot each? */
static inline bool kch_region_shared(const struct kch_region *region)
{
	return region->incoming && region->incoming == region->memory;
}

/* The incoming records are done with: their memory goes back, if it is their own. */
void kch_region_finish_incoming(struct kch_region *region);

/*
 * Whether there is something in the region that a next kernel needs.  Memory
 * preserved with KHO is lost with the module: it is then held.
 */
void kch_region_hold(const struct kch_region *region, bool needed);

#endif /* KCH_REGION_H */
