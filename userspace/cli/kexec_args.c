// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclockctl kexec-args: what the next kernel needs on its command line.
 *
 * The region must be reserved and named again, and the next kernel must use
 * this kernel's TSC frequency.  tsc_early_khz alone does not do that: it is
 * overwritten a second later by the refined calibration, which finds nothing
 * to measure against when there is neither HPET nor ACPI PM timer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

#define MODULE			"kvmclock_handover"
#define LABEL_PATH		"/sys/module/" MODULE "/parameters/reserve_mem"
#define PARAMETER_FILE_MAX	(64U << 10)

/* Words of a command line. */
struct words {
	char **words;
	size_t count;
};

static void words_add(struct words *words, char *word)
{
	words->words = xrealloc(words->words,
				(words->count + 1) * sizeof(*words->words));
	words->words[words->count++] = word;
}

static void words_free(struct words *words)
{
	while (words->count)
		free(words->words[--words->count]);
	free(words->words);
}

/* As the kernel does it: at white space, but not inside double quotes. */
static void words_split(struct words *words, const char *line)
{
	while (*line) {
		const char *start;
		bool quoted = false;

		line += strspn(line, " \t\n");
		start = line;
		while (*line && (quoted || !strchr(" \t\n", *line)))
			quoted ^= *line++ == '"';
		if (line > start)
			words_add(words, xasprintf("%.*s", (int)(line - start),
						   start));
	}
}

static char *words_join(const struct words *words)
{
	char *line = xstrdup(words->count ? words->words[0] : "");
	size_t i;

	for (i = 1; i < words->count; i++) {
		char *longer = xasprintf("%s %s", line, words->words[i]);

		free(line);
		line = longer;
	}
	return line;
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
	uint64_t value = strtoull(text, end, 0);

	switch (**end) {
	case 'T': case 't':
		value <<= 10;
		/* fall through */
	case 'G': case 'g':
		value <<= 10;
		/* fall through */
	case 'M': case 'm':
		value <<= 10;
		/* fall through */
	case 'K': case 'k':
		value <<= 10;
		++*end;
	}
	return value;
}

static char *size_text(uint64_t size)
{
	if (size % (1U << 20) == 0)
		return xasprintf("%lluM", (unsigned long long)size >> 20);
	if (size % (1U << 10) == 0)
		return xasprintf("%lluK", (unsigned long long)size >> 10);
	return xasprintf("%llu", (unsigned long long)size);
}

/* "memmap=" may have several ranges; all but the one at @start, or NULL. */
static char *memmap_without(const char *value, uint64_t start)
{
	char *copy = xstrdup(value), *rest = copy, *range, *kept = NULL, *end;

	while ((range = strsep(&rest, ","))) {
		memparse(range, &end);
		if (*end == '$' && memparse(end + 1, &end) == start)
			continue;
		if (kept) {
			char *longer = xasprintf("%s,%s", kept, range);

			free(kept);
			kept = longer;
		} else {
			kept = xasprintf("memmap=%s", range);
		}
	}
	free(copy);
	return kept;
}

/* The label in reserve_mem=SIZE:ALIGN:LABEL */
static bool has_label(const char *word, const char *label)
{
	const char *value = value_of(word, "reserve_mem");
	const char *last = value ? strrchr(value, ':') : NULL;

	return last && !strcmp(last + 1, label);
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
	return label && has_label(word, label);
}

static char *reserve_mem_label(void)
{
	char *label = read_file(LABEL_PATH, PARAMETER_FILE_MAX, NULL);

	if (label)
		label[strcspn(label, "\n")] = '\0';
	if (label && !*label) {
		free(label);
		label = NULL;
	}
	return label;
}

/* The words that keep the region. */
static int add_region(struct tool *tool, const struct kch_info *info,
		      const struct words *now, const char *label,
		      struct words *words)
{
	unsigned long long start = info->region_start;
	char *size;
	size_t i;

	switch (info->backend) {
	case KCH_BACKEND_RANGE:
		size = size_text(info->region_size);
		words_add(words, xasprintf("memmap=%s$%#llx", size, start));
		words_add(words, xasprintf(MODULE ".region=%#llx,%s", start, size));
		free(size);
		return EXIT_DONE;
	case KCH_BACKEND_RESERVE_MEM:
		for (i = 0; label && i < now->count; i++)
			if (has_label(now->words[i], label))
				break;
		if (!label || i == now->count)
			return complain(tool, label ? label : LABEL_PATH, -ENODEV,
					"this kernel's reserve_mem= of the region cannot be found",
					"nothing printed");
		words_add(words, xstrdup(now->words[i]));
		words_add(words, xasprintf(MODULE ".reserve_mem=%s", label));
		return EXIT_DONE;
	case KCH_BACKEND_KHO:
		/* The place is the kernel's affair. */
		words_add(words, xstrdup("kho=on"));
		return EXIT_DONE;
	default:
		return complain(tool, NULL, -ENODEV,
				"the module has no region to keep a record in",
				"nothing printed");
	}
}

static void add_pin(const struct kch_info *info, struct words *words)
{
	/* A frequency that the CPU tells is the same in every kernel. */
	if (info->tsc_source == KCH_TSC_KNOWN)
		return;
	words_add(words, xasprintf("tsc_early_khz=%u", info->tsc_khz));
	words_add(words, xstrdup("hpet=disable"));
	words_add(words, xstrdup("pmtmr=0"));
}

/* The whole line: what is there now, with our words before those for init. */
static void merge(const struct words *now, const struct kch_info *info,
		  const char *label, const struct words *ours,
		  struct words *merged)
{
	size_t i, j;

	for (i = 0; i < now->count && strcmp(now->words[i], "--"); i++) {
		const char *memmap = value_of(now->words[i], "memmap");
		char *kept;

		if (is_replaced(now->words[i], label))
			continue;
		if (memmap && info->backend == KCH_BACKEND_RANGE) {
			kept = memmap_without(memmap, info->region_start);
			if (kept)
				words_add(merged, kept);
		} else {
			words_add(merged, xstrdup(now->words[i]));
		}
	}
	for (j = 0; j < ours->count; j++)
		words_add(merged, xstrdup(ours->words[j]));
	for (; i < now->count; i++)
		words_add(merged, xstrdup(now->words[i]));
}

static char *quote(const char *line, enum quoting quoting)
{
	/* No character becomes more than four. */
	char *result = xmalloc(strlen(line) * 4 + 3), *at = result;

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
	*at = '\0';
	return result;
}

static void print_line(struct tool *tool, const struct kch_info *info,
		       const struct words *words)
{
	char *line = words_join(words);
	char *quoted = quote(line, tool->options.quoting);

	if (tool->options.format == OUTPUT_JSON) {
		output_u64(tool->out, "tsc_khz", info->tsc_khz);
		output_string(tool->out, "tsc_source",
			      kch_tsc_source_name(info->tsc_source));
	}
	output_line(tool->out, "args", quoted);
	free(line);
	free(quoted);
}

int cmd_kexec_args(struct tool *tool)
{
	const struct options *options = &tool->options;
	struct words now = {}, ours = {}, merged = {};
	struct kch_info info = { .size = sizeof(info) };
	char *label, *line;
	int code, err;

	err = kch_info(tool->handle, &info);
	if (err)
		return complain_last(tool, NULL, err, NULL);
	if (info.tsc_source == KCH_TSC_EARLY || !info.tsc_khz)
		return complain(tool, NULL, -EAGAIN,
				"this kernel is still calibrating its TSC",
				"nothing printed; try again in some seconds");
	if (info.tsc_source == KCH_TSC_UNKNOWN)
		complain(tool, NULL, 0,
			 "it cannot be told whether this kernel's TSC calibration is over",
			 "the frequency printed may still change");
	line = options->cmdline ? xstrdup(options->cmdline) :
				  read_file("/proc/cmdline", PARAMETER_FILE_MAX, NULL);
	if (!line)
		return complain(tool, "/proc/cmdline", -EACCES, strerror(errno),
				"nothing printed");
	words_split(&now, line);
	label = info.backend == KCH_BACKEND_RESERVE_MEM ? reserve_mem_label() : NULL;
	code = add_region(tool, &info, &now, label, &ours);
	if (!code) {
		add_pin(&info, &ours);
		if (options->append)
			merge(&now, &info, label, &ours, &merged);
		print_line(tool, &info, options->append ? &merged : &ours);
	}
	free(line);
	free(label);
	words_free(&now);
	words_free(&ours);
	words_free(&merged);
	return code;
}
