// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl save, unsave */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "live.h"

static void print_result(struct tool *tool, const uint8_t *uuid, const char *name,
			 pid_t pid, const char *done, int err)
{
	output_row(tool->out);
	output_uuid(tool->out, "uuid", uuid);
	output_string(tool->out, "name", name);
	output_s64(tool->out, "pid", pid);
	output_string(tool->out, "result", err ? strerrorname_np(-err) : done);
}

static int save_one(struct tool *tool, const struct live_vm *vm,
		    const uint8_t *uuid, const char *name)
{
	int code = EXIT_DONE;
	int err;

	err = kch_vm_save(tool->handle, vm->fd, uuid, name, NULL);
	if (err) {
		char *label = live_label(vm);

		code = complain_last(tool, label, err, "its clock is not saved");
		free(label);
	}
	print_result(tool, uuid, name, vm->pid,
		     kch_last_message(tool->handle)[0] ? "replaced" : "saved",
		     err);
	return code;
}

static int save_all(struct tool *tool, const struct live_vms *live)
{
	int code = live->code;
	size_t i;

	if (!live->count && !code)
		return complain(tool, NULL, -ESRCH, "no VM is running", NULL);
	for (i = 0; i < live->count; i++)
		if (save_one(tool, &live->vms[i], live->vms[i].uuid,
			     live->vms[i].name))
			code = EXIT_FAILED;
	return code;
}

int cmd_save(struct tool *tool)
{
	const struct options *options = &tool->options;
	struct live_vm *chosen;
	struct live_vms live;
	int code;

	output_table(tool->out, "vms");
	live_find(tool, options->pid, &live);
	if (options->all) {
		code = save_all(tool, &live);
	} else {
		chosen = live_choose(tool, &live, &code);
		if (chosen)
			code = save_one(tool, chosen,
					options->has_id ? options->id : chosen->uuid,
					options->name ? options->name : chosen->name);
	}
	output_table_end(tool->out);
	live_free(&live);
	return code;
}

static int unsave_one(struct tool *tool, const uint8_t *uuid, const char *name,
		      pid_t pid)
{
	int code = EXIT_DONE;
	int err;

	err = kch_vm_unsave(tool->handle, uuid);
	if (err) {
		char *label = vm_label(name, uuid);

		code = complain_last(tool, label, err, "the record is unchanged");
		free(label);
	}
	print_result(tool, uuid, name, pid, "unsaved", err);
	return code;
}

static int unsave_all(struct tool *tool)
{
	struct kch_entry *entries;
	int code = EXIT_DONE;
	uint32_t count, i;
	int err;

	err = kch_list(tool->handle, KCH_OUTGOING, sizeof(*entries), &entries,
		       &count);
	if (err)
		return complain_last(tool, NULL, err, NULL);
	if (!count)
		code = complain(tool, NULL, -ENOENT, "no VM is saved", NULL);
	for (i = 0; i < count; i++) {
		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		if (unsave_one(tool, entries[i].uuid, entries[i].name,
			       entries[i].pid))
			code = EXIT_FAILED;
	}
	free(entries);
	return code;
}

int cmd_unsave(struct tool *tool)
{
	const struct options *options = &tool->options;
	int code;

	output_table(tool->out, "vms");
	if (options->all)
		code = unsave_all(tool);
	else
		code = unsave_one(tool, options->id, NULL, 0);
	output_table_end(tool->out);
	return code;
}
