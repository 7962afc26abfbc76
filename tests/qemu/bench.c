// SPDX-License-Identifier: GPL-2.0
/*
 * What an ioctl costs with the wrapper in between, against the C library's own,
 * in turn and in one run.  On a descriptor that knows no ioctl: the kernel
 * returns at once, so that the ratio is above that of any KVM_RUN.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#define ROUNDS	41
#define CALLS	50000

typedef int (*ioctl_function)(int fd, unsigned long request, ...);

static double time_of(ioctl_function function, int fd)
{
	struct timespec start, end;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (i = 0; i < CALLS; i++)
		function(fd, KVM_RUN, NULL);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 +
		(double)(end.tv_nsec - start.tv_nsec)) / CALLS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	void *library = dlopen("libc.so.6", RTLD_NOW);
	ioctl_function direct = (ioctl_function)dlsym(library, "ioctl");
	double without[ROUNDS], with[ROUNDS], ratio[ROUNDS];
	int fd = open("/dev/null", O_RDWR), i;

	if (!library || !direct || direct == (ioctl_function)ioctl || fd < 0) {
		fprintf(stderr, "bench: nothing is preloaded\n");
		return 1;
	}
	for (i = 0; i < ROUNDS; i++) {
		without[i] = time_of(direct, fd);
		with[i] = time_of((ioctl_function)ioctl, fd);
		ratio[i] = with[i] / without[i];
	}
	qsort(without, ROUNDS, sizeof(double), compare);
	qsort(with, ROUNDS, sizeof(double), compare);
	qsort(ratio, ROUNDS, sizeof(double), compare);
	printf("without_ns=%.1f with_ns=%.1f difference_ns=%.1f ratio=%.3f\n",
	       without[ROUNDS / 2], with[ROUNDS / 2],
	       with[ROUNDS / 2] - without[ROUNDS / 2], ratio[ROUNDS / 2]);
	return 0;
}
