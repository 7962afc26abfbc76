// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "identity.h"
#include "live.h"

#define VM_LINK		"anon_inode:kvm-vm"
/* "anon_inode:kvm-vcpu:0"; and not "anon_inode:kvm-vcpu-stats:0", which QEMU has too */
#define VCPU_LINK	"anon_inode:kvm-vcpu:"

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/*
 * Several file descriptors may be one VM: duplicates, or handed to a helper.  The
 * kernel says which of two files comes first, in an order of its own.
 */
static int compare_files(const void *a, const void *b)
{
	pid_t self = getpid();
	long order = syscall(SYS_kcmp, self, self, KCMP_FILE,
			     (int)(intptr_t)a, (int)(intptr_t)b);

	return order == 1 ? -1 : order != 0;
}

static bool is_known(const struct live_vms *live, int fd)
{
	return tfind((void *)(intptr_t)fd, &live->by_file, compare_files);
}

static bool is_vm(int dir, const char *path)
{
	char target[sizeof(VM_LINK) + 1];
	ssize_t length = readlinkat(dir, path, target, sizeof(target));

	return length == (ssize_t)strlen(VM_LINK) &&
	       !memcmp(target, VM_LINK, strlen(VM_LINK));
}

static bool is_vcpu(int dir, const char *path)
{
	char target[sizeof(VCPU_LINK) + 12];
	ssize_t length = readlinkat(dir, path, target, sizeof(target) - 1);

	if (length < 0)
		return false;
	target[length] = '\0';
	return !strncmp(target, VCPU_LINK, strlen(VCPU_LINK)) &&
	       is_number(target + strlen(VCPU_LINK));
}

/* -ESRCH, -EBADF: gone in the meantime, or another file has that number now. */
static int take_fd(int pidfd, int number, bool (*is_right)(int dir, const char *path))
{
	char path[64];
	int fd;

	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (is_right(AT_FDCWD, path))
		return fd;
	close(fd);
	return -EBADF;
}

/* As long as it has not, its pid is nobody else's. */
static bool has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) != 0;
}

/* What the module knows of the very VM is worth more than a guess. */
static void ask_module(struct tool *tool, struct live_vm *vm)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	static const uint8_t none[KCH_UUID_SIZE];
	struct kch_vm *clock;

	if (!tool->handle || kch_vm_read(tool->handle, vm->fd, &clock, NULL))
		return;
	if (!kch_vm_info(clock, &info) &&
	    memcmp(info.uuid, none, sizeof(none))) {
		memcpy(vm->uuid, info.uuid, sizeof(vm->uuid));
		memcpy(vm->name, info.name, sizeof(vm->name));
	}
	kch_vm_free(clock);
}

/* False: it is known already, or its process has ended. */
static bool add_vm(struct tool *tool, struct live_vm *vm, int pidfd,
		   unsigned int *ordinal, struct live_vms *live)
{
	if (is_known(live, vm->fd))
		return false;
	identity_of(vm->pid, *ordinal, vm->uuid, vm->name);
	/* If it has ended, that may have been the command line of another one. */
	if (has_ended(pidfd))
		return false;
	(*ordinal)++;
	ask_module(tool, vm);
	if (live->count == live->room) {
		live->room = 2 * live->room + 8;
		live->vms = xrealloc(live->vms, live->room * sizeof(*live->vms));
	}
	live->vms[live->count++] = *vm;
	tsearch((void *)(intptr_t)vm->fd, &live->by_file, compare_files);
	return true;
}

static void take_vm(struct tool *tool, pid_t pid, int number,
		    unsigned int *ordinal, struct live_vms *live)
{
	struct live_vm vm = { .pid = pid, .number = number };
	char *object;
	int pidfd;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	vm.fd = pidfd < 0 ? -errno : take_fd(pidfd, number, is_vm);
	if (vm.fd >= 0) {
		if (!add_vm(tool, &vm, pidfd, ordinal, live))
			close(vm.fd);
	} else if (vm.fd != -ESRCH && vm.fd != -EBADF) {
		object = xasprintf("process %d", pid);
		complain(tool, object, vm.fd, strerror(-vm.fd),
			 "its VM cannot be looked at");
		free(object);
		live->code = EXIT_FAILED;
	}
	if (pidfd >= 0)
		close(pidfd);
}

static void find_in_process(struct tool *tool, pid_t pid, struct live_vms *live)
{
	unsigned int ordinal = 0;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (is_number(entry->d_name) && is_vm(dirfd(dir), entry->d_name))
			take_vm(tool, pid, atoi(entry->d_name), &ordinal, live);
	closedir(dir);
}

void live_find(struct tool *tool, pid_t pid, struct live_vms *live)
{
	struct dirent *entry;
	DIR *dir;

	*live = (struct live_vms){};
	if (pid) {
		find_in_process(tool, pid, live);
		return;
	}
	dir = opendir("/proc");
	if (!dir) {
		complain(tool, "/proc", -errno, strerror(errno),
			 "no VM can be found");
		live->code = EXIT_FAILED;
		return;
	}
	while ((entry = readdir(dir)))
		if (is_number(entry->d_name) && atoi(entry->d_name) != getpid())
			find_in_process(tool, atoi(entry->d_name), live);
	closedir(dir);
}

static void keep(__attribute__((__unused__)) void *fd)
{
}

void live_free(struct live_vms *live)
{
	size_t i;

	tdestroy(live->by_file, keep);

	for (i = 0; i < live->count; i++)
		close(live->vms[i].fd);
	free(live->vms);
	*live = (struct live_vms){};
}

static bool is_meant(const struct options *options, const struct live_vm *vm)
{
	if (options->pid)
		return vm->pid == options->pid &&
		       (options->fd < 0 || vm->number == options->fd);
	return !memcmp(vm->uuid, options->id, KCH_UUID_SIZE);
}

struct live_vm *live_choose(struct tool *tool, struct live_vms *live, int *code)
{
	const struct options *options = &tool->options;
	struct live_vm *chosen = NULL;
	char *object;
	size_t i;

	object = options->pid ? xasprintf("process %d", options->pid) :
				vm_label(NULL, options->id);
	*code = EXIT_DONE;
	for (i = 0; i < live->count && !*code; i++) {
		if (!is_meant(options, &live->vms[i]))
			continue;
		if (chosen) {
			complain(tool, object, 0,
				 options->pid ? "it has several VMs: say which with --fd" :
						"several running VMs have that id: say which with --pid",
				 NULL);
			*code = EXIT_USAGE;
		}
		chosen = &live->vms[i];
	}
	if (!chosen) {
		complain(tool, object, -ESRCH,
			 options->pid ? "it has no such VM" :
					"no running VM is known by that id: say which with --pid",
			 NULL);
		*code = live->code ? live->code : EXIT_NOTHING;
	}
	free(object);
	return *code ? NULL : chosen;
}

/* Not where the kernel cannot tell. */
static bool is_other(int fd, int other)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, fd, other) > 0;
}

static int add_vcpus(int pidfd, pid_t pid, struct live_vcpus *vcpus, char *message,
		     size_t size)
{
	struct dirent *entry;
	char path[64];
	int fd = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!is_number(entry->d_name) || !is_vcpu(dirfd(dir), entry->d_name))
			continue;
		fd = take_fd(pidfd, atoi(entry->d_name), is_vcpu);
		/* A vCPU that is closed at this moment is missed by the module. */
		if (fd == -EBADF)
			continue;
		if (fd < 0) {
			snprintf(message, size, "descriptor %s of process %d, a vCPU, cannot be had: %s",
				 entry->d_name, pid, strerror(-fd));
			break;
		}
		vcpus->fds = xrealloc(vcpus->fds,
				      (vcpus->count + 1) * sizeof(*vcpus->fds));
		vcpus->fds[vcpus->count++] = fd;
	}
	closedir(dir);
	return fd < 0 && fd != -EBADF ? fd : 0;
}

int live_take_vcpus(const struct live_vm *vm, struct live_vcpus *vcpus,
		    char *message, size_t size)
{
	int pidfd, fd, err;

	*vcpus = (struct live_vcpus){};
	pidfd = (int)syscall(SYS_pidfd_open, vm->pid, 0);
	fd = pidfd < 0 ? -errno : take_fd(pidfd, vm->number, is_vm);
	if (fd >= 0 && !is_other(fd, vm->fd)) {
		err = add_vcpus(pidfd, vm->pid, vcpus, message, size);
	} else {
		err = -ESRCH;
		snprintf(message, size, "process %d has ended, or closed the VM", vm->pid);
	}
	if (fd >= 0)
		close(fd);
	if (pidfd >= 0)
		close(pidfd);
	return err;
}

void live_free_vcpus(struct live_vcpus *vcpus)
{
	size_t i;

	for (i = 0; i < vcpus->count; i++)
		close(vcpus->fds[i]);
	free(vcpus->fds);
	*vcpus = (struct live_vcpus){};
}

char *live_label(const struct live_vm *vm)
{
	if (vm->name[0])
		return xstrdup(vm->name);
	return xasprintf("process %d", vm->pid);
}
