// SPDX-License-Identifier: GPL-2.0
/*
 * The module asks KVM, by a VM of its own, whether it reads KVM right.  A question
 * that came to nothing is no answer: it is said so, and asked again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"

#define INSTANTS	12
#define CGROUPS		"/run/kch-cgroups"
#define CGROUP		CGROUPS "/kch"

/* What the kernel restarts a system call for; they are not for programs. */
#define ERESTARTSYS		512
#define ERESTARTNOINTR		513
#define ERESTARTNOHAND		514
#define ERESTART_RESTARTBLOCK	516

/* All that ask. */
static const unsigned int asks[] = {
	KCH_IOC_INFO, KCH_IOC_PRESERVE, KCH_IOC_READ, KCH_IOC_RESTORE, KCH_IOC_ADOPT,
	KCH_IOC_CLOCK_FD,
};

#define ASKS	(sizeof(asks) / sizeof(asks[0]))

static struct forged forged;

static void asking_begin(void)
{
	scene_begin();
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
}

/* The module anew, which knows nothing yet, and VMs for which all is to be done. */
static void renew(void)
{
	scene_reload(&forged);
	vm_set_clock(&scene.vm, 1000000000);
	vm_destroy(&scene.grown);
	vm_create_ready(&scene.grown, 1, SCENE_OFFSET + 3);
	vm_add(&scene.grown, 1);
	vm_set_offset(&scene.grown, 1, SCENE_OFFSET + 3);
}

/* The descriptor's structure is none of union kch_any. */
static struct kch_clock_fd *clock_fd_of(struct attempt *a)
{
	return (struct kch_clock_fd *)a->arg.bytes;
}

static void begin(unsigned int cmd, struct attempt *a)
{
	struct kch_clock_fd *clock = clock_fd_of(a);

	if (cmd != KCH_IOC_CLOCK_FD) {
		attempt_init(a, cmd);
		return;
	}
	memset(a, 0, sizeof(*a));
	a->cmd = cmd;
	a->fd = device;
	a->user = &a->arg;
	clock->size = sizeof(*clock);
	clock->vm_fd = scene.vm.fd;
	set_uuid(clock->uuid, ID_NEW);
}

static int attempt(unsigned int cmd, struct attempt *a)
{
	int err;

	begin(cmd, a);
	err = ioctl(a->fd, cmd, a->user) ? errno : 0;
	if (!err && cmd == KCH_IOC_CLOCK_FD)
		close(clock_fd_of(a)->fd);
	return err;
}

static const char *name_of(unsigned int cmd)
{
	return cmd == KCH_IOC_CLOCK_FD ? "CLOCK_FD" : kch_call_of(cmd)->name;
}

static size_t message_at(unsigned int cmd)
{
	return cmd == KCH_IOC_CLOCK_FD ? offsetof(struct kch_clock_fd, message) :
					 kch_call_of(cmd)->message;
}

static const char *text_of(const struct attempt *a)
{
	return a->arg.bytes + message_at(a->cmd);
}

static void check_answered(int err, const struct attempt *a, const char *when)
{
	const char *name = name_of(a->cmd);

	check(!err, "%s, %s: %s: %s", name, when, errno_name(err), text_of(a));
	if (a->cmd == KCH_IOC_INFO)
		check(a->arg.info.flags & KCH_INFO_SELFCHECKED, "%s, %s: flags %#x, %s, %s",
		      name, when, a->arg.info.flags,
		      errno_name(a->arg.info.selfcheck_error), text_of(a));
}

static void must_be_answered(unsigned int cmd, const char *when)
{
	struct attempt a;

	check_answered(attempt(cmd, &a), &a, when);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static void alarm_after(long first_us, long period_us)
{
	const struct itimerval timer = {
		.it_value = { first_us / 1000000, first_us % 1000000 },
		.it_interval = { period_us / 1000000, period_us % 1000000 },
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void check_with_alarm(unsigned int cmd, long first_us, long period_us)
{
	struct attempt a;
	char when[80];
	int err;

	renew();
	alarms = 0;
	alarm_after(first_us, period_us);
	err = attempt(cmd, &a);
	alarm_after(0, 0);
	snprintf(when, sizeof(when), "a signal after %ld us, every %ld us: %d came",
		 first_us, period_us, (int)alarms);
	check_answered(err, &a, when);
}

/* A process is killed while it asks; then somebody else wants to know. */
static void check_with_kill(long after_us)
{
	char when[80];
	pid_t pid;

	renew();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct attempt a;

		attempt(KCH_IOC_READ, &a);
		_exit(0);
	}
	usleep(after_us);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	snprintf(when, sizeof(when), "after another was killed, asking for %ld us",
		 after_us);
	must_be_answered(KCH_IOC_READ, when);
}

void test_ask_signals(void)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	long takes_us;
	size_t i, at;

	sigaction(SIGALRM, &action, NULL);
	asking_begin();
	for (i = 0; i < ASKS; i++) {
		renew();
		takes_us = now_us();
		must_be_answered(asks[i], "no signal");
		takes_us = now_us() - takes_us;
		check_with_alarm(asks[i], 1000, 1000);
		check_with_alarm(asks[i], 50000, 50000);
		/* Pending already. */
		check_with_alarm(asks[i], 1, 0);
		for (at = 0; at < INSTANTS; at++)
			check_with_alarm(asks[i], takes_us * at / INSTANTS +
					 1 + random() % 1000, 0);
	}
	for (at = 0; at < INSTANTS; at++)
		check_with_kill(takes_us * at / INSTANTS);
	must_be_answered(KCH_IOC_RESTORE, "at the end");
	scene_end();
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		die("writing %s to %s: %s", text, name, strerror(errno));
}

/* In a process that can make no thread.  KVM needs one, or it does not. */
static void ask_without_threads(int result)
{
	int errs[2] = { 0, 0 };
	struct attempt a;
	struct vm vm;

	vm_create(&vm);
	vm_add(&vm, 0);
	write_file(CGROUP "/cgroup.procs", "0");
	if (ioctl(vm.vcpu[0], KVM_RUN, 0))
		errs[0] = errno;
	errs[1] = attempt(KCH_IOC_READ, &a);
	if (write(result, errs, sizeof(errs)) != sizeof(errs) ||
	    write(result, text_of(&a), KCH_MESSAGE_SIZE) != KCH_MESSAGE_SIZE)
		_exit(1);
	_exit(0);
}

void test_ask_threads(void)
{
	char message[KCH_MESSAGE_SIZE] = "";
	int errs[2] = { -1, -1 };
	int ends[2], status;
	pid_t pid;

	if (mkdir(CGROUPS, 0700) || mount("none", CGROUPS, "cgroup2", 0, NULL))
		die("mounting cgroups: %s", strerror(errno));
	write_file(CGROUPS "/cgroup.subtree_control", "+pids");
	if (mkdir(CGROUP, 0700) || pipe(ends))
		die("making a cgroup: %s", strerror(errno));
	write_file(CGROUP "/pids.max", "1");
	asking_begin();
	renew();
	fflush(stdout);
	pid = fork();
	if (!pid)
		ask_without_threads(ends[1]);
	close(ends[1]);
	if (read(ends[0], errs, sizeof(errs)) != sizeof(errs) ||
	    read(ends[0], message, sizeof(message)) != sizeof(message))
		die("no answer of the process without threads");
	close(ends[0]);
	waitpid(pid, &status, 0);
	/* 6.1 has KVM's thread made by another one, for which that is no limit. */
	check(!errs[0] || errs[0] == EAGAIN, "KVM_RUN: %s", errno_name(errs[0]));
	check(errs[1] == (errs[0] ? ENXIO : 0), "READ: %s: %s",
	      errno_name(errs[1]), message);
	if (errs[0])
		check(strstr(message, "KVM_RUN"), "READ: %s", message);
	must_be_answered(KCH_IOC_READ, "where threads can be made");
	must_be_answered(KCH_IOC_RESTORE, "where threads can be made");
	scene_end();
	if (rmdir(CGROUP) || umount(CGROUPS) || rmdir(CGROUPS))
		die("removing the cgroup: %s", strerror(errno));
}

/*
 * Call number @from of @symbol, in a question, is not done.  Returns the errno of
 * the ioctl, -1 if there was no such call, -2 if this kernel has no @symbol.
 */
static int with_denied(const char *symbol, int error, unsigned int from,
		       struct attempt *a)
{
	unsigned int count;
	char text[128];
	int err;

	snprintf(text, sizeof(text), "deny=%s deny_error=%d deny_from=%u", symbol,
		 error, from);
	err = module_insert(FAULT_MODULE, text);
	if (err == ENOENT || err == EINVAL)
		return -2;
	if (err)
		die(FAULT_MODULE " %s: %s", text, errno_name(err));
	err = attempt(KCH_IOC_READ, a);
	count = fault_get("denied");
	fault_remove();
	return count ? err : -1;
}

static const struct step {
	const char *symbol;
	unsigned int calls;	/* of a question, at least */
} steps[] = {
	{ "filp_open", 1 },
	{ "vm_mmap", 1 },
	{ "kvm_dev_ioctl", 1 },
	{ "kvm_vm_ioctl", 4 },
	{ "kvm_vcpu_ioctl", 5 },
};

static const struct failure {
	int error, expected;
} failures[] = {
	{ EINTR, EINTR },
	{ ERESTARTSYS, EINTR },
	{ ERESTARTNOINTR, EINTR },
	{ ERESTARTNOHAND, EINTR },
	{ ERESTART_RESTARTBLOCK, EINTR },
	{ EAGAIN, ENXIO },
	{ ENOMEM, ENOMEM },
	{ EMFILE, ENXIO },
	{ EIO, ENXIO },
	{ ENXIO, ENXIO },
	{ EBUSY, ENXIO },
};

static void check_step(const struct step *step, const struct failure *failure)
{
	struct attempt a;
	unsigned int n;
	int err;

	renew();
	for (n = 0;; n++) {
		err = with_denied(step->symbol, failure->error, n, &a);
		if (err < 0)
			break;
		check(err == failure->expected, "call %u of %s fails with %d: %s: %s",
		      n, step->symbol, failure->error, errno_name(err),
		      text_of(&a));
		check(strstr(text_of(&a), "KVM cannot be asked"),
		      "call %u of %s fails with %d: %s", n, step->symbol,
		      failure->error, text_of(&a));
	}
	check(err == -1 && n >= step->calls, "%s: %d after %u calls, %u expected",
	      step->symbol, err, n, step->calls);
	must_be_answered(KCH_IOC_READ, "without the fault");
}

static const struct condition unanswered[] = {
	{ KCH_IOC_PRESERVE, "KVM_RUN fails", .expected = ENXIO,
	  .message = "KVM_RUN for a VM of its own failed (error -11)" },
	{ KCH_IOC_READ, "KVM_RUN fails", .expected = ENXIO,
	  .message = "KVM_RUN for a VM of its own failed (error -11)" },
	{ KCH_IOC_RESTORE, "KVM_RUN fails", .expected = ENXIO,
	  .message = "KVM_RUN for a VM of its own failed (error -11)" },
	{ KCH_IOC_ADOPT, "KVM_RUN fails", .expected = ENXIO,
	  .message = "KVM_RUN for a VM of its own failed (error -11)" },
	{ KCH_IOC_CLOCK_FD, "KVM_RUN fails", .expected = ENXIO,
	  .message = "KVM_RUN for a VM of its own failed (error -11)" },
};

/* Not by conditions: to take a snapshot is to ask, too. */
static void check_interrupted(void)
{
	struct attempt a, before;
	size_t i;
	int err;

	for (i = 0; i < ASKS; i++) {
		begin(asks[i], &before);
		err = attempt(asks[i], &a);
		/* To be called again as it is. */
		check(!memcmp(a.arg.bytes, before.arg.bytes, message_at(asks[i])),
		      "%s: interrupted, but its arguments were changed",
		      name_of(asks[i]));
		check(err == EINTR && (asks[i] == KCH_IOC_INFO ||
				       strstr(text_of(&a), "KVM_CREATE_VM")),
		      "%s: %s: %s", name_of(asks[i]), errno_name(err),
		      text_of(&a));
	}
}

void test_ask_errors(void)
{
	struct kch_info info;
	size_t i, j;

	asking_begin();
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		for (j = 0; j < sizeof(failures) / sizeof(failures[0]); j++)
			check_step(&steps[i], &failures[j]);

	renew();
	fault_insert("deny=kvm_arch_vcpu_ioctl_run deny_error=11 deny_count=1000", 0);
	conditions_run(unanswered, sizeof(unanswered) / sizeof(unanswered[0]));
	device_info(&info);
	check(!info.selfcheck_error && !(info.flags & KCH_INFO_SELFCHECKED),
	      "INFO: %s, flags %#x", errno_name(info.selfcheck_error), info.flags);
	fault_remove();
	must_be_answered(KCH_IOC_RESTORE, "without the fault");

	renew();
	fault_insert("deny=kvm_dev_ioctl deny_error=4 deny_count=1000", 0);
	check_interrupted();
	fault_remove();
	must_be_answered(KCH_IOC_RESTORE, "without the fault");
	scene_end();
}

/* One name or another of them is there in every kernel. */
static const char * const allocators[] = {
	"kch_kvm_read_to",
	"kvmalloc_node", "__kvmalloc_node_noprof",
	"kmalloc_trace", "__kmalloc_cache_noprof",
	"__kmalloc", "__kmalloc_noprof",
	"kmem_cache_alloc", "kmem_cache_alloc_noprof",
};

/* Then in larger steps: KVM makes a VM of many parts. */
#define ALL_OF	24

void test_ask_memory(void)
{
	unsigned int n, kinds = 0, failed = 0, done;
	struct attempt a;
	size_t i;
	int err;

	asking_begin();
	for (i = 0; i < sizeof(allocators) / sizeof(allocators[0]); i++) {
		/* Our own returns an error, all others a pointer. */
		const int error = i ? 0 : ENOMEM;

		renew();
		for (n = done = 0;
		     (err = with_denied(allocators[i], error, n, &a)) >= 0;
		     n += n < ALL_OF ? 1 : n / 4) {
			done++;
			/* KVM may do without, or say what it makes of it. */
			check(!err || err == ENOMEM || err == ENXIO,
			      "allocation %u of %s fails: %s: %s", n,
			      allocators[i], errno_name(err), text_of(&a));
			if (err)
				failed++;
			else
				renew();
		}
		if (err == -2)
			continue;
		kinds += !!done;
		printf("# %s: %u denied\n", allocators[i], done);
		must_be_answered(KCH_IOC_RESTORE, "with memory");
	}
	check(kinds >= 4 && failed >= 10, "%u kinds of allocations, %u failed", kinds,
	      failed);
	scene_end();
}

/*
 * Where the TSC is not stable KVM answers, too, and is read right: it is the VM
 * that has no clock to be handed over.
 */
void test_ask_unstable(void)
{
	static char entry[4096];
	struct kch_preserve arg;
	struct kch_info info;
	struct vm vm;
	int err;

	region_clear();
	module_load();
	vm_create_ready(&vm, 1, SCENE_OFFSET);
	device_info(&info);
	check(!info.selfcheck_error && info.flags & KCH_INFO_SELFCHECKED,
	      "INFO: %s, flags %#x: %s", errno_name(info.selfcheck_error),
	      info.flags, info.message);
	err = read_entry(&vm, (void *)entry, sizeof(entry));
	check(!err, "READ: %s", errno_name(err));
	err = preserve(&vm, ID_NEW, &arg);
	check(err == EPFNOSUPPORT, "PRESERVE: %s: %s", errno_name(err),
	      arg.message);
	vm_destroy(&vm);
	module_unload();
}
