/* SPDX-License-Identifier: GPL-2.0 */
/* What a kexec of this host would do to its guests' clocks: the parts of kvmclockctl doctor. */
#ifndef KCH_CLI_DOCTOR_H
#define KCH_CLI_DOCTOR_H

#include "live.h"

#define DOCTOR_FILE_MAX	(64U << 20)

enum verdict {
	READY,
	UNKNOWN,	/* cannot be told */
	WARNING,	/* exact, but not all that could be had */
	NOT_READY,
};

struct doctor {
	struct tool *tool;
	const char *root;		/* before each path; "" */
	const char *line, *kernel;	/* of the next kernel, as given; or NULL */
	struct table *checks;
	size_t not_ready;
	struct kch_info info;
	bool has_info;			/* the module has answered */
	struct live_vms live;
	bool has_scaled;		/* a VM with a scaled TSC runs */
	uint64_t needed_bytes;		/* of the record, with all VMs that run */
};

/* One line.  @remedy: a command, or what to do; NULL where @verdict is READY. */
void doctor_say(struct doctor *d, const char *check, enum verdict verdict, const char *found,
		const char *why, const char *remedy);

/* A path below the root. */
char *doctor_path(const struct doctor *d, const char *path);
bool doctor_is_there(const struct doctor *d, const char *path);
/* All of a file; "" if it is not there. */
char *doctor_read(const struct doctor *d, const char *path);
/* The value of NAME=VALUE in a file that a shell reads, or NULL. */
char *doctor_setting(const struct doctor *d, const char *path, const char *name);

/* Only a signed kernel can be loaded, by kexec_file_load(2). */
bool doctor_is_locked(const struct doctor *d);

/* In doctor_vms.c: how each VM that runs is, and will come back. */
void doctor_vms(struct doctor *d);
/* In doctor_next.c: the next kernel's command line and module. */
void doctor_next(struct doctor *d);

#endif /* KCH_CLI_DOCTOR_H */
