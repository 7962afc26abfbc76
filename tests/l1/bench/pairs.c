// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pairs.h"

void pairs_add(struct pairs *pairs, double base, double ours)
{
	if (pairs->count == PAIRS_MAX) {
		fprintf(stderr, "more than %d pairs\n", PAIRS_MAX);
		exit(1);
	}
	pairs->base[pairs->count] = base;
	pairs->ours[pairs->count] = ours;
	pairs->count++;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, uint32_t first, uint32_t last)
{
	static double sorted[PAIRS_MAX];
	uint32_t count = last - first;
	struct spread spread;

	memcpy(sorted, values + first, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	spread.low = sorted[count / 4];
	spread.median = sorted[count / 2];
	spread.high = sorted[count * 3 / 4];
	return spread;
}

struct spread pairs_base(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	return spread_of(pairs->base, first, last);
}

struct spread pairs_ours(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	return spread_of(pairs->ours, first, last);
}

struct spread pairs_ratio(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	static double ratio[PAIRS_MAX];
	uint32_t i;

	for (i = first; i < last; i++)
		ratio[i] = pairs->ours[i] / pairs->base[i];
	return spread_of(ratio, first, last);
}
