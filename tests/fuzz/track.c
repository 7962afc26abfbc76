// SPDX-License-Identifier: GPL-2.0
#include "track.h"

static void **all;
static size_t count, room;

static void *add(void *memory)
{
	if (count == room) {
		room = room ? 2 * room : 1024;
		all = realloc(all, room * sizeof(*all));
		if (!all)
			abort();
	}
	if (memory)
		all[count++] = memory;
	return memory;
}

/* What is freed is mostly what came last. */
static void forget(const void *memory)
{
	size_t i = count;

	while (memory && i--) {
		if (all[i] == memory) {
			all[i] = all[--count];
			return;
		}
	}
}

void *track_calloc(size_t number, size_t size)
{
	return add(calloc(number, size));
}

void *track_realloc(void *old, size_t size)
{
	forget(old);
	return add(realloc(old, size));
}

int track_vasprintf(char **text, const char *format, va_list args)
{
	int length = vasprintf(text, format, args);

	if (length >= 0)
		add(*text);
	return length;
}

error_t track_argz_add(char **argz, size_t *size, const char *word)
{
	error_t err;

	forget(*argz);
	err = argz_add(argz, size, word);
	add(*argz);
	return err;
}

void track_free(void *memory)
{
	forget(memory);
	free(memory);
}

void track_free_all(void)
{
	while (count)
		free(all[--count]);
}
