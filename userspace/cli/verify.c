// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl verify: the clocks of a record against the live ones. */
#include "audit.h"
#include "commands.h"

static const struct column vm_columns[] = {
	{ "uuid", "the VM's id" },
	{ "name", "its name" },
	{ "pid", "its process", .number = true },
	{ "verdict", "identical, differs, stale (may not be the last), not live or unreadable" },
	{ "ns", "live kvmclock minus saved, the worst vCPU's; as the next two", .number = true },
	{ "cycles", "live guest TSC minus saved", .number = true },
	{ "rate_ppb", "how much faster the live kvmclock runs, parts per 1e9; not known without a master clock",
	  .number = true },
	{ "slack_ns", "how far ns may be off; 0 unless there is no master clock", .number = true,
	  .hidden = true },
	{ "rebase_step_ns", "by how much the guest's clock would step if KVM took a new reference now",
	  .number = true, .hidden = true },
	{ "rebase_bound_ns", "what that stays below", .number = true, .hidden = true },
	{ "host_tsc", "host TSC at which that was compared", .number = true, .hidden = true },
	{}
};

static const struct column vcpu_columns[] = {
	{ "uuid" }, { "vcpu_id" }, { "identical" }, { "ns" }, { "cycles" }, { "rate_ppb" },
	{ "slack_ns" }, {}
};

static void add_vm(struct auditor *a, const struct audit *audit)
{
	audit_add(output_row(a->vms), audit);
}

static void add_vcpu(struct auditor *a, const struct kch_entry *entry,
		     const struct kch_vcpu_error *error)
{
	struct json_object *row = output_row(a->vcpus);

	output_uuid(row, "uuid", entry->uuid);
	output_number(row, "vcpu_id", error->vcpu_id);
	output_bool(row, "identical", error->identical);
	audit_add_error(row, error);
}

int cmd_verify(struct tool *tool, int argc, char **argv)
{
	struct auditor a = { .tool = tool, .choice = VM_CHOICE_NONE, .which = -1,
			     .say_vm = add_vm };
	const struct option_row options[] = {
		OPTION_ROW_ID(&a.choice, "the VM of this id"),
		OPTION_ROW_PID(&a.choice),
		OPTION_ROW_FD(&a.choice),
		OPTION_ROW_INCOMING(&a.which),
		OPTION_ROW_OUTGOING(&a.which),
		{}
	};
	int code = options_parse(tool, argc, argv, "", options, vm_columns, NULL);

	if (code)
		return code;
	if (a.which < 0)
		a.which = KCH_INCOMING;
	a.vms = output_table(&tool->out, "vms", vm_columns);
	if (tool->out.json) {
		a.vcpus = output_table(&tool->out, "vcpus", vcpu_columns);
		a.say_vcpu = add_vcpu;
	}
	return audit_run(&a);
}
