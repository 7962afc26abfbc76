// SPDX-License-Identifier: GPL-2.0
/*
 * kch-errno: every errno of every ioctl of /dev/kvmclock_handover and of
 * loading the module, provoked in the emulated host.
 *
 *	kch-errno [--sabotage WHAT] START SIZE GROUP...
 *
 * START and SIZE are those of the reserved range; groups are in the table
 * below.  Output is KTAP.  With --sabotage the test itself does something
 * wrong, and must fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ktap.h"

#include "check.h"
#include "condition.h"
#include "groups.h"

/* Small, as it is read as a whole before and after each call. */
#define REGION_SIZE	32768

static const struct ktap_case cases[] = {
	{ "arguments", test_arguments },
	{ "capabilities", test_capabilities },
	{ "hostile-open", test_hostile_open },
	{ "hostile-calls", test_hostile_calls },
	{ "hostile-files", test_hostile_files },
	{ "hostile-root", test_hostile_root },
	{ "hostile-memory", test_hostile_memory },
	{ "vm", test_vm },
	{ "no-region", test_no_region },
	{ "outgoing", test_outgoing },
	{ "full", test_full },
	{ "slots", test_slots },
	{ "broken-memory", test_broken_memory },
	{ "restore", test_restore },
	{ "settled", test_settled },
	{ "tsc-back", test_tsc_back },
	{ "finish", test_finish },
	{ "hold", test_hold },
	{ "hold-ends", test_hold_ends },
	{ "clock-fd", test_clock_fd },
	{ "pending", test_pending },
	{ "protected", test_protected },
	{ "keep", test_keep },
	{ "locks", test_locks },
	{ "adopt", test_adopt },
	{ "incoming", test_incoming },
	{ "two-records", test_two_records },
	{ "no-kvm", test_no_kvm },
	{ "dead-vm", test_dead_vm },
	{ "misread", test_misread },
	{ "lost-write", test_lost_write },
	{ "sealed", test_sealed },
	{ "ask-signals", test_ask_signals },
	{ "ask-threads", test_ask_threads },
	{ "ask-errors", test_ask_errors },
	{ "ask-memory", test_ask_memory },
	{ "ask-unstable", test_ask_unstable },
	{ "load", test_load },
	{ "reload", test_reload },
	{ "untouched", test_untouched },
	{ "lifetime", test_lifetime },
	{ "references", test_references },
	{ "used", test_used },
	{ "old", test_old },
	{ "last", test_last },
	{ "no-memory", test_no_memory },
	{ "large", test_large },
	{ "found-again", test_found_again },
	{ "anew", test_anew },
	{ "known", test_known },
	{ "debugfs", test_debugfs },
	{ "fail-nth", test_fail_nth },
	{ "fail-ask", test_fail_ask },
	{ "fail-thread", test_fail_thread },
};

bool check_at(bool condition, const char *file, int line, const char *expression,
	      const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return ktap_check_at(condition, file, line, expression, "%s", text);
}

void skip(const char *reason)
{
	ktap_skip("%s", reason);
}

static enum sabotage sabotage_of(const char *name)
{
	static const char * const names[] = {
		[SABOTAGE_NONE] = "none",
		[SABOTAGE_ERRNO] = "errno",
		[SABOTAGE_MESSAGE] = "message",
		[SABOTAGE_CLOCK] = "clock",
		[SABOTAGE_OFFSET] = "offset",
		[SABOTAGE_RECORD] = "record",
		[SABOTAGE_OUTPUT] = "output",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return i;
	die("no such sabotage: %s", name);
}

int main(int argc, char **argv)
{
	struct rlimit no_core = { 0, 0 };
	int status;

	setrlimit(RLIMIT_CORE, &no_core);
	if (argc > 2 && !strcmp(argv[1], "--sabotage")) {
		sabotage = sabotage_of(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 4)
		die("usage: kch-errno [--sabotage WHAT] START SIZE GROUP...");
	region_start = strtoull(argv[1], NULL, 0);
	region_size = strtoull(argv[2], NULL, 0);
	if (region_size < REGION_SIZE)
		die("a region of %zu bytes, %u are needed", region_size, REGION_SIZE);
	region_size = REGION_SIZE;
	status = ktap_main(argc - 2, argv + 2, cases,
			   sizeof(cases) / sizeof(cases[0]));
	printf("# %u conditions\n", conditions_done);
	return status;
}
