// SPDX-License-Identifier: GPL-2.0
/* Notes of blackouts, a file each in /run, or where systemd says that a service has its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "blackout.h"
#include "util.h"

#define NOTE_MAX	64

static const char *folder(void)
{
	const char *own = getenv("RUNTIME_DIRECTORY");

	return own ? own : "/run/kvmclockctl";
}

static char *note_path(const uint8_t *uuid)
{
	char text[KCH_UUID_TEXT_SIZE];

	kch_uuid_format(uuid, text);
	return xasprintf("%s/blackout-%s", folder(), text);
}

void blackout_note(const uint8_t uuid[KCH_UUID_SIZE], uint64_t blackout_ns)
{
	mkdir(folder(), 0755);
	write_file(note_path(uuid), xasprintf("%" PRIu64 "\n", blackout_ns));
}

bool blackout_noted(const uint8_t uuid[KCH_UUID_SIZE], uint64_t *blackout_ns)
{
	char *text = read_file(note_path(uuid), NOTE_MAX, NULL);

	return text && sscanf(text, "%" SCNu64, blackout_ns) == 1;
}
