/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The members of the record, written down once: name, unit, type, meaning, and
 * the version that first wrote them.  What shows a record (debugfs, the tool) or
 * describes it (the tables in Documentation/) goes through these tables.
 */
#ifndef KCH_FIELDS_H
#define KCH_FIELDS_H

#include <linux/kvmclock_handover_record.h>
#include "portable.h"

/**
 * enum kch_field_kind - how a member is shown
 * @KCH_FIELD_DECIMAL: unsigned
 * @KCH_FIELD_SIGNED: signed, decimal
 * @KCH_FIELD_HEX: unsigned, hexadecimal
 * @KCH_FIELD_FLAG: one bit of the member: yes or no
 * @KCH_FIELD_TSC_SOURCE: enum kch_tsc_source, a word
 * @KCH_FIELD_UUID: 16 bytes in the order of their text form
 * @KCH_FIELD_TEXT: characters, and a NUL behind them
 * @KCH_FIELD_CHARS: characters, which may fill it
 * @KCH_FIELD_MAGIC: characters; this and the following are not shown
 * @KCH_FIELD_PROOF: a number that shows that the record is whole
 * @KCH_FIELD_ZERO: reserved
 */
enum kch_field_kind {
	KCH_FIELD_DECIMAL,
	KCH_FIELD_SIGNED,
	KCH_FIELD_HEX,
	KCH_FIELD_FLAG,
	KCH_FIELD_TSC_SOURCE,
	KCH_FIELD_UUID,
	KCH_FIELD_TEXT,
	KCH_FIELD_CHARS,
	KCH_FIELD_MAGIC,
	KCH_FIELD_PROOF,
	KCH_FIELD_ZERO,
};

/**
 * struct kch_field - one member of a structure of the record, or one of its flags
 * @name: the member's name in the structure; a flag's in lower case
 * @kind: how it is shown
 * @offset: bytes from the start of the structure
 * @size: bytes
 * @mask: of a flag: its bit
 * @unit: "ns", "cycles", "kHz" or "bytes"; NULL if it has none
 * @symbol: of a flag: the name of its bit in the header.  This and the following
 *	are NULL in the kernel, which does not show them
 * @since: version of the first module that wrote it
 * @meaning: one sentence, without a full stop
 */
struct kch_field {
	const char *name;
	enum kch_field_kind kind;
	u32 offset;
	u32 size;
	u32 mask;
	const char *unit;
	const char *symbol;
	const char *since;
	const char *meaning;
};

/*
 * In the order of the structures, without a gap; a flag stands behind the member
 * that has it.  The last one has no name.
 */
extern const struct kch_field kch_header_fields[];	/* struct kch_rec_header */
extern const struct kch_field kch_vm_fields[];		/* struct kch_rec_vm */
extern const struct kch_field kch_vcpu_fields[];	/* struct kch_rec_vcpu */
extern const struct kch_field kch_kho_fields[];		/* struct kch_kho_entry */

/* Is it shown to people?  What only makes the record whole is not. */
static inline bool kch_field_shown(const struct kch_field *field)
{
	return field->kind < KCH_FIELD_MAGIC;
}

/*
 * The member's value in that structure: a number; of a flag 0 or 1; of a signed
 * member the s64 it is.  Not of text and UUIDs.
 */
u64 kch_field_number(const struct kch_field *field, const void *structure);

#define KCH_FIELD_TEXT_SIZE	72	/* of any member as text, with the NUL */

/* The same as text, of every kind. */
void kch_field_text(const struct kch_field *field, const void *structure,
		    char text[KCH_FIELD_TEXT_SIZE]);

/* "unknown", "early", "settled", "known", "other"; "invalid" of anything else. */
const char *kch_tsc_source_name(u32 source);

#endif /* KCH_FIELDS_H */
