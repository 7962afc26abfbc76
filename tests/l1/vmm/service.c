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

#include "report.h"
#include "service.h"

#define FIRST_FD	3
#define MEMORY_SIZE	(4U << 20)

static int memory_fd;
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

void service_begin(struct session *s)
{
	int clock = stored("clock");

	memory_fd = stored("memory");
	if (memory_fd >= 0) {
		report("store", "memory%s", clock < 0 ? "" : ",clock");
		/* A guest without its clock: it goes on, and what is wrong is said. */
		report_check(clock >= 0, "clock_stored");
		s->method = clock_method_find(clock < 0 ? "none" : "identical");
		if (clock >= 0)
			handover_use_clock(clock);
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
	if (!s->method) {
		notify("FDSTORE=1\nFDNAME=memory\nFDPOLL=0", memory_fd);
		if (s->store_clock) {
			struct handover h;
			int fd = handover_clock_of(vm, &h);

			if (fd < 0)
				die("no descriptor of the clock: %s", h.message);
			notify("FDSTORE=1\nFDNAME=clock\nFDPOLL=0", fd);
			close(fd);
		}
	}
	notify("READY=1\nSTATUS=the guest runs", -1);
}
