// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl: preserve and restore the clocks of KVM guests across a kexec. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include "commands.h"
#include "tool.h"

static const struct command {
	const char *name;
	int (*fn)(struct tool *tool, int argc, char **argv);
	const char *description;
} commands[] = {
	{ "status", cmd_status, "Show what the module is and has" },
	{ "list", cmd_list, "List running VMs, VMs saved for the next kernel and by the last one" },
	{ "show", cmd_show, "Show all of one VM's clock, saved or live" },
	{ "save", cmd_save, "Put the clocks of running VMs into the record" },
	{ "unsave", cmd_unsave, "Take VMs out of the record for the next kernel" },
	{ "restore", cmd_restore, "Give a stopped VM its saved clock" },
	{ "export", cmd_export, "Write a running VM's clock to a file, for another host" },
	{ "import", cmd_import, "Give a stopped VM the clock in such a file" },
	{ "verify", cmd_verify, "Compare record and live clocks" },
	{ "report", cmd_report, "Compare saved and live clocks after a kexec, to be kept" },
	{ "finish", cmd_finish, "Drop the record that came from the last kernel" },
	{ "selftest", cmd_selftest, "Try module and library on this host, with scratch VMs" },
	{ "doctor", cmd_doctor, "Before a kexec: would guests get their clocks back?" },
	{ "decode", cmd_decode, "Read a raw dump of the region or a record, without the module" },
	{ "kexec-args", cmd_kexec_args, "Print what the next kernel needs on its command line" },
};

static int print_commands(FILE *file, int code)
{
	size_t i;

	fputs("Usage: kvmclockctl COMMAND [OPTION...]\n"
	      "       kvmclockctl help [COMMAND]\n"
	      "       kvmclockctl --help | -h | --version | -V\n"
	      "Preserve, restore and verify the clocks of KVM guests across a kexec.\n\n"
	      "Commands:\n", file);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(file, "  %-12s%s\n", commands[i].name, commands[i].description);
	fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 nothing to act on, 4 refused;\n"
	      "of verify: 1 a clock differs, 5 a VM of the record is not running.\n"
	      "kvmclockctl COMMAND --help describes a command's options.\n", file);
	return code;
}

static int run(struct tool *tool, const char *name, int argc, char **argv)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i].name)) {
			tool->command = commands[i].name;
			tool->description = commands[i].description;
			return commands[i].fn(tool, argc, argv);
		}
	return bad_usage(tool, "no command '%s'", name);
}

/* Each VM and vCPU that is looked at takes a descriptor, and a host may have thousands. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct tool tool = {};
	int code, err, i;
	bool help;

	/* For libsmartcols to know how wide a name is. */
	setlocale(LC_CTYPE, "");
	allow_descriptors();
	if (argc < 2)
		return print_commands(stderr, EXIT_USAGE);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return puts("kvmclockctl " KCH_VERSION) < 0;
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    (!strcmp(argv[1], "help") && argc == 2))
		return print_commands(stdout, EXIT_DONE);
	output_begin(&tool.out);
	/* So that an error in the words before it is told in JSON, too. */
	for (i = 2; i < argc; i++)
		tool.out.json |= !strcmp(argv[i], "--json") || !strcmp(argv[i], "-J");
	help = !strcmp(argv[1], "help");
	if (help) {
		argv[1] = argv[2];
		argv[2] = "--help";
	}
	code = help && argc > 3 ? bad_usage(&tool, "help is about one command") :
				  run(&tool, argv[1], argc - 1, argv + 1);
	kch_close(tool.handle);
	err = code < 0 ? (fflush(stdout) ? -errno : 0) : output_end(&tool.out);
	if (err)
		fprintf(stderr, "kvmclockctl %s: standard output: %s\n", argv[1], strerror(-err));
	return err ? EXIT_FAILED : code < 0 ? EXIT_DONE : code;
}
