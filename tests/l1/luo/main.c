// SPDX-License-Identifier: GPL-2.0
/*
 * kch-luo: what a service manager does for a VM over a live update.  The guest's
 * memory is a memfd, its clock a descriptor from the device; both are preserved
 * in one LUO session.  The VMM, kch-vmm, knows nothing of it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "luo.h"
#include "session.h"

static const char usage_text[] =
"Usage: kch-luo [OPTION...] COMMAND [-- KCH-VMM-OPTION...]\n"
"\n"
"  start            run a new VM in a memfd, preserve memory and clock\n"
"  resume           retrieve both, go on with the VM, preserve them again\n"
"  retrieve         say what can be retrieved, and finish with it\n"
"  forge WHAT       incompat, version, size, entry or magic: spoil the record\n"
"                   of the VM in preserved memory, before it is retrieved\n"
"\n"
"  --abort          of start: close the session again\n"
"  --again          of resume: the first VMM ends, and another is started\n"
"  --last           of resume: do not preserve them again\n"
"  --end-vmm        the VMM has ended when they are preserved\n"
"  --size BYTES     of the memory (4 MiB)\n"
"  --session NAME   (kch)\n"
"  --report FILE    of kch-vmm (/run/luo)\n"
"  --id DIGIT       last digit of the VM's id (1)\n"
"  --vmm FILE       (/usr/libexec/kch/kch-vmm)\n"
"\n"
"What was started stays in the background.  The exit status is that of kch-vmm,\n"
"3 when something other than the VM failed.\n";

/* Where kch-vmm inherits the two. */
#define MEMORY_FD	10
#define CLOCK_FD	11

enum { MEMORY_TOKEN = 1, CLOCK_TOKEN = 2 };

static struct {
	const char *session;
	const char *report;
	const char *vmm;
	size_t size;
	uint8_t uuid[16];
	char id[40];
	bool abort;
	bool again;
	bool last;
	bool end_vmm;
} options = {
	.session = "kch",
	.report = "/run/luo",
	.vmm = "/usr/libexec/kch/kch-vmm",
	.size = 4 << 20,
	.uuid = { [6] = 0x40, [8] = 0x80 },
};

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("kch-luo: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(3);
}

static int must(int result, const char *what)
{
	if (result < 0)
		die("%s: %s", what, strerror(-result));
	return result;
}

/* At a number of our choice, and inherited. */
static void place(int fd, int at)
{
	if (fd == at)
		die("descriptor %d is in use", at);
	if (dup2(fd, at) < 0)
		die("dup2: %s", strerror(errno));
	close(fd);
}

static int run_vmm(const char *command, char *const more[], pid_t *pid)
{
	char mem[64], clock_fd[16];
	char *arguments[64] = {
		(char *)options.vmm, (char *)command, "--mem", mem, "--uuid",
		options.id, "--hold", "stopped", "--report",
		(char *)options.report,
	};
	unsigned int n = 10;

	snprintf(mem, sizeof(mem), "/proc/self/fd/%d@0,%zu", MEMORY_FD,
		 options.size);
	snprintf(clock_fd, sizeof(clock_fd), "%d", CLOCK_FD);
	if (!strcmp(command, "resume")) {
		arguments[n++] = "--clock-fd";
		arguments[n++] = clock_fd;
	}
	while (*more && n < 63)
		arguments[n++] = *more++;
	return vm_start(arguments, options.report, pid);
}

/* Closing the session takes back what is in it: somebody keeps it open. */
static void keep_preserved(pid_t vmm)
{
	int session;

	if (options.end_vmm)
		vm_end(vmm);
	session = must(session_create(options.session), "creating the session");

	must(session_preserve_fd(session, MEMORY_FD, MEMORY_TOKEN), "preserving the memory");
	must(session_preserve_fd(session, CLOCK_FD, CLOCK_TOKEN), "preserving the clock");
	if (options.abort) {
		close(session);
		printf("aborted=1\n");
		return;
	}
	if (must(fork() ? 0 : 1, "fork")) {
		setsid();
		for (;;)
			pause();
	}
}

static int start(char *const vmm_options[])
{
	int memory = memfd_create("guest", 0), status;
	pid_t pid;

	if (memory < 0 || ftruncate(memory, options.size))
		die("memfd: %s", strerror(errno));
	place(memory, MEMORY_FD);
	status = run_vmm("run", vmm_options, &pid);
	place(vm_clock_fd(pid, options.uuid), CLOCK_FD);
	keep_preserved(pid);
	return status;
}

/* A VMM that is started in vain: what it has done to the memory is undone. */
static void resume_in_vain(char *const vmm_options[])
{
	char *before = malloc(options.size);
	pid_t pid;

	if (!before || pread(MEMORY_FD, before, options.size, 0) != (ssize_t)options.size)
		die("reading the memory: %s", strerror(errno));
	if (run_vmm("resume", vmm_options, &pid))
		die("the VMM that was to be started in vain failed: %s", options.report);
	vm_end(pid);
	if (pwrite(MEMORY_FD, before, options.size, 0) != (ssize_t)options.size)
		die("writing the memory: %s", strerror(errno));
	free(before);
}

static int resume(char *const vmm_options[])
{
	int session = must(session_retrieve(options.session), "retrieving the session");
	int status;
	pid_t pid;

	place(must(session_retrieve_fd(session, MEMORY_TOKEN), "retrieving the memory"),
	      MEMORY_FD);
	place(must(session_retrieve_fd(session, CLOCK_TOKEN), "retrieving the clock"),
	      CLOCK_FD);
	must(session_finish(session), "finishing the session");
	close(session);
	if (options.again)
		resume_in_vain(vmm_options);
	status = run_vmm("resume", vmm_options, &pid);
	if (!options.last)
		keep_preserved(pid);
	return status;
}

static const char *outcome(int result)
{
	return result < 0 ? strerrorname_np(-result) : "ok";
}

static int retrieve(void)
{
	int session = session_retrieve(options.session);

	printf("session=%s\n", outcome(session));
	if (session < 0)
		return 0;
	printf("memory=%s\n", outcome(session_retrieve_fd(session, MEMORY_TOKEN)));
	printf("clock=%s\n", outcome(session_retrieve_fd(session, CLOCK_TOKEN)));
	printf("clock_again=%s\n", outcome(session_retrieve_fd(session, CLOCK_TOKEN)));
	printf("finish=%s\n", outcome(session_finish(session)));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "abort", no_argument, NULL, 'a' },
		{ "again", no_argument, NULL, 'g' },
		{ "end-vmm", no_argument, NULL, 'e' },
		{ "help", no_argument, NULL, 'h' },
		{ "id", required_argument, NULL, 'i' },
		{ "last", no_argument, NULL, 'l' },
		{ "report", required_argument, NULL, 'r' },
		{ "session", required_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'z' },
		{ "vmm", required_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int option, digit = 1;
	const char *command;

	while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (option) {
		case 'a':
			options.abort = true;
			break;
		case 'g':
			options.again = true;
			break;
		case 'e':
			options.end_vmm = true;
			break;
		case 'i':
			digit = atoi(optarg) % 10;
			break;
		case 'l':
			options.last = true;
			break;
		case 'r':
			options.report = optarg;
			break;
		case 's':
			options.session = optarg;
			break;
		case 'z':
			options.size = strtoul(optarg, NULL, 0);
			break;
		case 'v':
			options.vmm = optarg;
			break;
		default:
			fputs(usage_text, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	options.uuid[15] = digit;
	snprintf(options.id, sizeof(options.id),
		 "00000000-0000-4000-8000-%012d", digit);
	command = argv[optind] ? argv[optind++] : "";
	if (argv[optind] && !strcmp(argv[optind], "--"))
		optind++;
	if (!strcmp(command, "start"))
		return start(argv + optind);
	if (!strcmp(command, "resume"))
		return resume(argv + optind);
	if (!strcmp(command, "retrieve"))
		return retrieve();
	if (!strcmp(command, "forge") && argv[optind]) {
		forge(argv[optind], options.uuid);
		return 0;
	}
	fputs(usage_text, stderr);
	return 2;
}
