// SPDX-License-Identifier: GPL-2.0
/* Options of all subcommands: reading them, and printing what they are for. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "options.h"

#define ROWS_MAX	24
#define HELP_WIDTH	24
#define FIRST_VALUE	256	/* of getopt_long(), for the first row */

/* Its own, those that all have, and those of an output that is one table. */
static size_t all_rows(struct tool *tool, const struct option_row *own, const char **output,
		       struct option_row rows[ROWS_MAX])
{
	const struct option_row common[] = {
		{ "device", "PATH", "instead of " KCH_DEVICE, OPTION_TEXT, &tool->device },
		{ "json", NULL, "print a JSON object (-J)", OPTION_SET, &tool->out.json, 1 },
		{ "help", NULL, "print this (-h)", OPTION_HELP },
		{ "output", "COLUMN,...", "print these columns (-o)", OPTION_TEXT, output },
		{ "noheadings", NULL, "print no headings", OPTION_SET, &tool->out.noheadings, 1 },
		{ "raw", NULL, "print columns without padding, blanks in them as \\x20",
		  OPTION_SET, &tool->out.raw, 1 },
	};
	size_t count, i;

	for (count = 0; own[count].name; count++)
		rows[count] = own[count];
	for (i = 0; i < (output ? ARRAY_SIZE(common) : 3); i++)
		rows[count++] = common[i];
	return count;
}

static void print_line(const char *left, const char *right)
{
	if (strlen(left) < HELP_WIDTH)
		printf("  %-*s%s\n", HELP_WIDTH, left, right);
	else
		printf("  %s\n  %*s%s\n", left, HELP_WIDTH, "", right);
}

static void print_help(const struct tool *tool, const char *usage, const struct option_row *rows,
		       size_t count, const struct column *columns)
{
	size_t i;

	printf("Usage: kvmclockctl %s %s%s[OPTION...]\n%s.\n\nOptions:\n", tool->command,
	       usage, *usage ? " " : "", tool->description);
	for (i = 0; i < count; i++) {
		const char *arg = rows[i].arg ? rows[i].arg : "";

		print_line(xasprintf("--%s%s%s", rows[i].name, *arg && *arg != '[' ? " " : "", arg),
			   rows[i].help);
	}
	if (columns)
		puts("\nColumns:");
	for (; columns && columns->name; columns++)
		print_line(output_heading(columns), columns->help);
}

/* A number from @min to @max, all of @text. */
static bool parse_number(const char *text, int min, int max, int *value)
{
	char *end;
	long number = strtol(text, &end, 10);

	*value = (int)number;
	return isdigit((unsigned char)*text) && !*end && number >= min && number <= max;
}

static int set(struct tool *tool, const struct option_row *row, const char *arg)
{
	struct vm_choice *choice = row->to;

	switch (row->type) {
	case OPTION_HELP:
		break;
	case OPTION_SET:
		*(int *)row->to = row->value;
		break;
	case OPTION_BIT:
		*(uint32_t *)row->to |= (uint32_t)row->value;
		break;
	case OPTION_NUMBER:
		*(int *)row->to = row->value;
		if (arg && !parse_number(arg, row->min, row->max, row->to))
			return bad_usage(tool, "--%s: not a number from %d to %d: %s", row->name,
					 row->min, row->max, arg);
		break;
	case OPTION_TEXT:
		/* As of an empty variable: it would be written into "/". */
		if (row->otherwise && arg && !*arg)
			return bad_usage(tool, "--%s= names no folder", row->name);
		*(const char **)row->to = arg ? arg : row->otherwise;
		break;
	case OPTION_ID:
		if (kch_uuid_parse(arg, choice->id))
			return bad_usage(tool, "not a UUID: %s", arg);
		choice->has_id = true;
		break;
	}
	return 0;
}

/*
 * getopt_long() takes any beginning of a name that no other one has, as @word may
 * be; we do not.  Nor do we take an option twice, or with its opposite.
 */
static int check_row(struct tool *tool, const struct option_row *rows, size_t i,
		     const char *word, uint32_t given)
{
	size_t length = word ? strcspn(word, "=") : 0, j;

	if (word && (strlen(rows[i].name) != length - 2 ||
		     strncmp(word + 2, rows[i].name, length - 2)))
		return bad_usage(tool, "no option %.*s", (int)length, word);
	if (given & 1U << i)
		return bad_usage(tool, "--%s is given twice", rows[i].name);
	for (j = 0; rows[i].type == OPTION_SET && j < ROWS_MAX; j++)
		if (given & 1U << j && rows[j].to == rows[i].to)
			return bad_usage(tool, "--%s and --%s do not go together", rows[j].name,
					 rows[i].name);
	return 0;
}

static int choose_columns(struct tool *tool, const struct column *columns, const char *names)
{
	struct output *out = &tool->out;
	const struct column *column;
	size_t length;

	if (names && out->json)
		return bad_usage(tool, "--json has all columns: it does not go together with --output");
	if (names && !*names)
		return bad_usage(tool, "--output names no column");
	for (; names && *names; names += length + (names[length] == ',')) {
		length = strcspn(names, ",");
		for (column = columns; column->name; column++)
			if (strlen(column->name) == length &&
			    !strncasecmp(column->name, names, length))
				break;
		if (!column->name || out->chosen_count == OUTPUT_COLUMNS_MAX)
			return bad_usage(tool, "no column %.*s", (int)length, names);
		out->chosen[out->chosen_count++] = column;
	}
	return 0;
}

/* Is a VM chosen, if @needed, and what chooses it goes together? */
static int check_vm(struct tool *tool, const struct vm_choice *choice, bool needed)
{
	if (needed && !choice->has_id && !choice->pid && !choice->all)
		return bad_usage(tool, "which VM?");
	if (choice->fd >= 0 && !choice->pid)
		return bad_usage(tool, "--fd needs --pid");
	if (choice->all && (choice->has_id || choice->pid))
		return bad_usage(tool, "--all and a single VM do not go together");
	return 0;
}

/* What getopt_long() did not take; @word is where it is. */
static int bad_option(struct tool *tool, int value, const char *word)
{
	if (value == ':')
		return bad_usage(tool, "%s needs a value", word);
	if (optopt && optopt < FIRST_VALUE)
		return bad_usage(tool, "no option -%c", optopt);
	return bad_usage(tool, optopt ? "%s: the option takes no value" : "no option %s", word);
}

/* -h, -J and -o have a row as --help, --json and --output. */
static size_t row_of(const struct option_row *rows, int value)
{
	size_t i = 0;

	if (value >= FIRST_VALUE)
		return (size_t)(value - FIRST_VALUE);
	while (strcmp(rows[i].name, value == 'h' ? "help" : value == 'J' ? "json" : "output"))
		i++;
	return i;
}

int options_parse(struct tool *tool, int argc, char **argv, const char *usage,
		  const struct option_row *own, const struct column *columns, const char **operand)
{
	struct option_row rows[ROWS_MAX] = {};
	struct option options[ROWS_MAX + 1] = {};
	const char *output = NULL;
	size_t count = all_rows(tool, own, columns ? &output : NULL, rows), i;
	int value, index, code;
	uint32_t given = 0;

	for (i = 0; i < count; i++)
		options[i] = (struct option){
			.name = rows[i].name,
			.has_arg = !rows[i].arg ? no_argument :
				   *rows[i].arg == '[' ? optional_argument : required_argument,
			.val = FIRST_VALUE + (int)i,
		};
	opterr = 0;
	while (index = -1, (value = getopt_long(argc, argv, columns ? ":hJo:" : ":hJ",
						options, &index)) != -1) {
		if (value == '?' || value == ':')
			return bad_option(tool, value, argv[optind - 1]);
		i = row_of(rows, value);
		/* The value may be a word of its own. */
		code = check_row(tool, rows, i, index < 0 ? NULL :
				 argv[optind - 1 - (optarg == argv[optind - 1])], given);
		if (!code && rows[i].type == OPTION_HELP) {
			print_help(tool, usage, rows, count, columns);
			return -1;
		}
		code = code ? code : set(tool, &rows[i], optarg);
		if (code)
			return code;
		given |= 1U << i;
	}
	if (operand && optind == argc)
		return bad_usage(tool, "which file?");
	if (operand)
		*operand = argv[optind++];
	if (optind < argc)
		return bad_usage(tool, "unexpected operand: %s", argv[optind]);
	code = choose_columns(tool, columns, output);
	for (i = 0; !code && i < count; i++)
		if (rows[i].type == OPTION_ID)
			code = check_vm(tool, rows[i].to, *usage);
	return code;
}
