/* SPDX-License-Identifier: GPL-2.0 */
/* The subcommands, each in a file of its name. */
#ifndef KCH_CLI_COMMANDS_H
#define KCH_CLI_COMMANDS_H

struct tool;

/* Each returns an exit code, or -1 after printing its help. */
int cmd_decode(struct tool *tool, int argc, char **argv);
int cmd_doctor(struct tool *tool, int argc, char **argv);
int cmd_export(struct tool *tool, int argc, char **argv);
int cmd_finish(struct tool *tool, int argc, char **argv);
int cmd_import(struct tool *tool, int argc, char **argv);
int cmd_kexec_args(struct tool *tool, int argc, char **argv);
int cmd_list(struct tool *tool, int argc, char **argv);
int cmd_report(struct tool *tool, int argc, char **argv);
int cmd_restore(struct tool *tool, int argc, char **argv);
int cmd_save(struct tool *tool, int argc, char **argv);
int cmd_selftest(struct tool *tool, int argc, char **argv);
int cmd_show(struct tool *tool, int argc, char **argv);
int cmd_status(struct tool *tool, int argc, char **argv);
int cmd_unsave(struct tool *tool, int argc, char **argv);
int cmd_verify(struct tool *tool, int argc, char **argv);

#endif /* KCH_CLI_COMMANDS_H */
