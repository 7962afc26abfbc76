// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl show */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"
#include "live.h"

static void print_vcpus(struct output *out, const struct kch_vm *vm)
{
	uint32_t i;

	output_table(out, "vcpus");
	for (i = 0; i < vm->vcpu_count; i++) {
		output_row(out);
		output_fields(out, kch_vcpu_fields, &vm->vcpus[i]);
	}
	output_table_end(out);
}

static void print_vm(struct output *out, const struct kch_vm *vm,
		     const uint8_t *uuid, const char *name)
{
	struct kch_rec_vm entry = vm->entry;

	memcpy(entry.uuid, uuid, sizeof(entry.uuid));
	if (name)
		snprintf(entry.name, sizeof(entry.name), "%s", name);
	output_fields(out, kch_vm_fields, &entry);
}

static int show_live(struct tool *tool)
{
	struct kch_live_info info = { .sz = sizeof(info) };
	struct live_vms live;
	struct live_vm *chosen;
	struct kch_vm *vm;
	int code, err;

	live_find(tool, tool->options.pid, &live);
	chosen = live_choose(tool, &live, &code);
	if (chosen) {
		err = kch_vm_read(tool->handle, chosen->fd, &vm, &info);
		if (err) {
			char *label = live_label(chosen);

			code = complain_last(tool, label, err, NULL);
			free(label);
		} else {
			output_string(tool->out, "source", "live");
			print_vm(tool->out, vm,
				 tool->options.has_id ? tool->options.id :
							chosen->uuid,
				 chosen->name);
			output_s64(tool->out, "rebase_step_ns",
				   info.rebase_step_ns);
			output_u64(tool->out, "rebase_bound_ns",
				   info.rebase_bound_ns);
			output_u64(tool->out, "kvm_tsc_khz", info.kvm_tsc_khz);
			print_vcpus(tool->out, vm);
			kch_vm_free(vm);
		}
	}
	live_free(&live);
	return code;
}

static int show_saved(struct tool *tool)
{
	const struct options *options = &tool->options;
	enum kch_which which = KCH_INCOMING;
	struct kch_vm *vm;
	int err;

	if (options->which != WHICH_ANY)
		which = (enum kch_which)options->which;
	err = kch_vm_get(tool->handle, which, options->id, &vm);
	if ((err == -ENOENT || err == -ENODATA) && options->which == WHICH_ANY) {
		which = KCH_OUTGOING;
		err = kch_vm_get(tool->handle, which, options->id, &vm);
	}
	if (err) {
		char *label = vm_label(NULL, options->id);
		int code = complain_last(tool, label, err, NULL);

		free(label);
		return code;
	}
	output_string(tool->out, "source",
		      which == KCH_INCOMING ? "incoming" : "outgoing");
	print_vm(tool->out, vm, options->id, NULL);
	print_vcpus(tool->out, vm);
	kch_vm_free(vm);
	return EXIT_DONE;
}

int cmd_show(struct tool *tool)
{
	return tool->options.pid ? show_live(tool) : show_saved(tool);
}
