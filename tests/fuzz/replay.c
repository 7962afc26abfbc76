// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a fuzz target without a fuzzer: on files, for a find that is to be looked at;
 * with -n on that many inputs that are made of them, of the same files always the same ones.
 *
 *	replay [-n RUNS] FILE|DIRECTORY...
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define FILES_MAX	4096

static unsigned long ran;
static struct {
	uint8_t *data;
	size_t size;
} files[FILES_MAX];
static size_t file_count;
static bool keep;

static int run_path(const char *path);

static int is_shown(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* By name: what is made of the files depends on their order. */
static int run_directory(const char *path)
{
	int i, err = 0, count;
	struct dirent **entries;
	char file[4096];

	count = scandir(path, &entries, is_shown, alphasort);
	if (count < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	for (i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		err |= run_path(file);
		free(entries[i]);
	}
	free(entries);
	return err;
}

static int run_path(const char *path)
{
	static uint8_t data[1 << 20];
	struct stat status;
	size_t size;
	FILE *f;

	if (!stat(path, &status) && S_ISDIR(status.st_mode))
		return run_directory(path);
	f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	/* Said before: the target does not come back from a find. */
	if (getenv("VERBOSE"))
		fprintf(stderr, "%s\n", path);
	if (!keep) {
		LLVMFuzzerTestOneInput(data, size);
		ran++;
	} else if (file_count < FILES_MAX && size) {
		files[file_count].data = malloc(size);
		files[file_count].size = size;
		if (!files[file_count].data)
			return 1;
		memcpy(files[file_count++].data, data, size);
	}
	return 0;
}

/* xorshift64* */
static size_t below(size_t n)
{
	static uint64_t state = 1;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (size_t)((state * 0x2545f4914f6cdd1dULL >> 32) * n >> 32);
}

/* One change of @data, which has room for INPUT_MAX bytes; its new size. */
static size_t change(uint8_t *data, size_t size)
{
	static const uint8_t bytes[] = { 0, 1, 0x7f, 0x80, 0xff, ' ', '=', ',', '"', '-' };
	size_t at = below(size), other = below(file_count), length;

	switch (below(7)) {
	case 0:
		data[at] ^= (uint8_t)(1U << below(8));
		return size;
	case 1:
		data[at] = bytes[below(sizeof(bytes))];
		return size;
	case 2:
		data[at] = (uint8_t)(data[at] + below(9) - 4);
		return size;
	case 3:		/* cut */
		return at + 1;
	case 4:		/* some bytes less */
		length = below(size - at);
		memmove(data + at, data + at + length, size - at - length);
		return size - length;
	case 5:		/* a piece of itself once more */
		length = below(size - at);
		if (size + length > INPUT_MAX)
			return size;
		memmove(data + at + length, data + at, size - at);
		return size + length;
	default:	/* the rest from another one */
		if (files[other].size > INPUT_MAX || at >= files[other].size)
			return size;
		memcpy(data + at, files[other].data + at, files[other].size - at);
		return files[other].size;
	}
}

/* The first bytes say what is tested: they are left alone mostly. */
static void run_changed(void)
{
	static uint8_t data[INPUT_MAX];
	size_t from = below(file_count), size = files[from].size, changes;

	if (size > INPUT_MAX)
		return;
	memcpy(data, files[from].data, size);
	for (changes = 1 + below(6); changes && size; changes--)
		size = change(data, size);
	if (size > 1 && below(8))
		memcpy(data, files[from].data, files[from].size > 1 ? 2 : 1);
	LLVMFuzzerTestOneInput(data, size);
	ran++;
}

int main(int argc, char **argv)
{
	unsigned long runs = 0;
	FILE *said = fdopen(dup(STDOUT_FILENO), "w");
	int i = 1, err = 0;

	if (argc > 2 && !strcmp(argv[1], "-n")) {
		runs = strtoul(argv[2], NULL, 0);
		keep = true;
		i = 3;
	}
	/* What a target says itself is much, and of no interest. */
	if (!said || !freopen("/dev/null", "w", stdout))
		return 1;
	for (; i < argc; i++)
		err |= run_path(argv[i]);
	while (!err && file_count && ran < runs)
		run_changed();
	fprintf(said, "# %lu inputs\n", ran);
	fclose(said);
	return err || !ran;
}
