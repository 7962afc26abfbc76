// SPDX-License-Identifier: GPL-2.0
/* True checksums for records that are none; by the contract, not by the code that is tested. */
#include <string.h>

#include "clock.h"
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

static void store64(u8 *at, u64 value)
{
	store32(at, (u32)value);
	store32(at + 4, (u32)(value >> 32));
}

/* The value of the function that the entry's numbers make, if they can make one. */
static void true_clock(u8 *entry, const u8 *first_vcpu)
{
	struct kch_rec_vcpu vcpu;
	struct kch_clock clock;
	struct kch_rec_vm vm;

	memcpy(&vm, entry, sizeof(vm));
	memcpy(&vcpu, first_vcpu, sizeof(vcpu));
	kch_clock_of(&vm, &vcpu, &clock);
	if (clock.tsc_scaling_frac_bits < 64 && clock.tsc_shift > -64 && clock.tsc_shift < 64)
		store64(entry + 128, kch_clock_ns(&clock, le64_to_cpu(vm.host_tsc)));
}

/* Entries as far as their sizes can be followed, and what binds them. */
static void seal_entries(u8 *slot, size_t size, bool clocks)
{
	u64 at = load32(slot + 8), end = load64(slot + 40), entry, mark;
	u32 vm_size = load32(slot + 12), sum = ~0U;

	if (end > size)
		end = size;
	for (; at + 192 <= end; at += entry) {
		entry = load32(slot + at);
		if (entry < 192 || entry > end - at)
			return;
		if (clocks && vm_size >= 192 && entry >= 64 + (u64)vm_size)
			true_clock(slot + at, slot + at + vm_size);
		/* Without the mark. */
		mark = load64(slot + at + 152);
		store64(slot + at + 152, 0);
		store32(slot + at + 4, 0);
		store32(slot + at + 4, ~kch_crc32c(~0U, slot + at, entry));
		store64(slot + at + 152, mark);
		sum = kch_crc32c(sum, slot + at + 4, 4);
	}
	sum = kch_crc32c(sum, slot + 32, 8);
	store32(slot + 240, ~kch_crc32c(sum, slot + 112, 16));
}

static void seal_header(u8 *slot, size_t size)
{
	u64 header_size = load32(slot + 8), mark;

	if (header_size < 320 || header_size > size)
		return;
	memcpy(slot, "KVMCLKHO", 8);
	mark = load64(slot + 232);
	store64(slot + 232, 0);
	store32(slot + 304, 0);
	store64(slot + 312, 0);
	store32(slot + 304, ~kch_crc32c(~0U, slot, header_size));
	store64(slot + 232, mark);
	store64(slot + 312, load64(slot + 32) ^ 0x54494d4d4f434843ULL);
}

void fuzz_seal(u8 *slot, size_t size, u8 take)
{
	if (size < 320)
		return;
	if (take & TAKE_SEALED_ENTRIES)
		seal_entries(slot, size, take & TAKE_TRUE_CLOCKS);
	if (take & TAKE_SEALED_HEADER)
		seal_header(slot, size);
}
