// SPDX-License-Identifier: GPL-2.0
/* The command line of all subcommands. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

/* getopt_long()'s value for each option */
enum option_value {
	VALUE_HELP = 256,
	VALUE_JSON,
	VALUE_TSV,
	VALUE_DEVICE,
	VALUE_ID,
	VALUE_PID,
	VALUE_FD,
	VALUE_NAME,
	VALUE_ALL,
	VALUE_INCOMING,
	VALUE_OUTGOING,
	VALUE_CHECK,
	VALUE_UNSEALED,
	VALUE_ANY_WALL,
	VALUE_HOLD,
	VALUE_WAIT,
	VALUE_STALE,
	VALUE_DISCARD,
	VALUE_RECORD,
	VALUE_SHELL,
	VALUE_GRUB,
	VALUE_APPEND,
	VALUE_CMDLINE,
};

static const struct {
	const char *name;
	int has_arg;
	int value;
	unsigned int bit;	/* enum option_bit; 0: all commands take it */
} table[] = {
	{ "help", no_argument, VALUE_HELP, 0 },
	{ "json", no_argument, VALUE_JSON, 0 },
	{ "tsv", no_argument, VALUE_TSV, 0 },
	{ "device", required_argument, VALUE_DEVICE, 0 },
	{ "id", required_argument, VALUE_ID, OPTION_ID },
	{ "pid", required_argument, VALUE_PID, OPTION_PID },
	{ "fd", required_argument, VALUE_FD, OPTION_FD },
	{ "name", required_argument, VALUE_NAME, OPTION_NAME },
	{ "all", no_argument, VALUE_ALL, OPTION_ALL },
	{ "incoming", no_argument, VALUE_INCOMING, OPTION_WHICH },
	{ "outgoing", no_argument, VALUE_OUTGOING, OPTION_WHICH },
	{ "check", no_argument, VALUE_CHECK, OPTION_RESTORE },
	{ "unsealed", no_argument, VALUE_UNSEALED, OPTION_RESTORE },
	{ "any-wall", no_argument, VALUE_ANY_WALL, OPTION_RESTORE },
	{ "hold", optional_argument, VALUE_HOLD, OPTION_RESTORE },
	{ "wait", no_argument, VALUE_WAIT, OPTION_RESTORE },
	{ "stale", no_argument, VALUE_STALE, OPTION_RESTORE },
	{ "discard", no_argument, VALUE_DISCARD, OPTION_DISCARD },
	{ "record", no_argument, VALUE_RECORD, OPTION_RECORD },
	{ "shell", no_argument, VALUE_SHELL, OPTION_KEXEC },
	{ "grub", no_argument, VALUE_GRUB, OPTION_KEXEC },
	{ "append", no_argument, VALUE_APPEND, OPTION_KEXEC },
	{ "cmdline", required_argument, VALUE_CMDLINE, OPTION_KEXEC },
};

/* Long enough for any VMM that is told to resume by the next line of a script. */
#define HOLD_S_DEFAULT	60
#define HOLD_S_MAX	(KCH_HOLD_MS_MAX / 1000)

/* A number from @min to INT_MAX, all of @text. */
static bool parse_int(const char *text, int min, int *value)
{
	char *end;
	long number;

	if (*text < '0' || *text > '9')
		return false;
	number = strtol(text, &end, 10);
	if (*end || number < min || number > INT_MAX)
		return false;
	*value = (int)number;
	return true;
}

static int set_option(struct tool *tool, int value, const char *arg)
{
	struct options *options = &tool->options;
	int seconds = HOLD_S_DEFAULT;

	switch (value) {
	case VALUE_JSON:
		options->format = OUTPUT_JSON;
		break;
	case VALUE_TSV:
		options->format = OUTPUT_TSV;
		break;
	case VALUE_DEVICE:
		options->device = arg;
		break;
	case VALUE_ID:
		if (kch_uuid_parse(arg, options->id))
			return bad_usage(tool, "not a UUID: %s", arg);
		options->has_id = true;
		break;
	case VALUE_PID:
		if (!parse_int(arg, 1, &options->pid))
			return bad_usage(tool, "not a process id: %s", arg);
		break;
	case VALUE_FD:
		if (!parse_int(arg, 0, &options->fd))
			return bad_usage(tool, "not a file descriptor: %s", arg);
		break;
	case VALUE_NAME:
		if (strlen(arg) >= KCH_NAME_SIZE)
			return bad_usage(tool, "name longer than %d bytes: %s",
					 KCH_NAME_SIZE - 1, arg);
		options->name = arg;
		break;
	case VALUE_ALL:
		options->all = true;
		break;
	case VALUE_INCOMING:
		options->which = KCH_INCOMING;
		break;
	case VALUE_OUTGOING:
		options->which = KCH_OUTGOING;
		break;
	case VALUE_CHECK:
		options->restore_flags |= KCH_RESTORE_CHECK;
		break;
	case VALUE_UNSEALED:
		options->restore_flags |= KCH_RESTORE_UNSEALED;
		break;
	case VALUE_ANY_WALL:
		options->restore_flags |= KCH_RESTORE_ANY_WALL;
		break;
	case VALUE_HOLD:
		if (arg && (!parse_int(arg, 1, &seconds) || seconds > HOLD_S_MAX))
			return bad_usage(tool, "not a number of seconds from 1 to %d: %s",
					 HOLD_S_MAX, arg);
		options->hold_s = (unsigned int)seconds;
		break;
	case VALUE_WAIT:
		options->wait = true;
		break;
	case VALUE_STALE:
		options->restore_flags |= KCH_RESTORE_STALE;
		break;
	case VALUE_DISCARD:
		options->discard = true;
		break;
	case VALUE_RECORD:
		options->record = true;
		break;
	case VALUE_SHELL:
		options->quoting = QUOTE_SHELL;
		break;
	case VALUE_GRUB:
		options->quoting = QUOTE_GRUB;
		break;
	case VALUE_APPEND:
		options->append = true;
		break;
	case VALUE_CMDLINE:
		options->cmdline = arg;
		break;
	}
	return 0;
}

/* Options that only make sense, or make none, with others. */
static int check_together(const struct tool *tool)
{
	const struct options *options = &tool->options;

	if ((tool->command->options & OPTION_NEEDS_VM) && !options->has_id &&
	    !options->pid && !options->all)
		return bad_usage(tool, "which VM?");
	/* Only show: verify compares a process's VM with a record. */
	if ((tool->command->options & OPTION_NEEDS_VM) && options->pid &&
	    options->which != WHICH_ANY)
		return bad_usage(tool, "a process's VM is live, not in a record");
	if (options->fd >= 0 && !options->pid)
		return bad_usage(tool, "--fd needs --pid");
	if (options->wait && !options->hold_s)
		return bad_usage(tool, "--wait needs --hold");
	if (options->all && (options->has_id || options->pid || options->name))
		return bad_usage(tool, "--all and a single VM do not go together");
	return 0;
}

int options_parse(struct tool *tool, int argc, char **argv)
{
	const struct command *command = tool->command;
	struct option long_options[ARRAY_SIZE(table) + 1] = {};
	size_t i, count = 0;
	int value, code;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (!table[i].bit || (table[i].bit & command->options))
			long_options[count++] = (struct option){
				.name = table[i].name,
				.has_arg = table[i].has_arg,
				.val = table[i].value,
			};
	tool->options.fd = -1;
	tool->options.which = WHICH_ANY;
	opterr = 0;
	while ((value = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (value == 'h' || value == VALUE_HELP) {
			printf("Usage: kvmclockctl %s [--json | --tsv] [--device PATH] %s\n%s\n",
			       command->name, command->usage,
			       command->description);
			return -1;
		}
		if (value == ':')
			return bad_usage(tool, "%s needs a value",
					 argv[optind - 1]);
		if (value == '?')
			return bad_usage(tool, "bad option: %s",
					 argv[optind - 1]);
		code = set_option(tool, value, optarg);
		if (code)
			return code;
	}
	if (command->options & OPTION_FILE) {
		if (optind == argc)
			return bad_usage(tool, "which file?");
		tool->options.file = argv[optind++];
	}
	if (optind < argc)
		return bad_usage(tool, "unexpected operand: %s", argv[optind]);
	return check_together(tool);
}
