/* SPDX-License-Identifier: GPL-2.0 */
/* The clocks of a record against the live ones, for verify and report. */
#ifndef KCH_CLI_AUDIT_H
#define KCH_CLI_AUDIT_H

#include "live.h"

/* One VM of the record, and what became of it. */
struct audit {
	const struct kch_entry *entry;
	const struct live_vm *vm;	/* NULL: it is not running */
	struct kch_vm *saved, *live;	/* NULL: not known */
	struct kch_live_info info;
	struct kch_vcpu_error worst;	/* of all vCPUs */
	const char *verdict;
};

struct auditor {
	struct tool *tool;
	struct vm_choice choice;
	int which;			/* enum kch_which */
	struct table *vms, *vcpus;	/* the caller's */
	void (*say_vm)(struct auditor *a, const struct audit *audit);
	/* For each vCPU that could be compared; or NULL. */
	void (*say_vcpu)(struct auditor *a, const struct kch_entry *entry,
			 const struct kch_vcpu_error *error);
	struct live_vms live;
	struct live_vm *named;		/* the one, by --pid with --id or --fd, or NULL */
	void *by_id;			/* a tree of tsearch(): of those with one id, the first */
	size_t found, bad, missing;	/* of the record: asked for, not identical, not running */
};

/* Opens the device, compares all that are asked for, complains as it goes; an exit code. */
int audit_run(struct auditor *a);

/* Sets a VM's columns of a row: those of verify; and those of an error alone. */
void audit_add(struct json_object *row, const struct audit *audit);
void audit_add_error(struct json_object *row, const struct kch_vcpu_error *error);

#endif /* KCH_CLI_AUDIT_H */
