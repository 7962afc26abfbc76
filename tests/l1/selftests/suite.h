/* SPDX-License-Identifier: GPL-2.0 */
/* The tests of a program: one thing to do, for each scenario. */
#ifndef KCH_SELFTESTS_SUITE_H
#define KCH_SELFTESTS_SUITE_H

#include "checks.h"

struct kch_handle;

/**
 * struct suite - what is done
 * @name: first part of each test's name
 * @unmet: why not for a scenario, in which case it is skipped; NULL: nothing
 * @test: it, in a process of its own
 */
struct suite {
	const char *name;
	const char *(*unmet)(const struct scenario *scenario);
	void (*test)(const struct scenario *scenario, struct kch_handle *handle,
		     struct checks *checks);
};

/* For all scenarios, or those that are named; does not return. */
void suite_run(const struct suite *suite, int names, char **name)
	__attribute__((noreturn));

#endif /* KCH_SELFTESTS_SUITE_H */
