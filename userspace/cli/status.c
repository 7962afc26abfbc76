// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl status */
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static void print_modes(struct tool *tool, uint32_t modes)
{
	char text[128] = "";
	uint32_t mode;

	for (mode = KCH_MODE_REALTIME; mode <= KCH_MODE_IDENTICAL; mode++) {
		if (!(modes & (1U << mode)))
			continue;
		if (text[0])
			strcat(text, " ");
		strcat(text, kch_mode_name(mode));
	}
	output_string(tool->out, "modes", text);
}

static void print_error(struct tool *tool, const char *key, int err)
{
	output_string(tool->out, key, err ? strerrorname_np(err) : NULL);
}

/* Who wrote the incoming record, if it can be read. */
static void print_writer(struct tool *tool)
{
	struct kch_host_info host = { .sz = sizeof(host) };
	struct output *out = tool->out;

	if (kch_host(tool->handle, KCH_INCOMING, &host))
		return;
	output_u64(out, "incoming_sequence", host.sequence);
	output_u64(out, "incoming_tsc_khz", host.tsc_khz);
	output_string(out, "incoming_tsc_source",
		      kch_tsc_source_name(host.tsc_source));
	output_string(out, "incoming_kernel", host.kernel_release);
	output_string(out, "incoming_module", host.module_version);
}

int cmd_status(struct tool *tool)
{
	struct kch_info info = { .size = sizeof(info) };
	struct output *out = tool->out;
	int err;

	err = kch_info(tool->handle, &info);
	if (err)
		return complain_last(tool, NULL, err, NULL);
	output_u64(out, "abi_version", info.abi_version);
	print_modes(tool, info.modes);
	output_string(out, "backend", backend_name(info.backend));
	output_hex(out, "region_start", info.region_start);
	output_u64(out, "region_size", info.region_size);
	output_u64(out, "tsc_khz", info.tsc_khz);
	output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
	output_u64(out, "kvm_tsc_khz", info.kvm_tsc_khz);
	output_bool(out, "selfchecked", info.flags & KCH_INFO_SELFCHECKED);
	print_error(tool, "selfcheck_error", info.selfcheck_error);
	output_u64(out, "generation", info.generation);
	output_u64(out, "outgoing_vms", info.outgoing_vms);
	output_u64(out, "outgoing_used", info.outgoing_used);
	output_u64(out, "outgoing_capacity", info.outgoing_capacity);
	output_bool(out, "incoming", info.flags & KCH_INFO_INCOMING);
	output_bool(out, "incoming_sealed", info.flags & KCH_INFO_SEALED);
	output_bool(out, "evidence", info.flags & KCH_INFO_EVIDENCE);
	output_u64(out, "incoming_vms", info.incoming_vms);
	output_u64(out, "restored_vms", info.restored_vms);
	print_error(tool, "incoming_error", info.incoming_error);
	print_writer(tool);
	info.message[sizeof(info.message) - 1] = '\0';
	output_string(out, "message", info.message[0] ? info.message : NULL);
	return EXIT_DONE;
}
