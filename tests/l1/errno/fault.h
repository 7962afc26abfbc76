/* SPDX-License-Identifier: GPL-2.0 */
/* The module of faults, see fault/kch_fault.c. */
#ifndef KCH_ERRNO_FAULT_H
#define KCH_ERRNO_FAULT_H

#include <stdbool.h>

#define FAULT_MODULE	"kch_fault"

/* How far ahead of the others' the TSC is with ahead=FD. */
#define FAULT_AHEAD_CYCLES	1000000000ULL

/* Dies if insmod has another errno than that. */
void fault_insert(const char *parameters, int expected);
void fault_remove(void);

/*
 * Another clocksource, to the module alone: fault/kch_fault.c's parameter, and the
 * line of sysfs for kernels whose clocksources have no numbers.
 */
bool pretend_clocksource(const char *parameter, const char *line);
void pretend_no_longer(void);

#endif /* KCH_ERRNO_FAULT_H */
