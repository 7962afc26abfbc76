/* SPDX-License-Identifier: GPL-2.0 */
/* The region: memory that survives the kexec, and is nobody else's. */
#ifndef KCH_REGION_H
#define KCH_REGION_H

#include "core/record.h"

#define KCH_REGION_MIN	4096
#define KCH_REGION_MAX	(64 << 20)

/**
 * struct kch_region - where the records are kept
 * @backend: what kind of memory it is; KCH_BACKEND_NONE: there is none
 * @start: physical address
 * @size: bytes
 * @memory: its mapping; records for the next kernel are written here
 * @incoming: where records from before the kexec are; the same as @memory but
 *	with KCH_BACKEND_KHO, whose memory is another after each kexec; NULL if
 *	nothing came
 * @incoming_size: bytes
 * @incoming_error: 0, or why what came cannot be looked at: -EBADMSG,
 *	-EPROTONOSUPPORT
 * @incoming_message: that in words; if nothing came, where it was looked for
 * @why: why this backend is used
 */
struct kch_region {
	enum kch_backend backend;
	phys_addr_t start;
	size_t size;
	void *memory;
	const void *incoming;
	size_t incoming_size;
	int incoming_error;
	struct kch_message incoming_message;
	struct kch_message why;
};

/**
 * struct kch_region_wish - the module parameters that name it, NULL if not given
 * @backend: "auto" (or NULL), "range", "reserve_mem", "kho"
 * @range: "START,SIZE"
 * @label: of a reserve_mem=
 * @kho_size: bytes to preserve with KHO
 */
struct kch_region_wish {
	const char *backend;
	const char *range;
	const char *label;
	unsigned long kho_size;
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
int kch_region_claim(struct kch_region *region,
		     const struct kch_region_wish *wish,
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
