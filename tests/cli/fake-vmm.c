// SPDX-License-Identifier: GPL-2.0
/*
 * A process that looks like a VMM to the tool with fake.c preloaded.
 *
 *	fake-vmm NUMBER[,NUMBER...] [ANYTHING...]
 *
 * Each number is a VM, held by two file descriptors.  There are two vCPUs, with their
 * statistics.  Two pages of memory have a mapping each, as a vmclock page has; RAM has a
 * larger one.  Prints a line when all exist; ends at the end of its standard input, or
 * after a minute.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *at = argv[1], buffer[64];

	if (argc < 2)
		return 2;
	alarm(60);
	while (*at) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "fake-vm-%lu", strtoul(at, &at, 10));
		fd = memfd_create(name, 0);

		if (fd < 0 || dup(fd) < 0)
			return 1;
		at += *at == ',';
	}
	at = mmap(NULL, 8 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || mprotect(at + 4096, 4096, PROT_READ | PROT_WRITE) ||
	    mprotect(at + 3 * 4096, 4096, PROT_READ | PROT_WRITE) ||
	    mprotect(at + 5 * 4096, 2 * 4096, PROT_READ | PROT_WRITE))
		return 1;
	if (memfd_create("fake-vcpu-0", 0) < 0 || memfd_create("fake-vcpu-11", 0) < 0 ||
	    memfd_create("fake-stats-0", 0) < 0)
		return 1;
	printf("ready %lu\n", (unsigned long)at);
	fflush(stdout);
	while (read(STDIN_FILENO, buffer, sizeof(buffer)) > 0)
		;
	return 0;
}
