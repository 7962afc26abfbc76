/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arithmetic the tests hold the code against.  It shares nothing with what is
 * tested: 32-bit limbs instead of 128-bit integers, bitwise instead of table
 * or instruction driven checksums, and where the guest or KVM runs certain
 * instructions, those instructions.
 */
#ifndef KCH_TESTS_REFERENCE_H
#define KCH_TESTS_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIDE_LIMBS	8	/* 256 bits */

/* An unsigned number, least significant limb first. */
struct wide {
	uint32_t limb[WIDE_LIMBS];
};

struct wide wide_of(uint64_t value);
struct wide wide_add(struct wide a, struct wide b);
struct wide wide_sub(struct wide a, struct wide b);	/* modulo 2^256 */
struct wide wide_mul(struct wide a, struct wide b);	/* modulo 2^256 */
struct wide wide_shl(struct wide a, unsigned int bits);
struct wide wide_shr(struct wide a, unsigned int bits);
struct wide wide_div(struct wide a, struct wide b);	/* rounded down */
int wide_cmp(struct wide a, struct wide b);
uint64_t wide_low64(struct wide a);
bool wide_fits64(struct wide a);

uint32_t reference_crc32c(const void *data, size_t size);

/* A number that is as good as random, but always the same for the same one. */
uint64_t hash64(uint64_t number);

/* Repeatable random numbers: every run tests the same. */
uint64_t random64(void);
void random_seed(uint64_t seed);

/* Random, but often small, near a power of two, or near the top. */
uint64_t random_edgy64(void);

#endif /* KCH_TESTS_REFERENCE_H */
