// SPDX-License-Identifier: GPL-2.0
/*
 * Who was given a clock's descriptor, in a root, with memory and with threads of their own:
 * what the module finds out of the host, and of KVM, these do not decide, nor how long it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "groups.h"
#include "scene.h"

#define NOBODY		65534
#define PAGE		4096
#define JAIL		"/run/caller"
#define CLOCKSOURCE	"/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define COMMAND_LINE	"/proc/cmdline"
#define NODE		"/dev/kvm"

static int clock_fd;
static struct kch_restore *said;	/* by the child */

/* A file of the jail: a FIFO without @text. */
static void put(const char *name, const char *text)
{
	char path[128], *slash;
	int fd;

	snprintf(path, sizeof(path), JAIL "%s", name);
	for (slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			die("%s: %s", path, strerror(errno));
		*slash = '/';
	}
	unlink(path);
	if (!text) {
		if (mkfifo(path, 0666))
			die("%s: %s", path, strerror(errno));
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* With the device that KVM has, for everybody. */
static void put_kvm(void)
{
	struct stat at;

	put(NODE, "");
	if (stat(NODE, &at) || unlink(JAIL NODE) || mknod(JAIL NODE, S_IFCHR, at.st_rdev) ||
	    chmod(JAIL NODE, 0666))
		die(NODE ": %s", strerror(errno));
}

static void enter_jail(void)
{
	if (chroot(JAIL) || chdir("/") || setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		die("no jail: %s", strerror(errno));
}

/* By the descriptor alone, to a VM of the calling process; only a check. */
static int restore_by_clock(const struct vm *vm)
{
	memset(said, 0, sizeof(*said));
	said->size = sizeof(*said);
	said->vm_fd = vm->fd;
	said->mode = KCH_MODE_IDENTICAL;
	said->flags = KCH_RESTORE_CHECK;
	set_uuid(said->uuid, ID_SAVED);
	return ioctl(clock_fd, KCH_IOC_RESTORE, said) ? errno : 0;
}

static int expected;

static int restore_in_jail(void)
{
	struct vm vm;

	close(device);
	vm_create_ready(&vm, 2, SCENE_OFFSET);
	enter_jail();
	return restore_by_clock(&vm) != expected;
}

static void check_in_jail(const char *name, int error, const char *message)
{
	expected = error;
	check(done_at_once(restore_in_jail), "%s: not done at once, or not %s: %s", name,
	      errno_name(error), said->message);
	check(strstr(said->message, message), "%s: %s", name, said->message);
	conditions_done++;
}

static void begin(void)
{
	struct kch_clock_fd clock = { .size = sizeof(clock), .vm_fd = -1 };

	said = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (said == MAP_FAILED || (mkdir(JAIL, 0755) && errno != EEXIST))
		die("%s", strerror(errno));
	scene_begin();
	set_uuid(clock.uuid, ID_SAVED);
	if (device_call(KCH_IOC_CLOCK_FD, &clock))
		die("CLOCK_FD: %s", clock.message);
	clock_fd = clock.fd;
}

static void end(void)
{
	close(clock_fd);
	scene_end();
	munmap(said, PAGE);
}

/**
 * struct root - what a caller's root says, and what is
 * @name: for people
 * @fault: the host's clocksource is not what it is
 * @clocksource: in the caller's root; NULL: a FIFO
 * @command_line: likewise
 * @expected: of RESTORE
 * @message: a part of it
 */
static const struct root {
	const char *name;
	const char *fault;
	const char *clocksource;
	const char *command_line;
	int expected;
	const char *message;
} roots[] = {
	{ "FIFOs", NULL, NULL, NULL, 0, "" },
	{ "FIFOs, early", "clocksource=4", NULL, NULL, 0, "" },
	{ "another clocksource", NULL, "hpet\n", "pmtmr=0x608\n", 0, "" },
	{ "not pinned", "clocksource=4", "tsc-early\n", "pmtmr=0x608\n", 0, "" },
	{ "settled", "clocksource=1", "tsc\n", "pmtmr=0\n", EAGAIN, "still being calibrated" },
	{ "the TSC", "clocksource=2", "tsc\n", "pmtmr=0\n", EPFNOSUPPORT, ", not the TSC" },
};

void test_hostile_root(void)
{
	unsigned int i;

	begin();
	for (i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		put(CLOCKSOURCE, roots[i].clocksource);
		put(COMMAND_LINE, roots[i].command_line);
		if (roots[i].fault)
			fault_insert(roots[i].fault, 0);
		check_in_jail(roots[i].name, roots[i].expected, roots[i].message);
		if (roots[i].fault)
			fault_remove();
	}
	end();
}

/* Wherever the next page is mapped, it is memory that does not come. */
static void *catch_page(void *arg)
{
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int uffd = *(int *)arg;

	ioctl(uffd, UFFDIO_API, &api);
	range.range.start = (uintptr_t)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
					    -1, 0);
	range.range.len = PAGE;
	munmap((void *)(uintptr_t)range.range.start, PAGE);
	*(int *)arg = -1;
	while (ioctl(uffd, UFFDIO_REGISTER, &range))
		;
	return NULL;
}

static int restore_with_threads(void)
{
	pthread_t thread;
	struct vm vm;
	int uffd;

	close(device);
	vm_create_ready(&vm, 2, SCENE_OFFSET);
	/* FUSE has such memory for everybody. */
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	enter_jail();
	if (uffd < 0 || pthread_create(&thread, NULL, catch_page, &uffd))
		die("userfaultfd: %s", strerror(errno));
	while (*(volatile int *)&uffd >= 0)
		usleep(1000);
	return restore_by_clock(&vm) != expected;
}

void test_hostile_memory(void)
{
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct kch_info info;

	begin();
	/* What is known of KVM goes for all, also when the frequency has changed since. */
	check_in_jail("no /dev/kvm", 0, "");
	fault_insert("khz=400", 0);
	check_in_jail("no /dev/kvm, another tsc_khz", 0, "");
	fault_remove();
	/* But nobody has asked this one. */
	put_kvm();
	fault_insert("kvm_went=1", ECANCELED);
	check_in_jail("another KVM", ENXIO, "without CAP_SYS_ADMIN");
	if (uffd < 0) {
		printf("# condition memory that does not come: left out, no userfaultfd\n");
	} else {
		check(done_at_once(restore_with_threads), "the caller's memory is waited for: %s",
		      said->message);
		close(uffd);
	}
	device_info(&info);
	check(info.flags & KCH_INFO_SELFCHECKED && !info.selfcheck_error, "%s", info.message);
	check_in_jail("once it was asked", 0, "");
	unlink(JAIL NODE);
	end();
}
