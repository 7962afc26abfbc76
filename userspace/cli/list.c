// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl list: running VMs, and the VMs of both records. */
#include <errno.h>
#include "commands.h"
#include "live.h"

static const struct column columns[] = {
	{ "source", "live (it runs), outgoing (saved for the next kernel) or incoming" },
	{ "uuid", "the VM's id" },
	{ "name", "its name" },
	{ "pid", "the process that has it, or had it when it was saved or restored",
	  .number = true },
	{ "fd", "its descriptor there", .number = true, .hidden = true },
	{ "vcpu_count", "how many vCPUs", .number = true },
	{ "bytes", "what it takes in the record", .number = true, .hidden = true },
	{ "live", "the VM that was saved, or restored, still exists" },
	{ "restored", "its clock was restored" },
	{ "clock", "exact, stale, no master clock or damaged: what a restore can give" },
	{ "hold", "held until its VMM resumes it; or let go: it was not resumed in time" },
	{}
};

static void add_live(struct table *table, const struct live_vms *live)
{
	size_t i;

	for (i = 0; i < live->count; i++) {
		const struct live_vm *vm = &live->vms[i];
		struct json_object *row = output_row(table);

		output_string(row, "source", "live");
		output_uuid(row, "uuid", vm->uuid);
		output_string(row, "name", vm->name);
		output_number(row, "pid", vm->pid);
		output_number(row, "fd", vm->number);
	}
}

static const char *clock_of(uint32_t flags)
{
	return flags & KCH_ENTRY_STALE ? "stale" :
	       flags & KCH_ENTRY_NO_MASTER_CLOCK ? "no master clock" : "exact";
}

static void add_entry(struct table *table, enum kch_which which, const struct kch_entry *entry)
{
	struct json_object *row = output_row(table);

	output_string(row, "source", which == KCH_INCOMING ? "incoming" : "outgoing");
	/* Nothing else is known of it. */
	output_string(row, "clock", "damaged");
	if (entry->flags & KCH_ENTRY_DAMAGED)
		return;
	output_uuid(row, "uuid", entry->uuid);
	output_string(row, "name", entry->name);
	output_number(row, "pid", entry->pid);
	output_number(row, "vcpu_count", entry->vcpu_count);
	output_number(row, "bytes", entry->bytes);
	output_bool(row, "live", entry->flags & KCH_ENTRY_LIVE);
	output_string(row, "clock", clock_of(entry->flags));
	if (which != KCH_INCOMING)
		return;
	output_bool(row, "restored", entry->flags & KCH_ENTRY_RESTORED);
	if (entry->flags & (KCH_ENTRY_HELD | KCH_ENTRY_LET_GO))
		output_string(row, "hold", entry->flags & KCH_ENTRY_HELD ? "held" : "let go");
}

static int add_record(struct tool *tool, struct table *table, enum kch_which which)
{
	struct kch_entry *entries;
	uint32_t count, i;
	int err;

	err = kch_list(tool->handle, which, sizeof(*entries), &entries, &count);
	/* No record is an empty one here; status tells the difference. */
	if (err)
		return err == -ENODATA ? EXIT_DONE :
		       complain(tool, which == KCH_INCOMING ? "incoming" : "outgoing", err,
				"%s", kch_last_message(tool->handle));
	for (i = 0; i < count; i++) {
		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		add_entry(table, which, &entries[i]);
	}
	return EXIT_DONE;
}

int cmd_list(struct tool *tool, int argc, char **argv)
{
	const struct option_row options[] = { {} };
	int code, outgoing = EXIT_DONE, incoming = EXIT_DONE;
	struct live_vms live;
	struct table *table;

	code = options_parse(tool, argc, argv, "", options, columns, NULL);
	if (code)
		return code;
	table = output_table(&tool->out, "vms", columns);
	code = tool_open(tool);
	live_find(tool, 0, &live);
	add_live(table, &live);
	code = code ? code : live.code;
	if (tool->handle) {
		outgoing = add_record(tool, table, KCH_OUTGOING);
		incoming = add_record(tool, table, KCH_INCOMING);
	}
	return code ? code : outgoing ? outgoing : incoming;
}
