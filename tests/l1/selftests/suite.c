// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kvmclock-handover.h>

#include "kselftest.h"
#include "suite.h"

#define SECONDS_MAX	120

/* A failed assertion of the library ends the process. */
static void run_here(const struct suite *suite, const struct scenario *scenario)
{
	struct checks checks = { 0 };
	struct kch_handle *handle;

	alarm(SECONDS_MAX);
	handle = kch_open(NULL);
	TEST_ASSERT(handle, KCH_DEVICE ": %s", strerror(errno));
	suite->test(scenario, handle, &checks);
	printf("# %s.%s: %u checks\n", suite->name, scenario->name, checks.made);
	kch_close(handle);
	fflush(stdout);
	_exit(checks.failed || !checks.made ? KSFT_FAIL : KSFT_PASS);
}

static void run_apart(const struct suite *suite, const struct scenario *scenario)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork: %s", strerror(errno));
	if (!pid)
		run_here(suite, scenario);
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		ksft_print_msg("%s.%s: ended by signal %d\n", suite->name, scenario->name,
			       WTERMSIG(status));
	ksft_test_result(WIFEXITED(status) && WEXITSTATUS(status) == KSFT_PASS, "%s.%s\n",
			 suite->name, scenario->name);
}

static bool is_named(const struct scenario *scenario, int names, char **name)
{
	int i;

	for (i = 0; i < names; i++)
		if (!strcmp(name[i], scenario->name))
			return true;
	return !names;
}

void suite_run(const struct suite *suite, int names, char **name)
{
	const struct scenario *scenario;
	const char *unmet;
	unsigned int count = 0;

	for (scenario = scenarios; scenario->name; scenario++)
		count += is_named(scenario, names, name);
	TEST_ASSERT(count >= names, "a scenario of those named does not exist");

	ksft_print_header();
	TEST_REQUIRE(sys_clocksource_is_based_on_tsc());
	__TEST_REQUIRE(!access(KCH_DEVICE, R_OK | W_OK), "no " KCH_DEVICE);
	ksft_set_plan(count);
	for (scenario = scenarios; scenario->name; scenario++) {
		if (!is_named(scenario, names, name))
			continue;
		unmet = scenario_unmet(scenario);
		if (!unmet && suite->unmet)
			unmet = suite->unmet(scenario);
		if (unmet)
			ksft_test_result_skip("%s.%s: %s\n", suite->name, scenario->name,
					      unmet);
		else
			run_apart(suite, scenario);
	}
	/* Nothing was run: that is not a pass. */
	if (!ksft_get_pass_cnt() && !ksft_get_fail_cnt())
		exit(KSFT_SKIP);
	ksft_finished();
}
