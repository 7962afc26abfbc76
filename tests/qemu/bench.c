// SPDX-License-Identifier: GPL-2.0
/*
 * What an ioctl costs with the wrapper in between, against the C library's own.
 * On a descriptor that knows no ioctl: the kernel returns at once, so that the
 * ratio is above that of any KVM_RUN.  Start it with kvmclock-run.
 *
 * Time is what a busy machine spoils: on one CPU, in short rounds, in the
 * order ABBA so that a change of pace during a round is on both sides, and of all
 * rounds' ratios the median, with the quartiles to tell how far to trust it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#define ROUNDS	2001
#define CALLS	500	/* per turn: below a tick of the kernel's */

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

/* Stays where it is. */
static void pin(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		perror("bench: not pinned to a CPU");
}

int main(void)
{
	static double without[ROUNDS], with[ROUNDS], ratio[ROUNDS];
	void *library = dlopen("libc.so.6", RTLD_NOW);
	ioctl_function direct, through = (ioctl_function)ioctl;
	int fd = open("/dev/null", O_RDWR), i;

	direct = library ? (ioctl_function)dlsym(library, "ioctl") : NULL;
	if (!direct || direct == through || fd < 0) {
		fprintf(stderr, "bench: nothing is preloaded\n");
		return 1;
	}
	pin();
	/* The first is not looked at: caches, and symbols that are bound late. */
	for (i = -1; i < ROUNDS; i++) {
		double a = time_of(direct, fd);
		double b = time_of(through, fd) + time_of(through, fd);

		a += time_of(direct, fd);
		if (i < 0)
			continue;
		without[i] = a / 2;
		with[i] = b / 2;
		ratio[i] = b / a;
	}
	qsort(without, ROUNDS, sizeof(double), compare);
	qsort(with, ROUNDS, sizeof(double), compare);
	qsort(ratio, ROUNDS, sizeof(double), compare);
	printf("rounds=%d\ncalls=%d\n", ROUNDS, 2 * CALLS);
	printf("without_ns=%.2f\nwith_ns=%.2f\n", without[ROUNDS / 2],
	       with[ROUNDS / 2]);
	printf("ratio=%.4f\nratio_quartiles=%.4f,%.4f\n", ratio[ROUNDS / 2],
	       ratio[ROUNDS / 4], ratio[3 * ROUNDS / 4]);
	return 0;
}
