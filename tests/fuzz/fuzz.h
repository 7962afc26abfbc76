/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz target shares with the makers of its inputs.
 */
#ifndef KCH_TESTS_FUZZ_H
#define KCH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Of records: the first byte of an input, how the bytes behind it are taken. */
enum take {
	TAKE_REGION		= 1 << 0, /* a region; else one slot */
	TAKE_SEALED_HEADER	= 1 << 1, /* headers get a true checksum */
	TAKE_SEALED_ENTRIES	= 1 << 2, /* and so do VM entries */
	TAKE_ONE_SLOT_RAW	= 1 << 3, /* region: but not the second slot */
	TAKE_UTF8		= 1 << 4, /* the tool: with that locale, not with C */
	TAKE_TRUE_CLOCKS	= 1 << 5, /* sealed entries have a true kvmclock_ns */
};

/* Of the tool and library: the first byte, the second is an enum take; what is read by what. */
enum tool_part {
	TOOL_DECODE,		/* a dump, as text */
	TOOL_DECODE_JSON,
	TOOL_DECODE_RECORD,	/* --record */
	TOOL_DECODE_SIZE,	/* --size: how large is in the bytes */
	TOOL_STOCK,		/* the library: what kch_stock_save() made */
	TOOL_OPTIONS,		/* the number of a command, and its words */
	TOOL_KEXEC_ARGS,	/* backend and options of kexec-args, and a command line */
	TOOL_IDENTITY,		/* a process's command line */
	TOOL_PARTS,
};

#define INPUT_MAX	65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* KCH_TESTS_FUZZ_H */
