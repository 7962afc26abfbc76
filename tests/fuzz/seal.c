// SPDX-License-Identifier: GPL-2.0
/* True checksums for records that are none; by the contract, not by the code that is tested. */
#include <string.h>

#include "fuzz.h"
#include "seal.h"

static u32 load32(const u8 *at)
{
	u32 value;

	memcpy(&value, at, sizeof(value));
	return le32_to_cpu(value);
}

static u64 load64(const u8 *at)
{
	return load32(at) | (u64)load32(at + 4) << 32;
}

static void store32(u8 *at, u32 value)
{
	value = cpu_to_le32(value);
	memcpy(at, &value, sizeof(value));
}

/* Entries as far as their sizes can be followed; by the contract, not by code. */
static void seal_entries(u8 *slot, size_t size)
{
	u64 at = load32(slot + 8), end = load64(slot + 40), entry;

	if (end > size)
		end = size;
	for (; at + 192 <= end; at += entry) {
		entry = load32(slot + at);
		if (entry < 192 || entry > end - at)
			return;
		store32(slot + at + 4, 0);
		store32(slot + at + 4, ~kch_crc32c(~0U, slot + at, entry));
	}
}

static void seal_header(u8 *slot, size_t size)
{
	u64 header_size = load32(slot + 8), commit;

	if (header_size < 320 || header_size > size)
		return;
	memcpy(slot, "KVMCLKHO", 8);
	store32(slot + 304, 0);
	memset(slot + 312, 0, 8);
	store32(slot + 304, ~kch_crc32c(~0U, slot, header_size));
	commit = load64(slot + 32) ^ 0x54494d4d4f434843ULL;
	store32(slot + 312, (u32)commit);
	store32(slot + 316, (u32)(commit >> 32));
}

void fuzz_seal(u8 *slot, size_t size, u8 take)
{
	if (size < 320)
		return;
	if (take & TAKE_SEALED_ENTRIES)
		seal_entries(slot, size);
	if (take & TAKE_SEALED_HEADER)
		seal_header(slot, size);
}
