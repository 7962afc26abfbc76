/* SPDX-License-Identifier: GPL-2.0 */
/* The module of faults, see fault/kch_fault.c. */
#ifndef KCH_ERRNO_FAULT_H
#define KCH_ERRNO_FAULT_H

#define FAULT_MODULE	"kch_fault"

/* How far ahead of the others' the TSC is with ahead=FD. */
#define FAULT_AHEAD_CYCLES	1000000000ULL

/* Dies if insmod has another errno than that. */
void fault_insert(const char *parameters, int expected);
void fault_remove(void);

/* A parameter of it while it is loaded; die if there is none. */
int fault_get(const char *parameter);
void fault_set(const char *parameter, int value);

#endif /* KCH_ERRNO_FAULT_H */
