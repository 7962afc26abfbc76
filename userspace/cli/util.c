// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "util.h"

static void *checked(void *memory)
{
	if (!memory) {
		fputs("kvmclockctl: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size));
}

void *xrealloc(void *old, size_t size)
{
	return checked(realloc(old, size ? size : 1));
}

char *xstrdup(const char *text)
{
	return checked(strdup(text));
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	return checked(length < 0 ? NULL : text);
}

char *read_file(const char *path, size_t max, size_t *size)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	size_t room = 4096, used = 0;
	char *data;
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return NULL;
	data = xmalloc(room + 1);
	while ((n = read(fd, data + used, room - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = errno;
			break;
		}
		used += (size_t)n;
		if (used > max) {
			err = EFBIG;
			break;
		}
		if (used == room) {
			room *= 2;
			data = xrealloc(data, room + 1);
		}
	}
	if (fd != STDIN_FILENO)
		close(fd);
	if (err) {
		free(data);
		errno = err;
		return NULL;
	}
	data[used] = '\0';
	if (size)
		*size = used;
	return data;
}
