// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl restore */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "hold.h"
#include "live.h"

static void print_result(struct tool *tool, const struct live_vm *vm, bool held,
			 const struct kch_restore *result)
{
	struct output *out = tool->out;

	output_uuid(out, "uuid", result->uuid);
	output_string(out, "name", vm->name);
	output_s64(out, "pid", vm->pid);
	output_bool(out, "checked_only",
		    tool->options.restore_flags & KCH_RESTORE_CHECK);
	output_bool(out, "held", held);
	/* Of a hold that has only begun this is what will be. */
	output_string(out, "mode", held ? NULL : kch_mode_name(result->outcome.mode));
	if (held)
		return;
	output_s64(out, "error_ns", result->outcome.error_ns);
	output_s64(out, "error_cycles", result->outcome.error_cycles);
	output_s64(out, "error_rate_ppb", result->outcome.error_rate_ppb);
	output_u64(out, "rebase_bound_ns", result->outcome.rebase_bound_ns);
	output_u64(out, "blackout_ns", result->outcome.blackout_ns);
	output_u64(out, "host_tsc", result->outcome.host_tsc);
}

/*
 * The id of a VM's saved clock: as it was given, or as save gives ids; or that of the only
 * saved clock with the VM's name, which somebody saved under an id of their own.
 */
static void choose_id(struct tool *tool, const struct live_vm *vm,
		      uint8_t uuid[KCH_UUID_SIZE])
{
	const struct kch_entry *named = NULL;
	struct kch_entry *entries = NULL;
	bool is_there = false, is_one = true;
	uint32_t count = 0, i;

	memcpy(uuid, tool->options.has_id ? tool->options.id : vm->uuid,
	       KCH_UUID_SIZE);
	if (tool->options.has_id || !vm->name[0] ||
	    kch_list(tool->handle, KCH_INCOMING, sizeof(*entries), &entries, &count))
		return;
	for (i = 0; i < count; i++) {
		if (entries[i].flags & KCH_ENTRY_DAMAGED)
			continue;
		if (!memcmp(entries[i].uuid, uuid, KCH_UUID_SIZE))
			is_there = true;
		if (strncmp(entries[i].name, vm->name, sizeof(entries[i].name)))
			continue;
		is_one = !named;
		named = &entries[i];
	}
	if (!is_there && named && is_one)
		memcpy(uuid, named->uuid, KCH_UUID_SIZE);
	free(entries);
}

/* With all the VM's vCPUs in this process's table, where the module takes them from. */
static int ask_module(struct tool *tool, const struct live_vm *vm,
		      struct kch_restore *result)
{
	const struct options *options = &tool->options;
	struct live_vcpus vcpus;
	int err;

	*result = (struct kch_restore){
		.size = sizeof(*result),
		.flags = options->restore_flags |
			 (options->hold_s ? KCH_RESTORE_HOLD : 0),
		.vm_fd = vm->fd,
		.mode = KCH_MODE_IDENTICAL,
		.outcome.vcpu_id = -1,
		.hold_ms = options->hold_s * 1000U,
	};
	choose_id(tool, vm, result->uuid);
	err = live_take_vcpus(vm, &vcpus, result->message,
			      sizeof(result->message));
	if (!err && ioctl(kch_fd(tool->handle), KCH_IOC_RESTORE, result))
		err = -errno;
	live_free_vcpus(&vcpus);
	return err;
}

int cmd_restore(struct tool *tool)
{
	const struct options *options = &tool->options;
	bool held = options->hold_s &&
		    !(options->restore_flags & KCH_RESTORE_CHECK);
	struct live_vm *chosen, vm = {};
	struct kch_restore result;
	struct live_vms live;
	int code, err = 0;

	live_find(tool, options->pid, &live);
	chosen = live_choose(tool, &live, &code);
	if (chosen) {
		vm = *chosen;
		err = ask_module(tool, &vm, &result);
	}
	/* A descriptor kept would keep the VM. */
	live_free(&live);
	if (!chosen)
		return code;
	if (err)
		return hold_refused(tool, &vm, err, &result,
				    "guest clock not changed");
	if (held && options->wait) {
		err = hold_wait(tool, &result);
		if (err)
			return hold_refused(tool, &vm, err, &result,
					    "the guest's clock is as its VMM left it");
		held = false;
	}
	print_result(tool, &vm, held, &result);
	return held ? hold_in_background(tool, &vm) : EXIT_DONE;
}
