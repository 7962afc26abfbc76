// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl status: what the module is and has. */
#include <string.h>
#include "commands.h"
#include "fields.h"
#include "options.h"

static const char *backend_name(uint32_t backend)
{
	static const char *const names[] = {
		[KCH_BACKEND_NONE] = "none",
		[KCH_BACKEND_RANGE] = "range",
		[KCH_BACKEND_RESERVE_MEM] = "reserve_mem",
		[KCH_BACKEND_KHO] = "kho",
	};

	return backend < ARRAY_SIZE(names) ? names[backend] : "unknown";
}

static void add_modes(struct json_object *out, uint32_t modes)
{
	char *text = "";
	uint32_t mode;

	for (mode = KCH_MODE_REALTIME; mode <= KCH_MODE_IDENTICAL; mode++)
		if (modes & 1U << mode)
			text = xasprintf("%s%s%s", text, *text ? " " : "", kch_mode_name(mode));
	output_string(out, "modes", text);
}

static void add_errno(struct json_object *out, const char *key, int err)
{
	output_string(out, key, err ? strerrorname_np(err) : NULL);
}

/* Who wrote the incoming record, if it can be read. */
static void add_writer(struct tool *tool)
{
	struct kch_host_info host = { .sz = sizeof(host) };
	struct json_object *out = tool->out.document;

	if (kch_host(tool->handle, KCH_INCOMING, &host))
		return;
	output_u64(out, "incoming_sequence", host.sequence);
	output_number(out, "incoming_tsc_khz", host.tsc_khz);
	output_string(out, "incoming_tsc_source", kch_tsc_source_name(host.tsc_source));
	output_string(out, "incoming_kernel", host.kernel_release);
	output_string(out, "incoming_module", host.module_version);
}

int cmd_status(struct tool *tool, int argc, char **argv)
{
	struct kch_info info = { .size = sizeof(info) };
	struct json_object *out = tool->out.document;
	const struct option_row options[] = { {} };
	int code, err;

	code = options_parse(tool, argc, argv, "", options, NULL, NULL);
	code = code ? code : tool_open(tool);
	if (code)
		return code;
	err = kch_info(tool->handle, &info);
	if (err)
		return refuse(tool, NULL, err, "");
	output_number(out, "abi_version", info.abi_version);
	add_modes(out, info.modes);
	output_string(out, "backend", backend_name(info.backend));
	output_hex(out, "region_start", info.region_start, 64);
	output_u64(out, "region_size", info.region_size);
	output_number(out, "tsc_khz", info.tsc_khz);
	output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
	output_number(out, "kvm_tsc_khz", info.kvm_tsc_khz);
	output_bool(out, "selfchecked", info.flags & KCH_INFO_SELFCHECKED);
	add_errno(out, "selfcheck_error", info.selfcheck_error);
	output_u64(out, "generation", info.generation);
	output_number(out, "outgoing_vms", info.outgoing_vms);
	output_u64(out, "outgoing_used", info.outgoing_used);
	output_u64(out, "outgoing_capacity", info.outgoing_capacity);
	output_bool(out, "incoming", info.flags & KCH_INFO_INCOMING);
	output_bool(out, "incoming_sealed", info.flags & KCH_INFO_SEALED);
	output_bool(out, "evidence", info.flags & KCH_INFO_EVIDENCE);
	output_number(out, "incoming_vms", info.incoming_vms);
	output_number(out, "restored_vms", info.restored_vms);
	add_errno(out, "incoming_error", info.incoming_error);
	add_writer(tool);
	info.message[sizeof(info.message) - 1] = '\0';
	output_string(out, "message", info.message);
	return EXIT_DONE;
}
