/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A machine's memory and the state of its vCPUs in a file, so that the same
 * guest goes on after the kexec.
 */
#ifndef KCH_SELFTESTS_CARRY_H
#define KCH_SELFTESTS_CARRY_H

#include "machine.h"

/* To a file of the scenario's name, in the folder KCH_CARRIED names. */
void carry_save(const struct machine *machine);

/* Into a machine of the same scenario that has its vCPUs. */
void carry_load(const struct machine *machine);

/* Is there such a file? */
bool carry_exists(const struct scenario *scenario);

#endif /* KCH_SELFTESTS_CARRY_H */
