// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <syslog.h>
#include <unistd.h>
#include "hold.h"

int hold_refused(struct tool *tool, const struct live_vm *vm, int err,
		 const struct kch_restore *result, const char *consequence)
{
	char *label = live_label(vm);
	int code;

	/* The module may have said so itself. */
	if (consequence && strstr(result->message, "its VMM left it"))
		consequence = NULL;
	code = complain(tool, label, err,
			result->message[0] ? result->message : strerror(-err),
			consequence);
	free(label);
	/* There was a VM, and it is gone: not the same as that there is none. */
	return err == -ESRCH ? EXIT_REFUSED : code;
}

int hold_wait(struct tool *tool, struct kch_restore *result)
{
	int err;

	do {
		*result = (struct kch_restore){ .size = sizeof(*result) };
		err = ioctl(kch_fd(tool->handle), KCH_IOC_WAIT, result) ? -errno : 0;
	} while (err == -EINTR);
	return err;
}

static void log_outcome(struct tool *tool, const struct live_vm *vm)
{
	char *label = live_label(vm), *printable = output_printable(label);
	struct kch_restore result;
	char *message;
	int err;

	openlog("kvmclockctl", LOG_PID, LOG_DAEMON);
	syslog(LOG_INFO, "%s is held until its VMM resumes it, %u s at most",
	       printable, tool->options.hold_s);
	err = hold_wait(tool, &result);
	message = output_printable(result.message);
	if (err)
		syslog(LOG_ERR, "%s: %s (%s); the guest's clock is as its VMM left it",
		       printable, message[0] ? message : strerror(-err),
		       strerrorname_np(-err));
	else
		syslog(LOG_INFO, "%s: clock restored: %s, %lld ns, %lld cycles, %lld ppb",
		       printable, kch_mode_name(result.outcome.mode),
		       (long long)result.outcome.error_ns, (long long)result.outcome.error_cycles,
		       (long long)result.outcome.error_rate_ppb);
	free(label);
	free(printable);
	free(message);
}

int hold_in_background(struct tool *tool, const struct live_vm *vm)
{
	pid_t pid;
	int fd;

	/* Nothing that this process has to print is printed twice. */
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return complain(tool, NULL, -errno, strerror(errno),
				"the guest's clock is as its VMM left it");
	if (pid) {
		output_s64(tool->out, "holder", pid);
		return EXIT_DONE;
	}
	setsid();
	/* A script waits for the end of what it reads; a terminal may go. */
	fd = open("/dev/null", O_RDWR);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
	    dup2(fd, STDERR_FILENO) < 0 || chdir("/"))
		_exit(EXIT_FAILED);
	log_outcome(tool, vm);
	_exit(EXIT_DONE);
}
