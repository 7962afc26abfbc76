// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl restore */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "live.h"

static const char offsets_first[] =
	"its VMM must set the saved TSC offsets first; guest clock not changed";

static void print_result(struct tool *tool, const struct live_vm *vm,
			 const uint8_t *uuid,
			 const struct kch_restore_result *result)
{
	struct output *out = tool->out;

	output_uuid(out, "uuid", uuid);
	output_string(out, "name", vm->name);
	output_s64(out, "pid", vm->pid);
	output_bool(out, "checked_only",
		    tool->options.restore_flags & KCH_RESTORE_CHECK);
	output_string(out, "mode", kch_mode_name(result->mode));
	output_s64(out, "error_ns", result->error_ns);
	output_s64(out, "error_cycles", result->error_cycles);
	output_s64(out, "error_rate_ppb", result->error_rate_ppb);
	output_u64(out, "rebase_bound_ns", result->rebase_bound_ns);
	output_u64(out, "blackout_ns", result->blackout_ns);
	output_u64(out, "host_tsc", result->host_tsc);
}

int cmd_restore(struct tool *tool)
{
	const struct options *options = &tool->options;
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_restore_opts opts = {
		.sz = sizeof(opts),
		.flags = options->restore_flags,
	};
	struct live_vm *chosen;
	struct live_vms live;
	const uint8_t *uuid;
	int code, err;

	live_find(tool, options->pid, &live);
	chosen = live_choose(tool, &live, &code);
	if (chosen) {
		uuid = options->has_id ? options->id : chosen->uuid;
		err = kch_vm_restore(tool->handle, chosen->fd, NULL, 0, uuid,
				     &opts, &result);
		if (err) {
			char *label = live_label(chosen);
			const char *consequence = "guest clock not changed";

			if (err == -EL2NSYNC)
				consequence = offsets_first;
			code = complain_last(tool, label, err, consequence);
			free(label);
		} else {
			print_result(tool, chosen, uuid, &result);
		}
	}
	live_free(&live);
	return code;
}
