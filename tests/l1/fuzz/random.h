/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers that look random, the same for the same seed. */
#ifndef KCH_FUZZ_RANDOM_H
#define KCH_FUZZ_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *r);

/* 0 to @count - 1 */
uint32_t random_below(struct random *r, uint32_t count);

/* Once in @count times. */
bool random_one_in(struct random *r, uint32_t count);

/* A number that programs are wrong about, or one next to @was. */
uint32_t random_number(struct random *r, uint32_t was);

/* Changes a few of @size bytes. */
void random_damage(struct random *r, void *data, size_t size);

#endif /* KCH_FUZZ_RANDOM_H */
