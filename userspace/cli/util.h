/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory and texts of a tool that ends soon: without memory it ends at once, with
 * status 1, and what it says is not freed before.
 */
#ifndef KCH_CLI_UTIL_H
#define KCH_CLI_UTIL_H

#include <stddef.h>

#ifndef __printf
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#endif

/* @memory, which is what an allocation returned, if that is not NULL. */
void *xcheck(void *memory);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
__printf(1, 2)
char *xasprintf(const char *format, ...);

/*
 * A copy in which each byte that would steer a terminal, break a line or is no
 * UTF-8 is \xNN, and so is the backslash.
 */
char *printable(const char *text);

/* The same for where only ASCII is: all other bytes as \xNN. */
char *ascii(const char *text);

/*
 * All of a file, with a NUL behind it, or NULL with errno set.  "-" is the
 * standard input, and a FIFO that nobody writes to has nothing.  EFBIG: it has
 * more than @max bytes.
 */
char *read_file(const char *path, size_t max, size_t *size);

/*
 * The file has that text, all of it or none; 0, or -1 with errno set.  What is there
 * under its name is replaced, not opened: it may be a link or a FIFO of somebody else's.
 * ENOTSUP: that is a device, a socket, a link into /dev or /proc, or the path is "-".
 */
int write_file(const char *path, const char *text);
int write_bytes(const char *path, const void *data, size_t size);

#endif /* KCH_CLI_UTIL_H */
