// SPDX-License-Identifier: GPL-2.0
/* The device, messages and exit codes of the command that runs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "tool.h"

int tool_open(struct tool *tool)
{
	const char *device = tool->device ? tool->device : KCH_DEVICE;
	struct kch_open_opts opts = { .sz = sizeof(opts), .device = device };
	const char *hint = "";

	tool->handle = kch_open(&opts);
	if (tool->handle)
		return EXIT_DONE;
	if (errno == ENXIO || (errno == ENOENT && !tool->device))
		hint = "; the module kvmclock_handover is not loaded";
	else if (errno == EPERM || errno == EACCES)
		hint = "; this needs CAP_SYS_ADMIN";
	else if (errno == ENOTTY)
		hint = "; this is not the device of the module";
	/* Without the module there may well be something to act on. */
	return complain_code(tool, EXIT_FAILED, device, -errno, "%s%s", strerror(errno), hint);
}

int exit_code(int err)
{
	switch (-err) {
	case ENODATA:
	case ENOENT:
	case ESRCH:
		return EXIT_NOTHING;
	/* Not an answer about a clock: the call itself did not come through. */
	case 0:
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

int complain_code(struct tool *tool, int code, const char *object, int err, const char *format, ...)
{
	static const char *const words[] = {
		"warning", "failed", "usage", "nothing", "refused", "missing",
	};
	char *text;
	va_list args;

	va_start(args, format);
	xcheck(vasprintf(&text, format, args) < 0 ? NULL : text);
	va_end(args);
	fprintf(stderr, "kvmclockctl%s%s: %s%s%s\n", tool->command ? " " : "",
		tool->command ? tool->command : "", object ? printable(object) : "",
		object ? ": " : "", printable(text));
	if (code == EXIT_USAGE)
		fprintf(stderr, "See kvmclockctl %s%s--help.\n",
			tool->command ? tool->command : "", tool->command ? " " : "");
	output_error(&tool->out, words[code], err ? strerrorname_np(-err) : NULL, object, text);
	return code;
}

const char *vm_label(const char *name, const uint8_t uuid[KCH_UUID_SIZE])
{
	char *text = xcalloc(1, KCH_UUID_TEXT_SIZE);

	if (name && *name)
		return name;
	kch_uuid_format(uuid, text);
	return text;
}
