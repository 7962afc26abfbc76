/* SPDX-License-Identifier: GPL-2.0 */
/* What the subcommands share. */
#ifndef KCH_CLI_H
#define KCH_CLI_H

#include <sys/types.h>
#include <kvmclock-handover.h>
#include "output.h"
#include "util.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Exit codes; part of the interface. */
enum exit_code {
	EXIT_DONE	= 0,
	EXIT_FAILED	= 1,	/* also: verify found a difference */
	EXIT_USAGE	= 2,
	EXIT_NOTHING	= 3,	/* nothing to act on */
	EXIT_REFUSED	= 4,	/* by the module or the library; nothing changed */
};

/* The options a subcommand takes, besides those all take. */
enum option_bit {
	OPTION_ID	 = 1U << 0,
	OPTION_PID	 = 1U << 1,
	OPTION_FD	 = 1U << 2,
	OPTION_NAME	 = 1U << 3,
	OPTION_ALL	 = 1U << 4,
	OPTION_WHICH	 = 1U << 5,	/* --incoming, --outgoing */
	OPTION_RESTORE	 = 1U << 6,	/* what only restore takes */
	OPTION_DISCARD	 = 1U << 7,
	OPTION_RECORD	 = 1U << 8,
	OPTION_KEXEC	 = 1U << 9,	/* --grub, --shell, --append, --cmdline */
	OPTION_FILE	 = 1U << 10,	/* one operand */
	OPTION_NO_DEVICE = 1U << 11,	/* never opens the device */
	OPTION_TRY_DEVICE = 1U << 12,	/* has something to say without it */
	OPTION_NEEDS_VM	 = 1U << 13,	/* one of --id, --pid, --all must be given */
};

/* struct options::which when neither --incoming nor --outgoing is given */
#define WHICH_ANY	(-1)

enum quoting {
	QUOTE_NONE,
	QUOTE_SHELL,
	QUOTE_GRUB,
};

struct options {
	enum output_format format;
	const char *device;
	bool has_id;
	uint8_t id[KCH_UUID_SIZE];
	pid_t pid;		/* 0: none given */
	int fd;			/* -1: none given */
	const char *name;
	bool all;
	int which;		/* enum kch_which, or WHICH_ANY */
	uint32_t restore_flags;
	unsigned int hold_s;	/* 0: do not hold */
	bool wait;
	bool discard;
	bool record;
	enum quoting quoting;
	bool append;
	const char *cmdline;
	const char *file;
};

struct command;

struct tool {
	const struct command *command;
	struct options options;
	struct output *out;
	struct kch_handle *handle;	/* NULL if the device was not opened */
};

struct command {
	const char *name;
	int (*fn)(struct tool *tool);
	unsigned int options;		/* enum option_bit */
	const char *usage;
	const char *description;
};

/*
 * Reads the command line.  0, EXIT_USAGE after a message, or -1 when help was
 * asked for.
 */
int options_parse(struct tool *tool, int argc, char **argv);

/* Opens the device and runs the subcommand; its exit code. */
int tool_run(struct tool *tool);

/* The exit code for a negative errno. */
int exit_code(int err);

/*
 * "kvmclockctl COMMAND: OBJECT: MESSAGE; CONSEQUENCE" on the standard error,
 * and into the JSON document.  @object and @consequence may be NULL.  Returns
 * the exit code for @err, a negative errno.
 */
int complain(struct tool *tool, const char *object, int err, const char *message,
	     const char *consequence);

/* The same with the handle's last message. */
int complain_last(struct tool *tool, const char *object, int err,
		  const char *consequence);

/* EXIT_USAGE after a message. */
__printf(2, 3)
int bad_usage(const struct tool *tool, const char *format, ...);

/* What to call a VM in a message: its name, or else its id; free(). */
char *vm_label(const char *name, const uint8_t uuid[KCH_UUID_SIZE]);

/* Of struct kch_info. */
const char *backend_name(uint32_t backend);

int cmd_decode(struct tool *tool);
int cmd_finish(struct tool *tool);
int cmd_kexec_args(struct tool *tool);
int cmd_list(struct tool *tool);
int cmd_restore(struct tool *tool);
int cmd_save(struct tool *tool);
int cmd_show(struct tool *tool);
int cmd_status(struct tool *tool);
int cmd_unsave(struct tool *tool);
int cmd_verify(struct tool *tool);

#endif /* KCH_CLI_H */
