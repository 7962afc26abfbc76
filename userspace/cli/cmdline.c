// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel command lines.  The region must be reserved and named again, and the next kernel
 * must use this kernel's TSC frequency.  tsc_early_khz alone does not do that: it is
 * overwritten a second later by the refined calibration, which finds nothing to
 * measure against when there is neither HPET nor ACPI PM timer.
 */
#include <argz.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmdline.h"

#define MODULE			"kvmclock_handover"

char *words_next(const struct words *words, const char *word)
{
	return argz_next(words->argz, words->size, word);
}

void words_add(struct words *words, const char *word)
{
	xcheck(argz_add(&words->argz, &words->size, word) ? NULL : words);
}

/* As the kernel does it: at white space, but not inside double quotes. */
void words_split(struct words *words, const char *line)
{
	while (*(line += strspn(line, " \t\n"))) {
		const char *start = line;
		bool quoted = false;

		while (*line && (quoted || !strchr(" \t\n", *line)))
			quoted ^= *line++ == '"';
		words_add(words, xasprintf("%.*s", (int)(line - start), start));
	}
}

char *words_line(const struct words *words)
{
	struct words copy = {};
	const char *word = NULL;

	while ((word = words_next(words, word)))
		words_add(&copy, word);
	if (!copy.size)
		return "";
	argz_stringify(copy.argz, copy.size, ' ');
	return copy.argz;
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

int cmdline_needs(const struct kch_info *info, const char *now, const char *label,
		  struct needs *needs, const char **problem)
{
	unsigned long long start = info->region_start;
	const char *word = NULL, *size = size_text(info->region_size);
	struct words words = {};

	*needs = (struct needs){ .info = *info };
	if (label && *label)
		needs->label = xasprintf("%.*s", (int)strcspn(label, "\n"), label);
	label = needs->label;
	/* A frequency that the CPU tells is the same in every kernel. */
	if (info->tsc_source != KCH_TSC_KNOWN)
		words_split(&needs->pin, xasprintf("tsc_early_khz=%u hpet=disable pmtmr=0",
						   info->tsc_khz));
	switch (info->backend) {
	case KCH_BACKEND_RANGE:
		words_add(&needs->region, xasprintf("memmap=%s$%#llx", size, start));
		words_add(&needs->region, xasprintf(MODULE ".region=%#llx,%s", start, size));
		return EXIT_DONE;
	case KCH_BACKEND_RESERVE_MEM:
		words_split(&words, now);
		while ((word = words_next(&words, word)) && !has_label(word, label))
			;
		if (!word) {
			*problem = "this kernel's reserve_mem= of the region cannot be found";
			return EXIT_REFUSED;
		}
		words_add(&needs->region, word);
		words_add(&needs->region, xasprintf(MODULE ".reserve_mem=%s", label));
		return EXIT_DONE;
	case KCH_BACKEND_KHO:
		/* The place is the kernel's affair. */
		words_add(&needs->region, "kho=on");
		return EXIT_DONE;
	default:
		*problem = "the module has no region to keep a record in";
		return EXIT_REFUSED;
	}
}

/* START,SIZE */
static void parse_range(const char *text, uint64_t *start, uint64_t *size)
{
	char *end;

	*start = memparse(text, &end);
	*size = *end == ',' ? memparse(end + 1, &end) : 0;
}

/* Does "memmap=" have a range that keeps all of SIZE$START? */
static bool reserves(const char *value, const char *needed)
{
	uint64_t size, start, bytes, at;
	char *end;

	bytes = memparse(needed, &end);
	at = memparse(end + 1, &end);
	while (value) {
		size = memparse(value, &end);
		start = *end == '$' ? memparse(end + 1, &end) : 0;
		if (start && start <= at && at + bytes <= start + size)
			return true;
		/* Those before it may be of any other kind. */
		value = strchr(value, ',');
		if (value)
			value++;
	}
	return false;
}

/* Is @value, of a parameter of that name, as good as the one needed?  As the kernel reads it. */
static bool is_as_good(const char *name, const char *value, const char *needed)
{
	uint64_t start, size, needed_start, needed_size;

	if (!strcmp(name, "memmap"))
		return reserves(value, needed);
	if (!strcmp(name, "reserve_mem"))
		return !strcmp(value, needed);
	if (!strcmp(name, "kho"))
		return *value && (strchr("EeYyTt1", *value) || !strncasecmp(value, "on", 2));
	if (strcmp(name, MODULE ".region"))
		return !strcmp(value, needed);
	parse_range(value, &start, &size);
	parse_range(needed, &needed_start, &needed_size);
	return start == needed_start && size == needed_size;
}

/*
 * Has the line NAME=VALUE, or one as good?  Of one that may be there once the last counts,
 * for the kernel and for modprobe; what is behind "--" is for init.
 */
static bool has_word(const struct words *words, const char *needed)
{
	const char *value = strchr(needed, '=') + 1, *word = NULL, *found;
	const char *name = xasprintf("%.*s", (int)(value - 1 - needed), needed);
	bool several = !strcmp(name, "memmap") || !strcmp(name, "reserve_mem"), has = false;

	while ((word = words_next(words, word)) && strcmp(word, "--")) {
		found = value_of(word, name);
		if (found)
			has = (several && has) || is_as_good(name, found, value);
	}
	return has;
}

char *cmdline_missing(const struct words *needed, const char *line, const char *options)
{
	struct words words = {}, missing = {};
	const char *word = NULL;

	/* modprobe adds what the command line says behind its own. */
	words_split(&words, options);
	words_split(&words, line);
	while ((word = words_next(needed, word)))
		if (!has_word(&words, word))
			words_add(&missing, word);
	return missing.size ? words_line(&missing) : NULL;
}

char *cmdline_merge(const struct needs *needs, const char *line)
{
	const char *word = NULL, *our = NULL, *value;
	struct words now = {}, merged = {};

	words_split(&now, line);
	while ((word = words_next(&now, word)) && strcmp(word, "--")) {
		value = needs->info.backend == KCH_BACKEND_RANGE ? value_of(word, "memmap") : NULL;
		if (value)
			value = memmap_without(value, needs->info.region_start);
		else if (!is_replaced(word, needs->label))
			value = word;
		if (value)
			words_add(&merged, value);
	}
	/* Ours before those for init. */
	while ((our = words_next(&needs->region, our)))
		words_add(&merged, our);
	while ((our = words_next(&needs->pin, our)))
		words_add(&merged, our);
	for (; word; word = words_next(&now, word))
		words_add(&merged, word);
	return words_line(&merged);
}
