// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvmclock_handover.h>

#include "luo.h"

static pid_t pid_in(const char *report)
{
	FILE *file = fopen(report, "re");
	char line[512];
	int pid = 0;

	if (!file)
		die("%s: %s", report, strerror(errno));
	while (!pid && fgets(line, sizeof(line), file))
		if (sscanf(line, "pid=%d", &pid) != 1)
			pid = 0;
	fclose(file);
	if (!pid)
		die("%s: no pid= in it", report);
	return pid;
}

int vm_start(char *const arguments[], const char *report, pid_t *vm_pid)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		execv(arguments[0], arguments);
		die("%s: %s", arguments[0], strerror(errno));
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		die("%s died", arguments[0]);
	*vm_pid = pid_in(report);
	return WEXITSTATUS(status);
}

/* The process knows nothing of it: its descriptor is looked for, and copied. */
static int copy_vm_fd(pid_t pid)
{
	char path[64], target[64];
	struct dirent *entry;
	int fd = -1, pidfd;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		die("%s: %s", path, strerror(errno));
	while (fd < 0 && (entry = readdir(dir))) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target,
					    sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		if (!strcmp(target, "anon_inode:kvm-vm"))
			fd = atoi(entry->d_name);
	}
	closedir(dir);
	if (fd < 0)
		die("process %d has no VM", pid);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	fd = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (fd < 0)
		die("pidfd_getfd: %s", strerror(errno));
	close(pidfd);
	return fd;
}

int vm_clock_fd(pid_t pid, const uint8_t uuid[16])
{
	struct kch_clock_fd clock = {
		.size = sizeof(clock), .vm_fd = copy_vm_fd(pid),
	};
	FILE *device = fopen(KCH_DEVICE, "r+e");

	if (!device)
		die("%s: %s", KCH_DEVICE, strerror(errno));
	memcpy(clock.uuid, uuid, sizeof(clock.uuid));
	snprintf(clock.name, sizeof(clock.name), "luo");
	if (ioctl(fileno(device), KCH_IOC_CLOCK_FD, &clock))
		die("KCH_IOC_CLOCK_FD: %s: %s", strerror(errno), clock.message);
	fclose(device);
	close(clock.vm_fd);
	return clock.fd;
}

void vm_end(pid_t pid)
{
	int tries = 200;

	if (kill(pid, SIGTERM))
		die("process %d: %s", pid, strerror(errno));
	/* Not our child: kch-vmm's parent has ended. */
	while (!kill(pid, 0)) {
		if (!tries--)
			die("process %d does not end", pid);
		usleep(50000);
	}
}
