// SPDX-License-Identifier: GPL-2.0
/* What both programs of the Linux guest begin with: the serial port, and lines to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>
#include "report.h"

static int out;

void line(const char *format, ...)
{
	char text[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (length > (int)sizeof(text) - 2)
		length = sizeof(text) - 2;
	text[length++] = '\n';
	if (write(out, text, (size_t)length) != length)
		abort();
}

void tell(const char *key, const char *file)
{
	char text[128] = "";
	int fd = open(file, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		strcpy(text, "?");
	close(fd);
	text[strcspn(text, "\n")] = '\0';
	line("G %s %s", key, text);
}

int report_begin(void)
{
	struct termios raw;
	struct utsname name;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) && errno != EBUSY))
		abort();
	out = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	if (out < 0 || tcgetattr(out, &raw))
		abort();
	cfmakeraw(&raw);
	tcsetattr(out, TCSANOW, &raw);
	uname(&name);
	line("G release %s", name.release);
	tell("clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
	return out;
}

int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY);

	if (fd < 0)
		abort();
	lseek(fd, 0, SEEK_END);
	return fd;
}

const char *log_next(int fd, char record[LOG_RECORD_SIZE])
{
	ssize_t length;
	char *text;

	do {
		length = read(fd, record, LOG_RECORD_SIZE - 1);
	} while (length < 0 && errno == EPIPE);
	if (length <= 0)
		abort();
	record[length] = '\0';
	record[strcspn(record, "\n")] = '\0';
	text = strchr(record, ';');
	return text ? text + 1 : record;
}

uint64_t tsc(void)
{
	uint64_t value;

	_mm_lfence();
	value = __rdtsc();
	_mm_lfence();
	return value;
}
