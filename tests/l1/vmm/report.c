// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define CHECKS_MAX	32

static const char *path;
static char *text;
static size_t text_size;
static FILE *out;
static bool list_empty;
static const char *failed[CHECKS_MAX];
static unsigned int failed_count;
static void (*exit_hook)(int status);

static void start(void)
{
	out = open_memstream(&text, &text_size);
	if (!out) {
		perror("kch-vmm: report");
		exit(EXIT_CHECKS_FAILED);
	}
	failed_count = 0;
}

void report_open(const char *file)
{
	path = file;
	start();
}

void report(const char *key, const char *format, ...)
{
	va_list args;

	fprintf(out, "%s=", key);
	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	fputc('\n', out);
}

void report_list_start(const char *key)
{
	fprintf(out, "%s=", key);
	list_empty = true;
}

static void comma(void)
{
	if (!list_empty)
		fputc(',', out);
	list_empty = false;
}

void report_list_s64(int64_t value)
{
	comma();
	fprintf(out, "%lld", (long long)value);
}

void report_list_u64(uint64_t value)
{
	comma();
	fprintf(out, "%llu", (unsigned long long)value);
}

void report_list_end(void)
{
	fputc('\n', out);
}

void report_check(bool holds, const char *check)
{
	unsigned int i;

	if (holds)
		return;
	for (i = 0; i < failed_count; i++)
		if (!strcmp(failed[i], check))
			return;
	if (failed_count < CHECKS_MAX)
		failed[failed_count++] = check;
	report("failed", "%s", check);
}

bool report_any_failed(void)
{
	return failed_count > 0;
}

/* Under a name of its own first: a reader sees a whole report or none. */
static void write_file(void)
{
	char part[4096];
	FILE *file;

	snprintf(part, sizeof(part), "%s.part", path);
	file = fopen(part, "w");
	if (!file || fwrite(text, 1, text_size, file) != text_size ||
	    fclose(file) || rename(part, path))
		fprintf(stderr, "kch-vmm: %s: %s\n", path, strerror(errno));
}

void report_flush(void)
{
	fclose(out);
	if (path) {
		write_file();
	} else {
		fwrite(text, 1, text_size, stdout);
		fflush(stdout);
	}
	free(text);
	start();
}

void report_at_exit(void (*hook)(int status))
{
	exit_hook = hook;
}

void die(const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	fprintf(stderr, "kch-vmm: %s\n", message);
	if (out) {
		report("error", "%s", message);
		report_check(false, "vmm");
		report_flush();
	}
	if (exit_hook)
		exit_hook(EXIT_CHECKS_FAILED);
	exit(EXIT_CHECKS_FAILED);
}
