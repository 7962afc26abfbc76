// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl: preserve and restore the clocks of KVM guests across a kexec. */
#include <stdio.h>
#include <string.h>
#include "cli.h"

#define VM	"--id UUID | --pid PID [--fd FD] [--id UUID]"

static const struct command commands[] = {
	{ "status", cmd_status, 0, "",
	  "what the module is and has" },
	{ "list", cmd_list, OPTION_TRY_DEVICE, "",
	  "running VMs, VMs saved for the next kernel, VMs saved by the last one" },
	{ "show", cmd_show,
	  OPTION_ID | OPTION_PID | OPTION_FD | OPTION_WHICH | OPTION_NEEDS_VM,
	  "--id UUID [--incoming | --outgoing] | --pid PID [--fd FD]",
	  "all of one VM's clock, saved or live" },
	{ "save", cmd_save,
	  OPTION_ID | OPTION_PID | OPTION_FD | OPTION_NAME | OPTION_ALL |
	  OPTION_NEEDS_VM,
	  "--all | --pid PID [--fd FD] [--id UUID] [--name NAME] | --id UUID [--name NAME]",
	  "put the clocks of running VMs into the record" },
	{ "unsave", cmd_unsave, OPTION_ID | OPTION_ALL | OPTION_NEEDS_VM,
	  "--all | --id UUID",
	  "take VMs out of the record for the next kernel" },
	{ "restore", cmd_restore,
	  OPTION_ID | OPTION_PID | OPTION_FD | OPTION_RESTORE | OPTION_NEEDS_VM,
	  VM " [--hold[=SECONDS] [--wait]] [--check] [--unsealed] [--any-wall] [--stale]",
	  "give a stopped VM its saved clock; with --hold once more when its VMM resumes it" },
	{ "verify", cmd_verify,
	  OPTION_ID | OPTION_PID | OPTION_FD | OPTION_WHICH,
	  "[" VM "] [--incoming | --outgoing]",
	  "compare record and live clocks; status 1 if any differs" },
	{ "finish", cmd_finish, OPTION_DISCARD, "[--discard]",
	  "drop the record that came from the last kernel" },
	{ "decode", cmd_decode,
	  OPTION_FILE | OPTION_RECORD | OPTION_NO_DEVICE, "[--record] FILE | -",
	  "read a raw dump of the region, or of one record, without the module" },
	{ "kexec-args", cmd_kexec_args, OPTION_KEXEC,
	  "[--shell | --grub] [--append] [--cmdline LINE]",
	  "what the next kernel needs on its command line" },
};

static int print_commands(FILE *file, int code)
{
	size_t i;

	fputs("Usage: kvmclockctl COMMAND [--json | --tsv] [--device PATH] [OPTION...]\n\n",
	      file);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(file, "  %s%s%s\n        %s\n", commands[i].name,
			*commands[i].usage ? " " : "", commands[i].usage,
			commands[i].description);
	fputs("\nStatus: 0 done, 1 failed, 2 usage, 3 nothing to act on, 4 refused.\n",
	      file);
	return code;
}

int main(int argc, char **argv)
{
	struct tool tool = {};
	int code, err;
	size_t i;

	if (argc < 2)
		return print_commands(stderr, EXIT_USAGE);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return print_commands(stdout, EXIT_DONE);
	if (!strcmp(argv[1], "--version"))
		return puts("kvmclockctl " KCH_VERSION) < 0;
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			tool.command = &commands[i];
	if (!tool.command) {
		fprintf(stderr, "kvmclockctl: no command '%s'; see kvmclockctl --help\n",
			argv[1]);
		return EXIT_USAGE;
	}
	code = options_parse(&tool, argc - 1, argv + 1);
	if (code)
		return code < 0 ? EXIT_DONE : code;
	code = tool_run(&tool);
	err = output_end(tool.out);
	if (err) {
		fprintf(stderr, "kvmclockctl %s: standard output: %s\n",
			tool.command->name, strerror(-err));
		return EXIT_FAILED;
	}
	return code;
}
