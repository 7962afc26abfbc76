// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/kvm.h>

#include "check.h"
#include "condition.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define PAGE	4096

static void size_zero(struct attempt *a)
{
	a->arg.size = 0;
}

/* Of the first version, which some have grown since. */
static void size_short(struct attempt *a)
{
	if (a->cmd == KCH_IOC_RESTORE || a->cmd == KCH_IOC_WAIT)
		a->arg.size = offsetof(struct kch_restore, policy);
	if (a->cmd == KCH_IOC_CLOCK_FD)
		a->arg.size = offsetof(struct kch_clock_fd, record);
	a->arg.size--;
}

static void size_long_set(struct attempt *a)
{
	a->arg.bytes[a->arg.size + 3] = 1;
	a->arg.size += 8;
}

/* A longer structure of the future, in which nothing new is asked for. */
static void size_long_zero(struct attempt *a)
{
	memset(a->arg.bytes + a->arg.size, 0, 8);
	a->arg.size += 8;
}

static void pointer_null(struct attempt *a)
{
	a->user = NULL;
}

static char *pages(void)
{
	char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("mmap failed");
	return at;
}

static void pointer_unmapped(struct attempt *a)
{
	a->user = pages();
	munmap(a->user, 2 * PAGE);
}

/* The size can be read, the rest cannot. */
static void pointer_cut(struct attempt *a)
{
	char *at = pages();

	a->user = at + PAGE - 64;
	memcpy(a->user, &a->arg, 64);
	munmap(at + PAGE, PAGE);
}

static void pointer_read_only(struct attempt *a)
{
	a->user = pages();
	memcpy(a->user, &a->arg, sizeof(a->arg));
	mprotect(a->user, PAGE, PROT_READ);
}

/* All of it zero behind the structure, and there to be read. */
static void of_bytes(struct attempt *a, uint32_t size)
{
	static union { uint32_t size; char bytes[2 * PAGE]; } large;

	memset(&large, 0, sizeof(large));
	memcpy(&large, &a->arg, a->arg.size);
	large.size = size;
	a->user = &large;
}

static void size_page(struct attempt *a)
{
	of_bytes(a, PAGE);
}

static void size_above_page(struct attempt *a)
{
	of_bytes(a, PAGE + 1);
}

/* Nobody looks whether it is there. */
static void size_most(struct attempt *a)
{
	a->arg.size = UINT32_MAX;
}

static void number_unused(struct attempt *a)
{
	a->cmd = _IO(KCH_IOC_TYPE, 0x7f);
}

static void number_of_another_type(struct attempt *a)
{
	a->cmd = _IO('T', _IOC_NR(a->cmd));
}

static void number_with_a_size(struct attempt *a)
{
	a->cmd = _IOWR(KCH_IOC_TYPE, _IOC_NR(a->cmd), struct kch_info);
}

static void number_of_kvm(struct attempt *a)
{
	a->cmd = KVM_CREATE_VM;
}

/* Of every ioctl; cmd is filled in. */
static const struct condition everywhere[] = {
	{ .name = "size 0", .spoil = size_zero, .expected = EINVAL },
	{ .name = "size one too small", .spoil = size_short, .expected = EINVAL },
	{ .name = "longer, unknown bytes set", .spoil = size_long_set, .expected = E2BIG },
	{ .name = "longer than a page", .spoil = size_above_page, .expected = E2BIG },
	{ .name = "as long as can be said", .spoil = size_most, .expected = E2BIG },
	{ .name = "no structure", .spoil = pointer_null, .expected = EFAULT },
	{ .name = "unmapped structure", .spoil = pointer_unmapped, .expected = EFAULT },
	{ .name = "structure cut by unmapped page", .spoil = pointer_cut, .expected = EFAULT },
	{ .name = "read-only structure", .spoil = pointer_read_only, .expected = EFAULT },
	{ .name = "number not in use", .spoil = number_unused, .expected = ENOTTY },
	{ .name = "another type", .spoil = number_of_another_type, .expected = ENOTTY },
	{ .name = "number with a size in it", .spoil = number_with_a_size, .expected = ENOTTY },
	{ .name = "an ioctl of KVM", .spoil = number_of_kvm, .expected = ENOTTY },
};

/* What must be zero, and is not a flag. */
static const struct condition reserved[] = {
	{ KCH_IOC_PRESERVE, "reserved set", SET(kch_preserve, reserved, 1),
	  .expected = EINVAL, .message = "reserved" },
	{ KCH_IOC_LIST, "reserved set", SET(kch_list, reserved, 1U << 31),
	  .expected = EINVAL, .message = "reserved" },
	{ KCH_IOC_RESTORE, "reserved set", SET(kch_restore, outcome.reserved, 1),
	  .expected = EINVAL, .message = "reserved" },
	{ KCH_IOC_ADOPT, "reserved set", SET(kch_adopt, reserved, 1),
	  .expected = EINVAL, .message = "reserved" },
	{ KCH_IOC_CLOCK_FD, "reserved set", SET(kch_clock_fd, reserved, 1),
	  .expected = EINVAL, .message = "reserved" },
	{ KCH_IOC_CLOCK_FD, "length of no record", SET(kch_clock_fd, record_bytes, 1),
	  .expected = EINVAL, .message = "a record at" },
	{ KCH_IOC_CLOCK_FD, "a record beside a VM", SET(kch_clock_fd, record, 8),
	  .expected = EINVAL, .message = "a record at 0x8 of 0 bytes, with vm_fd" },
	{ KCH_IOC_RESTORE, "unknown policy", SET(kch_restore, policy, 4),
	  .expected = EINVAL, .message = "policy 4" },
	{ KCH_IOC_RESTORE, "limit without that policy", SET(kch_restore, limit_ms, 5),
	  .expected = EINVAL, .message = "limit_ms is 5" },
};

/* Nothing is wrong: the longer structure is served, flags of INFO are output. */
static const struct condition accepted[] = {
	{ KCH_IOC_INFO, "longer, unknown bytes zero", .spoil = size_long_zero,
	  .message = "" },
	{ KCH_IOC_LIST, "longer, unknown bytes zero", .spoil = size_long_zero,
	  .message = "" },
	{ KCH_IOC_GET, "longer, unknown bytes zero", .spoil = size_long_zero,
	  .message = "" },
	{ KCH_IOC_READ, "longer, unknown bytes zero", .spoil = size_long_zero,
	  .message = "" },
	{ KCH_IOC_INFO, "as long as a page", .spoil = size_page },
	{ KCH_IOC_INFO, "flags of an earlier call", SET(kch_info, flags, ~0U),
	  .message = "" },
};

void test_arguments(void)
{
	struct kch_restore restored;
	struct kch_preserve preserved;
	struct kch_finish finished;
	unsigned int i, n;

	scene_begin();
	for (i = 0; i < KCH_CALLS; i++) {
		for (n = 0; n < sizeof(everywhere) / sizeof(everywhere[0]); n++) {
			struct condition one = everywhere[n];

			one.cmd = kch_calls[i].cmd;
			condition_run(&one);
		}
		for (n = 0; n < 32; n++) {
			struct condition one = {
				.cmd = kch_calls[i].cmd,
				.name = "unknown flag",
				.offset = kch_calls[i].flags,
				.bytes = sizeof(__u32),
				.value = 1U << n,
				.expected = EINVAL,
				.message = "flags",
			};

			/* Each is refused by the same line: a few will do. */
			if (!(kch_calls[i].flags_known & (1U << n)) &&
			    (n < 4 || n == 31))
				condition_run(&one);
		}
	}
	conditions_run(reserved, sizeof(reserved) / sizeof(reserved[0]));
	conditions_run(accepted, sizeof(accepted) / sizeof(accepted[0]));

	/* What was spoilt above is accepted otherwise. */
	check(!preserve(&scene.vm, ID_NEW, &preserved), "PRESERVE: %s",
	      preserved.message);
	check(!unpreserve(ID_KEPT), "UNPRESERVE of what is preserved");
	check(!restore(&scene.vm, ID_SAVED, 0, &restored), "RESTORE: %s",
	      restored.message);
	check(!finish(KCH_FINISH_DISCARD, &finished), "FINISH: %s",
	      finished.message);
	scene_end();
}

/* Gives up CAP_SYS_ADMIN; everything else, and being root, remains. */
static void drop_capability(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		die("capget failed");
	data[CAP_SYS_ADMIN / 32].effective &= ~(1U << (CAP_SYS_ADMIN % 32));
	data[CAP_SYS_ADMIN / 32].permitted &= ~(1U << (CAP_SYS_ADMIN % 32));
	if (syscall(SYS_capset, &head, data))
		die("capset failed");
}

/* Exit status of the child: 0, or which of the things it must not do it did. */
static int without_capability(void)
{
	static const char * const files[] = {
		"status", "outgoing", "incoming", "vms", "restored",
		"region_raw", "incoming_raw",
	};
	struct attempt attempt;
	char path[128];
	unsigned int i;

	drop_capability();
	if (open(KCH_DEVICE, O_RDWR) >= 0 || errno != EPERM)
		return 1;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), KCH_DEBUGFS "%s", files[i]);
		if (open(path, O_RDONLY) >= 0 || errno != EPERM)
			return 2 + i;
	}
	/* On the descriptor that was inherited, from when it was allowed. */
	for (i = 0; i < KCH_CALLS; i++) {
		attempt_init(&attempt, kch_calls[i].cmd);
		if (device_call(attempt.cmd, attempt.user) != EPERM)
			return 10 + i;
	}
	return 0;
}

void test_capabilities(void)
{
	struct snapshot *before, *after;
	const char *difference;
	int status;
	pid_t pid;

	scene_begin();
	before = snapshot_take();
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(without_capability());
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	      "without CAP_SYS_ADMIN: status %#x (1 open, 2 to 8 files of debugfs, 10 to 20 ioctls)",
	      status);
	conditions_done += 1 + 7 + KCH_CALLS;
	after = snapshot_take();
	difference = snapshot_difference(before, after);
	check(!difference, "changed: %s", difference);
	snapshot_free(before);
	snapshot_free(after);
	scene_end();
}
