/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By policy, some of the time that passed on this host is hidden from the guest. */
#ifndef KCH_LIB_HIDE_H
#define KCH_LIB_HIDE_H

#include "vm.h"

/*
 * Makes @saved the clock that the guest is to have now.  @header: of its record.  @policy and
 * @limit_ms are enum kch_policy's, the default being to continue.  @result: gets the policy, and
 * what was hidden.  -EINVAL: no policy.  -EBADRQC: it may not be the guest's last clock.
 */
int kch_vm_hide(struct kch_handle *handle, struct kch_vm *saved,
		const struct kch_rec_header *header, uint32_t policy, uint32_t limit_ms,
		struct kch_restore_result *result);

#endif /* KCH_LIB_HIDE_H */
