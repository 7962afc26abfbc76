// SPDX-License-Identifier: GPL-2.0
/* Memory that is there or ends the tool, texts for a terminal, whole files. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "util.h"

void *xcheck(void *memory)
{
	if (!memory) {
		fputs("kvmclockctl: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	return xcheck(calloc(count ? count : 1, size));
}

void *xrealloc(void *old, size_t size)
{
	return xcheck(realloc(old, size ? size : 1));
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	return xcheck(length < 0 ? NULL : text);
}

/* Length of the valid UTF-8 sequence at @s, 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 :
			s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0, i;
	uint32_t code;

	if (length < 2)
		return length;
	code = s[0] & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ?
	       0 : length;
}

char *printable(const char *text)
{
	char *result = xcalloc(strlen(text) + 1, 4), *at = result;
	const unsigned char *s = (const unsigned char *)text;
	size_t length;

	while (*s) {
		length = utf8_length(s);
		/* C1 controls are U+0080 to U+009f, C2 80 to C2 9f. */
		if (!length || *s < 0x20 || *s == 0x7f || *s == '\\' ||
		    (length == 2 && s[0] == 0xc2 && s[1] < 0xa0)) {
			at += sprintf(at, "\\x%02x", *s++);
		} else {
			at = mempcpy(at, s, length);
			s += length;
		}
	}
	return result;
}

char *ascii(const char *text)
{
	char *result = xcalloc(strlen(text) + 1, 4), *at = result;

	for (; *text; text++)
		at += sprintf(at, (unsigned char)*text < 0x80 ? "%c" : "\\x%02x",
			      (unsigned char)*text);
	return result;
}

/* Opening waits for nobody; reading waits for a pipe that somebody writes to. */
static FILE *open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fcntl(fd, F_SETFL, O_RDONLY))
		return NULL;
	return xcheck(fdopen(fd, "r"));
}

char *read_file(const char *path, size_t max, size_t *size)
{
	FILE *file = strcmp(path, "-") ? open_file(path) : stdin;
	size_t room = 4096, used = 0;
	char *data = NULL;
	int err;

	if (!file)
		return NULL;
	errno = 0;
	do {
		room *= 2;
		data = xrealloc(data, room + 1);
		used += fread(data + used, 1, room - used, file);
	} while (used == room && used <= max);
	err = used > max ? EFBIG : ferror(file) ? errno : 0;
	if (file != stdin)
		fclose(file);
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

int write_file(const char *path, const char *text)
{
	return write_bytes(path, text, strlen(text));
}

/* What the host would miss: a device, or a link to one or to an open file, as /dev/stdout is. */
static bool is_to_stay(const char *path)
{
	char target[8] = "";
	struct stat status;

	if (!strcmp(path, "-"))
		return true;
	if (lstat(path, &status))
		return false;
	if (S_ISLNK(status.st_mode) && readlink(path, target, sizeof(target) - 1) > 0)
		return !strncmp(target, "/dev/", 5) || !strncmp(target, "/proc/", 6);
	return S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) || S_ISSOCK(status.st_mode);
}

int write_bytes(const char *path, const void *data, size_t size)
{
	char *new = xasprintf("%s.XXXXXX", path);
	int fd, err;
	FILE *file;
	bool good;

	if (is_to_stay(path)) {
		errno = ENOTSUP;
		return -1;
	}
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return -1;
	file = xcheck(fdopen(fd, "w"));
	good = !fchmod(fd, 0644) && fwrite(data, 1, size, file) == size && !fflush(file) &&
	       !fsync(fd);
	good &= !fclose(file);
	if (good && !rename(new, path))
		return 0;
	err = errno;
	unlink(new);
	errno = err;
	return -1;
}
