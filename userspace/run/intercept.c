// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the VMM calls instead of the C library's ioctl() and close().  The
 * common case, KVM_RUN of a guest that is running, has to be as fast as
 * without us: one load and one branch, never taken.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "run.h"

#define PUBLIC __attribute__((visibility("default")))

/*
 * Whether ioctls on a file descriptor are to be looked at.  A filter only: the
 * entry is shared by all descriptors that are equal modulo its size, and who
 * is meant is looked up behind it.
 */
#define FILTER_SIZE	(1U << 16)
static uint8_t filter[FILTER_SIZE];

static int resolve_ioctl(int fd, unsigned long request, ...);
static int resolve_close(int fd);

/* Other constructors may call ioctl() before ours has run. */
int (*run_real_ioctl)(int fd, unsigned long request, ...) = resolve_ioctl;
static int (*real_close)(int fd) = resolve_close;

static void *next_symbol(const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (!symbol)
		abort();
	return symbol;
}

static int resolve_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	run_real_ioctl = (int (*)(int, unsigned long, ...))next_symbol("ioctl");
	return run_real_ioctl(fd, request, arg);
}

static int resolve_close(int fd)
{
	real_close = (int (*)(int))next_symbol("close");
	return real_close(fd);
}

__attribute__((constructor))
static void start(void)
{
	run_options_read();
}

void run_watch(int fd, bool on)
{
	__atomic_store_n(&filter[(unsigned int)fd % FILTER_SIZE], on,
			 __ATOMIC_RELEASE);
}

void run_watch_none(void)
{
	memset(filter, 0, sizeof(filter));
}

static inline uint8_t is_watched(int fd)
{
	return __atomic_load_n(&filter[(unsigned int)fd % FILTER_SIZE],
			       __ATOMIC_RELAXED);
}

/*
 * ioctl() is variadic, but KVM's has one argument at most, and here it is found
 * where a third argument always is.  Saying so saves the copying.
 */
PUBLIC int watched_ioctl(int fd, unsigned long request, void *arg) __asm__("ioctl");
int watched_ioctl(int fd, unsigned long request, void *arg)
{
	bool is_create = request == KVM_CREATE_VM;

	/* One test for both. */
	if (__builtin_expect(is_watched(fd) | is_create, 0))
		return run_ioctl(fd, request, arg);
	return run_real_ioctl(fd, request, arg);
}

PUBLIC int close(int fd)
{
	if (__builtin_expect(is_watched(fd), 0))
		run_close(fd);
	return real_close(fd);
}

/*
 * Our own descriptors, the device and the log file: the linker sends their
 * close() here.  They are closed with the lock held, and may have the number of
 * a vCPU that the VMM closed in another way, which is watched still.
 */
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	return real_close(fd);
}

/*
 * The handover library's own ioctls: the linker sends them here, since they are
 * made with the VM held back.  A signal, as a VMM sends its vCPUs, must neither
 * end one early (the module lets a vCPU of its own run) nor, if they come one
 * upon another, every one.  All are short.  What comes through is what cannot be
 * blocked, a stop or the process's end, and is over when the ioctl is called
 * again.
 */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	sigset_t all, before;
	va_list args;
	void *arg;
	int result;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	do {
		result = run_real_ioctl(fd, request, arg);
	} while (result < 0 && errno == EINTR);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}
