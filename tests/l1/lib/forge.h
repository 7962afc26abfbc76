/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records as a kernel before the kexec would have left them: this host's own
 * header with another boot's id, VMs' clocks as they are now, moved on.
 */
#ifndef KCH_TESTS_FORGE_H
#define KCH_TESTS_FORGE_H

#include "slots.h"
#include "vm.h"

#define FORGED_SIZE_MAX	0x60000	/* most of a slot of a region of 1 MiB */
#define FORGED_AHEAD_NS	5000000000ULL

/**
 * struct forged - a record in the making
 * @header: its header
 * @entries: its VMs, back to back
 * @size: bytes of them
 * @count: how many
 * @image: the slot's bytes, after forge_make()
 */
struct forged {
	struct kch_rec_header header;
	uint8_t entries[FORGED_SIZE_MAX];
	size_t size;
	uint32_t count;
	uint8_t image[sizeof(struct kch_rec_header) + FORGED_SIZE_MAX];
};

/* Sealed a moment ago, on this host, by another kernel.  The module is loaded. */
void forge_begin(struct forged *forged);

/* The VM's clock as it is now, but FORGED_AHEAD_NS ahead; returns its entry. */
struct kch_rec_vm *forge_add(struct forged *forged, const struct vm *vm,
			     uint32_t id);

/* The same from what KCH_IOC_READ gave. */
struct kch_rec_vm *forge_add_entry(struct forged *forged,
				   const struct kch_rec_vm *read, uint32_t id);

/*
 * The first entry, its vCPU @index; forge_close() after changing them, which makes its
 * kvmclock_ns and checksum what they are to be.
 */
struct kch_rec_vm *forge_entry(struct forged *forged);
struct kch_rec_vcpu *forge_vcpu(struct forged *forged, uint32_t index);
void forge_close(struct forged *forged);

/* Puts the record together in @image; forge_seal() its header after changes. */
void forge_make(struct forged *forged);
void forge_seal(struct forged *forged);
void forge_seal_header(struct kch_rec_header *header);

/* @image into a slot of the region; the module is not loaded. */
void forge_put(const struct forged *forged, unsigned int slot);

/* forge_make() and forge_put(). */
void forge_write(struct forged *forged, unsigned int slot);

#endif /* KCH_TESTS_FORGE_H */
