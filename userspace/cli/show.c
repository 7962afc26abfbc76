// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl show */
#include <errno.h>
#include <stdlib.h>
#include "live.h"

static void print_vcpus(struct output *out, const struct kch_vm *vm)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	uint32_t i;

	output_table(out, "vcpus");
	for (i = 0; !kch_vm_vcpu(vm, i, &vcpu); i++) {
		output_row(out);
		output_u64(out, "vcpu_id", vcpu.vcpu_id);
		output_u64(out, "tsc_offset", vcpu.tsc_offset);
		output_u64(out, "tsc_scaling_ratio", vcpu.tsc_scaling_ratio);
		output_s64(out, "ia32_tsc_adjust", vcpu.ia32_tsc_adjust);
		output_u64(out, "virtual_tsc_khz", vcpu.virtual_tsc_khz);
		output_u64(out, "hw_tsc_khz", vcpu.hw_tsc_khz);
		output_u64(out, "tsc_to_system_mul", vcpu.tsc_to_system_mul);
		output_s64(out, "tsc_shift", vcpu.tsc_shift);
		output_hex(out, "pvclock_gpa", vcpu.pvclock_gpa);
		output_hex(out, "pvclock_flags", vcpu.pvclock_flags);
		output_bool(out, "has_run", vcpu.flags & KCH_VCPU_INFO_PAIR);
		output_bool(out, "pvclock_on",
			    vcpu.flags & KCH_VCPU_INFO_PVCLOCK);
		output_bool(out, "catchup", vcpu.flags & KCH_VCPU_INFO_CATCHUP);
	}
	output_table_end(out);
}

static void print_vm(struct output *out, const struct kch_vm *vm,
		     const uint8_t *uuid, const char *name)
{
	struct kch_vm_info info = { .sz = sizeof(info) };

	kch_vm_info(vm, &info);
	output_uuid(out, "uuid", uuid);
	output_string(out, "name", name ? name : info.name);
	output_s64(out, "pid", info.pid);
	output_u64(out, "vcpu_count", info.vcpu_count);
	output_bool(out, "master_clock", info.flags & KCH_VM_INFO_MASTER_CLOCK);
	output_bool(out, "running", info.flags & KCH_VM_INFO_RUNNING);
	output_bool(out, "at_seal", info.flags & KCH_VM_INFO_AT_SEAL);
	output_u64(out, "master_cycle_now", info.master_cycle_now);
	output_u64(out, "master_kernel_ns", info.master_kernel_ns);
	output_s64(out, "kvmclock_offset", info.kvmclock_offset);
	output_u64(out, "host_tsc", info.host_tsc);
	output_u64(out, "kvmclock_ns", info.kvmclock_ns);
	output_u64(out, "tsc_scaling_frac_bits", info.tsc_scaling_frac_bits);
	output_u64(out, "default_tsc_khz", info.default_tsc_khz);
	output_u64(out, "kvmclock_slack_ns", info.kvmclock_slack_ns);
	output_bool(out, "at_end", info.flags & KCH_VM_INFO_AT_END);
	output_bool(out, "stale", info.flags & KCH_VM_INFO_STALE);
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
