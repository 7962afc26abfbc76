// SPDX-License-Identifier: GPL-2.0
/*
 * Runs two emulated hosts, the second when the first has come to its end.  Their memory is
 * one, so what is in the guests' range is carried from the one to the other, as a VMM carries
 * it.  All else of them is their own.
 *
 *	two-hosts BYTES PAGE COMMAND COMMAND
 *
 * The memory, of so many bytes, is /proc/self/fd/9 of the commands.  At PAGE is struct
 * shared_tsc.  In the page after that the first host says that it is the second's turn.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include "../l1/lib/shared-tsc.h"

#define MEMORY_FD	9
#define TURN_AT		4096
/* On one CPU after the other: on that of the emulated host it would see old numbers. */
#define ROUNDS_ON_CPU	200000
#define QMP		"{\"execute\": \"qmp_capabilities\"}\n"

static volatile struct shared_tsc *page;

static void stop(const char *what)
{
	perror(what);
	exit(1);
}

static void map_memory(size_t bytes, off_t at)
{
	int fd = memfd_create("two-hosts", 0);

	if (fd < 0 || dup2(fd, MEMORY_FD) < 0 || ftruncate(fd, (off_t)bytes))
		stop("memfd");
	page = mmap(NULL, 2 * TURN_AT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
	if (page == MAP_FAILED)
		stop("mmap");
}

/* It says no more once its input has ended, so that stays open. */
static pid_t start(const char *command)
{
	pid_t pid, parent = getpid();
	int input[2];

	if (pipe2(input, O_CLOEXEC) || write(input[1], QMP, strlen(QMP)) < 0)
		stop("pipe");
	pid = fork();
	if (pid < 0)
		stop("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || dup2(input[0], STDIN_FILENO) < 0)
			_exit(1);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(input[0]);
	return pid;
}

static void take_next_cpu(const cpu_set_t *allowed)
{
	static int cpu;
	cpu_set_t one;

	do
		cpu = (cpu + 1) % CPU_SETSIZE;
	while (!CPU_ISSET(cpu, allowed));
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* A number that is read was true before that, and one that is written is true before it is read. */
static void say_tsc(void)
{
	int64_t most = INT64_MAX, ahead;
	unsigned int rounds = 0;
	cpu_set_t allowed;
	uint64_t seen;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		stop("sched_getaffinity");
	while (page->asks) {
		if (rounds++ % ROUNDS_ON_CPU == 0)
			take_next_cpu(&allowed);
		seen = page->host_tsc;
		_mm_lfence();
		ahead = (int64_t)(__rdtsc() - seen);
		most = seen && ahead < most ? ahead : most;
		page->most = most;
		page->machine_tsc = __rdtsc();
	}
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

static int end_of(pid_t pid)
{
	int status;

	while (!waitpid(pid, &status, WNOHANG)) {
		if (page->asks)
			say_tsc();
		usleep(1000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	int status;

	if (argc != 5)
		return 1;
	map_memory(strtoull(argv[1], NULL, 0), (off_t)strtoull(argv[2], NULL, 0));
	status = end_of(start(argv[3]));
	if (!status && ((volatile char *)page)[TURN_AT])
		status = end_of(start(argv[4]));
	return status;
}
