// SPDX-License-Identifier: GPL-2.0
#include "reference.h"

struct wide wide_of(uint64_t value)
{
	struct wide w = { { (uint32_t)value, (uint32_t)(value >> 32) } };

	return w;
}

struct wide wide_add(struct wide a, struct wide b)
{
	uint64_t carry = 0;
	int i;

	for (i = 0; i < WIDE_LIMBS; i++) {
		carry += (uint64_t)a.limb[i] + b.limb[i];
		a.limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	return a;
}

struct wide wide_sub(struct wide a, struct wide b)
{
	int i;

	for (i = 0; i < WIDE_LIMBS; i++)
		b.limb[i] = ~b.limb[i];
	return wide_add(wide_add(a, b), wide_of(1));
}

struct wide wide_mul(struct wide a, struct wide b)
{
	struct wide product = { { 0 } };
	uint64_t carry;
	int i, j;

	for (i = 0; i < WIDE_LIMBS; i++) {
		carry = 0;
		for (j = 0; i + j < WIDE_LIMBS; j++) {
			carry += product.limb[i + j] +
				 (uint64_t)a.limb[i] * b.limb[j];
			product.limb[i + j] = (uint32_t)carry;
			carry >>= 32;
		}
	}
	return product;
}

static int wide_bit(struct wide a, unsigned int bit)
{
	return bit < 32 * WIDE_LIMBS && (a.limb[bit / 32] >> bit % 32 & 1);
}

struct wide wide_shl(struct wide a, unsigned int bits)
{
	while (bits--)
		a = wide_add(a, a);
	return a;
}

struct wide wide_shr(struct wide a, unsigned int bits)
{
	struct wide w = { { 0 } };
	unsigned int i;

	for (i = 0; i < 32 * WIDE_LIMBS; i++)
		w.limb[i / 32] |= (uint32_t)wide_bit(a, i + bits) << i % 32;
	return w;
}

struct wide wide_div(struct wide a, struct wide b)
{
	struct wide quotient = { { 0 } }, rest = { { 0 } };
	int i;

	for (i = 32 * WIDE_LIMBS - 1; i >= 0; i--) {
		rest = wide_add(rest, rest);
		rest.limb[0] |= (uint32_t)wide_bit(a, (unsigned int)i);
		if (wide_cmp(rest, b) >= 0) {
			rest = wide_sub(rest, b);
			quotient.limb[i / 32] |= 1U << i % 32;
		}
	}
	return quotient;
}

int wide_cmp(struct wide a, struct wide b)
{
	int i;

	for (i = WIDE_LIMBS - 1; i >= 0; i--)
		if (a.limb[i] != b.limb[i])
			return a.limb[i] < b.limb[i] ? -1 : 1;
	return 0;
}

uint64_t wide_low64(struct wide a)
{
	return (uint64_t)a.limb[1] << 32 | a.limb[0];
}

bool wide_fits64(struct wide a)
{
	return wide_cmp(wide_shr(a, 64), wide_of(0)) == 0;
}

uint32_t reference_crc32c(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint32_t crc = 0xffffffff;
	int bit;

	while (size--) {
		crc ^= *p++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static uint64_t random_state = 1;

void random_seed(uint64_t seed)
{
	random_state = seed;
}

uint64_t hash64(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* splitmix64 */
uint64_t random64(void)
{
	return hash64(random_state += 0x9e3779b97f4a7c15);
}

uint64_t random_edgy64(void)
{
	uint64_t kind = random64() % 8, value = random64();

	switch (kind) {
	case 0: /* 0, 1, 2 and -1, -2, -3 */
		return value % 6 - 3;
	case 1: /* a power of two, and its neighbours */
		return (1ULL << value % 64) + value / 64 % 3 - 1;
	case 2: /* any number of leading zeros */
		return value >> random64() % 64;
	case 3: /* trailing ones below leading zeros */
		return ~0ULL >> value % 64;
	default:
		return value;
	}
}
