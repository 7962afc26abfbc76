// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl finish */
#include "cli.h"

int cmd_finish(struct tool *tool)
{
	uint32_t restored, left;
	int err;

	err = kch_finish(tool->handle,
			 tool->options.discard ? KCH_FINISH_DISCARD : 0,
			 &restored, &left);
	if (err)
		return complain_last(tool, NULL, err, "the record is kept");
	output_u64(tool->out, "restored", restored);
	output_u64(tool->out, "left", left);
	return EXIT_DONE;
}
