// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "tally.h"

#define ERRNOS		140
#define ACTS		24
#define WRONG_SHOWN	20

static atomic_uint counts[2][KCH_CALLS][ERRNOS];
static atomic_uint wrongs;
static struct {
	const char *_Atomic name;
	atomic_uint done[2];
} acts[ACTS];

static unsigned int index_of(unsigned int cmd)
{
	return kch_call_of(cmd) - kch_calls;
}

void tally(unsigned int cmd, bool on_clock, int err)
{
	counts[on_clock][index_of(cmd)][err < ERRNOS ? err : ERRNOS - 1]++;
}

void tally_act(const char *name, bool worked)
{
	const char *there;
	unsigned int i;

	for (i = 0; i < ACTS; i++) {
		there = NULL;
		/* The same text may be at two addresses. */
		if (atomic_compare_exchange_strong(&acts[i].name, &there, name) ||
		    !strcmp(there, name)) {
			acts[i].done[worked]++;
			return;
		}
	}
}

static bool has_word(const char *words, const char *word)
{
	char text[32];

	snprintf(text, sizeof(text), " %s ", word);
	return strstr(words, text);
}

static const char *documented_of(unsigned int cmd)
{
#define DOCUMENTED(number, words) { number, words },
	static const struct {
		unsigned int cmd;
		const char *words;
	} documented[] = {
#include "documented.inc"
	};
	size_t i;

	for (i = 0; i < sizeof(documented) / sizeof(documented[0]); i++)
		if (documented[i].cmd == cmd)
			return documented[i].words;
	die("the header says nothing of the errors of %s", kch_call_of(cmd)->name);
}

bool tally_is_documented(unsigned int cmd, bool on_clock, int err)
{
	const char *name = errno_name(err);

	return !err || has_word(EVERY_IOCTL, name) || has_word(documented_of(cmd), name) ||
	       (cmd == KCH_IOC_WAIT && has_word(documented_of(KCH_IOC_RESTORE), name)) ||
	       /* "Errors of these are those described there": of reading a VM, too. */
	       (on_clock && cmd == KCH_IOC_GET && has_word(documented_of(KCH_IOC_READ), name));
}

void wrong(const char *format, ...)
{
	va_list args;

	if (++wrongs > WRONG_SHOWN)
		return;
	flockfile(stdout);
	fputs("fault: ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	funlockfile(stdout);
}

unsigned int wrong_so_far(void)
{
	return wrongs;
}

static void print_call(unsigned int on_clock, unsigned int call)
{
	unsigned int *all = (unsigned int *)counts[on_clock][call], i;

	printf("%s%s: %u succeeded;", kch_calls[call].name, on_clock ? " of a clock" : "", all[0]);
	for (i = 1; i < ERRNOS; i++)
		if (all[i])
			printf(" %s %u", errno_name(i), all[i]);
	printf("\n");
}

/* What a clock's descriptor takes. */
static bool takes(unsigned int cmd)
{
	return cmd == KCH_IOC_INFO || cmd == KCH_IOC_GET || cmd == KCH_IOC_RESTORE ||
	       cmd == KCH_IOC_WAIT;
}

unsigned int tally_print(void)
{
	unsigned int on_clock, call, i;

	for (on_clock = 0; on_clock < 2; on_clock++)
		for (call = 0; call < KCH_CALLS; call++) {
			if (on_clock && !takes(kch_calls[call].cmd))
				continue;
			print_call(on_clock, call);
			if (!counts[on_clock][call][0])
				wrong("%s%s never succeeded", kch_calls[call].name,
				      on_clock ? " of a clock" : "");
		}
	for (i = 0; i < ACTS && acts[i].name; i++)
		printf("%s: %u, %u more in vain\n", acts[i].name, acts[i].done[1],
		       acts[i].done[0]);
	return wrongs;
}
