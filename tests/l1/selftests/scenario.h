/* SPDX-License-Identifier: GPL-2.0 */
/* The guests whose clocks are captured and restored. */
#ifndef KCH_SELFTESTS_SCENARIO_H
#define KCH_SELFTESTS_SCENARIO_H

#include "guest.h"

/**
 * struct scenario - one of them
 * @name: a word
 * @vcpus: vCPUs it has
 * @does: GUEST_*
 * @stopped: the VMM says KVM_KVMCLOCK_CTRL before the clock is captured
 * @stopped_later: ... after it was restored
 * @save_refused: errno with which it cannot be saved
 * @restore_refused: errno with which it cannot be restored
 */
struct scenario {
	const char *name;
	u32 vcpus;
	u64 does;
	bool stopped;
	bool stopped_later;
	int save_refused;
	int restore_refused;
};

/* All; the last has no name. */
extern const struct scenario scenarios[];

/* What the host lacks for it; NULL: nothing. */
const char *scenario_unmet(const struct scenario *scenario);

/* The id it is saved under. */
void scenario_uuid(const struct scenario *scenario, u8 uuid[16]);

#endif /* KCH_SELFTESTS_SCENARIO_H */
