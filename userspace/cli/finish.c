// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl finish: the record that came from the last kernel is no longer needed. */
#include <errno.h>
#include "commands.h"
#include "options.h"

int cmd_finish(struct tool *tool, int argc, char **argv)
{
	uint32_t flags = 0, restored, left;
	const struct option_row options[] = {
		{ "discard", NULL, "also if VMs were not restored, or the record is damaged",
		  OPTION_BIT, &flags, KCH_FINISH_DISCARD },
		{}
	};
	int code, err;

	code = options_parse(tool, argc, argv, "", options, NULL, NULL);
	code = code ? code : tool_open(tool);
	if (code)
		return code;
	err = kch_finish(tool->handle, flags, &restored, &left);
	if (err)
		return complain(tool, NULL, err, "%s%s", kch_last_message(tool->handle),
				err == -ENODATA || err == -ENODEV ? "" : "; the record is kept");
	output_number(tool->out.document, "restored", restored);
	output_number(tool->out.document, "left", left);
	return EXIT_DONE;
}
