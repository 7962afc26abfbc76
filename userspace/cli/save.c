// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl save: put the clocks of running VMs into the record. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "live.h"
#include "vmclock.h"

static const struct column columns[] = {
	{ "uuid", "the id under which it is, or was to be, in the record" },
	{ "name", "its name" },
	{ "pid", "its process", .number = true },
	{ "result",
	  "saved, replaced (in the place of one that is gone), kept (it was saved), or an errno" },
	{}
};

/* Is it in the record under that id already?  The kernel reads it again at the end. */
static bool is_saved(struct tool *tool, const struct live_vm *vm, const uint8_t *uuid)
{
	struct kch_entry *entries;
	uint32_t count, i;
	bool found = false;

	if (kch_list(tool->handle, KCH_OUTGOING, sizeof(*entries), &entries, &count))
		return false;
	for (i = 0; i < count; i++)
		found |= entries[i].flags & KCH_ENTRY_LIVE && entries[i].pid == vm->pid &&
			 !memcmp(entries[i].uuid, uuid, KCH_UUID_SIZE);
	free(entries);
	return found;
}

/* Where vmclock pages are kept; NULL: they are not. */
static const char *vmclock_folder;

static int save_one(struct tool *tool, struct table *table, const struct live_vm *vm,
		    const uint8_t *uuid, const char *name)
{
	struct json_object *row = output_row(table);
	int err = kch_vm_save(tool->handle, vm->fd, uuid, name, NULL);
	const char *message = xasprintf("%s", kch_last_message(tool->handle));
	bool kept = err == -EEXIST && is_saved(tool, vm, uuid);

	output_uuid(row, "uuid", uuid);
	output_string(row, "name", name);
	output_number(row, "pid", vm->pid);
	output_string(row, "result", kept ? "kept" : err ? strerrorname_np(-err) :
				     message[0] ? "replaced" : "saved");
	if (err && !kept)
		return complain(tool, live_label(vm), err, "%s; %s", message,
				err == -EEXIST || err == -ENOTUNIQ ?
				"what was saved stays" : "its clock is not saved");
	return vmclock_folder ? vmclock_keep(tool, vm, uuid, vmclock_folder) : EXIT_DONE;
}

static int save_all(struct tool *tool, struct table *table, const struct live_vms *live)
{
	int code = live->code;
	size_t i;

	if (!live->count && !code)
		return complain(tool, NULL, -ESRCH, "no VM is running");
	for (i = 0; i < live->count; i++)
		if (save_one(tool, table, &live->vms[i], live->vms[i].uuid, live->vms[i].name))
			code = EXIT_FAILED;
	return code;
}

int cmd_save(struct tool *tool, int argc, char **argv)
{
	struct vm_choice choice = VM_CHOICE_NONE;
	const char *name = NULL;
	const struct option_row options[] = {
		{ "all", NULL, "every running VM, under its own id and name", OPTION_SET,
		  &choice.all, 1 },
		OPTION_ROW_PID(&choice),
		OPTION_ROW_FD(&choice),
		OPTION_ROW_ID(&choice, "the VM of this id; with --pid: the id to save it under"),
		{ "name", "NAME", "what people call it, at most 63 bytes", OPTION_TEXT, &name },
		{ "vmclock", "[=DIR]", "keep its vmclock page, too, in DIR; " VMCLOCK_FOLDER,
		  OPTION_TEXT, &vmclock_folder, .otherwise = VMCLOCK_FOLDER },
		{}
	};
	struct live_vm *chosen;
	struct live_vms live;
	struct table *table;
	int code;

	code = options_parse(tool, argc, argv, "--all | --pid PID | --id UUID", options, columns,
			     NULL);
	if (!code && choice.all && name)
		code = bad_usage(tool, "--all and --name do not go together");
	if (!code && name && strlen(name) >= KCH_NAME_SIZE)
		code = bad_usage(tool, "name longer than %d bytes: %s", KCH_NAME_SIZE - 1, name);
	if (code)
		return code;
	table = output_table(&tool->out, "vms", columns);
	code = tool_open(tool);
	if (code)
		return code;
	live_find(tool, choice.pid, &live);
	if (choice.all)
		return save_all(tool, table, &live);
	chosen = live_choose(tool, &choice, &live, &code);
	return chosen ? save_one(tool, table, chosen, choice.has_id ? choice.id : chosen->uuid,
				 name ? name : chosen->name) : code;
}
