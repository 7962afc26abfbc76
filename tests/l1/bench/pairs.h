/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two things timed in turn, so that whatever else the machine does falls upon
 * both alike; what is said of them is the ratio, its median and its spread.
 */
#ifndef KCH_BENCH_PAIRS_H
#define KCH_BENCH_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#define PAIRS_MAX	4096

/**
 * struct pairs - what was measured
 * @count: pairs so far
 * @base: cycles of the thing compared with
 * @ours: cycles of ours, next to it
 */
struct pairs {
	uint32_t count;
	double base[PAIRS_MAX];
	double ours[PAIRS_MAX];
};

/**
 * struct spread - of any number
 * @low: lower quartile
 * @median: the middle one
 * @high: upper quartile
 */
struct spread {
	double low;
	double median;
	double high;
};

void pairs_add(struct pairs *pairs, double base, double ours);

/* Pairs FIRST to LAST - 1. */
struct spread pairs_base(const struct pairs *pairs, uint32_t first, uint32_t last);
struct spread pairs_ours(const struct pairs *pairs, uint32_t first, uint32_t last);
struct spread pairs_ratio(const struct pairs *pairs, uint32_t first, uint32_t last);

#endif /* KCH_BENCH_PAIRS_H */
