/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ways to give a resumed guest its clock: those of today, and ours, without
 * the module and with it.
 */
#ifndef KCH_VMM_CLOCKMETHODS_H
#define KCH_VMM_CLOCKMETHODS_H

#include "handover.h"
#include "vm.h"

/**
 * struct clock_method - one way
 * @name: for --method
 * @mode: what it is to reach, if it says
 * @prepare: before the first vCPU is made; may be NULL
 * @restore: when all other state is loaded
 */
struct clock_method {
	const char *name;
	enum kch_mode mode;
	void (*prepare)(struct vm *vm, struct handover *h);
	void (*restore)(struct vm *vm, uint32_t flags, struct handover *h);
};

/* NULL if there is none of that name. */
const struct clock_method *clock_method_find(const char *name);

#endif /* KCH_VMM_CLOCKMETHODS_H */
