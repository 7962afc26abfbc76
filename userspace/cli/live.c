// SPDX-License-Identifier: GPL-2.0
/* Finding VMs by the descriptors that processes have of them, and their vCPUs. */
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

/* The file of a VM, and of a vCPU before its number.  QEMU has kvm-vcpu-stats, too. */
#define VM_LINK		"anon_inode:kvm-vm"
#define VCPU_LINK	"anon_inode:kvm-vcpu:"

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

/*
 * Several file descriptors may be one VM: duplicates, or handed to a helper.  The
 * kernel says which of two files comes first, in an order of its own.
 */
static long order_of(int fd, int other)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, other);
}

static int compare_files(const void *a, const void *b)
{
	long order = order_of((int)(intptr_t)a, (int)(intptr_t)b);

	return order == 1 ? -1 : order != 0;
}

/* Is it the file @link, with its number if it has one?  Or a negative errno. */
static int is_link(int dir, const char *path, const char *link)
{
	char target[64];
	ssize_t length = readlinkat(dir, path, target, sizeof(target) - 1);

	if (length < 0)
		return -errno;
	target[length] = '\0';
	return !strncmp(target, link, strlen(link)) &&
	       strspn(target + strlen(link), "0123456789") == strlen(target + strlen(link));
}

/* Negative errno. */
static int open_process(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -errno : pidfd;
}

static DIR *open_fds(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	return opendir(path);
}

/* -ESRCH, -EBADF: gone in the meantime, or another file has that number now. */
static int take_fd(int pidfd, int number, const char *link)
{
	char path[64];
	int fd;

	if (pidfd < 0)
		return pidfd;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (is_link(AT_FDCWD, path, link) > 0)
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
	if (!kch_vm_info(clock, &info) && memcmp(info.uuid, none, sizeof(none))) {
		memcpy(vm->uuid, info.uuid, sizeof(vm->uuid));
		memcpy(vm->name, info.name, sizeof(vm->name));
		vm->has_lasting_id = true;
	}
	kch_vm_free(clock);
}

static void not_found(struct tool *tool, struct live_vms *live, pid_t pid, int err)
{
	live->code = complain_code(tool, EXIT_FAILED, xasprintf("process %d", pid), err,
				   "%s; its VM cannot be looked at", strerror(-err));
}

/* Who has the device is to see all; without the capabilities it is so for hundreds of processes. */
static void not_allowed(struct tool *tool, struct live_vms *live, pid_t pid)
{
	if (tool->handle && !live->code)
		live->code = complain_code(tool, EXIT_FAILED, xasprintf("process %d", pid), -EACCES,
					   "%s; whether it has a VM cannot be looked at: this needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
					   strerror(EACCES));
}

/* False: it is known already, or its process has ended, or cannot be read. */
static bool add_vm(struct tool *tool, struct live_vm *vm, int pidfd,
		   unsigned int *ordinal, struct live_vms *live)
{
	int err;

	if (tfind((void *)(intptr_t)vm->fd, &live->by_file, compare_files))
		return false;
	err = identity_of(vm->pid, *ordinal, vm->uuid, vm->name, &vm->has_lasting_id);
	/* If it has ended, that may have been the command line of another one. */
	if (has_ended(pidfd))
		return false;
	if (err) {
		not_found(tool, live, vm->pid, err);
		return false;
	}
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

static void find_in_process(struct tool *tool, pid_t pid, struct live_vms *live)
{
	int pidfd = open_process(pid), is_vm;
	unsigned int ordinal = 0;
	struct dirent *entry;
	DIR *dir = open_fds(pid);
	int err = dir ? 0 : -errno;

	while (!err && (entry = readdir(dir))) {
		struct live_vm vm = { .pid = pid, .number = atoi(entry->d_name) };

		if (!is_number(entry->d_name))
			continue;
		is_vm = is_link(dirfd(dir), entry->d_name, VM_LINK);
		if (is_vm == -EACCES)
			err = is_vm;
		if (is_vm <= 0)
			continue;
		vm.fd = take_fd(pidfd, vm.number, VM_LINK);
		if (vm.fd >= 0) {
			if (!add_vm(tool, &vm, pidfd, &ordinal, live))
				close(vm.fd);
		} else if (vm.fd != -ESRCH && vm.fd != -EBADF) {
			not_found(tool, live, pid, vm.fd);
		}
	}
	if (err == -EACCES && !has_ended(pidfd))
		not_allowed(tool, live, pid);
	else if (err && err != -EACCES && err != -ENOENT && err != -ESRCH)
		not_found(tool, live, pid, err);
	if (dir)
		closedir(dir);
	if (pidfd >= 0)
		close(pidfd);
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
		live->code = complain_code(tool, EXIT_FAILED, "/proc", -errno,
					   "%s; no VM can be found", strerror(errno));
		return;
	}
	while ((entry = readdir(dir)))
		if (is_number(entry->d_name) && atoi(entry->d_name) != getpid())
			find_in_process(tool, atoi(entry->d_name), live);
	closedir(dir);
}

void live_close(struct live_vms *live)
{
	while (live->count)
		close(live->vms[--live->count].fd);
}

static bool is_meant(const struct vm_choice *choice, const struct live_vm *vm)
{
	if (choice->pid)
		return vm->pid == choice->pid && (choice->fd < 0 || vm->number == choice->fd);
	return !memcmp(vm->uuid, choice->id, KCH_UUID_SIZE);
}

struct live_vm *live_choose(struct tool *tool, const struct vm_choice *choice,
			    struct live_vms *live, int *code)
{
	const char *object = choice->pid ? xasprintf("process %d", choice->pid) :
					   vm_label(NULL, choice->id);
	struct live_vm *chosen = NULL;
	size_t i;

	*code = EXIT_DONE;
	for (i = 0; i < live->count && !*code; i++) {
		if (!is_meant(choice, &live->vms[i]))
			continue;
		if (chosen)
			*code = complain_code(tool, EXIT_USAGE, object, 0, choice->pid ?
					      "it has several VMs: say which with --fd" :
					      "several running VMs have that id: say which with --pid");
		chosen = &live->vms[i];
	}
	/* Of a process that could not be looked at that is said. */
	if (!chosen && choice->pid && live->code)
		*code = live->code;
	else if (!chosen)
		*code = complain_code(tool, live->code ? live->code : EXIT_NOTHING, object, -ESRCH,
				      choice->pid ? "it has no such VM" :
				      "no running VM is known by that id: say which with --pid");
	return *code ? NULL : chosen;
}

int live_take_vcpus(const struct live_vm *vm, struct live_vcpus *vcpus, char *message, size_t size)
{
	int pidfd = open_process(vm->pid), fd, err;
	struct dirent *entry;
	DIR *dir = NULL;

	*vcpus = (struct live_vcpus){};
	fd = take_fd(pidfd, vm->number, VM_LINK);
	/* Where the kernel cannot compare files, it is taken for the same. */
	if (fd < 0 || order_of(fd, vm->fd) > 0) {
		err = -ESRCH;
		snprintf(message, size, "process %d has ended, or closed the VM", vm->pid);
	} else {
		dir = open_fds(vm->pid);
		err = dir ? 0 : -errno;
	}
	if (fd >= 0)
		close(fd);
	while (!err && (entry = readdir(dir))) {
		if (!is_number(entry->d_name) || is_link(dirfd(dir), entry->d_name, VCPU_LINK) <= 0)
			continue;
		fd = take_fd(pidfd, atoi(entry->d_name), VCPU_LINK);
		/* A vCPU that is closed at this moment is missed by the module. */
		if (fd == -EBADF)
			continue;
		if (fd < 0) {
			err = fd;
			snprintf(message, size,
				 "descriptor %s of process %d, a vCPU, cannot be had: %s",
				 entry->d_name, vm->pid, strerror(-fd));
			break;
		}
		vcpus->fds = xrealloc(vcpus->fds, (vcpus->count + 1) * sizeof(*vcpus->fds));
		vcpus->fds[vcpus->count++] = fd;
	}
	if (dir)
		closedir(dir);
	if (pidfd >= 0)
		close(pidfd);
	return err;
}

void live_close_vcpus(struct live_vcpus *vcpus)
{
	while (vcpus->count)
		close(vcpus->fds[--vcpus->count]);
}

const char *live_label(const struct live_vm *vm)
{
	return vm->name[0] ? vm->name : xasprintf("process %d", vm->pid);
}
