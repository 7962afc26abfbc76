/* SPDX-License-Identifier: GPL-2.0 */
/* The command that runs: its device, its messages, its exit code. */
#ifndef KCH_CLI_TOOL_H
#define KCH_CLI_TOOL_H

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
	EXIT_MISSING	= 5,	/* verify: a VM of the record is not running */
};

struct tool {
	const char *command;
	const char *description;	/* for its help */
	const char *device;		/* NULL: the usual one */
	struct kch_handle *handle;	/* NULL as long as that is not open */
	struct output out;
};

/* Opens the device.  EXIT_DONE, or another exit code after a message. */
int tool_open(struct tool *tool);

/* The exit code for a negative errno; EXIT_FAILED if that is 0. */
int exit_code(int err);

/*
 * "kvmclockctl COMMAND: OBJECT: MESSAGE" on the standard error, and into the JSON
 * document, with @err, a negative errno or 0.  @object may be NULL.  Returns @code;
 * EXIT_DONE is a warning.
 */
__printf(5, 6)
int complain_code(struct tool *tool, int code, const char *object, int err,
		  const char *format, ...);

/* With the exit code for @err. */
#define complain(tool, object, err, ...) \
	complain_code(tool, exit_code(err), object, err, __VA_ARGS__)

/* What the library said of its last call, and @rest, a text. */
#define refuse(tool, object, err, rest) \
	complain(tool, object, err, "%s" rest, kch_last_message((tool)->handle))

#define bad_usage(tool, ...) \
	complain_code(tool, EXIT_USAGE, NULL, 0, __VA_ARGS__)

/* What to call a VM in a message: its name, or else its id. */
const char *vm_label(const char *name, const uint8_t uuid[KCH_UUID_SIZE]);

#endif /* KCH_CLI_TOOL_H */
