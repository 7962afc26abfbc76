/* SPDX-License-Identifier: GPL-2.0 */
/* Memory for a short-lived tool: without it, the tool ends with status 1. */
#ifndef KCH_CLI_UTIL_H
#define KCH_CLI_UTIL_H

#include <stddef.h>

#ifndef __printf
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#endif

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
__printf(1, 2)
char *xasprintf(const char *format, ...);

/*
 * All of a file, with a NUL behind it, or NULL with errno set.  "-" is the
 * standard input.  EFBIG: it has more than @max bytes.
 */
char *read_file(const char *path, size_t max, size_t *size);

#endif /* KCH_CLI_UTIL_H */
