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

static struct spread spread_of(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return (struct spread){
		values[count / 4], values[count / 2], values[count * 3 / 4],
	};
}

static struct spread spread_from(const double *values, uint32_t first,
				 uint32_t last)
{
	double sorted[PAIRS_MAX];

	memcpy(sorted, values + first, (last - first) * sizeof(*values));
	return spread_of(sorted, last - first);
}

struct spread pairs_base(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	return spread_from(pairs->base, first, last);
}

struct spread pairs_ours(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	return spread_from(pairs->ours, first, last);
}

struct spread pairs_ratio(const struct pairs *pairs, uint32_t first, uint32_t last)
{
	double ratio[PAIRS_MAX];
	uint32_t i;

	for (i = first; i < last; i++)
		ratio[i - first] = pairs->ours[i] / pairs->base[i];
	return spread_of(ratio, last - first);
}
