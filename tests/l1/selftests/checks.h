/* SPDX-License-Identifier: GPL-2.0 */
/* What must hold between a captured clock and what a guest saw, each by name. */
#ifndef KCH_SELFTESTS_CHECKS_H
#define KCH_SELFTESTS_CHECKS_H

#include "captured.h"
#include "machine.h"

/**
 * struct checks - those of one test
 * @made: how many
 * @failed: how many of them failed; each was printed
 */
struct checks {
	unsigned int made;
	unsigned int failed;
};

__printf(4, 5)
void check_that(struct checks *checks, bool holds, const char *name,
		const char *format, ...);

/* One vCPU's turn against the clock that it must have had. */
void check_turn(struct checks *checks, const struct machine *machine, u32 index,
		const struct turn *turn, const struct captured *captured);

/* KVM's own answers against it. */
void check_offsets(struct checks *checks, const struct machine *machine,
		   const struct captured *captured);

/* What the environment asks for to be made wrong; "" if nothing. */
const char *spoil(void);

#endif /* KCH_SELFTESTS_CHECKS_H */
