// SPDX-License-Identifier: GPL-2.0
/*
 * The host's TSC, for case scripts: stamps that hold on over a kexec.
 *
 *	kch-host-tsc			prints it
 *	kch-host-tsc wall		and what the wall clock was then, in ns
 *	kch-host-tsc FILE PARAMETERS	loads a kernel module, and prints it as of before
 *					and after
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static unsigned long long now(void)
{
	unsigned int cpu;

	/* Not before what was done before. */
	return __rdtscp(&cpu);
}

int main(int argc, char **argv)
{
	unsigned long long before = now();
	int fd;

	if (argc == 3) {
		fd = open(argv[1], O_RDONLY | O_CLOEXEC);
		before = now();
		if (fd < 0 || syscall(SYS_finit_module, fd, argv[2], 0)) {
			perror(argv[1]);
			return 1;
		}
		printf("%llu ", before);
	}
	printf("%llu", now());
	if (argc == 2) {
		struct timespec wall;

		clock_gettime(CLOCK_REALTIME, &wall);
		printf(" %lld%09ld", (long long)wall.tv_sec, wall.tv_nsec);
	}
	putchar('\n');
	return 0;
}
