// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the fuzz target on files, without a fuzzer: for a find that is to be
 * looked at, and for machines without clang.
 *
 *	replay FILE|DIRECTORY...
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long ran;

static int run_path(const char *path);

static int run_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	char file[4096];
	int err = 0;

	if (!directory) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		err |= run_path(file);
	}
	closedir(directory);
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
	LLVMFuzzerTestOneInput(data, size);
	ran++;
	return 0;
}

int main(int argc, char **argv)
{
	int i, err = 0;

	for (i = 1; i < argc; i++)
		err |= run_path(argv[i]);
	printf("# %lu inputs\n", ran);
	return err || !ran;
}
