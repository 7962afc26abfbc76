/* SPDX-License-Identifier: GPL-2.0 */
/* The command line of a subcommand, and its --help, both from one table. */
#ifndef KCH_CLI_OPTIONS_H
#define KCH_CLI_OPTIONS_H

#include <limits.h>
#include "tool.h"

enum option_type {
	OPTION_HELP,
	OPTION_SET,	/* int: becomes @value; two that set the same one exclude each other */
	OPTION_BIT,	/* uint32_t: gets the bit @value */
	OPTION_NUMBER,	/* int: from @min to @max; @value where none is given */
	OPTION_TEXT,	/* const char * */
	OPTION_ID,	/* struct vm_choice: its id */
};

struct option_row {
	const char *name;	/* without its hyphens */
	const char *arg;	/* what its value is called; "[=...]": it may be left out */
	const char *help;
	enum option_type type;
	void *to;		/* where it is kept */
	int value, min, max;
	const char *otherwise;	/* text, where none is given */
};

/* Which VM */
struct vm_choice {
	uint8_t id[KCH_UUID_SIZE];
	bool has_id;
	int pid;	/* 0: not given */
	int fd;		/* -1: not given */
	int all;
};

#define VM_CHOICE_NONE	{ .fd = -1 }

#define OPTION_ROW_ID(choice, help) \
	{ "id", "UUID", help, OPTION_ID, choice }
#define OPTION_ROW_PID(choice) \
	{ "pid", "PID", "the VM of this process", OPTION_NUMBER, &(choice)->pid, \
	  .min = 1, .max = INT_MAX }
#define OPTION_ROW_FD(choice) \
	{ "fd", "NUMBER", "which VM of that process, by its file descriptor there", \
	  OPTION_NUMBER, &(choice)->fd, .max = INT_MAX }
#define OPTION_ROW_INCOMING(which) \
	{ "incoming", NULL, "the record that came from before the kexec", OPTION_SET, \
	  which, KCH_INCOMING }
#define OPTION_ROW_OUTGOING(which) \
	{ "outgoing", NULL, "the record for the next kernel", OPTION_SET, which, KCH_OUTGOING }

/*
 * Reads the command line.  @usage: what follows the command's name in its help.
 * @own: its options, the last one without a name.  @columns: of the table that its
 * output is, or NULL.  @operand: where its one operand is kept, or NULL if it takes none.
 * With an option of a VM's id, a @usage that is not empty says that a VM is to be chosen.
 * 0; EXIT_USAGE after a message; -1: help was asked for and printed.
 */
int options_parse(struct tool *tool, int argc, char **argv, const char *usage,
		  const struct option_row *own, const struct column *columns, const char **operand);

#endif /* KCH_CLI_OPTIONS_H */
