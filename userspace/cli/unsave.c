// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl unsave: take VMs out of the record for the next kernel. */
#include <errno.h>
#include <string.h>
#include "commands.h"
#include "options.h"

static const struct column columns[] = {
	{ "uuid", "the id under which it was in the record" },
	{ "name", "its name" },
	{ "result", "unsaved, or an errno" },
	{}
};

static int unsave_one(struct tool *tool, struct table *table, const uint8_t *uuid, const char *name)
{
	struct json_object *row = output_row(table);
	int err = kch_vm_unsave(tool->handle, uuid);

	output_uuid(row, "uuid", uuid);
	output_string(row, "name", name);
	output_string(row, "result", err ? strerrorname_np(-err) : "unsaved");
	return !err ? EXIT_DONE :
	       refuse(tool, vm_label(name, uuid), err, "; the record is unchanged");
}

static int unsave_all(struct tool *tool, struct table *table)
{
	struct kch_entry *entries;
	int code = EXIT_DONE, err;
	uint32_t count, i;

	err = kch_list(tool->handle, KCH_OUTGOING, sizeof(*entries), &entries, &count);
	if (err)
		return refuse(tool, NULL, err, "");
	if (!count)
		return complain(tool, NULL, -ENOENT, "no VM is saved");
	for (i = 0; i < count; i++) {
		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		if (unsave_one(tool, table, entries[i].uuid, entries[i].name))
			code = EXIT_FAILED;
	}
	return code;
}

int cmd_unsave(struct tool *tool, int argc, char **argv)
{
	struct vm_choice choice = VM_CHOICE_NONE;
	const struct option_row options[] = {
		{ "all", NULL, "every VM of the record", OPTION_SET, &choice.all, 1 },
		OPTION_ROW_ID(&choice, "the VM saved under this id"),
		{}
	};
	struct table *table;
	int code;

	code = options_parse(tool, argc, argv, "--all | --id UUID", options, columns, NULL);
	if (code)
		return code;
	table = output_table(&tool->out, "vms", columns);
	code = tool_open(tool);
	if (code)
		return code;
	return choice.all ? unsave_all(tool, table) : unsave_one(tool, table, choice.id, NULL);
}
