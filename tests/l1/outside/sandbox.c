// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "sandbox.h"

#define NOBODY		65534
#define KVM_MAJOR	10
#define KVM_MINOR	232

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static void make_root(const char *dir)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/dev", dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/dev/kvm", dir);
	if (mknod(path, S_IFCHR | 0600, makedev(KVM_MAJOR, KVM_MINOR)) &&
	    errno != EEXIST)
		die("%s: %s", path, strerror(errno));
	if (chown(path, NOBODY, NOBODY))
		die("%s: %s", path, strerror(errno));
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capset, &head, none))
		die("capset: %s", strerror(errno));
}

static void stay_outside(pid_t pid)
{
	int status;

	printf("pid=%d\n", pid);
	fflush(stdout);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			exit(EXIT_CHECKS_FAILED);
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "kch-jail: killed by signal %d\n", WTERMSIG(status));
		exit(128 + WTERMSIG(status));
	}
	exit(WEXITSTATUS(status));
}

static void change_root(const char *dir)
{
	if (chroot(dir) || chdir("/"))
		die("%s: %s", dir, strerror(errno));
}

void sandbox_enter(const char *dir, bool namespaces)
{
	pid_t pid;

	make_root(dir);
	if (!namespaces)
		change_root(dir);
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		die("becoming nobody: %s", strerror(errno));
	/* Nobody may do the rest, as the user namespace is its own. */
	if (namespaces &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
		    CLONE_NEWIPC | CLONE_NEWUTS))
		die("namespaces: %s", strerror(errno));
	if (namespaces)
		change_root(dir);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid)
		stay_outside(pid);
	drop_capabilities();
}

/* What the threads of this VMM call, with the C library's own needs. */
static const unsigned int calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_newfstatat, SYS_poll,
	SYS_mmap, SYS_mprotect, SYS_munmap, SYS_madvise, SYS_brk, SYS_futex,
	SYS_clone, SYS_clone3, SYS_set_robust_list, SYS_rseq, SYS_exit,
	SYS_exit_group, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
	SYS_restart_syscall, SYS_tgkill, SYS_getpid, SYS_gettid,
	SYS_clock_gettime, SYS_clock_nanosleep,
};

/* A second VM is made to ask for the host's frequency, when all is over. */
static const unsigned int kvm_calls[] = {
	KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CREATE_IRQCHIP, KVM_RUN, KVM_SET_CPUID2,
	KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_MSRS,
	KVM_SET_MSRS, KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_GET_MP_STATE,
	KVM_SET_MP_STATE, KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ, KVM_GET_DEVICE_ATTR,
	KVM_GET_CLOCK, KVM_SET_CLOCK, KVM_KVMCLOCK_CTRL,
};

static struct sock_filter program[2 * (ARRAY_SIZE(calls) +
				       ARRAY_SIZE(kvm_calls)) + 16];
static unsigned short length;

static void add(struct sock_filter instruction)
{
	program[length++] = instruction;
}

static void load(size_t offset)
{
	add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					 (unsigned int)offset));
}

static void end_with(unsigned int verdict)
{
	add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static void allow(unsigned int number)
{
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
	end_with(SECCOMP_RET_ALLOW);
}

void sandbox_filter(bool may_set_offset)
{
	struct sock_fprog prog = { .filter = program };
	size_t i;

	load(offsetof(struct seccomp_data, arch));
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
					 AUDIT_ARCH_X86_64, 1, 0));
	end_with(SECCOMP_RET_KILL_PROCESS);
	load(offsetof(struct seccomp_data, nr));
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		allow(calls[i]);
	add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
	end_with(SECCOMP_RET_KILL_PROCESS);
	load(offsetof(struct seccomp_data, args[1]));
	for (i = 0; i < ARRAY_SIZE(kvm_calls); i++)
		allow(kvm_calls[i]);
	if (may_set_offset)
		allow(KVM_SET_DEVICE_ATTR);
	end_with(SECCOMP_RET_KILL_PROCESS);
	prog.len = length;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp: %s", strerror(errno));
}
