// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where the module does not restore: by policy, some of the time that passed on this host is
 * hidden from the guest.  The saved clock is moved before it is given.
 */
#include "hide.h"
#include "place.h"
#include "policy.h"

int kch_vm_hide(struct kch_handle *handle, struct kch_vm *saved,
		const struct kch_rec_header *header, uint32_t policy, uint32_t limit_ms,
		struct kch_restore_result *result)
{
	struct kch_rec_vm *entry = &saved->entry;
	uint32_t khz = le32_to_cpu(header->tsc_khz), goes_on_ms;
	struct kch_message message = {};
	uint64_t hidden_cycles;
	int err;

	_Static_assert(offsetof(struct kch_vm, vcpus) ==
		       offsetof(struct kch_vm, entry) + sizeof(saved->entry), "as in a record");
	err = kch_policy_ms(policy, limit_ms, KCH_GOES_ON, &goes_on_ms, &message) ?:
	      kch_policy_allowed(goes_on_ms, header, entry, &message);
	if (err)
		return kch_fail(handle, err, "%s", message.text);
	kch_policy_of(goes_on_ms, &result->policy, &result->limit_ms);
	if (goes_on_ms == KCH_GOES_ON)
		return 0;
	hidden_cycles = kch_policy_hidden_cycles(goes_on_ms, __builtin_ia32_rdtsc() -
						 le64_to_cpu(entry->host_tsc), khz);
	kch_entry_hide(entry, hidden_cycles);
	result->hidden_ns = kch_cycles_to_ns(hidden_cycles, khz);
	return 0;
}
