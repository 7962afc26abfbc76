// SPDX-License-Identifier: GPL-2.0
/*
 * Makes inputs for the fuzzer to start from: records and regions of this
 * version and of later ones, taken in every way; and texts that the tool reads.
 *
 *	mk-seeds DIRECTORY [RECORD...]
 *
 * into its record/ and tool/; RECORD: files that are records.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/builder.h"
#include "fuzz.h"

static const struct plan plans[] = {
	{ 320, 192, 64, 0, { 0 }, 1, 0, 0, 1 },
	{ 320, 192, 64, 1, { 0 }, 2, 0, 0, 2 },
	{ 320, 192, 64, 1, { 1 }, 3, 0, 0, 3 },
	{ 320, 192, 64, 3, { 1, 2, 4 }, 4, 0, 0, 4 },
	{ 320, 192, 64, 2, { 2, 1 }, 4, 1, 0, 8 },
	{ 328, 200, 72, 2, { 1, 2 }, 5, 1, 0, 5 },
	{ 384, 256, 96, 2, { 3, 0 }, 6, 0xff, 0, 6 },
	{ 320, 192, 64, 1, { 1 }, 7, 0, 1, 7 },
};

static const char *directory;
static unsigned int seeds;

static void save_as(const char *kind, const char *head, size_t head_size, const void *data,
		    size_t size)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/seed-%03u", directory, kind, seeds++);
	f = fopen(path, "wb");
	if (!f || fwrite(head, 1, head_size, f) != head_size || fwrite(data, 1, size, f) != size ||
	    fclose(f)) {
		perror(path);
		exit(1);
	}
}

static void save(uint8_t take, const u8 *data, size_t size)
{
	char head[] = { (char)TOOL_DECODE, (char)take };

	save_as("record", head + 1, 1, data, size);
	/* The tool's ways to read a dump, and the library's, follow one another. */
	for (head[0] = TOOL_DECODE; head[0] <= TOOL_STOCK; head[0]++) {
		save_as("tool", head, 2, data, size);
		head[1] ^= (char)TAKE_UTF8;
	}
}

static void save_words(enum tool_part part, const char *words, size_t size)
{
	char head[] = { (char)part, 0 };

	save_as("tool", head, 2, words, size);
}

/* A blank stands for the end of a word. */
static void save_text(enum tool_part part, uint8_t first, const char *text)
{
	char words[256] = { (char)first };
	size_t size = strlen(text) + 2, i;

	strcpy(words + 1, text);
	for (i = 1; part != TOOL_KEXEC_ARGS && i < size; i++)
		if (words[i] == ' ')
			words[i] = '\0';
	save_words(part, part == TOOL_IDENTITY ? words + 1 : words, size);
}

static void save_texts(void)
{
	static const char * const options[] = {
		"--json --record --size 4096 file",
		"--id 00112233-4455-6677-8899-aabbccddeeff --hold=10 --max-blackout=9 --mode=identical",
		"--pid 17 --fd 4 --name web1 --id=00112233445566778899aabbccddeeff",
		"--output uuid,name --raw --noheadings -o pid",
		"--help --all --device /dev/null",
		"--append --shell --cmdline x",
	};
	uint8_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		save_text(TOOL_OPTIONS, i, options[i]);
	save_text(TOOL_KEXEC_ARGS, KCH_BACKEND_RANGE,
		  "1BOOT_IMAGE=/v root=/dev/x memmap=1M$0x30000000,2K!5G tsc_early_khz=1 -- a \"b c\"");
	save_text(TOOL_KEXEC_ARGS, KCH_BACKEND_RESERVE_MEM,
		  "2reserve_mem=1M:4096:kch kvmclock-handover.region=1,2 hpet=disable");
	save_text(TOOL_KEXEC_ARGS, KCH_BACKEND_KHO, "3kho=on pmtmr=0 \"memmap=4K@1\" a='$x'");
	save_text(TOOL_IDENTITY, 0,
		  "qemu -name debug-threads=on,guest=web1,,2 -uuid 00112233-4455-6677-8899-aabbccddeeff");
	save_text(TOOL_IDENTITY, 0, "vmm --name a,b=c,guest= -uuid x");
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
		save(TAKE_SEALED_HEADER | TAKE_SEALED_ENTRIES | TAKE_TRUE_CLOCKS, data, size);
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
	save_texts();
	return seeds < 40;
}
