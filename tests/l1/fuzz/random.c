// SPDX-License-Identifier: GPL-2.0
#include "random.h"

/* splitmix64 */
uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint32_t random_below(struct random *r, uint32_t count)
{
	return (random_next(r) >> 32) * count >> 32;
}

bool random_one_in(struct random *r, uint32_t count)
{
	return !random_below(r, count);
}

uint32_t random_number(struct random *r, uint32_t was)
{
	static const uint32_t numbers[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 63, 64, 255, 256, 4095, 4096, 4097, 65536,
		0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 3600000, 3600001,
	};

	switch (random_below(r, 4)) {
	case 0:
		return was ^ 1U << random_below(r, 32);
	case 1:
		return was + random_below(r, 17) - 8;
	case 2:
		return random_next(r);
	default:
		return numbers[random_below(r, sizeof(numbers) / sizeof(numbers[0]))];
	}
}

void random_damage(struct random *r, void *data, size_t size)
{
	uint8_t *bytes = data;
	uint32_t count;

	for (count = 1 + random_below(r, 8); count; count--)
		bytes[random_below(r, size)] ^= 1U << random_below(r, 8);
}
