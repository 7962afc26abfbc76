// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl export: a VM's clock, tied to the wall clock, as a file for another host. */
#include <errno.h>
#include <kvmclock-handover-stock.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "live.h"
#include "util.h"

static int export_vm(struct tool *tool, const struct live_vm *vm, const uint8_t *uuid,
		     const char *path)
{
	struct json_object *out = tool->out.document;
	size_t size = 0;
	char *bytes;
	int err;

	err = kch_export(tool->handle, vm->fd, NULL, 0, uuid, vm->name, NULL, &size);
	if (err != -ENOBUFS)
		return complain(tool, live_label(vm), err, "%s", kch_last_message(tool->handle));
	/* A vCPU may be added meanwhile: then it is refused. */
	bytes = xcalloc(1, size);
	err = kch_export(tool->handle, vm->fd, NULL, 0, uuid, vm->name, bytes, &size);
	if (err)
		return complain(tool, live_label(vm), err, "%s", kch_last_message(tool->handle));
	err = write_bytes(path, bytes, size);
	free(bytes);
	if (err)
		return complain_code(tool, EXIT_FAILED, path, -errno, "%s", strerror(errno));
	output_uuid(out, "uuid", uuid);
	output_string(out, "name", vm->name);
	output_number(out, "pid", vm->pid);
	output_string(out, "result", "exported");
	return EXIT_DONE;
}

int cmd_export(struct tool *tool, int argc, char **argv)
{
	struct vm_choice choice = VM_CHOICE_NONE;
	const char *path = NULL;
	const struct option_row options[] = {
		OPTION_ROW_PID(&choice),
		OPTION_ROW_FD(&choice),
		OPTION_ROW_ID(&choice, "the VM of this id; with --pid: the id to export it under"),
		{}
	};
	struct live_vm *chosen;
	struct live_vms live;
	int code;

	code = options_parse(tool, argc, argv, "--pid PID | --id UUID FILE", options, NULL, &path);
	code = code ? code : tool_open(tool);
	if (code)
		return code;
	live_find(tool, choice.pid, &live);
	chosen = live_choose(tool, &choice, &live, &code);
	if (chosen)
		code = export_vm(tool, chosen, choice.has_id ? choice.id : chosen->uuid, path);
	live_close(&live);
	return code;
}
