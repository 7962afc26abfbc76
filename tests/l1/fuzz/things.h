/* SPDX-License-Identifier: GPL-2.0 */
/* Descriptors of all kinds: of what is no VM, and of what any thread has opened. */
#ifndef KCH_FUZZ_THINGS_H
#define KCH_FUZZ_THINGS_H

#include "random.h"

void things_open(void);

/* Others may name it from now on, also when it was closed, or is of another file. */
void thing_publish(struct random *r, int fd);

/* Any descriptor at all, or a number that is none. */
int thing_any(struct random *r);

#endif /* KCH_FUZZ_THINGS_H */
