// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl kexec-args: what the next kernel needs on its command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cmdline.h"
#include "commands.h"
#include "fields.h"
#include "options.h"

#define LABEL_PATH		"/sys/module/kvmclock_handover/parameters/reserve_mem"
#define PARAMETER_FILE_MAX	(64U << 10)
#define NOTHING_PRINTED		"; nothing printed"

enum quoting {
	QUOTE_NONE,
	QUOTE_SHELL,
	QUOTE_GRUB,
};

static char *quote(const char *line, enum quoting quoting)
{
	/* No character becomes more than four. */
	char *result = xcalloc(strlen(line) + 1, 4), *at = result;

	if (quoting == QUOTE_SHELL)
		*at++ = '\'';
	for (; *line; line++) {
		if (quoting == QUOTE_SHELL && *line == '\'')
			at = stpcpy(at, "'\\''");
		/*
		 * For GRUB_CMDLINE_LINUX="..." in /etc/default/grub: a shell
		 * reads that, and GRUB what the shell made of it.
		 */
		else if (quoting == QUOTE_GRUB && *line == '$')
			at = stpcpy(at, "\\\\\\$");
		else if (quoting == QUOTE_GRUB && *line == '"')
			at = stpcpy(at, "\\\"");
		else
			*at++ = *line;
	}
	if (quoting == QUOTE_SHELL)
		*at++ = '\'';
	return result;
}

/* EXIT_DONE: this kernel's frequency is settled, as far as can be told. */
static int ask_frequency(struct tool *tool, struct kch_info *info)
{
	int err = kch_info(tool->handle, info);

	if (err)
		return refuse(tool, NULL, err, "");
	if (info->tsc_source == KCH_TSC_EARLY || !info->tsc_khz)
		return complain(tool, NULL, -EAGAIN, "this kernel is still calibrating its TSC"
				NOTHING_PRINTED "; try again in some seconds");
	if (info->tsc_source == KCH_TSC_UNKNOWN)
		complain_code(tool, EXIT_DONE, NULL, 0,
			      "it cannot be told whether this kernel's TSC calibration is over; the frequency printed may still change");
	return EXIT_DONE;
}

static int check(struct tool *tool, const struct needs *needs, const char *line)
{
	const char *region = cmdline_missing(&needs->region, line, "");
	const char *pin = cmdline_missing(&needs->pin, line, "");

	output_string(tool->out.document, "missing_region", region);
	output_string(tool->out.document, "missing_pin", pin);
	if (pin)
		complain_code(tool, EXIT_DONE, NULL, 0,
			      "the command line lacks %s: the next kernel measures another TSC frequency; guests with a scaled TSC cannot be restored then",
			      pin);
	return region ? complain_code(tool, EXIT_REFUSED, NULL, -ENODEV,
				      "the command line lacks %s: the next kernel does not find the record, and no guest gets its clock back",
				      region) : EXIT_DONE;
}

int cmd_kexec_args(struct tool *tool, int argc, char **argv)
{
	const char *line = NULL, *now, *label, *checked = NULL, *problem = NULL;
	struct kch_info info = { .size = sizeof(info) };
	struct json_object *out = tool->out.document;
	int quoting = QUOTE_NONE, append = 0, code;
	struct needs needs;
	const struct option_row options[] = {
		{ "shell", NULL, "in single quotes, for a shell", OPTION_SET, &quoting,
		  QUOTE_SHELL },
		{ "grub", NULL, "with $ escaped for GRUB_CMDLINE_LINUX=\"...\" in /etc/default/grub",
		  OPTION_SET, &quoting, QUOTE_GRUB },
		{ "append", NULL, "the whole command line of this kernel, these words among the others",
		  OPTION_SET, &append, 1 },
		{ "cmdline", "LINE", "that command line instead of this kernel's", OPTION_TEXT,
		  &line },
		{ "check", "LINE", "say what the next kernel's command line LINE lacks of these words",
		  OPTION_TEXT, &checked },
		{}
	};

	code = options_parse(tool, argc, argv, "", options, NULL, NULL);
	if (!code && checked && (quoting || append || line))
		code = bad_usage(tool, "--check is about that line alone: no other option goes with it");
	code = code ? code : tool_open(tool);
	code = code ? code : ask_frequency(tool, &info);
	if (code)
		return code;
	now = read_file("/proc/cmdline", PARAMETER_FILE_MAX, NULL);
	now = now ? now : line;
	if (!now)
		return complain(tool, "/proc/cmdline", -EACCES, "%s" NOTHING_PRINTED,
				strerror(errno));
	label = read_file(LABEL_PATH, PARAMETER_FILE_MAX, NULL);
	code = cmdline_needs(&info, line ? line : now, label, &needs, &problem);
	if (code)
		return complain(tool, needs.label, -ENODEV, "%s" NOTHING_PRINTED, problem);
	if (checked)
		return check(tool, &needs, checked);
	line = append ? cmdline_merge(&needs, line ? line : now) :
			xasprintf("%s%s%s", words_line(&needs.region), needs.pin.size ? " " : "",
				  words_line(&needs.pin));
	line = quote(line, quoting);
	/* For people and scripts the line is all there is. */
	if (!tool->out.json)
		return puts(line) < 0 ? EXIT_FAILED : EXIT_DONE;
	output_number(out, "tsc_khz", info.tsc_khz);
	output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
	output_string(out, "args", line);
	return EXIT_DONE;
}
