// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "device.h"

#define CALL(NAME, type, known) {					\
	.name = #NAME,							\
	.cmd = KCH_IOC_##NAME,						\
	.size = sizeof(struct type),					\
	.flags = offsetof(struct type, flags),				\
	.flags_known = (known),						\
	.message = offsetof(struct type, message),			\
}

const struct kch_call kch_calls[KCH_CALLS] = {
	/* INFO's flags are an output: whatever is in them is no error. */
	CALL(INFO, kch_info, ~0U),
	CALL(PRESERVE, kch_preserve, 0),
	CALL(UNPRESERVE, kch_unpreserve, 0),
	CALL(LIST, kch_list, 0),
	CALL(GET, kch_get, 0),
	CALL(READ, kch_read, 0),
	CALL(RESTORE, kch_restore, KCH_RESTORE_FLAGS),
	CALL(FINISH, kch_finish, KCH_FINISH_DISCARD),
	CALL(ADOPT, kch_adopt, 0),
	CALL(CLOCK_FD, kch_clock_fd, 0),
	/* All but the size is an output. */
	CALL(WAIT, kch_restore, ~0U),
};

uint64_t region_start;
size_t region_size;
int device = -1;

const struct kch_call *kch_call_of(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < KCH_CALLS; i++)
		if (kch_calls[i].cmd == cmd)
			return &kch_calls[i];
	die("no such ioctl: %#x", cmd);
}

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	/* The test bed has two serial ports, and shows this one. */
	exit(99);
}

const char *errno_name(int err)
{
	const char *name = err ? strerrorname_np(err) : "no error";

	return name ?: "?";
}

int module_insert(const char *name, const char *parameters)
{
	struct utsname kernel;
	char path[256];
	int fd, err = 0;

	uname(&kernel);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", kernel.release,
		 name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, parameters, 0))
		err = errno;
	close(fd);
	return err;
}

int module_remove(const char *name)
{
	/* What a dying process or a closed file still held is let go soon. */
	int tries = 50;

	while (syscall(SYS_delete_module, name, O_NONBLOCK)) {
		if (errno != EAGAIN || !tries--)
			return errno;
		usleep(20000);
	}
	return 0;
}

const char *module_name(void)
{
	return getenv("KCH_MODULE") ?: "kvmclock_handover";
}

static void insert(const char *parameters)
{
	int err = module_insert(module_name(), parameters);

	if (err)
		die("loading %s %s: %s", module_name(), parameters, errno_name(err));
}

void module_load_with(const char *parameters)
{
	insert(parameters);
	device = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("%s: %s", KCH_DEVICE, strerror(errno));
}

static const char *with_region(void)
{
	static char parameters[64];

	snprintf(parameters, sizeof(parameters), "region=%#llx,%zu",
		 (unsigned long long)region_start, region_size);
	return parameters;
}

void module_load(void)
{
	module_load_with(with_region());
}

void module_load_only(void)
{
	insert(with_region());
}

void module_unload(void)
{
	int err;

	if (device >= 0)
		close(device);
	device = -1;
	err = module_remove(module_name());
	if (err)
		die("unloading %s: %s", module_name(), errno_name(err));
}

int device_call(unsigned int cmd, void *arg)
{
	return ioctl(device, cmd, arg) ? errno : 0;
}

void device_info(struct kch_info *info)
{
	int err;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	err = device_call(KCH_IOC_INFO, info);
	if (err)
		die("KCH_IOC_INFO: %s", errno_name(err));
}

static int memory(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/mem: %s", strerror(errno));
	return fd;
}

void region_write(const void *data, size_t size, size_t offset)
{
	if (pwrite(memory(), data, size, region_start + offset) != (ssize_t)size)
		die("writing %zu bytes to %#llx: %s", size,
		    (unsigned long long)(region_start + offset), strerror(errno));
}

void region_read(void *data, size_t size, size_t offset)
{
	if (pread(memory(), data, size, region_start + offset) != (ssize_t)size)
		die("reading %zu bytes at %#llx: %s", size,
		    (unsigned long long)(region_start + offset), strerror(errno));
}

void region_clear(void)
{
	void *zero = calloc(1, region_size);

	if (!zero)
		die("no memory");
	region_write(zero, region_size, 0);
	free(zero);
}

char *debugfs_read(const char *name, size_t *size)
{
	size_t room = 2 << 20, got = 0;
	char path[128], *data;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), KCH_DEBUGFS "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	data = malloc(room + 1);
	if (!data)
		die("no memory");
	while ((n = read(fd, data + got, room - got)) > 0)
		got += n;
	if (got == room)
		die("%s has more than %zu bytes", path, room);
	if (n < 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
	data[got] = '\0';
	*size = got;
	return data;
}

void progress(const char *format, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char text[256];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length > (int)sizeof(text) - 1)
		length = sizeof(text) - 1;
	if (fd < 0)
		return;
	/* Of no more use than that somebody reads it. */
	if (write(fd, text, length) != length)
		fprintf(stderr, "%s\n", text);
	close(fd);
}

unsigned int kernel_said(const char *text)
{
	static int fd = -1;
	unsigned int lines = 0;
	char line[2048];
	ssize_t n;

	if (fd < 0) {
		fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			die("/dev/kmsg: %s", strerror(errno));
	}
	/* EPIPE: some were overwritten before they were read. */
	while ((n = read(fd, line, sizeof(line) - 1)) > 0 ||
	       (n < 0 && errno == EPIPE)) {
		line[n > 0 ? n : 0] = '\0';
		lines += !!strstr(line, text);
	}
	return lines;
}

void sleep_jiffies(unsigned int seconds)
{
	clock_t until = times(NULL) + seconds * sysconf(_SC_CLK_TCK);

	while (times(NULL) < until)
		usleep(10000);
}

unsigned int descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	if (!directory)
		die("/proc/self/fd cannot be read");
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}
