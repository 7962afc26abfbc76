/* SPDX-License-Identifier: GPL-2.0 */
/* How long guests did not run: a note for each that was restored, until the next boot. */
#ifndef KCH_CLI_BLACKOUT_H
#define KCH_CLI_BLACKOUT_H

#include <stdbool.h>
#include <kvmclock-handover.h>

/* Written by restore; where that is not possible there is no note. */
void blackout_note(const uint8_t uuid[KCH_UUID_SIZE], uint64_t blackout_ns);

/* False: there is no note. */
bool blackout_noted(const uint8_t uuid[KCH_UUID_SIZE], uint64_t *blackout_ns);

#endif /* KCH_CLI_BLACKOUT_H */
