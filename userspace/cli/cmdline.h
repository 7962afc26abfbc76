/* SPDX-License-Identifier: GPL-2.0 */
/* Kernel command lines: what the next kernel needs on its own, and whether that is there. */
#ifndef KCH_CLI_CMDLINE_H
#define KCH_CLI_CMDLINE_H

#include <stddef.h>
#include "tool.h"

/* Of a command line, each with a NUL behind it. */
struct words {
	char *argz;
	size_t size;
};

char *words_next(const struct words *words, const char *word);
void words_add(struct words *words, const char *word);
/* Adds those of a line. */
void words_split(struct words *words, const char *line);
/* With blanks between them; empty if there is none. */
char *words_line(const struct words *words);

/* What the next kernel needs for the record and frequency of this one. */
struct needs {
	struct kch_info info;
	const char *label;	/* of the reserve_mem= that the module uses, or NULL */
	struct words region;
	struct words pin;	/* none if the CPU tells the frequency */
};

/*
 * @now: this kernel's line; @label: what the module's parameter of that name says, or
 * NULL.  EXIT_DONE, or another exit code, with @problem: there is no region that
 * could be named.
 */
int cmdline_needs(const struct kch_info *info, const char *now, const char *label,
		  struct needs *needs, const char **problem);

/*
 * Those of @needed that @line does not have; NULL: it has all.  @options: the module's
 * parameters in modprobe.d, where they can be instead, with its name before each.
 */
char *cmdline_missing(const struct words *needed, const char *line, const char *options);

/* All of @line, with what @needs has in the place of its like. */
char *cmdline_merge(const struct needs *needs, const char *line);

#endif /* KCH_CLI_CMDLINE_H */
