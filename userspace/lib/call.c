// SPDX-License-Identifier: LGPL-2.1-or-later
/* An ioctl that no signal keeps from being done. */
#include <signal.h>
#include <sys/ioctl.h>
#include "internal.h"

/*
 * Some ioctls give up for any signal.  KVM_CREATE_VM does, and it takes a look at
 * each of the process's mappings first: under a timer it may never get through.
 * So the second try is made with signals held back.
 */
int kch_call(int fd, unsigned long request, void *arg)
{
	sigset_t all, old;
	int result, err;

	result = ioctl(fd, request, arg);
	if (result >= 0 || errno != EINTR)
		return result;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	do
		result = ioctl(fd, request, arg);
	while (result < 0 && errno == EINTR);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = err;
	return result;
}
