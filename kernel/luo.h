/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The live update orchestrator (LUO) carries a clock's descriptor into the next kernel.
 * Only where the driver is part of the kernel: LUO takes no handler from a module.
 */
#ifndef KCH_LUO_H
#define KCH_LUO_H

/* 0 also where LUO is not enabled: the descriptors are of no use there. */
#ifdef KCH_LUO
int kch_luo_register(void);
void kch_luo_unregister(void);
#else
static inline int kch_luo_register(void) { return 0; }
static inline void kch_luo_unregister(void) { }
#endif

#endif /* KCH_LUO_H */
