// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "session.h"

#define LUO_NAME_SIZE	64

/* linux/liveupdate.h, which the C library's headers do not have yet. */
struct session_by_name {
	uint32_t size;
	int32_t fd;
	uint8_t name[LUO_NAME_SIZE];
};

struct file_by_token {
	uint32_t size;
	int32_t fd;
	uint64_t token;
};

struct finish {
	uint32_t size;
	uint32_t reserved;
};

#define CREATE_SESSION		_IO(0xBA, 0x00)
#define RETRIEVE_SESSION	_IO(0xBA, 0x01)
#define PRESERVE_FD		_IO(0xBA, 0x40)
#define RETRIEVE_FD		_IO(0xBA, 0x41)
#define FINISH			_IO(0xBA, 0x42)

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static int by_name(unsigned long request, const char *name)
{
	struct session_by_name arg = { .size = sizeof(arg) };
	int device = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	int err;

	if (device < 0)
		return -errno;
	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	err = call(device, request, &arg);
	close(device);
	return err ? err : arg.fd;
}

int session_create(const char *name)
{
	return by_name(CREATE_SESSION, name);
}

int session_retrieve(const char *name)
{
	return by_name(RETRIEVE_SESSION, name);
}

int session_preserve_fd(int session, int fd, uint64_t token)
{
	struct file_by_token arg = {
		.size = sizeof(arg), .fd = fd, .token = token,
	};

	return call(session, PRESERVE_FD, &arg);
}

int session_retrieve_fd(int session, uint64_t token)
{
	struct file_by_token arg = { .size = sizeof(arg), .token = token };
	int err = call(session, RETRIEVE_FD, &arg);

	return err ? err : arg.fd;
}

int session_finish(int session)
{
	struct finish arg = { .size = sizeof(arg) };

	return call(session, FINISH, &arg);
}
