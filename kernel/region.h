/* SPDX-License-Identifier: GPL-2.0 */
/* The region: memory that survives the kexec, and is nobody else's. */
#ifndef KCH_REGION_H
#define KCH_REGION_H

#include "record.h"

/**
 * struct kch_region - where the records are kept
 * @backend: what kind of memory it is; KCH_BACKEND_NONE: there is none
 * @start: physical address
 * @size: bytes
 * @memory: its mapping
 */
struct kch_region {
	enum kch_backend backend;
	phys_addr_t start;
	size_t size;
	void *memory;
};

/*
 * Claims and maps what the module parameters name.  @range is "START,SIZE",
 * @label a reserve_mem= label; at most one is given, none is no error.
 *
 * -EINVAL not of that form, or both; -EDOM not page-aligned; -EMSGSIZE too
 * small or too large; -EADDRINUSE RAM in use; -EADDRNOTAVAIL not reserved, or
 * no memory there; -EBUSY claimed by another driver; -ENOENT no such label;
 * -EOPNOTSUPP the kernel has no reserve_mem=; -ENOMEM.
 */
int kch_region_claim(struct kch_region *region, const char *range,
		     const char *label, struct kch_message *message);
void kch_region_release(struct kch_region *region);

#endif /* KCH_REGION_H */
