// SPDX-License-Identifier: GPL-2.0
/*
 * The wrapper's gate, with the VMM's part played here and KVM's by fake-kvm.so;
 * gate.sh runs one case per process, with the environment kvmclock-run makes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "fake-kvm.h"
#include "ktap.h"

#define MSR_TSC		0x10
#define MSR_TSC_DEADLINE 0x6e0
#define VCPUS		4

static struct fake_kvm *kvm;
static int vm_fd, vcpu_fds[VCPUS], vcpu_count = VCPUS;

/* As QEMU passes it: through an int, so that the sign comes along. */
static int int_ioctl(int fd, int request, void *arg)
{
	return ioctl(fd, request, arg);
}

static void set_msr(int fd, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	ktap_check(int_ioctl(fd, (int)KVM_SET_MSRS, &msr) == 1, "errno %d", errno);
}

static void make_vm(uint64_t tsc)
{
	int i, kvm_fd = open("/dev/null", O_RDWR);

	kvm = dlsym(RTLD_DEFAULT, "fake_kvm");
	ktap_check(kvm, "no fake KVM");
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	for (i = 0; i < vcpu_count; i++) {
		vcpu_fds[i] = ioctl(vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)i);
		set_msr(vcpu_fds[i], MSR_TSC, tsc);
		set_msr(vcpu_fds[i], MSR_TSC_DEADLINE, tsc ? tsc + 5 : 0);
	}
}

static void get_clock(void)
{
	struct kvm_clock_data clock;

	ktap_check(!int_ioctl(vm_fd, (int)KVM_GET_CLOCK, &clock), "errno %d", errno);
}

/* A vCPU's thread: other ioctls, longer than the restore takes, then it runs. */
static void *vcpu_thread(void *arg)
{
	int fd = *(int *)arg, count = fd == vcpu_fds[0] ? 20 : 200, i;

	for (i = 0; i < count; i++)
		ioctl(fd, KVM_GET_REGS, NULL);
	for (i = 0; i < 100; i++)
		ioctl(fd, KVM_RUN, NULL);
	return NULL;
}

static void run_all(void)
{
	pthread_t threads[VCPUS];
	int i;

	for (i = 0; i < VCPUS; i++)
		pthread_create(&threads[i], NULL, vcpu_thread, &vcpu_fds[i]);
	for (i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
	ktap_check(kvm->runs == VCPUS * 100, "%d", kvm->runs);
}

static void prepare_record(void)
{
	kvm = dlsym(RTLD_DEFAULT, "fake_kvm");
	kvm->has_record = true;
	kvm->record_vcpus = VCPUS;
}

static void test_comes_back(void)
{
	prepare_record();
	make_vm(12345);
	ktap_check(kvm->prepares == 1, "%d", kvm->prepares);
	run_all();
	ktap_check(kvm->restores == 1, "%d", kvm->restores);
	ktap_check(!kvm->runs_before_restore, "%d", kvm->runs_before_restore);
	ktap_check(!kvm->busy_at_restore, "%d", kvm->busy_at_restore);
	ktap_check(kvm->offsets_written == VCPUS, "%d", kvm->offsets_written);
	ktap_check(kvm->deadlines_after_restore == VCPUS, "%d",
		   kvm->deadlines_after_restore);
	ktap_check(kvm->deadline == 12350, "%lu", (unsigned long)kvm->deadline);
}

static void test_starts_anew(void)
{
	prepare_record();
	make_vm(0);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(kvm->restores == 0, "%d", kvm->restores);
	ktap_check(kvm->runs == 1, "%d", kvm->runs);
}

static void test_stop_and_go(void)
{
	make_vm(0);
	get_clock();
	ktap_check(kvm->preserves == 0, "saved before it ran");
	ioctl(vcpu_fds[1], KVM_RUN, NULL);
	get_clock();
	ktap_check(kvm->preserves == 1 && kvm->saved, "%d", kvm->preserves);
	get_clock();
	ktap_check(kvm->preserves == 1, "%d", kvm->preserves);
	ioctl(vcpu_fds[3], KVM_RUN, NULL);
	ktap_check(kvm->unpreserves == 1 && !kvm->saved, "%d", kvm->unpreserves);
	get_clock();
	ktap_check(kvm->preserves == 2 && kvm->saved, "%d", kvm->preserves);
	close(vm_fd);
	ktap_check(kvm->saved, "the end of the VM took the record");
}

/* The log file gets the number of a vCPU that was closed unseen and is watched. */
static void test_closed_unseen(void)
{
	make_vm(0);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	get_clock();
	syscall(SYS_close, vcpu_fds[0]);
	ioctl(vcpu_fds[1], KVM_RUN, NULL);
	ktap_check(kvm->unpreserves == 1, "%d", kvm->unpreserves);
	get_clock();
	ioctl(vcpu_fds[1], KVM_RUN, NULL);
	get_clock();
	ktap_check(kvm->preserves == 3, "%d", kvm->preserves);
}

/* KVM_RUN's signals may come at any time. */
static void test_signals(void)
{
	sigset_t blocked;

	prepare_record();
	make_vm(12345);
	kvm->interrupted = 3;
	run_all();
	ktap_check(kvm->restores == 1, "%d", kvm->restores);
	kvm->interrupted = 3;
	get_clock();
	ktap_check(kvm->preserves == 1, "%d", kvm->preserves);
	kvm->interrupted = 3;
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(kvm->unpreserves == 1, "%d", kvm->unpreserves);
	ktap_check(!kvm->signals_open, "%d", kvm->signals_open);
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	ktap_check(!sigismember(&blocked, SIGUSR1), "blocked for ever");
}

static void test_try_again(void)
{
	prepare_record();
	kvm->restore_errno = EAGAIN;
	kvm->restore_errno_count = 3;
	make_vm(12345);
	run_all();
	ktap_check(kvm->restores == 1, "%d", kvm->restores);
	ktap_check(!kvm->runs_before_restore, "%d", kvm->runs_before_restore);
}

/* With --require the process ends in KVM_RUN, and gate.sh sees the status. */
static void test_refused(void)
{
	prepare_record();
	kvm->restore_errno = ETIME;
	kvm->restore_errno_count = 1000;
	make_vm(12345);
	run_all();
	ktap_check(kvm->restores == 0, "%d", kvm->restores);
}

/* Of a TSC twice as fast as the host's, where there is no scaling. */
static void test_scaled(void)
{
	prepare_record();
	kvm->record_ratio = 2;
	kvm->record_age_ns = 101500000000ULL;
	make_vm(12345);
	run_all();
	ktap_check(kvm->restores == 0, "%d", kvm->restores);
}

static void test_no_module(void)
{
	kvm = dlsym(RTLD_DEFAULT, "fake_kvm");
	kvm->no_module = true;
	make_vm(12345);
	run_all();
}

static void test_other_vcpus(void)
{
	prepare_record();
	kvm->record_vcpus = VCPUS - 1;
	make_vm(12345);
	run_all();
	ktap_check(kvm->restores == 0 && kvm->offsets_written == 0, "%d %d",
		   kvm->restores, kvm->offsets_written);
}

/* The id is another VM's, which is there: its record must stay. */
static void test_saved_twice(void)
{
	make_vm(0);
	kvm->saved = true;
	kvm->saved_live = true;
	kvm->pid = SAVED_PID + 1;
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	get_clock();
	ktap_check(kvm->preserves == 0 && kvm->unpreserves == 0, "%d %d",
		   kvm->preserves, kvm->unpreserves);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(kvm->saved && kvm->runs == 2, "%d", kvm->runs);
}

/*
 * It is this VM, saved by kvmclockctl: the clock is that of the last stop, and
 * what others put there stays.
 */
static void test_saved_before(void)
{
	make_vm(0);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	kvm->saved = true;
	kvm->saved_live = true;
	kvm->pid = SAVED_PID;
	get_clock();
	ktap_check(kvm->preserves == 1 && kvm->saved, "%d", kvm->preserves);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(kvm->saved, "what kvmclockctl saved is gone");
	get_clock();
	ktap_check(kvm->preserves == 2 && kvm->saved, "%d", kvm->preserves);
	/* kvmclockctl unsave: from now on it is ours alone. */
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	kvm->saved = false;
	get_clock();
	ktap_check(kvm->preserves == 3 && kvm->saved, "%d", kvm->preserves);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(!kvm->saved, "what the wrapper saved is not taken back");
}

/* ... and which is not: what it left goes when the guest runs. */
static void test_stale(void)
{
	make_vm(0);
	kvm->saved = true;
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(kvm->unpreserves == 1 && !kvm->saved, "%d", kvm->unpreserves);
}

/* What QEMU does before it starts its bridge helper; status 0 when done. */
static int close_all(void *arg)
{
	int fd;

	(void)arg;
	for (fd = 3; fd < 64; fd++)
		close(fd);
	/* What is opened now has a number that was watched. */
	fd = open("/dev/null", O_RDWR);
	ioctl(fd, KVM_GET_REGS, NULL);
	return 0;
}

/* -1: the process had to be ended. */
static int wait_for_end(pid_t pid)
{
	int status, i;

	for (i = 0; i < 500; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* Which KVM refuses to this process, and the gate must not be waited at; then all is closed. */
static int use_inherited(void)
{
	struct kvm_clock_data clock = {};

	ioctl(vm_fd, KVM_GET_CLOCK, &clock);
	ioctl(vm_fd, KVM_SET_CLOCK, &clock);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ioctl(vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)VCPUS);
	return close_all(NULL);
}

/* A VMM forked from another; status 0 when its VM is looked at from the start. */
static int forked_vmm(void)
{
	kvm->vcpu_count = 0;
	make_vm(0);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	get_clock();
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	get_clock();
	return kvm->prepares != 2 || kvm->preserves != 2 || kvm->unpreserves != 1;
}

/* Its own descriptors have the numbers of the other's. */
static int closed_vmm(void)
{
	close_all(NULL);
	kvm->device_fd = -1;
	/* So that what is opened then has the number of a vCPU. */
	vcpu_count = 1;
	return forked_vmm();
}

/* A helper is started while the gate is held, and a VMM of its own. */
static void test_fork(void)
{
	const int tries = 100;
	pthread_t thread;
	pid_t pid;

	prepare_record();
	kvm->restore_errno = EAGAIN;
	kvm->restore_errno_count = tries;
	make_vm(12345);
	pthread_create(&thread, NULL, vcpu_thread, &vcpu_fds[0]);
	while (__atomic_load_n(&kvm->restore_errno_count, __ATOMIC_RELAXED) == tries)
		usleep(1000);
	pid = fork();
	if (!pid)
		_exit(use_inherited());
	ktap_check(wait_for_end(pid) == 0, "the helper hangs");
	pid = fork();
	if (!pid)
		_exit(forked_vmm());
	ktap_check(wait_for_end(pid) == 0, "the forked VMM hangs, or is not looked at");
	pid = fork();
	if (!pid)
		_exit(closed_vmm());
	ktap_check(wait_for_end(pid) == 0, "... that closed all before");
	ktap_check(!kvm->restores, "the gate was open before");
	__atomic_store_n(&kvm->restore_errno, 0, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ktap_check(kvm->restores == 1, "%d", kvm->restores);
}

/* In a process of its own, with the memory of this one. */
static int vfork_and_wait(int (*run)(void *arg))
{
	static char stack[65536] __attribute__((aligned(16)));

	return wait_for_end(clone(run, stack + sizeof(stack),
				  CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
}

/* ... and with the memory of the VMM. */
static void test_vfork(void)
{
	make_vm(0);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	ktap_check(vfork_and_wait(close_all) == 0, "the helper hangs");
	get_clock();
	ktap_check(kvm->preserves == 1, "%d", kvm->preserves);
	ioctl(vcpu_fds[1], KVM_RUN, NULL);
	ktap_check(kvm->unpreserves == 1, "%d", kvm->unpreserves);
}

static int refused_vmm(void *arg)
{
	(void)arg;
	make_vm(12345);
	ioctl(vcpu_fds[0], KVM_RUN, NULL);
	return 0;
}

/* What an earlier VM left goes when the guest runs, and only then. */
static void test_refused_stale(void)
{
	bool required = getenv("KVMCLOCK_RUN_REQUIRE");

	prepare_record();
	kvm->saved = true;
	kvm->restore_errno = ETIME;
	kvm->restore_errno_count = 1000;
	ktap_check(vfork_and_wait(refused_vmm) == (required ? 4 : 0), "another status");
	ktap_check(kvm->saved == required && kvm->unpreserves == !required, "%d",
		   kvm->unpreserves);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "comes-back", test_comes_back },
		{ "starts-anew", test_starts_anew },
		{ "stop-and-go", test_stop_and_go },
		{ "closed-unseen", test_closed_unseen },
		{ "signals", test_signals },
		{ "try-again", test_try_again },
		{ "refused", test_refused },
		{ "scaled", test_scaled },
		{ "no-module", test_no_module },
		{ "other-vcpus", test_other_vcpus },
		{ "saved-twice", test_saved_twice },
		{ "saved-before", test_saved_before },
		{ "stale", test_stale },
		{ "refused-stale", test_refused_stale },
		{ "fork", test_fork },
		{ "vfork", test_vfork },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
