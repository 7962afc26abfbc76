// SPDX-License-Identifier: GPL-2.0
/*
 * Makes inputs for the fuzzer to start from: records and regions of this
 * version and of later ones, taken in every way.
 *
 *	mk-seeds DIRECTORY [RECORD...]     RECORD: files that are records
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/builder.h"
#include "fuzz.h"

#define INPUT_MAX	65536

static const struct plan plans[] = {
	{ 320, 192, 64, 0, { 0 }, 1, 0, 0, 1 },
	{ 320, 192, 64, 1, { 0 }, 2, 0, 0, 2 },
	{ 320, 192, 64, 1, { 1 }, 3, 0, 0, 3 },
	{ 320, 192, 64, 3, { 1, 2, 4 }, 4, 0, 0, 4 },
	{ 328, 200, 72, 2, { 1, 2 }, 5, 1, 0, 5 },
	{ 384, 256, 96, 2, { 3, 0 }, 6, 0xff, 0, 6 },
	{ 320, 192, 64, 1, { 1 }, 7, 0, 1, 7 },
};

static const char *directory;
static unsigned int seeds;

static void save(uint8_t take, const u8 *data, size_t size)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/seed-%03u", directory, seeds++);
	f = fopen(path, "wb");
	if (!f || fputc(take, f) == EOF || fwrite(data, 1, size, f) != size || fclose(f)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static const size_t count = sizeof(plans) / sizeof(*plans);
	static u8 data[INPUT_MAX];
	size_t i, size, slot_size;
	FILE *f;
	int arg;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY [RECORD...]\n", argv[0]);
		return 2;
	}
	directory = argv[1];
	for (i = 0; i < count; i++) {
		size = plan_size(&plans[i]);
		plan_write_bytes(&plans[i], data);
		save(0, data, size);
		save(TAKE_SEALED_HEADER | TAKE_SEALED_ENTRIES, data, size);
		/* a cut one, whose header then says so */
		put64(data + 40, size - 8);
		save(TAKE_SEALED_HEADER, data, size - 8);
	}
	for (i = 0; i < count; i++) {
		const struct plan *second = &plans[(i + 3) % count];

		slot_size = plan_size(&plans[i]);
		if (slot_size < plan_size(second))
			slot_size = plan_size(second);
		slot_size = (slot_size + 63) / 64 * 64;
		memset(data, 0, 2 * slot_size);
		plan_write_bytes(&plans[i], data);
		plan_write_bytes(second, data + slot_size);
		save(TAKE_REGION | TAKE_SEALED_HEADER | TAKE_SEALED_ENTRIES, data, 2 * slot_size);
		save(TAKE_REGION | TAKE_SEALED_HEADER | TAKE_ONE_SLOT_RAW, data, 2 * slot_size);
		data[100] ^= 1;
		save(TAKE_REGION, data, 2 * slot_size);
	}
	for (arg = 2; arg < argc; arg++) {
		f = fopen(argv[arg], "rb");
		if (!f) {
			perror(argv[arg]);
			return 1;
		}
		size = fread(data, 1, sizeof(data) - 1, f);
		fclose(f);
		save(TAKE_SEALED_HEADER | TAKE_SEALED_ENTRIES, data, size);
		save(TAKE_REGION | TAKE_SEALED_HEADER | TAKE_SEALED_ENTRIES, data, size);
	}
	return seeds < 40;
}
