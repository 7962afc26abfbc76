/* SPDX-License-Identifier: GPL-2.0 */
/* A reserved range of physical memory as the region: region= and reserve_mem=. */
#ifndef KCH_REGION_RANGE_H
#define KCH_REGION_RANGE_H

#include "region/region.h"

/* Each fills in @region but for @why.  Errors: see kch_region_claim(). */
int kch_region_claim_range(struct kch_region *region, const char *range,
			   struct kch_message *message);
int kch_region_claim_label(struct kch_region *region, const char *label,
			   struct kch_message *message);
void kch_region_release_range(struct kch_region *region);

#endif /* KCH_REGION_RANGE_H */
