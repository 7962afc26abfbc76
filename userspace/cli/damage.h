/* SPDX-License-Identifier: GPL-2.0 */
/* Which bit of a record is wrong, if it is only one: the checksum tells. */
#ifndef KCH_CLI_DAMAGE_H
#define KCH_CLI_DAMAGE_H

#include "record.h"

/**
 * struct damage - one wrong bit
 * @offset: of its byte, from the start of the header or VM entry
 * @bit: 0 to 7, 0 the least significant
 * @field: "sequence", "uuid", "vcpu 3 tsc_offset"; never longer than this
 */
struct damage {
	size_t offset;
	unsigned int bit;
	char field[64];
};

/* False: more than one bit is wrong, or none. */
bool damage_in_header(const u8 *slot, size_t size, struct damage *damage);
bool damage_in_entry(const u8 *entry, size_t size, const struct kch_record *record,
		     struct damage *damage);

/*
 * For an entry whose size and vCPU count disagree: the size it must have had,
 * if one bit of either is wrong, else 0.
 */
size_t damage_entry_size(const u8 *entry, size_t left,
			 const struct kch_record *record);

#endif /* KCH_CLI_DAMAGE_H */
