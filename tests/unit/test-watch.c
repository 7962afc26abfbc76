// SPDX-License-Identifier: GPL-2.0
/*
 * What runs in the guest, userspace/guest/vmclock-watch.c, with a file as the vmclock page:
 * which pages it takes, what it does at a disruption and in which order, and how it waits.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include "../l1/lib/ktap.h"

#include <poll.h>
#include <sys/timex.h>
#include <unistd.h>

static int fake_adjtimex(struct timex *timex);
static int fake_system(const char *command);
static int fake_poll(struct pollfd *fds, nfds_t count, int ms);
static int fake_usleep(useconds_t us);
int watch_main(int argc, char **argv);

#define adjtimex	fake_adjtimex
#define system		fake_system
#define poll(...)	fake_poll(__VA_ARGS__)
#define usleep		fake_usleep
#define main		watch_main
#include "vmclock-watch.c"
#undef main

static struct vmclock_page *page;
static struct watch watch;
/* The program's own loop has its own. */
static bool any_fd;
static char path[] = "/tmp/kch-watch.XXXXXX";

static struct {
	struct timex timex;
	int fails, status, poll_result;
	short revents;
	unsigned int slept_ms, polled_ms, looks;
	char log[200];
} fake;

static void note(const char *what)
{
	strncat(fake.log, what, sizeof(fake.log) - strlen(fake.log) - 1);
}

static int fake_adjtimex(struct timex *timex)
{
	if (fake.fails) {
		errno = EPERM;
		return -1;
	}
	if (!timex->modes) {
		timex->status = STA_PLL | STA_INS;
		return TIME_OK;
	}
	fake.timex = *timex;
	note("adjtimex ");
	return TIME_ERROR;
}

static int fake_system(const char *command)
{
	note(command);
	note(" ");
	return fake.status;
}

static int fake_poll(struct pollfd *fds, nfds_t count, int ms)
{
	ktap_check(count == 1 && (any_fd || fds->fd == watch.fd) && fds->events & POLLIN, "%d",
		   fds->fd);
	fds->revents = fake.revents & (fds->events | POLLHUP | POLLERR);
	fake.polled_ms += (unsigned int)ms;
	return fake.poll_result;
}

/* In the program's own loop: at the third wait there is a disruption, at the sixth it ends. */
static int fake_usleep(useconds_t us)
{
	fake.slept_ms += us / 1000;
	fake.looks++;
	if (fake.looks == 3)
		page->disruption_marker = htole64(8);
	if (fake.looks == 6)
		_exit(strcmp(fake.log, "adjtimex told ") || fake.slept_ms != 600);
	return 0;
}

static void set_up(off_t size)
{
	static int fd = -1;

	if (fd < 0) {
		fd = mkstemp(path);
		if (fd < 0 || ftruncate(fd, PAGE_BYTES))
			abort();
		page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (page == MAP_FAILED || !freopen("/dev/null", "w", stderr))
			abort();
	}
	if (watch.page)
		munmap((void *)watch.page, PAGE_BYTES);
	if (watch.fd > 0)
		close(watch.fd);
	if (ftruncate(fd, 0) || ftruncate(fd, size))
		abort();
	memset(&fake, 0, sizeof(fake));
	watch = (struct watch){ .device = path, .command = "told" };
	page->magic = htole32(VMCLOCK_PAGE_MAGIC);
	page->size = htole32(PAGE_BYTES);
	page->version = htole16(1);
	page->counter_id = VMCLOCK_PAGE_COUNTER_NONE;
	page->seq_count = htole32(4);
	page->disruption_marker = htole64(7);
}

static void test_start(void)
{
	set_up(PAGE_BYTES);
	ktap_check(start(&watch) && watch.marker == 7, "marker %lu", watch.marker);
	set_up(PAGE_BYTES);
	page->magic ^= htole32(1);
	ktap_check(!start(&watch), "another magic");
	set_up(PAGE_BYTES);
	page->version = htole16(2);
	ktap_check(!start(&watch), "version 2");
	set_up(PAGE_BYTES);
	page->version = 0;
	ktap_check(!start(&watch), "version 0");
	set_up(PAGE_BYTES);
	page->size = htole32(23);
	ktap_check(!start(&watch), "too short for a marker");
	set_up(PAGE_BYTES);
	page->size = htole32(24);
	ktap_check(start(&watch), "just long enough");
	set_up(PAGE_BYTES - 1);
	ktap_check(!start(&watch), "a short file");
	set_up(PAGE_BYTES);
	watch.device = "/nowhere/vmclock0";
	ktap_check(!start(&watch), "no device");
	ktap_check(!fake.log[0], "%s", fake.log);
}

static void check_log(const char *expected)
{
	ktap_check(!strcmp(fake.log, expected), "'%s', expected '%s'", fake.log, expected);
	fake.log[0] = '\0';
}

/* An update of anything but the marker is no disruption; another marker is one, once. */
static void test_look(void)
{
	set_up(PAGE_BYTES);
	ktap_check(start(&watch), "start");
	ktap_check(!look(&watch), "nothing has changed");
	page->seq_count = htole32(6);
	page->time_sec = htole64(1000);
	ktap_check(!look(&watch), "the marker has not changed");
	check_log("");
	page->disruption_marker = htole64(7 | 1ULL << 40);
	ktap_check(look(&watch), "the marker has changed");
	check_log("adjtimex told ");
	ktap_check(!look(&watch), "it was told already");
	check_log("");
	page->disruption_marker = htole64(7);
	ktap_check(look(&watch), "back to an old one is another, too");
	check_log("adjtimex told ");
}

static void test_unsynchronised(void)
{
	const unsigned int modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR;

	set_up(PAGE_BYTES);
	ktap_check(start(&watch), "start");
	page->disruption_marker = htole64(8);
	ktap_check(look(&watch), "disrupted");
	ktap_check(fake.timex.modes == modes, "modes 0x%x", fake.timex.modes);
	ktap_check(fake.timex.status == (STA_PLL | STA_INS | STA_UNSYNC), "0x%x",
		   fake.timex.status);
	ktap_check(fake.timex.maxerror == 16000000 && fake.timex.esterror == 16000000, "%ld %ld",
		   fake.timex.maxerror, fake.timex.esterror);
}

/* The one that fails does not keep the other from its part. */
static void test_fails(void)
{
	set_up(PAGE_BYTES);
	ktap_check(start(&watch), "start");
	fake.fails = 1;
	page->disruption_marker = htole64(8);
	ktap_check(look(&watch), "disrupted");
	check_log("told ");
	fake.fails = 0;
	fake.status = 1;
	page->disruption_marker = htole64(9);
	ktap_check(look(&watch), "disrupted");
	check_log("adjtimex told ");
	watch.command = "";
	page->disruption_marker = htole64(10);
	ktap_check(look(&watch), "disrupted");
	check_log("adjtimex ");
}

static void check_wait(int result, short revents, unsigned int slept_ms)
{
	set_up(PAGE_BYTES);
	ktap_check(start(&watch), "start");
	fake.poll_result = result;
	fake.revents = revents;
	wait_for_update(&watch);
	ktap_check(fake.polled_ms == NOTIFIED_MS, "polled for %u ms", fake.polled_ms);
	ktap_check(fake.slept_ms == slept_ms, "slept for %u ms, expected %u (0x%x)", fake.slept_ms,
		   slept_ms, revents);
}

static void test_wait(void)
{
	check_wait(1, POLLIN, 0);
	check_wait(0, 0, 0);
	/* Not notified, a kernel that does not know, and an error: not at full speed. */
	check_wait(1, POLLHUP, 100);
	check_wait(1, POLLIN | POLLOUT, 100);
	check_wait(1, POLLERR, 100);
	check_wait(-1, 0, 100);
}

static void test_loop(void)
{
	char *arguments[] = { "watch", "--device", path, "--run", "told", NULL };
	char *wrong[] = { "watch", "more", NULL };
	int status = -1;
	pid_t pid;

	set_up(PAGE_BYTES);
	fake.poll_result = 1;
	fake.revents = POLLIN | POLLOUT;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		optind = 0;
		any_fd = true;
		_exit(watch_main(5, arguments) + 10);
	}
	waitpid(pid, &status, 0);
	ktap_check(WIFEXITED(status) && !WEXITSTATUS(status), "status 0x%x", status);
	optind = 0;
	ktap_check(watch_main(2, wrong) == EXIT_FAILURE, "an argument too many");
	page->version = htole16(2);
	optind = 0;
	ktap_check(watch_main(5, arguments) == EXIT_FAILURE, "version 2");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "watch_start", test_start },
		{ "watch_look", test_look },
		{ "watch_unsynchronised", test_unsynchronised },
		{ "watch_fails", test_fails },
		{ "watch_wait", test_wait },
		{ "watch_loop", test_loop },
	};
	int result = ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));

	unlink(path);
	return result;
}
