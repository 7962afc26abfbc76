/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before all else in the tool's own files: the tool never frees its texts, as it
 * ends soon.  Here it is run a million times, so what it allocates is freed when a command
 * has ended.
 */
#ifndef KCH_TESTS_TRACK_H
#define KCH_TESTS_TRACK_H

#include <argz.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void *track_calloc(size_t count, size_t size);
void *track_realloc(void *old, size_t size);
int track_vasprintf(char **text, const char *format, va_list args);
error_t track_argz_add(char **argz, size_t *size, const char *word);
void track_free(void *memory);

/* All there is. */
void track_free_all(void);

#endif /* KCH_TESTS_TRACK_H */
