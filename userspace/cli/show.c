// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl show: all of one VM's clock, out of a record or as it is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "lib/vm.h"
#include "live.h"
#include "structure.h"

static void add_clock(struct tool *tool, struct table *vcpus, const char *source,
		      const struct kch_vm *clock, const uint8_t *uuid, const char *name)
{
	struct kch_rec_vm entry = clock->entry;
	uint32_t i;

	memcpy(entry.uuid, uuid, sizeof(entry.uuid));
	if (name)
		snprintf(entry.name, sizeof(entry.name), "%s", name);
	output_string(tool->out.document, "source", source);
	structure_add(tool->out.document, kch_vm_fields, &entry);
	for (i = 0; i < clock->vcpu_count; i++)
		structure_add(output_row(vcpus), kch_vcpu_fields, &clock->vcpus[i]);
	kch_vm_free((struct kch_vm *)clock);
}

static int show_live(struct tool *tool, struct table *vcpus, const struct vm_choice *choice)
{
	struct kch_live_info info = { .sz = sizeof(info) };
	struct json_object *out = tool->out.document;
	struct kch_vm *clock;
	struct live_vms live;
	struct live_vm *vm;
	int code, err;

	live_find(tool, choice->pid, &live);
	vm = live_choose(tool, choice, &live, &code);
	err = vm ? kch_vm_read(tool->handle, vm->fd, &clock, &info) : 0;
	if (err) {
		code = refuse(tool, live_label(vm), err, "");
	} else if (vm) {
		add_clock(tool, vcpus, "live", clock, choice->has_id ? choice->id : vm->uuid,
			  vm->name);
		output_s64(out, "rebase_step_ns", info.rebase_step_ns);
		output_u64(out, "rebase_bound_ns", info.rebase_bound_ns);
		output_number(out, "kvm_tsc_khz", info.kvm_tsc_khz);
	}
	live_close(&live);
	return code;
}

static int show_saved(struct tool *tool, struct table *vcpus, const struct vm_choice *choice,
		      int which)
{
	int first = which < 0 ? KCH_INCOMING : which, err;
	struct kch_vm *clock;

	err = kch_vm_get(tool->handle, first, choice->id, &clock);
	if ((err == -ENOENT || err == -ENODATA) && which < 0) {
		first = KCH_OUTGOING;
		err = kch_vm_get(tool->handle, first, choice->id, &clock);
	}
	if (err)
		return refuse(tool, vm_label(NULL, choice->id), err, "");
	add_clock(tool, vcpus, first == KCH_INCOMING ? "incoming" : "outgoing", clock,
		  choice->id, NULL);
	return EXIT_DONE;
}

int cmd_show(struct tool *tool, int argc, char **argv)
{
	struct vm_choice choice = VM_CHOICE_NONE;
	int which = -1, code;
	const struct option_row options[] = {
		OPTION_ROW_ID(&choice, "of this id in the incoming record, else the outgoing one"),
		OPTION_ROW_INCOMING(&which),
		OPTION_ROW_OUTGOING(&which),
		OPTION_ROW_PID(&choice),
		OPTION_ROW_FD(&choice),
		{}
	};
	struct table *vcpus;

	code = options_parse(tool, argc, argv, "--id UUID | --pid PID", options, NULL, NULL);
	if (!code && choice.pid && which >= 0)
		code = bad_usage(tool, "a process's VM is live, not in a record");
	if (code)
		return code;
	vcpus = output_table(&tool->out, "vcpus", structure_columns(NULL, kch_vcpu_fields));
	code = tool_open(tool);
	if (code)
		return code;
	return choice.pid ? show_live(tool, vcpus, &choice) :
			    show_saved(tool, vcpus, &choice, which);
}
