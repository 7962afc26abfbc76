// SPDX-License-Identifier: GPL-2.0
/* What a VM is called, from its process's command line. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "forged.h"
#include "identity.h"
#include "util.h"

#define PROC_FILE_MAX	(4U << 20)

static void hash_uuid(const char *text, uint8_t uuid[KCH_UUID_SIZE])
{
	unsigned __int128 hash = ((unsigned __int128)0x6c62272e07bb0142 << 64) |
				 0x62b821756295c58d;
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) | 0x13b;
	int i;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * prime;
	for (i = KCH_UUID_SIZE - 1; i >= 0; i--, hash >>= 8)
		uuid[i] = (uint8_t)hash;
	uuid[6] = 0x80 | (uuid[6] & 0x0f);
	uuid[8] = 0x80 | (uuid[8] & 0x3f);
}

/*
 * QEMU: "-name web1", "-name debug-threads=on,guest=web1": the last one of the
 * name counts, and only the first part may be one without "guest=".  ",," is a
 * comma.
 */
static void qemu_name(const char *value, char name[KCH_NAME_SIZE])
{
	bool is_name = value[strcspn(value, "=,")] != '=';
	size_t length;

	while (true) {
		if (!strncmp(value, "guest=", 6)) {
			is_name = true;
			value += 6;
		}
		for (length = 0; *value; value++) {
			if (*value == ',' && *++value != ',')
				break;
			if (is_name && length < KCH_NAME_SIZE - 1)
				name[length++] = *value;
		}
		if (is_name)
			name[length] = '\0';
		if (!*value)
			return;
		is_name = false;
	}
}

/* Words as in /proc/PID/cmdline, each with a NUL behind it. */
static bool parse_words(const char *words, size_t size, uint8_t uuid[KCH_UUID_SIZE],
			char name[KCH_NAME_SIZE])
{
	const char *end = words + size, *value;
	bool has_uuid = false;

	for (; words < end; words = value) {
		/* QEMU takes its options with one or two hyphens. */
		const char *option = words + !strncmp(words, "--", 2);

		value = words + strlen(words) + 1;
		if (value >= end)
			break;
		if (!strcmp(option, "-uuid"))
			has_uuid = kch_uuid_parse(value, uuid) == 0;
		else if (!strcmp(option, "-name"))
			qemu_name(value, name);
	}
	return has_uuid;
}

/* 0: it cannot be read. */
static unsigned long long start_time(pid_t pid)
{
	char *stat = read_file(xasprintf("/proc/%d/stat", pid), PROC_FILE_MAX, NULL), *at;
	unsigned long long start = 0;

	/* Field 22; the second is a name that may hold anything but the last ')'. */
	at = stat ? strrchr(stat, ')') : NULL;
	if (at)
		sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		       &start);
	free(stat);
	return start;
}

/* NULL: see errno. */
static char *process_text(pid_t pid)
{
	char *boot_id = read_file("/proc/sys/kernel/random/boot_id", PROC_FILE_MAX, NULL);
	unsigned long long start = boot_id ? start_time(pid) : 0;

	return start ? xasprintf("kvmclock-handover:process:%.*s:%d:%llu",
				 (int)strcspn(boot_id, "\n"), boot_id, pid, start) : NULL;
}

int identity_of(pid_t pid, unsigned int ordinal, uint8_t uuid[KCH_UUID_SIZE],
		char name[KCH_NAME_SIZE], bool *lasting)
{
	char *words, *base;
	size_t size, at;
	bool has_uuid;

	name[0] = '\0';
	words = read_file(xasprintf("/proc/%d/cmdline", pid), PROC_FILE_MAX, &size);
	if (!words)
		return -errno;
	has_uuid = parse_words(words, size, uuid, name);
	free(words);
	/* As a record takes it. */
	while ((at = kch_printable(name, KCH_NAME_SIZE)) < KCH_NAME_SIZE && name[at])
		name[at] = '?';
	*lasting = (has_uuid && !ordinal) || name[0];
	if (has_uuid && !ordinal)
		return 0;
	base = name[0] ? xasprintf("kvmclock-handover:name:%s", name) : process_text(pid);
	if (!base)
		return errno ? -errno : -EIO;
	hash_uuid(ordinal ? xasprintf("%s:%u", base, ordinal) : base, uuid);
	return 0;
}
