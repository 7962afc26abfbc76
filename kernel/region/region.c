// SPDX-License-Identifier: GPL-2.0
/* Which memory is the region: what the parameters name, else KHO. */
#include <linux/module.h>
#include <linux/slab.h>

#include "core/slots.h"
#include "region/kho.h"
#include "region/range.h"

/* The range is named, but another backend was asked for: is something in it? */
static void look_into_range(const char *range, struct kch_message *message)
{
	struct kch_region region = { };
	struct kch_record record;
	unsigned int slot;
	u8 *copy;

	if (kch_region_claim_range(&region, range, NULL))
		return;
	copy = kvmalloc(region.size, GFP_KERNEL);
	if (copy) {
		memcpy(copy, region.memory, region.size);
		if (!kch_region_open(copy, region.size, &record, &slot, NULL))
			kch_say(message, "a record of kernel %.63s is in the range %.64s, where this backend does not look: load the module with backend=range",
				record.header.kernel_release, range);
	}
	kvfree(copy);
	kch_region_release_range(&region);
}

static int claim_kho(struct kch_region *region, const struct kch_region_wish *wish,
		     struct kch_message *message)
{
	int err = kch_region_claim_kho(region, wish->kho_size, message);

	if (!err && !region->incoming && wish->range)
		look_into_range(wish->range, &region->incoming_message);
	return err;
}

/* "auto": what was named is meant. */
static int claim_auto(struct kch_region *region, const struct kch_region_wish *wish,
		      struct kch_message *message)
{
	struct kch_message why_not;
	int err;

	if (wish->range) {
		kch_say(&region->why, "region= was given");
		return kch_region_claim_range(region, wish->range, message);
	}
	if (wish->label) {
		kch_say(&region->why, "reserve_mem= was given");
		return kch_region_claim_label(region, wish->label, message);
	}
	if (!kch_region_kho_offered(&why_not)) {
		kch_say(&region->why, "neither region= nor reserve_mem= was given, and %.200s",
			why_not.text);
		return 0;
	}
	err = claim_kho(region, wish, message);
	kch_say(&region->why, "this kernel offers KHO, and neither region= nor reserve_mem= was given");
	return err;
}

static int claim_told(struct kch_region *region, const struct kch_region_wish *wish,
		      struct kch_message *message)
{
	const char *backend = wish->backend;
	int err = -EINVAL;

	if (!strcmp(backend, "kho"))
		err = kch_region_kho_offered(message) ?
		      claim_kho(region, wish, message) : -EOPNOTSUPP;
	else if (!strcmp(backend, "range") && wish->range)
		err = kch_region_claim_range(region, wish->range, message);
	else if (!strcmp(backend, "reserve_mem") && wish->label)
		err = kch_region_claim_label(region, wish->label, message);
	else if (!strcmp(backend, "range"))
		kch_say(message, "backend=range needs region=START,SIZE");
	else if (!strcmp(backend, "reserve_mem"))
		kch_say(message, "backend=reserve_mem needs reserve_mem=LABEL");
	else
		kch_say(message, "backend=%.32s: auto, range, reserve_mem or kho is possible",
			backend);
	kch_say(&region->why, "backend=%s was given", backend);
	return err;
}

int kch_region_claim(struct kch_region *region, const struct kch_region_wish *wish,
		     struct kch_message *message)
{
	int err;

	memset(region, 0, sizeof(*region));
	if (wish->range && wish->label) {
		kch_say(message, "both region= and reserve_mem= given");
		return -EINVAL;
	}
	if (wish->backend && strcmp(wish->backend, "auto"))
		err = claim_told(region, wish, message);
	else
		err = claim_auto(region, wish, message);
	if (!err && region->backend != KCH_BACKEND_KHO)
		kch_region_kho_came(&region->incoming_message);
	return err;
}

void kch_region_release(struct kch_region *region)
{
	if (region->backend == KCH_BACKEND_KHO)
		kch_region_release_kho(region);
	else if (region->backend != KCH_BACKEND_NONE)
		kch_region_release_range(region);
}

void kch_region_finish_incoming(struct kch_region *region)
{
	if (region->backend == KCH_BACKEND_KHO)
		kch_region_finish_kho(region);
}

void kch_region_hold(const struct kch_region *region, bool needed)
{
	static bool held;

	if (region->backend != KCH_BACKEND_KHO || held == needed)
		return;
	held = needed;
	if (needed)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}
