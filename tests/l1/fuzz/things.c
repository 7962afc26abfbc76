// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "things.h"
#include "vm.h"

#define FOREIGN_MAX	24
#define PUBLIC_MAX	64

static int foreign[FOREIGN_MAX];
static unsigned int foreign_count;
static _Atomic int public[PUBLIC_MAX];

static void add(int fd)
{
	if (fd < 0 || foreign_count == FOREIGN_MAX)
		die("a descriptor of another kind cannot be had");
	foreign[foreign_count++] = fd;
}

static void add_files(void)
{
	static const struct {
		const char *path;
		int flags;
	} files[] = {
		{ "/dev/null", O_RDWR }, { "/dev/null", O_RDONLY }, { "/dev/kvm", O_PATH },
		{ "/dev/kmsg", O_RDONLY }, { "/dev/mem", O_RDONLY },
		{ "/", O_RDONLY | O_DIRECTORY },
		{ "/proc/self/maps", O_RDONLY }, { "/proc/self", O_PATH },
		{ "/sys/kernel/debug", O_RDONLY | O_DIRECTORY }, { "/dev/zero", O_RDWR },
	};
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		add(open(files[i].path, files[i].flags | O_CLOEXEC));
}

void things_open(void)
{
	int pair[2];
	unsigned int i;

	add_files();
	if (pipe2(pair, O_CLOEXEC))
		die("no pipe");
	add(pair[0]);
	add(pair[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("no sockets");
	add(pair[0]);
	add(pair[1]);
	add(eventfd(0, EFD_CLOEXEC));
	add(epoll_create1(EPOLL_CLOEXEC));
	add(memfd_create("fuzz", MFD_CLOEXEC));
	add(kvm_open());
	for (i = 0; i < PUBLIC_MAX; i++)
		public[i] = -1;
}

void thing_publish(struct random *r, int fd)
{
	public[random_below(r, PUBLIC_MAX)] = fd;
}

int thing_any(struct random *r)
{
	static const int none[] = { -1, -2, INT_MAX, INT_MIN, 1023, 1024, 1 << 20 };

	switch (random_below(r, 4)) {
	case 0:
		return none[random_below(r, sizeof(none) / sizeof(none[0]))];
	case 1:
		return random_below(r, 128);
	case 2:
		return foreign[random_below(r, foreign_count)];
	default:
		return public[random_below(r, PUBLIC_MAX)];
	}
}
