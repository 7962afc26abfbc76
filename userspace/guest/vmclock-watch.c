// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclock-guest-watch, in a guest: looks at the vmclock page, and when its disruption marker
 * changes says to the kernel that the clock is not synchronised, and to the program that
 * synchronises it that it has to begin anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>
#include "vmclock_page.h"

#define DEVICE		"/dev/vmclock0"
/* chronyd forgets its measurements, may step the clock, and measures soon (not a PTP clock). */
#define COMMAND		"chronyc -m 'reset sources' 'makestep 0.001 3' >/dev/null && " \
			"{ chronyc burst 4/4 >/dev/null 2>&1 || true; }"

#define PAGE_BYTES	4096
/* An error that the kernel takes for "not known". */
#define MAXERROR_US	16000000
/* How long a disruption may go unnoticed, if the kernel does not tell; and if it does. */
#define LOOK_MS		100
#define NOTIFIED_MS	10000

struct watch {
	const char *device, *command;
	int fd;
	const struct vmclock_page *page;
	uint64_t marker;
};

static uint64_t marker_now(const struct watch *watch)
{
	/* One load, so there is no half of it. */
	return le64toh(__atomic_load_n(&watch->page->disruption_marker, __ATOMIC_ACQUIRE));
}

static bool failed(const struct watch *watch, const char *what)
{
	fprintf(stderr, "kvmclock-guest-watch: %s: %s\n", watch->device, what);
	return false;
}

/* Of a version that this understands?  The kernel has looked, too. */
static bool start(struct watch *watch)
{
	const struct vmclock_page *page;
	struct stat stat;
	char text[80];

	watch->fd = open(watch->device, O_RDONLY | O_CLOEXEC);
	if (watch->fd < 0 || fstat(watch->fd, &stat))
		return failed(watch, strerror(errno));
	if (S_ISREG(stat.st_mode) && stat.st_size < PAGE_BYTES)
		return failed(watch, "shorter than a page");
	page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, watch->fd, 0);
	if (page == MAP_FAILED)
		return failed(watch, strerror(errno));
	watch->page = page;
	if (le32toh(page->magic) != VMCLOCK_PAGE_MAGIC)
		return failed(watch, "not a vmclock page");
	if (le16toh(page->version) != VMCLOCK_PAGE_VERSION) {
		snprintf(text, sizeof(text), "vmclock page of version %u, expected %d: "
			 "disruptions will not be noticed",
			 le16toh(page->version), VMCLOCK_PAGE_VERSION);
		return failed(watch, text);
	}
	if (le32toh(page->size) < offsetof(struct vmclock_page, flags))
		return failed(watch, "vmclock page without a disruption marker");
	watch->marker = marker_now(watch);
	return true;
}

/* At once: nobody is to believe in the clock from now on. */
static bool set_unsynchronised(const struct watch *watch)
{
	struct timex timex = { .modes = 0 };

	if (adjtimex(&timex) < 0)
		return failed(watch, "the clock's status cannot be read");
	timex.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR;
	timex.status |= STA_UNSYNC;
	timex.maxerror = MAXERROR_US;
	timex.esterror = MAXERROR_US;
	if (adjtimex(&timex) < 0) {
		fprintf(stderr, "kvmclock-guest-watch: STA_UNSYNC not set: %s; "
			"the clock was disrupted and programs may take it for right\n",
			strerror(errno));
		return false;
	}
	return true;
}

/* Whether the clock was disrupted since the last look; then all is done about it. */
static bool look(struct watch *watch)
{
	const uint64_t marker = marker_now(watch);
	bool unsynchronised;
	int status;

	if (marker == watch->marker)
		return false;
	unsynchronised = set_unsynchronised(watch);
	fprintf(stderr, "kvmclock-guest-watch: the clock was disrupted: marker %llu, before %llu%s\n",
		(unsigned long long)marker, (unsigned long long)watch->marker,
		unsynchronised ? "; it is out of sync from now on" : "");
	watch->marker = marker;
	status = *watch->command ? system(watch->command) : 0;
	if (status)
		fprintf(stderr, "kvmclock-guest-watch: status %d of: %s\n", status, watch->command);
	return true;
}

/*
 * Until the page was written, or it is time to look.  A kernel that is notified by the
 * hypervisor says "readable" once after each update.  Any other says "hung up", or like that
 * of a file "writable", too.
 */
static void wait_for_update(const struct watch *watch)
{
	struct pollfd poll_fd = { .fd = watch->fd, .events = POLLIN | POLLOUT };

	if (poll(&poll_fd, 1, NOTIFIED_MS) < 0 || poll_fd.revents & ~POLLIN)
		usleep(LOOK_MS * 1000);
}

/* With this the kernel knows which update was seen; before the look, so that none is missed. */
static void mark_seen(const struct watch *watch)
{
	char first;

	if (pread(watch->fd, &first, 1, 0) < 0)
		usleep(LOOK_MS * 1000);
}

static int print_usage(FILE *to)
{
	fputs("usage: kvmclock-guest-watch [--device FILE] [--run COMMAND]\n", to);
	return to == stdout ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "run", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	struct watch watch = { .device = DEVICE, .command = COMMAND };
	int option;

	while ((option = getopt_long(argc, argv, "d:r:h", options, NULL)) >= 0) {
		if (option == 'd')
			watch.device = optarg;
		else if (option == 'r')
			watch.command = optarg;
		else
			return print_usage(option == 'h' ? stdout : stderr);
	}
	if (optind < argc)
		return print_usage(stderr);
	if (!start(&watch))
		return EXIT_FAILURE;
	fprintf(stderr, "kvmclock-guest-watch: watching %s: marker %llu\n", watch.device,
		(unsigned long long)watch.marker);
	while (true) {
		mark_seen(&watch);
		look(&watch);
		wait_for_update(&watch);
	}
}
