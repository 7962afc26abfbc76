/* SPDX-License-Identifier: GPL-2.0 */
/* Memory preserved with kexec handover (KHO) as the region. */
#ifndef KCH_REGION_KHO_H
#define KCH_REGION_KHO_H

#include "region/region.h"

bool kch_region_kho_offered(struct kch_message *why_not);
/* Did something come through KHO?  Says so if it did. */
bool kch_region_kho_came(struct kch_message *message);
/* Fills in @region but for @why.  Errors: see kch_region_claim(). */
int kch_region_claim_kho(struct kch_region *region, unsigned long size,
			 struct kch_message *message);
void kch_region_finish_kho(struct kch_region *region);
void kch_region_release_kho(struct kch_region *region);

#endif /* KCH_REGION_KHO_H */
