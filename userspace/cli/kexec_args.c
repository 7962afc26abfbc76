// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclockctl kexec-args: what the next kernel needs on its command line.
 *
 * The region must be reserved and named again, and the next kernel must use
 * this kernel's TSC frequency.  tsc_early_khz alone does not do that: it is
 * overwritten a second later by the refined calibration, which finds nothing
 * to measure against when there is neither HPET nor ACPI PM timer.
 */
#include <argz.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "fields.h"
#include "options.h"

#define MODULE			"kvmclock_handover"
#define LABEL_PATH		"/sys/module/" MODULE "/parameters/reserve_mem"
#define PARAMETER_FILE_MAX	(64U << 10)
#define NOTHING_PRINTED		"; nothing printed"

enum quoting {
	QUOTE_NONE,
	QUOTE_SHELL,
	QUOTE_GRUB,
};

/* Words of a command line. */
struct words {
	char *argz;
	size_t size;
};

static char *next_word(const struct words *words, const char *word)
{
	return argz_next(words->argz, words->size, word);
}

static void add_word(struct words *words, const char *word)
{
	xcheck(argz_add(&words->argz, &words->size, word) ? NULL : words);
}

/* As the kernel does it: at white space, but not inside double quotes. */
static void split(struct words *words, const char *line)
{
	while (*(line += strspn(line, " \t\n"))) {
		const char *start = line;
		bool quoted = false;

		while (*line && (quoted || !strchr(" \t\n", *line)))
			quoted ^= *line++ == '"';
		add_word(words, xasprintf("%.*s", (int)(line - start), start));
	}
}

/* The value of NAME=VALUE, else NULL.  The kernel takes - and _ as the same. */
static const char *value_of(const char *word, const char *name)
{
	for (; *name; name++, word++)
		if ((*word == '-' ? '_' : *word) != *name)
			return NULL;
	return *word == '=' ? word + 1 : NULL;
}

/* memparse() of the kernel */
static uint64_t memparse(const char *text, char **end)
{
	static const char suffixes[] = "KkMmGgTt";
	uint64_t value = strtoull(text, end, 0);
	const char *suffix = **end ? strchr(suffixes, **end) : NULL;

	if (suffix) {
		value <<= 10 * ((suffix - suffixes) / 2 + 1);
		++*end;
	}
	return value;
}

static char *size_text(unsigned long long size)
{
	if (size % (1U << 20) == 0)
		return xasprintf("%lluM", size >> 20);
	if (size % (1U << 10) == 0)
		return xasprintf("%lluK", size >> 10);
	return xasprintf("%llu", size);
}

/* "memmap=" may have several ranges; all but the one at @start, or NULL. */
static char *memmap_without(const char *value, uint64_t start)
{
	char *rest = xasprintf("%s", value), *range, *kept = NULL, *end;

	while ((range = strsep(&rest, ","))) {
		memparse(range, &end);
		if (*end != '$' || memparse(end + 1, &end) != start)
			kept = xasprintf("%s%s", kept ? xasprintf("%s,", kept) : "memmap=", range);
	}
	return kept;
}

/* The label in reserve_mem=SIZE:ALIGN:LABEL */
static bool has_label(const char *word, const char *label)
{
	const char *value = value_of(word, "reserve_mem");
	const char *last = value ? strrchr(value, ':') : NULL;

	return label && last && !strcmp(last + 1, label);
}

/* Is it one of those this command gives, or not for a next kernel at all? */
static bool is_replaced(const char *word, const char *label)
{
	static const char *const names[] = {
		"tsc_early_khz", "hpet", "pmtmr", "kho",
		MODULE ".region", MODULE ".reserve_mem",
		/* of the boot loader, and as kexec --reuse-cmdline does */
		"BOOT_IMAGE", "kexec_jump_back_entry",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (value_of(word, names[i]))
			return true;
	return has_label(word, label);
}

/* Of the reserve_mem= that the module uses, or NULL. */
static char *reserve_mem_label(void)
{
	char *label = read_file(LABEL_PATH, PARAMETER_FILE_MAX, NULL);

	if (label)
		label[strcspn(label, "\n")] = '\0';
	return label && *label ? label : NULL;
}

/* The words that keep the region. */
static int add_region(struct tool *tool, const struct kch_info *info,
		      const struct words *now, const char *label, struct words *words)
{
	unsigned long long start = info->region_start;
	const char *word = NULL, *size = size_text(info->region_size);

	switch (info->backend) {
	case KCH_BACKEND_RANGE:
		add_word(words, xasprintf("memmap=%s$%#llx", size, start));
		add_word(words, xasprintf(MODULE ".region=%#llx,%s", start, size));
		return EXIT_DONE;
	case KCH_BACKEND_RESERVE_MEM:
		while ((word = next_word(now, word)) && !has_label(word, label))
			;
		if (!word)
			return complain(tool, label ? label : LABEL_PATH, -ENODEV,
					"this kernel's reserve_mem= of the region cannot be found"
					NOTHING_PRINTED);
		add_word(words, word);
		add_word(words, xasprintf(MODULE ".reserve_mem=%s", label));
		return EXIT_DONE;
	case KCH_BACKEND_KHO:
		/* The place is the kernel's affair. */
		add_word(words, "kho=on");
		return EXIT_DONE;
	default:
		return complain(tool, NULL, -ENODEV,
				"the module has no region to keep a record in" NOTHING_PRINTED);
	}
}

/* The whole line: what is there now, with our words before those for init. */
static void merge(const struct words *now, const struct kch_info *info, const char *label,
		  const struct words *ours, struct words *merged)
{
	const char *word = NULL, *our = NULL, *value;

	while ((word = next_word(now, word)) && strcmp(word, "--")) {
		value = info->backend == KCH_BACKEND_RANGE ? value_of(word, "memmap") : NULL;
		if (value)
			value = memmap_without(value, info->region_start);
		else if (!is_replaced(word, label))
			value = word;
		if (value)
			add_word(merged, value);
	}
	while ((our = next_word(ours, our)))
		add_word(merged, our);
	for (; word; word = next_word(now, word))
		add_word(merged, word);
}

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

int cmd_kexec_args(struct tool *tool, int argc, char **argv)
{
	struct kch_info info = { .size = sizeof(info) };
	struct json_object *out = tool->out.document;
	struct words now = {}, ours = {}, merged = {};
	int quoting = QUOTE_NONE, append = 0, code;
	const char *label = NULL, *line = NULL;
	const struct option_row options[] = {
		{ "shell", NULL, "in single quotes, for a shell", OPTION_SET, &quoting,
		  QUOTE_SHELL },
		{ "grub", NULL, "with $ escaped for GRUB_CMDLINE_LINUX=\"...\" in /etc/default/grub",
		  OPTION_SET, &quoting, QUOTE_GRUB },
		{ "append", NULL, "the whole command line of this kernel, these words among the others",
		  OPTION_SET, &append, 1 },
		{ "cmdline", "LINE", "that command line instead of this kernel's", OPTION_TEXT,
		  &line },
		{}
	};

	code = options_parse(tool, argc, argv, "", options, NULL, NULL);
	code = code ? code : tool_open(tool);
	code = code ? code : ask_frequency(tool, &info);
	if (code)
		return code;
	line = line ? line : read_file("/proc/cmdline", PARAMETER_FILE_MAX, NULL);
	if (!line)
		return complain(tool, "/proc/cmdline", -EACCES, "%s" NOTHING_PRINTED,
				strerror(errno));
	split(&now, line);
	if (info.backend == KCH_BACKEND_RESERVE_MEM)
		label = reserve_mem_label();
	code = add_region(tool, &info, &now, label, &ours);
	if (code)
		return code;
	/* A frequency that the CPU tells is the same in every kernel. */
	if (info.tsc_source != KCH_TSC_KNOWN)
		split(&ours, xasprintf("tsc_early_khz=%u hpet=disable pmtmr=0", info.tsc_khz));
	if (append) {
		merge(&now, &info, label, &ours, &merged);
		ours = merged;
	}
	argz_stringify(ours.argz, ours.size, ' ');
	line = quote(ours.argz, quoting);
	/* For people and scripts the line is all there is. */
	if (!tool->out.json)
		return puts(line) < 0 ? EXIT_FAILED : EXIT_DONE;
	output_number(out, "tsc_khz", info.tsc_khz);
	output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
	output_string(out, "args", line);
	return EXIT_DONE;
}
