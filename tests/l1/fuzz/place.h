/* SPDX-License-Identifier: GPL-2.0 */
/* Where in memory an ioctl's structure is: in the midst of a page, or where it cannot be had. */
#ifndef KCH_FUZZ_PLACE_H
#define KCH_FUZZ_PLACE_H

#include <stddef.h>

#include "random.h"

enum placed {
	PLACED_WELL,		/* and what is around it is looked at */
	PLACED_RACING,		/* other threads write to it */
	PLACED_BADLY,		/* it cannot be had, or not be given back */
};

/**
 * struct place - a worker's memory for structures
 * @pages: two that are there, one that is not, one to be read only, one of a file
 * @at: where the structure is
 * @size: of it, in bytes
 * @how: can it be had there?
 */
struct place {
	unsigned char *pages;
	void *at;
	size_t size;
	enum placed how;
};

void place_init(struct place *place);

/*
 * Puts the structure somewhere; @alone where no other thread writes.  Of its @size bytes, the
 * kernel is to have the first @told.
 */
void place_put(struct place *place, struct random *r, const void *data, size_t size, size_t told,
	       bool alone);

/* Takes it back; true if nothing was written but the first @writable bytes of it. */
bool place_take(const struct place *place, void *data, size_t writable);

#endif /* KCH_FUZZ_PLACE_H */
