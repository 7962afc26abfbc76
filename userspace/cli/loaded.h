/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel image that is loaded for the next kexec, as far as it can be looked at. */
#ifndef KCH_CLI_LOADED_H
#define KCH_CLI_LOADED_H

/*
 * Its command line, and its release if that can be had.  @root is before each path.
 * NULL, with the reason in @why_not: it cannot be told.
 */
const char *loaded_line(const char *root, const char **release, const char **why_not);

#endif /* KCH_CLI_LOADED_H */
