// SPDX-License-Identifier: GPL-2.0
/* A range of physical memory that every kernel is told to keep its hands off. */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/sizes.h>

#include "kch_probed.h"
#include "region/range.h"

static bool parse_range(const char *range, u64 *start, u64 *size)
{
	char *end;

	*start = memparse(range, &end);
	if (end == range || *end != ',')
		return false;
	range = end + 1;
	*size = memparse(range, &end);
	return end != range && !*end;
}

static int check_size(u64 start, u64 size, struct kch_message *message)
{
	if (!PAGE_ALIGNED(start) || !PAGE_ALIGNED(size)) {
		kch_say(message, "region %#llx,%#llx: start and size must be multiples of %lu",
			start, size, PAGE_SIZE);
		return -EDOM;
	}
	if (size < KCH_REGION_MIN || size > KCH_REGION_MAX || start + size < start) {
		kch_say(message, "region of %llu bytes, possible are %u to %u",
			size, KCH_REGION_MIN, KCH_REGION_MAX);
		return -EMSGSIZE;
	}
	return 0;
}

/*
 * Whether there is memory at all is seen when the first record is read back: a try here
 * would write to what may be another's.
 */
static void use_memory(struct kch_region *region, enum kch_backend backend, u64 start, u64 size)
{
	region->backend = backend;
	region->start = start;
	region->size = size;
	region->incoming = region->memory;
	region->incoming_size = size;
}

int kch_region_claim_range(struct kch_region *region, const char *range,
			   struct kch_message *message)
{
	u64 start, size;
	int err;

	if (!parse_range(range, &start, &size)) {
		kch_say(message, "region=%s: expected START,SIZE, as in region=0x30000000,1M",
			range);
		return -EINVAL;
	}
	err = check_size(start, size, message);
	if (err)
		return err;
	if (region_intersects(start, size, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT) {
		kch_say(message, "region %#llx,%#llx is RAM this kernel uses: reserve it with memmap=%lluK$%#llx on its command line",
			start, size, size / SZ_1K, start);
		return -EADDRINUSE;
	}
	if (region_intersects(start, size, IORESOURCE_MEM,
			      IORES_DESC_RESERVED) != REGION_INTERSECTS) {
		kch_say(message, "region %#llx,%#llx is not reserved memory: reserve it with memmap=%lluK$%#llx on the kernel's command line",
			start, size, size / SZ_1K, start);
		return -EADDRNOTAVAIL;
	}
	if (!request_mem_region(start, size, "kvmclock_handover")) {
		kch_say(message, "region %#llx,%#llx: claimed by another driver (see /proc/iomem)",
			start, size);
		return -EBUSY;
	}
	region->memory = memremap(start, size, MEMREMAP_WB);
	if (!region->memory) {
		release_mem_region(start, size);
		kch_say(message, "region %#llx,%#llx cannot be mapped", start, size);
		return -ENOMEM;
	}
	use_memory(region, KCH_BACKEND_RANGE, start, size);
	return 0;
}

#ifdef KCH_HAVE_RESERVE_MEM
int kch_region_claim_label(struct kch_region *region, const char *label,
			   struct kch_message *message)
{
	phys_addr_t start, size;
	int err;

	if (!reserve_mem_find_by_name(label, &start, &size)) {
		kch_say(message, "no reserve_mem=...:%s on the kernel's command line", label);
		return -ENOENT;
	}
	err = check_size(start, size, message);
	if (err)
		return err;
	/* RAM the kernel gave up at boot: nothing to request, part of its map. */
	region->memory = memremap(start, size, MEMREMAP_WB);
	if (!region->memory) {
		kch_say(message, "reserve_mem=...:%s cannot be mapped", label);
		return -ENOMEM;
	}
	use_memory(region, KCH_BACKEND_RESERVE_MEM, start, size);
	return 0;
}
#else
int kch_region_claim_label(struct kch_region *region, const char *label,
			   struct kch_message *message)
{
	kch_say(message, "this kernel has no reserve_mem=: use region=");
	return -EOPNOTSUPP;
}
#endif

void kch_region_release_range(struct kch_region *region)
{
	memunmap(region->memory);
	if (region->backend == KCH_BACKEND_RANGE)
		release_mem_region(region->start, region->size);
	memset(region, 0, sizeof(*region));
}
