/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KTAP output for tests in C, in one header.
 *
 *	static void test_sum(void)
 *	{
 *		ktap_check(1 + 1 == 2, "got %d", 1 + 1);
 *	}
 *
 *	int main(int argc, char **argv)
 *	{
 *		static const struct ktap_case cases[] = { { "sum", test_sum } };
 *
 *		return ktap_main(argc, argv, cases, 1);
 *	}
 *
 * A case that checked nothing has failed, and so has a program that ran no
 * case.  With arguments, only the cases they name are run.
 */
#ifndef KCH_TESTS_KTAP_H
#define KCH_TESTS_KTAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A broken loop must not print a million lines: the first few tell it all. */
#define KTAP_FAILURES_SHOWN	5

struct ktap_case {
	const char *name;
	void (*run)(void);
};

static struct {
	unsigned long checks;
	unsigned long failures;
	char skip[160];
} ktap;

/*
 * The condition, so that a caller can stop where going on makes no sense.
 * Inline, or some compilers warn when a test includes this for one macro.
 */
static inline __attribute__((format(printf, 5, 6)))
bool ktap_check_at(bool condition, const char *file, int line,
		   const char *expression, const char *format, ...)
{
	va_list args;

	ktap.checks++;
	if (condition || ++ktap.failures > KTAP_FAILURES_SHOWN)
		return condition;
	printf("# %s:%d: %s: ", file, line, expression);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return false;
}

#define ktap_check(condition, ...) \
	ktap_check_at((condition), __FILE__, __LINE__, #condition, __VA_ARGS__)

/* What a case cannot be run for here; return from it after this. */
static inline __attribute__((format(printf, 1, 2)))
void ktap_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ktap.skip, sizeof(ktap.skip), format, args);
	va_end(args);
}

static inline bool ktap_selected(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc < 2;
}

/* The program's exit status: 0 only if cases ran and none failed. */
static inline int ktap_main(int argc, char **argv,
			    const struct ktap_case *cases, size_t count)
{
	unsigned long number = 0, failed = 0, skipped = 0, selected = 0;
	size_t i;

	for (i = 0; i < count; i++)
		selected += ktap_selected(cases[i].name, argc, argv);
	printf("KTAP version 1\n1..%lu\n", selected);
	for (i = 0; i < count; i++) {
		if (!ktap_selected(cases[i].name, argc, argv))
			continue;
		memset(&ktap, 0, sizeof(ktap));
		cases[i].run();
		number++;
		if (ktap.failures) {
			printf("# %lu of %lu checks failed\n", ktap.failures,
			       ktap.checks);
			printf("not ok %lu %s\n", number, cases[i].name);
			failed++;
		} else if (ktap.skip[0]) {
			printf("ok %lu %s # SKIP %s\n", number, cases[i].name,
			       ktap.skip);
			skipped++;
		} else if (!ktap.checks) {
			printf("# nothing was checked\n");
			printf("not ok %lu %s\n", number, cases[i].name);
			failed++;
		} else {
			printf("ok %lu %s # %lu checks\n", number,
			       cases[i].name, ktap.checks);
		}
		fflush(stdout);
	}
	printf("# Totals: pass:%lu fail:%lu skip:%lu\n",
	       number - failed - skipped, failed, skipped);
	return failed || number == skipped ? 1 : 0;
}

#endif /* KCH_TESTS_KTAP_H */
