// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl list */
#include <errno.h>
#include <stdlib.h>
#include "live.h"

static void list_live(struct tool *tool, const struct live_vms *live)
{
	struct output *out = tool->out;
	size_t i;

	output_table(out, "live");
	for (i = 0; i < live->count; i++) {
		const struct live_vm *vm = &live->vms[i];

		output_row(out);
		output_uuid(out, "uuid", vm->uuid);
		output_string(out, "name", vm->name);
		output_s64(out, "pid", vm->pid);
		output_s64(out, "fd", vm->number);
	}
	output_table_end(out);
}

/* What a restore would give of it, as far as the entry tells. */
static const char *clock_of(const struct kch_entry *entry)
{
	if (entry->flags & KCH_ENTRY_DAMAGED)
		return NULL;
	if (entry->flags & KCH_ENTRY_STALE)
		return "stale";
	if (entry->flags & KCH_ENTRY_NO_MASTER_CLOCK)
		return "no master clock";
	return "exact";
}

/* What restore --hold came to, or is at. */
static const char *hold_of(const struct kch_entry *entry)
{
	if (entry->flags & KCH_ENTRY_HELD)
		return "held";
	return entry->flags & KCH_ENTRY_LET_GO ? "let go" : NULL;
}

static int list_record(struct tool *tool, enum kch_which which, uint32_t *count)
{
	const char *title = which == KCH_INCOMING ? "incoming" : "outgoing";
	struct output *out = tool->out;
	struct kch_entry *entries;
	uint32_t i;
	int err;

	*count = 0;
	err = kch_list(tool->handle, which, sizeof(*entries), &entries, count);
	/* No record is an empty one here; status tells the difference. */
	if (err && err != -ENODATA)
		return complain_last(tool, title, err, NULL);
	output_table(out, title);
	for (i = 0; i < *count; i++) {
		struct kch_entry *entry = &entries[i];

		entry->name[sizeof(entry->name) - 1] = '\0';
		output_row(out);
		output_uuid(out, "uuid", entry->uuid);
		output_string(out, "name", entry->name);
		output_s64(out, "pid", entry->pid);
		output_u64(out, "vcpus", entry->vcpu_count);
		output_u64(out, "bytes", entry->bytes);
		output_bool(out, "live", entry->flags & KCH_ENTRY_LIVE);
		if (which == KCH_INCOMING) {
			output_bool(out, "restored",
				    entry->flags & KCH_ENTRY_RESTORED);
			output_bool(out, "damaged",
				    entry->flags & KCH_ENTRY_DAMAGED);
		}
		output_string(out, "clock", clock_of(entry));
		if (which == KCH_INCOMING)
			output_string(out, "hold", hold_of(entry));
	}
	output_table_end(out);
	free(entries);
	return EXIT_DONE;
}

int cmd_list(struct tool *tool)
{
	uint32_t outgoing = 0, incoming = 0;
	struct live_vms live;
	size_t found;
	int code;

	live_find(tool, 0, &live);
	list_live(tool, &live);
	code = live.code;
	found = live.count;
	live_free(&live);
	if (tool->handle) {
		int c = list_record(tool, KCH_OUTGOING, &outgoing);

		code = code ? code : c;
		c = list_record(tool, KCH_INCOMING, &incoming);
		code = code ? code : c;
	}
	if (code)
		return code;
	return found || outgoing || incoming ? EXIT_DONE : EXIT_NOTHING;
}
