// SPDX-License-Identifier: GPL-2.0
/* What sd_listen_fds_with_names() and sd_notify() of libsystemd do, for a program without it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../luo/session.h"
#include "report.h"
#include "service.h"

#define FIRST_FD	3
#define MEMORY_SIZE	(4U << 20)

enum { MEMORY_TOKEN = 1, CLOCK_TOKEN = 2 };

static int memory_fd, clock_fd;
/* What LUOSession=guest gives, or one in its place; -1: the store itself has memory and clock. */
static int luo_session;
static char mem[64];

/* The descriptor that was stored under that name, or -1. */
static int stored(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
	int fd;

	if (!pid || !names || atoi(pid) != getpid())
		return -1;
	for (fd = FIRST_FD; ; fd++) {
		size_t length = strcspn(names, ":");

		if (length == strlen(name) && !memcmp(names, name, length))
			return fd;
		if (!names[length])
			return -1;
		names += length + 1;
	}
}

static void notify(const char *text, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fd))];
	} control = {
		.header = {
			.cmsg_len = CMSG_LEN(sizeof(fd)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct iovec data = { (void *)text, strlen(text) };
	struct msghdr message = {
		.msg_name = &address,
		.msg_iov = &data,
		.msg_iovlen = 1,
	};
	size_t length = path ? strlen(path) : 0;
	int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!length || length >= sizeof(address.sun_path))
		die("no NOTIFY_SOCKET: this is not a service");
	memcpy(address.sun_path, path, length);
	message.msg_namelen = offsetof(struct sockaddr_un, sun_path) + length;
	if (*path == '@')
		address.sun_path[0] = '\0';
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control.bytes);
	}
	if (to < 0 || sendmsg(to, &message, 0) < 0)
		die("%s: %s", path, strerror(errno));
	close(to);
}

/*
 * Only a session that came from the last kernel gives something.  It is then used up, and the
 * service manager gives another at the next start of the service: so one for the next kernel is
 * made here, and stored.
 */
static void retrieve(void)
{
	memory_fd = session_retrieve_fd(luo_session, MEMORY_TOKEN);
	if (memory_fd < 0)
		return;
	clock_fd = session_retrieve_fd(luo_session, CLOCK_TOKEN);
	if (session_finish(luo_session))
		die("the session cannot be finished");
	notify("FDSTOREREMOVE=1\nFDNAME=guest", -1);
	close(luo_session);
	luo_session = session_create("kch-vmm");
	if (luo_session < 0)
		die("no session for the next kernel: %s", strerror(-luo_session));
	notify("FDSTORE=1\nFDNAME=guest\nFDPOLL=0", luo_session);
}

static void preserve(int fd, uint64_t token)
{
	int err = session_preserve_fd(luo_session, fd, token);

	if (err)
		die("descriptor %llu cannot be preserved: %s", (unsigned long long)token,
		    strerror(-err));
}

void service_begin(struct session *s)
{
	luo_session = stored("guest");
	memory_fd = stored("memory");
	clock_fd = stored("clock");
	if (luo_session >= 0)
		retrieve();
	if (memory_fd >= 0) {
		report("store", "memory%s%s", clock_fd < 0 ? "" : ",clock",
		       luo_session < 0 ? "" : " in a session");
		/* A guest without its clock: it goes on, and what is wrong is said. */
		report_check(clock_fd >= 0, "clock_stored");
		s->method = clock_method_find(clock_fd < 0 ? "none" : "identical");
		if (clock_fd >= 0)
			handover_use_clock(clock_fd);
	} else {
		report("store", "empty");
		memory_fd = memfd_create("guest", MFD_CLOEXEC);
		if (memory_fd < 0 || ftruncate(memory_fd, MEMORY_SIZE))
			die("memfd: %s", strerror(errno));
	}
	snprintf(mem, sizeof(mem), "/proc/self/fd/%d@0,%u", memory_fd, MEMORY_SIZE);
	s->mem = mem;
}

void service_running(const struct session *s, const struct vm *vm)
{
	/* The next process, if this one crashes, finds memory of later than the registers. */
	vm->mem->saved->registers_valid = 0;
	if (!s->method && s->store_clock) {
		struct handover h;

		clock_fd = handover_clock_of(vm, &h);
		if (clock_fd < 0)
			die("no descriptor of the clock: %s", h.message);
	}
	if (luo_session >= 0) {
		preserve(memory_fd, MEMORY_TOKEN);
		if (s->store_clock)
			preserve(clock_fd, CLOCK_TOKEN);
	} else if (!s->method) {
		notify("FDSTORE=1\nFDNAME=memory\nFDPOLL=0", memory_fd);
		if (s->store_clock)
			notify("FDSTORE=1\nFDNAME=clock\nFDPOLL=0", clock_fd);
	}
	notify("READY=1\nSTATUS=the guest runs", -1);
}
