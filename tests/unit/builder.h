/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records for tests, made twice: from the structures of the header that is the
 * contract, and byte by byte from the table in Documentation/region-abi.rst.
 * What they hold follows from the plan, so that a test knows what to expect.
 */
#ifndef KCH_TESTS_BUILDER_H
#define KCH_TESTS_BUILDER_H

#include "slots.h"

#define PLAN_VMS_MAX	8

/**
 * struct plan - what a record is to hold
 * @header_size: bytes; more than version 1 has, for a newer writer
 * @vm_size: the same
 * @vcpu_size: the same
 * @vm_count: VMs, at most PLAN_VMS_MAX
 * @vcpus: vCPUs of each
 * @sequence: sequence number
 * @compat: feature bits
 * @incompat: feature bits
 * @seed: of the numbers in it
 */
struct plan {
	u32 header_size, vm_size, vcpu_size;
	u32 vm_count;
	u32 vcpus[PLAN_VMS_MAX];
	u64 sequence;
	u32 compat, incompat;
	u64 seed;
};

/* A record of this version: three VMs of 1, 2 and 4 vCPUs. */
struct plan plan_default(void);

size_t plan_entry_size(const struct plan *plan, u32 vm);
size_t plan_entry_offset(const struct plan *plan, u32 vm);
size_t plan_size(const struct plan *plan);

/* What a reader of this version must find. */
void plan_header(const struct plan *plan, struct kch_rec_header *header);
void plan_vm(const struct plan *plan, u32 vm, struct kch_rec_vm *entry);
void plan_vcpu(const struct plan *plan, u32 vm, u32 vcpu,
	       struct kch_rec_vcpu *entry);

/* plan_size() bytes, byte by byte; members of later versions are 0xe7. */
void plan_write_bytes(const struct plan *plan, u8 *to);

/* The same with the writer under test; the version must be this one. */
int plan_write(const struct plan *plan, void *slot, size_t slot_size);

/* The same where the slot has the first @kept VMs already. */
int plan_extend(const struct plan *plan, u32 kept, void *slot, size_t slot_size);

/* Puts right the checksums and the commit marker, after changes by hand. */
void seal_header(u8 *record);
void seal_entry(u8 *entry, size_t size);

/* All of them, of a record whose layout is the plan's. */
void plan_seal(const struct plan *plan, u8 *record);

void put32(u8 *at, u32 value);
void put64(u8 *at, u64 value);
u32 get32(const u8 *at);
u64 get64(const u8 *at);

/*
 * Memory of exactly @size bytes with an unmapped page behind it: reading past
 * its end is fatal also in code that a sanitizer cannot see into.
 */
u8 *guarded_alloc(size_t size);
u8 *guarded_copy(const void *data, size_t size);
void guarded_free(u8 *data, size_t size);

#endif /* KCH_TESTS_BUILDER_H */
