// SPDX-License-Identifier: GPL-2.0
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "place.h"

#define PAGE		4096
#define FILLED		0xa5
#define NO_PAGE		(2 * PAGE)
#define READ_ONLY	(3 * PAGE)
#define OF_FILE		(5 * PAGE)

/* All workers write there. */
static unsigned char *shared;

static void *map(size_t size, int protection, int flags, int fd, void *at)
{
	void *pages = mmap(at, size, protection, flags, fd, 0);

	if (pages == MAP_FAILED)
		die("memory cannot be mapped");
	return pages;
}

void place_init(struct place *place)
{
	int fd = memfd_create("place", MFD_CLOEXEC);

	if (!shared)
		shared = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, NULL);
	place->pages = map(6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, NULL);
	if (fd < 0 || ftruncate(fd, PAGE))
		die("no memory file");
	/* What is read or written there is no page yet: the kernel faults it in. */
	map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, place->pages + OF_FILE);
	close(fd);
	mprotect(place->pages + NO_PAGE, PAGE, PROT_NONE);
}

static void *bad_address(struct random *r)
{
	static const uint64_t bad[] = {
		0, 8, PAGE, 0x7ffffffff000, 0x800000000000, 0xffff888000000000, 0xffffffff81000000,
		-(uint64_t)PAGE, -8ULL,
	};

	return (void *)(uintptr_t)bad[random_below(r, sizeof(bad) / sizeof(bad[0]))];
}

void place_put(struct place *place, struct random *r, const void *data, size_t size, size_t told,
	       bool alone)
{
	unsigned char *pages = place->pages;

	memset(pages, FILLED, 2 * PAGE);
	place->size = size;
	place->how = PLACED_WELL;
	switch (random_below(r, alone ? 11 : 12)) {
	case 0 ... 5:	/* at any alignment */
		place->at = pages + 64 + random_below(r, PAGE);
		break;
	case 6:		/* up to the end of what is there */
		place->at = pages + NO_PAGE - size;
		break;
	case 7:		/* and beyond */
		place->at = pages + NO_PAGE - random_below(r, told);
		place->how = PLACED_BADLY;
		break;
	case 8:		/* can be read, not written */
		mprotect(pages + READ_ONLY, PAGE, PROT_READ | PROT_WRITE);
		place->at = pages + READ_ONLY + random_below(r, PAGE - size);
		memcpy(place->at, data, size);
		mprotect(pages + READ_ONLY, PAGE, PROT_READ);
		place->how = PLACED_BADLY;
		return;
	case 9:
		place->at = bad_address(r);
		place->how = PLACED_BADLY;
		return;
	case 10:	/* not in memory yet */
		place->at = pages + OF_FILE + random_below(r, PAGE - size);
		memcpy(place->at, data, size);
		madvise(pages + OF_FILE, PAGE, MADV_DONTNEED);
		/* Around it nothing is looked at. */
		place->how = PLACED_RACING;
		return;
	case 11:
		place->at = shared + random_below(r, 64);
		place->how = PLACED_RACING;
		break;
	}
	if (place->how == PLACED_BADLY)
		memcpy(place->at, data, pages + NO_PAGE - (unsigned char *)place->at);
	else
		memcpy(place->at, data, size);
}

bool place_take(const struct place *place, void *data, size_t writable)
{
	const unsigned char *at = place->at, *before = data, *pages = place->pages, *byte;
	bool good = true;

	if (place->how == PLACED_BADLY)
		return true;
	for (byte = pages; place->how == PLACED_WELL && byte < pages + NO_PAGE; byte++) {
		bool inside = byte >= at && byte < at + place->size;

		if (byte < at || byte >= at + writable)
			good &= *byte == (inside ? before[byte - at] : FILLED);
	}
	memcpy(data, at, place->size);
	return good;
}
