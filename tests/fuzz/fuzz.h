/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzz target shares with the makers of its inputs.
 */
#ifndef KCH_TESTS_FUZZ_H
#define KCH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The first byte of an input: how the bytes behind it are taken. */
enum take {
	TAKE_REGION		= 1 << 0, /* a region; else one slot */
	TAKE_SEALED_HEADER	= 1 << 1, /* headers get a true checksum */
	TAKE_SEALED_ENTRIES	= 1 << 2, /* and so do VM entries */
	TAKE_ONE_SLOT_RAW	= 1 << 3, /* region: but not the second slot */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* KCH_TESTS_FUZZ_H */
