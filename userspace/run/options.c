// SPDX-License-Identifier: LGPL-2.1-or-later
/* What kvmclock-run was told, and how to say something. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

struct run_options run_options;

static uint32_t number_of(const char *name, uint32_t fallback)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : fallback;
}

void run_options_read(void)
{
	const char *id = getenv(RUN_ENV_ID);
	const char *name = getenv(RUN_ENV_NAME);
	const char *incoming = getenv(RUN_ENV_INCOMING);

	if (!id)
		return;
	if (kch_uuid_parse(id, run_options.id)) {
		run_say("%s=%s is not a UUID: nothing is done", RUN_ENV_ID, id);
		return;
	}
	kch_uuid_format(run_options.id, run_options.id_text);
	run_options.name = name ? name : "";
	run_options.require = getenv(RUN_ENV_REQUIRE);
	run_options.wait_s = number_of(RUN_ENV_WAIT, RUN_WAIT_DEFAULT_S);
	run_options.flags = number_of(RUN_ENV_FLAGS, 0);
	run_options.verbose = getenv(RUN_ENV_VERBOSE);
	run_options.log = getenv(RUN_ENV_LOG);
	if (incoming && !strcmp(incoming, "yes"))
		run_options.incoming = RUN_INCOMING_YES;
	else if (incoming && !strcmp(incoming, "no"))
		run_options.incoming = RUN_INCOMING_NO;
	run_options.active = true;
}

static void put_line(int fd, const char *line, size_t length)
{
	/* Nobody can be told that nobody can be told. */
	if (write(fd, line, length) < 0)
		return;
}

void run_say(const char *format, ...)
{
	int saved_errno = errno;
	char line[2048];
	va_list args;
	size_t used;
	int fd;

	used = (size_t)snprintf(line, sizeof(line), "kvmclock-run: %s%s",
				run_options.id_text,
				run_options.id_text[0] ? ": " : "");
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	used = strlen(line);
	line[used++] = '\n';
	/* One write, so that lines of several threads stay whole. */
	put_line(STDERR_FILENO, line, used);
	if (run_options.log) {
		fd = open(run_options.log,
			  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (fd >= 0) {
			put_line(fd, line, used);
			close(fd);
		}
	}
	errno = saved_errno;
}
