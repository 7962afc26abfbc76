// SPDX-License-Identifier: GPL-2.0
/* Running a subcommand: the device, messages, exit codes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

int exit_code(int err)
{
	switch (-err) {
	case 0:
		return EXIT_DONE;
	case ENODATA:
	case ENOENT:
	case ESRCH:
		return EXIT_NOTHING;
	/* Not an answer about a clock: the call itself did not come through. */
	case EPERM:
	case EACCES:
	case ENOTTY:
	case EFAULT:
	case EINVAL:
	case E2BIG:
	case EINTR:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EREMOTEIO:
		return EXIT_FAILED;
	default:
		return EXIT_REFUSED;
	}
}

int complain(struct tool *tool, const char *object, int err, const char *message,
	     const char *consequence)
{
	char *text = xasprintf("%s%s%s", message, consequence ? "; " : "",
			       consequence ? consequence : "");
	char *printable = output_printable(text);
	char *printable_object = output_printable(object ? object : "");

	/* Behind what was printed so far, also when both go to one file. */
	fflush(stdout);
	fprintf(stderr, "kvmclockctl %s: %s%s%s\n", tool->command->name,
		printable_object, object ? ": " : "", printable);
	output_error(tool->out, object, err ? strerrorname_np(-err) : NULL, text);
	free(text);
	free(printable);
	free(printable_object);
	return exit_code(err);
}

int complain_last(struct tool *tool, const char *object, int err,
		  const char *consequence)
{
	return complain(tool, object, err, kch_last_message(tool->handle),
			consequence);
}

int bad_usage(const struct tool *tool, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "kvmclockctl %s: ", tool->command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nUsage: kvmclockctl %s [--json | --tsv] [--device PATH] %s\n",
		tool->command->name, tool->command->usage);
	return EXIT_USAGE;
}

char *vm_label(const char *name, const uint8_t uuid[KCH_UUID_SIZE])
{
	char text[KCH_UUID_TEXT_SIZE];

	if (name && *name)
		return xstrdup(name);
	kch_uuid_format(uuid, text);
	return xstrdup(text);
}

const char *backend_name(uint32_t backend)
{
	static const char *const names[] = {
		[KCH_BACKEND_NONE] = "none",
		[KCH_BACKEND_RANGE] = "range",
		[KCH_BACKEND_RESERVE_MEM] = "reserve_mem",
		[KCH_BACKEND_KHO] = "kho",
	};

	return backend < ARRAY_SIZE(names) ? names[backend] : "unknown";
}

static int open_device(struct tool *tool)
{
	const char *device = tool->options.device ? tool->options.device : KCH_DEVICE;
	struct kch_open_opts opts = { .sz = sizeof(opts), .device = device };
	const char *hint = NULL;

	tool->handle = kch_open(&opts);
	if (tool->handle)
		return EXIT_DONE;
	if (errno == ENOENT || errno == ENXIO)
		hint = "the module kvmclock_handover is not loaded";
	else if (errno == EPERM || errno == EACCES)
		hint = "this needs CAP_SYS_ADMIN";
	else if (errno == ENOTTY)
		hint = "this is not the device of the module";
	complain(tool, device, -errno, strerror(errno), hint);
	/* Without the module there may well be something to act on. */
	return EXIT_FAILED;
}

int tool_run(struct tool *tool)
{
	int opened = EXIT_DONE, code;

	tool->out = output_new(tool->options.format);
	if (!(tool->command->options & OPTION_NO_DEVICE))
		opened = open_device(tool);
	if (opened && !(tool->command->options & OPTION_TRY_DEVICE))
		return opened;
	code = tool->command->fn(tool);
	kch_close(tool->handle);
	return opened ? opened : code;
}
