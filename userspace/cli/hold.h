/* SPDX-License-Identifier: GPL-2.0 */
/* What kvmclockctl restore --hold does when the VM is held. */
#ifndef KCH_CLI_HOLD_H
#define KCH_CLI_HOLD_H

#include "live.h"

/* Complains of @err with what @result says, and returns the exit code. */
int hold_refused(struct tool *tool, const struct live_vm *vm, int err,
		 const struct kch_restore *result, const char *consequence);

/* Waits until the hold has ended; 0 or the errno (negative), as @result says. */
int hold_wait(struct tool *tool, struct kch_restore *result);

/*
 * Leaves that to a process in the background, which has no file of the caller's open, and
 * says in the system's log what came of it.
 */
int hold_in_background(struct tool *tool, const struct live_vm *vm);

#endif /* KCH_CLI_HOLD_H */
