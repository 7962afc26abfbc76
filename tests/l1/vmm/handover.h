/* SPDX-License-Identifier: GPL-2.0 */
/* What the VMM asks of the library, as any VMM would. */
#ifndef KCH_VMM_HANDOVER_H
#define KCH_VMM_HANDOVER_H

#include <kvmclock-handover-stock.h>

#include "vm.h"

/**
 * struct handover - an attempt and its outcome
 * @error: 0, or the negative errno of the refusal
 * @message: why
 * @result: of a restore
 */
struct handover {
	int error;
	char message[KCH_MESSAGE_SIZE];
	struct kch_restore_result result;
};

/* From now on the clock comes from this descriptor, not from the record. */
void handover_use_clock(int fd);

/* The same for one that is made now, of the VM's clock in the record. */
void handover_take_clock(const struct vm *vm, struct handover *h);

/* A descriptor of that VM's clock, for who keeps it; negative: why not is in @h. */
int handover_clock_of(const struct vm *vm, struct handover *h);

/* What a restore is to reach, see struct kch_restore_opts; 0: as it was. */
void handover_use_bound(uint64_t bound_ns, uint32_t rounds_max);
void handover_use_mode(uint32_t weakest);
void handover_use_policy(uint32_t policy, uint32_t limit_ms);

/* Puts the VM's clock into the record, under the id of its saved state. */
void handover_save(const struct vm *vm, struct handover *h);

/* Before the first vCPU of the new VM is made. */
void handover_prepare(const struct vm *vm, struct handover *h);

/* When all other state is loaded. @flags: KCH_RESTORE_* */
void handover_restore(const struct vm *vm, uint32_t flags, struct handover *h);

/* The same three without the module, to and from the VM's saved state. */
void handover_stock_save(const struct vm *vm, struct handover *h);
void handover_stock_prepare(const struct vm *vm, struct handover *h);
void handover_stock_restore(const struct vm *vm, uint32_t flags,
			    struct handover *h);

/* From another host: what handover_stock_save() made, with the module or without. */
void handover_import(const struct vm *vm, bool module, uint32_t flags, struct handover *h);

/* When vCPUs were added, before they run. */
void handover_adopt(const struct vm *vm, struct handover *h);

/*
 * The ratios of the VM's vCPUs, as the module reads them, to @clock; those of
 * a VM without scaling where there is no module.
 */
void handover_scaling(const struct vm *vm, struct saved_clock *clock);

#endif /* KCH_VMM_HANDOVER_H */
