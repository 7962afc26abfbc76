// SPDX-License-Identifier: GPL-2.0
/*
 * Counts what a thread executes in user space for one ioctl, step by step under
 * ptrace, through the wrapper and by the C library alone: instructions, and
 * conditional branches.  Start it with kvmclock-run.
 *
 *	steps [--create]	--create: of KVM_CREATE_VM instead of KVM_RUN, which
 *				the wrapper does look at: a control
 *
 * These numbers are the same on every machine and under any load.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*ioctl_function)(int fd, unsigned long request, ...);

struct count {
	unsigned long instructions, branches;
};

/* What is counted lies between two calls of this. */
__attribute__((noinline))
static void mark(void)
{
	__asm__ volatile("" ::: "memory");
}

static void die(const char *what)
{
	fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
	exit(1);
}

__attribute__((noreturn))
static void be_counted(ioctl_function function, int fd, unsigned long request)
{
	/* Once before, so that all symbols are bound. */
	function(fd, request, NULL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	raise(SIGSTOP);
	mark();
	function(fd, request, NULL);
	mark();
	_exit(0);
}

/* Jcc, short or near; nothing else that a compiler makes depends on a flag and jumps. */
static bool is_branch(pid_t pid, unsigned long address)
{
	unsigned long word;

	errno = 0;
	word = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, (void *)address, NULL);
	if (errno)
		die("reading an instruction");
	/* A branch hint or bnd in front. */
	while ((word & 0xff) == 0x2e || (word & 0xff) == 0x3e ||
	       (word & 0xff) == 0xf2)
		word >>= 8;
	return (word & 0xf0) == 0x70 ||
	       ((word & 0xff) == 0x0f && (word >> 8 & 0xf0) == 0x80);
}

static struct count count(ioctl_function function, int fd, unsigned long request)
{
	struct count result = {};
	struct user_regs_struct regs;
	unsigned int marks = 0;
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid)
		be_counted(function, fd, request);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("the program to be counted did not stop");
	while (marks < 2) {
		if (ptrace(PTRACE_GETREGS, pid, NULL, &regs))
			die("reading registers");
		if (regs.rip == (unsigned long)mark)
			marks++;
		if (marks == 1) {
			result.instructions++;
			result.branches += is_branch(pid, regs.rip);
		}
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			die("the program to be counted ended early");
	}
	ptrace(PTRACE_KILL, pid, NULL, NULL);
	waitpid(pid, &status, 0);
	return result;
}

int main(int argc, char **argv)
{
	void *library = dlopen("libc.so.6", RTLD_NOW);
	ioctl_function direct, through = (ioctl_function)ioctl;
	int fd = open("/dev/null", O_RDWR);
	unsigned long request = KVM_RUN;
	struct count without, with;

	direct = library ? (ioctl_function)dlsym(library, "ioctl") : NULL;
	if (!direct || direct == through || fd < 0) {
		fprintf(stderr, "steps: nothing is preloaded\n");
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "--create"))
		request = KVM_CREATE_VM;
	without = count(direct, fd, request);
	with = count(through, fd, request);
	printf("instructions_without=%lu\ninstructions_with=%lu\n",
	       without.instructions, with.instructions);
	printf("branches_without=%lu\nbranches_with=%lu\n", without.branches,
	       with.branches);
	printf("instructions_more=%ld\nbranches_more=%ld\n",
	       (long)(with.instructions - without.instructions),
	       (long)(with.branches - without.branches));
	return 0;
}
