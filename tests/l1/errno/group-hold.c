// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "clock.h"

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define LONG_MS		20000
#define SHORT_MS	300

/* What a VMM that has just loaded its guest has: KVM's offsets, a clock of its own. */
static void vm_create_loaded(struct vm *vm, uint32_t vcpus)
{
	uint32_t i;

	vm_create(vm);
	for (i = 0; i < vcpus; i++)
		vm_add(vm, i);
	vm_set_clock(vm, 1000000000);
}

static int open_device(void)
{
	int fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(KCH_DEVICE ": %s", strerror(errno));
	return fd;
}

/* A record with VMs of so many vCPUs: the first is ID_SAVED, then ID_SAVED + 1. */
static void begin(const uint32_t *vcpus, unsigned int count)
{
	static struct forged forged;
	struct vm vm;
	unsigned int i;

	condition_base = scene_base;
	snapshot_watch_none();
	region_clear();
	module_load();
	forge_begin(&forged);
	for (i = 0; i < count; i++) {
		vm_create_ready(&vm, vcpus[i], SCENE_OFFSET);
		forge_add(&forged, &vm, ID_SAVED + i);
		vm_destroy(&vm);
	}
	scene_reload(&forged);
}

struct clocks {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[VM_VCPUS_MAX];
};

static struct clocks live_clocks(const struct vm *vm)
{
	struct clocks clocks;

	if (read_entry(vm, &clocks.vm, sizeof(clocks)))
		die("a VM's clock cannot be read");
	return clocks;
}

static struct clocks saved_clocks(uint32_t id)
{
	struct clocks clocks;
	uint32_t size = sizeof(clocks);

	if (get(KCH_INCOMING, id, &clocks, &size))
		die("what was saved cannot be had");
	return clocks;
}

/* Every vCPU's two functions, at one host TSC; true if none differs. */
static bool same_clocks(const struct clocks *a, const struct clocks *b, uint32_t vcpus)
{
	struct kch_clock_error error;
	struct kch_clock one, other;
	uint32_t i;

	for (i = 0; i < vcpus; i++) {
		kch_clock_of(&a->vm, &a->vcpus[i], &one);
		kch_clock_of(&b->vm, &b->vcpus[i], &other);
		kch_clock_compare(&one, &other, le64_to_cpu(b->vm.host_tsc), &error);
		if (!error.identical || error.ns || error.cycles)
			return false;
	}
	return true;
}

/*
 * One VM whose VMM sets its clock so many times once it is told to go on.  Its vCPUs
 * answer meanwhile, and none is in the guest before the exact clock is there.
 */
static void hold_and_resume(uint32_t vcpus, uint32_t id, unsigned int sets, uint32_t first)
{
	int fd = open_device();
	struct clocks saved = saved_clocks(id), live;
	struct kch_restore arg;
	struct kvm_regs regs;
	struct vm vm;
	uint32_t i;
	int err;

	vm_create_loaded(&vm, vcpus);
	err = hold(fd, &vm, id, LONG_MS, &arg);
	if (!check(!err, "%u vCPUs: %s: %s", vcpus, errno_name(err), arg.message))
		goto out;
	check(arg.outcome.mode == KCH_MODE_NONE && arg.hold_ms == LONG_MS,
	      "mode %u while it is held, hold_ms %u", arg.outcome.mode, arg.hold_ms);
	for (i = 0; i < vcpus; i++)
		check(!ioctl(vm.vcpu[i], KVM_GET_REGS, &regs), "vCPU %u: %s", i,
		      strerror(errno));
	for (i = 0; i < sets; i++)
		vm_set_clock(&vm, 1 + i);
	live = live_clocks(&vm);
	check(same_clocks(&saved, &live, vcpus) == !sets,
	      "set %u times: the clock while it is held", sets);
	check(!vm_rounds(&vm), "%u rounds before KVM_RUN", vm_rounds(&vm));

	vm_go(&vm, first);
	check(vm_comes(&vm), "it does not get into the guest");
	live = live_clocks(&vm);
	check(same_clocks(&saved, &live, vcpus),
	      "%u vCPUs, set %u times: it was in the guest before the clock was there",
	      vcpus, sets);
	err = hold_wait(fd, &arg);
	check(!err && arg.outcome.mode == KCH_MODE_IDENTICAL && !arg.outcome.error_ns &&
	      !arg.outcome.error_cycles && !arg.outcome.error_rate_ppb &&
	      arg.outcome.page == KCH_PAGE_SAME_BYTES &&
	      arg.outcome.blackout_ns && arg.outcome.rebase_bound_ns && arg.vm_fd == -1,
	      "%s: %s: mode %u, %lld ns, page %u", errno_name(err), arg.message, arg.outcome.mode,
	      arg.outcome.error_ns, arg.outcome.page);
	check(hold_wait(fd, &arg) == ENOLINK && arg.message[0], "waited for twice");
	vm_stop(&vm);
	live = live_clocks(&vm);
	check(same_clocks(&saved, &live, vcpus), "afterwards");
out:
	vm_destroy(&vm);
	close(fd);
}

static const struct condition arguments[] = {
	{ KCH_IOC_WAIT, "no hold", .expected = ENOLINK, .message = "has no hold" },
	{ KCH_IOC_RESTORE, "hold of no time", SET(kch_restore, flags, KCH_RESTORE_HOLD),
	  .expected = EINVAL, .message = "hold_ms is 0, expected 1 to 3600000" },
	{ KCH_IOC_RESTORE, "time without a hold", SET(kch_restore, hold_ms, 5),
	  .expected = EINVAL, .message = "hold_ms is 5, expected 0 without" },
	{ KCH_IOC_RESTORE, "page set", SET(kch_restore, outcome.page, 1),
	  .expected = EINVAL, .message = "reserved members are 0x1 and 0" },
};

void test_hold(void)
{
	static const uint32_t vcpus[] = { 1, 4, 64, 1, 4 };
	struct kch_restore arg;
	int fd;

	scene_begin();
	conditions_run(arguments, sizeof(arguments) / sizeof(arguments[0]));
	fd = open_device();
	check(hold(fd, &scene.vm, ID_SAVED, KCH_HOLD_MS_MAX + 1, &arg) == EINVAL,
	      "longer than an hour: %s", arg.message);
	close(fd);
	scene_end();

	begin(vcpus, 5);
	hold_and_resume(1, ID_SAVED, 0, 0);
	hold_and_resume(4, ID_SAVED + 1, 1, 3);
	hold_and_resume(64, ID_SAVED + 2, 1, 0);
	hold_and_resume(1, ID_SAVED + 3, 2, 0);
	hold_and_resume(4, ID_SAVED + 4, 2, 0);
	module_unload();
	region_clear();
}

/* As its VMM left it, to the bit: the TSCs, the clock, and the rates. */
static void check_as_left(const struct vm *vm, const struct clocks *before, const char *how)
{
	struct clocks live = live_clocks(vm);
	uint32_t i;

	for (i = 0; i < vm->vcpus; i++)
		check(live.vcpus[i].tsc_offset == before->vcpus[i].tsc_offset,
		      "%s: vCPU %u has another TSC offset", how, i);
	check(live.vm.master_cycle_now == before->vm.master_cycle_now &&
	      live.vm.master_kernel_ns == before->vm.master_kernel_ns &&
	      live.vm.kvmclock_offset == before->vm.kvmclock_offset,
	      "%s: its clock has another reference", how);
	for (i = 0; i < vm->vcpus; i++)
		check(live.vcpus[i].hw_tsc_khz == before->vcpus[i].hw_tsc_khz &&
		      live.vcpus[i].tsc_to_system_mul == before->vcpus[i].tsc_to_system_mul,
		      "%s: vCPU %u has another rate", how, i);
}

/* It becomes another program, which has nothing of the VM any more. */
static void exec_child(int sig)
{
	execl("/bin/busybox", "sleep", "60", NULL);
	_exit(sig);
}

/* A VM of another process, whose descriptor is passed on; the vCPUs' are not. */
static pid_t vm_of_child(struct vm *vm, bool with_vcpu, bool equal)
{
	int ready[2], pidfd;
	struct vm numbers;
	pid_t pid;

	if (pipe(ready))
		die("pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGUSR1, exec_child);
		if (equal)
			vm_create_ready(vm, 2, SCENE_OFFSET);
		else
			vm_create_loaded(vm, 2);
		if (write(ready[1], vm, sizeof(*vm)) != sizeof(*vm))
			_exit(1);
		for (;;)
			pause();
	}
	if (read(ready[0], &numbers, sizeof(numbers)) != sizeof(numbers))
		die("no VM of another process");
	close(ready[0]);
	close(ready[1]);
	memset(vm, 0, sizeof(*vm));
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	vm->fd = syscall(SYS_pidfd_getfd, pidfd, numbers.fd, 0);
	for (; with_vcpu && vm->vcpus < 2; vm->vcpus++)
		vm->vcpu[vm->vcpus] = syscall(SYS_pidfd_getfd, pidfd,
					      numbers.vcpu[vm->vcpus], 0);
	if (vm->fd < 0)
		die("pidfd_getfd: %s", strerror(errno));
	close(pidfd);
	return pid;
}

static void close_of_child(struct vm *vm)
{
	while (vm->vcpus)
		close(vm->vcpu[--vm->vcpus]);
	close(vm->fd);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Whoever has no descriptor of a vCPU can only restore what is set already. */
static void without_descriptors(void)
{
	struct kch_restore arg;
	struct clocks before, after;
	struct vm vm;
	pid_t pid;
	int err;

	pid = vm_of_child(&vm, false, false);
	before = live_clocks(&vm);
	err = restore(&vm, ID_SAVED, 0, &arg);
	check(err == EL2NSYNC && arg.outcome.vcpu_id == 0 && arg.outcome.expected == SCENE_OFFSET &&
	      strstr(arg.message, "saved was -123456789012345, and the caller has no descriptor"),
	      "%s: %s", errno_name(err), arg.message);
	after = live_clocks(&vm);
	check(!memcmp(before.vcpus, after.vcpus, 2 * sizeof(before.vcpus[0])) &&
	      before.vm.master_cycle_now == after.vm.master_cycle_now &&
	      before.vm.kvmclock_offset == after.vm.kvmclock_offset, "refused, but changed");
	close_of_child(&vm);
	end_child(pid);

	/* With them it can be anybody's. */
	pid = vm_of_child(&vm, true, false);
	err = restore(&vm, ID_SAVED, KCH_RESTORE_CHECK | KCH_RESTORE_STALE, &arg);
	check(!err && arg.outcome.rebase_bound_ns, "%s: %s", errno_name(err), arg.message);
	err = restore(&vm, ID_SAVED, KCH_RESTORE_STALE, &arg);
	after = live_clocks(&vm);
	before = saved_clocks(ID_SAVED);
	check(!err && same_clocks(&before, &after, 2), "another process's: %s: %s",
	      errno_name(err), arg.message);
	close_of_child(&vm);
	end_child(pid);
	check(becomes_dead(KCH_INCOMING, ID_SAVED), "its process has ended, and it is live");

	/* But no longer than it. */
	pid = vm_of_child(&vm, true, false);
	end_child(pid);
	err = restore(&vm, ID_SAVED, KCH_RESTORE_STALE, &arg);
	check(err == ESRCH && strstr(arg.message, "process has ended"), "its process has ended: %s: %s",
	      errno_name(err), arg.message);
	close_of_child(&vm);

	/* Nor is one needed where nothing is to be set. */
	pid = vm_of_child(&vm, false, true);
	err = restore(&vm, ID_SAVED, KCH_RESTORE_CHECK | KCH_RESTORE_STALE, &arg);
	check(!err && arg.outcome.vcpu_id == -1, "asked only: %s, vCPU %d", errno_name(err),
	      arg.outcome.vcpu_id);
	err = restore(&vm, ID_SAVED, KCH_RESTORE_STALE, &arg);
	check(!err && arg.outcome.mode == KCH_MODE_IDENTICAL, "offsets set: %s: %s",
	      errno_name(err), arg.message);
	close_of_child(&vm);
	end_child(pid);
	check(becomes_dead(KCH_INCOMING, ID_SAVED), "its process has ended, and it is live");
}

static void *wait_for_hold(void *arg)
{
	struct kch_restore result;
	int *fd_and_err = arg;

	fd_and_err[1] = hold_wait(fd_and_err[0], &result);
	return NULL;
}

static void timed_out(struct vm *vm, bool set_meanwhile)
{
	struct clocks before = live_clocks(vm);
	struct kch_restore arg;
	int fd = open_device(), err;

	err = hold(fd, vm, ID_SAVED, SHORT_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	if (set_meanwhile) {
		vm_set_clock(vm, 1000000000);
		before.vm = live_clocks(vm).vm;
	}
	err = hold_wait(fd, &arg);
	check(err == ETIMEDOUT && strstr(arg.message, "did not resume within 300 ms") &&
	      arg.outcome.mode == KCH_MODE_NONE, "%s: %s", errno_name(err), arg.message);
	check_as_left(vm, &before, set_meanwhile ? "timed out, set meanwhile" : "timed out");
	close(fd);
}

/* A hold that has ended before its caller goes on was one: WAIT says what came of it. */
static void ended_unseen(struct vm *vm)
{
	int fd = open_device(), err;
	struct kch_restore arg;

	fault_insert("late_ms=100", 0);
	err = hold(fd, vm, ID_SAVED, 1, &arg);
	fault_remove();
	check(!err, "%s: %s", errno_name(err), arg.message);
	err = hold_wait(fd, &arg);
	check(err == ETIMEDOUT && strstr(arg.message, "did not resume within 1 ms"), "%s: %s",
	      errno_name(err), arg.message);
	close(fd);
}

static void file_closed(struct vm *vm)
{
	struct clocks before = live_clocks(vm);
	struct kch_restore arg;
	int fd = open_device(), err;

	err = hold(fd, vm, ID_SAVED, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	close(fd);
	check_as_left(vm, &before, "let go");
	/* It is let go, too. */
	vm_go(vm, 0);
	check(vm_comes(vm), "still held after the file was closed");
	vm_stop(vm);
}

static void two_holds(struct vm *vm)
{
	struct kch_restore arg, second;
	int fd = open_device(), other = open_device(), fd_and_err[2] = { fd, -1 }, err;
	struct kch_finish finished;
	pthread_t waiter;
	struct vm another;

	vm_create_loaded(&another, 2);
	err = hold(fd, vm, ID_SAVED, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	check(hold(fd, &another, ID_SAVED + 1, LONG_MS, &second) == EDEADLK &&
	      strstr(second.message, "KCH_IOC_WAIT"), "two holds of one file: %s", second.message);
	check(hold(other, vm, ID_SAVED + 1, LONG_MS, &second) == EALREADY &&
	      strstr(second.message, "is under way"), "two holds on a VM: %s", second.message);
	check(hold(other, &another, ID_SAVED, LONG_MS, &second) == EALREADY &&
	      strstr(second.message, "is under way"), "two holds of an id: %s", second.message);
	check(finish(KCH_FINISH_DISCARD, &finished) == EBUSY, "FINISH meanwhile: %s",
	      finished.message);
	if (pthread_create(&waiter, NULL, wait_for_hold, fd_and_err))
		die("pthread_create");
	usleep(100000);
	check(hold(fd, &another, ID_SAVED + 1, LONG_MS, &second) == EDEADLK,
	      "while the first is waited for: %s", second.message);
	/* One that is none can be had. */
	check(!restore(&another, ID_SAVED + 1, KCH_RESTORE_CHECK | KCH_RESTORE_STALE, &second),
	      "a plain restore meanwhile: %s", second.message);
	vm_go(vm, 0);
	pthread_join(waiter, NULL);
	check(!fd_and_err[1], "the waiter: %s", errno_name(fd_and_err[1]));
	vm_stop(vm);
	close(fd);
	close(other);
	vm_destroy(&another);
}

/* The VMM sets another TSC while it is held: that is no clock that was saved. */
static void changed_meanwhile(uint32_t id)
{
	struct kch_restore arg;
	int fd = open_device(), err;
	struct vm vm;

	vm_create_loaded(&vm, 2);
	err = hold(fd, &vm, id, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	vm_set_offset(&vm, 1, SCENE_OFFSET + 7);
	vm_go(&vm, 0);
	err = hold_wait(fd, &arg);
	check(err == EL2NSYNC && arg.outcome.vcpu_id == 1 && arg.outcome.found == SCENE_OFFSET + 7,
	      "%s: %s", errno_name(err), arg.message);
	check(vm_comes(&vm), "refused, and still held");
	vm_destroy(&vm);
	close(fd);
	/* Its guest ran with what it had by then. */
	vm_create_loaded(&vm, 2);
	err = restore(&vm, id, 0, &arg);
	check(err == EALREADY && strstr(arg.message, "given back already"), "%s: %s",
	      errno_name(err), arg.message);
	vm_destroy(&vm);
}

/* Its vCPUs can run without a descriptor of the VM. */
static void vm_closed(uint32_t id, bool but_vcpus)
{
	struct kch_restore arg;
	int fd = open_device(), err;
	uint64_t offset;
	struct vm vm;

	vm_create_loaded(&vm, 2);
	offset = vm_offset(&vm, 1);
	err = hold(fd, &vm, id, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	if (but_vcpus) {
		close(vm.fd);
		vm.fd = -1;
	} else {
		vm_destroy(&vm);
	}
	err = hold_wait(fd, &arg);
	check(err == ESRCH && arg.message[0], "VM closed: %s: %s", errno_name(err), arg.message);
	if (but_vcpus) {
		check(vm_offset(&vm, 1) == offset, "VM closed but for its vCPUs: offset %lld",
		      (long long)vm_offset(&vm, 1));
		vm_destroy(&vm);
	}
	close(fd);
}

static void process_gone(uint32_t id, int sig, const char *how)
{
	struct kch_restore arg;
	int fd = open_device(), err;
	struct vm vm;
	pid_t pid = vm_of_child(&vm, true, false);

	err = hold(fd, &vm, id, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	kill(pid, sig);
	err = hold_wait(fd, &arg);
	check(err == ESRCH && arg.message[0], "%s: %s: %s", how, errno_name(err), arg.message);
	end_child(pid);
	close_of_child(&vm);
	close(fd);
}

/*
 * A VM that is kept, as it was restored before at another rate, and now is to have the
 * clock of another entry: the keeper's looks let no vCPU in.
 */
static void held_while_kept(void)
{
	static struct forged forged;
	struct clocks saved, live;
	struct kch_restore arg;
	struct kch_info info;
	struct vm vm;
	int fd, err;
	uint32_t mul;
	int8_t shift;

	device_info(&info);
	vm_create_ready(&vm, 1, SCENE_OFFSET);
	forge_begin(&forged);
	forge_add(&forged, &vm, ID_SAVED);
	kch_pvclock_pair(info.kvm_tsc_khz / 1000 * 1002, &mul, &shift);
	forge_vcpu(&forged, 0)->tsc_to_system_mul = cpu_to_le32(mul);
	forge_vcpu(&forged, 0)->tsc_shift = shift;
	forge_close(&forged);
	forge_add(&forged, &vm, ID_SAVED + 1);
	scene_reload(&forged);
	err = restore(&vm, ID_SAVED, 0, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	fd = open_device();
	err = hold(fd, &vm, ID_SAVED + 1, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	sleep_jiffies(3);
	vm_set_clock(&vm, 1);
	vm_go(&vm, 0);
	vm_comes(&vm);
	err = hold_wait(fd, &arg);
	saved = saved_clocks(ID_SAVED + 1);
	live = live_clocks(&vm);
	check(!err && same_clocks(&saved, &live, 1), "%s: %s", errno_name(err), arg.message);
	/* And it is the clock that is kept from now on. */
	sleep_jiffies(3);
	live = live_clocks(&vm);
	check(same_clocks(&saved, &live, 1), "the clock before is kept, and not this one");
	vm_stop(&vm);
	vm_destroy(&vm);
	close(fd);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* A signal ends the waiting, not the hold. */
static void interrupted(struct vm *vm)
{
	const struct itimerval every_second = { { 1, 0 }, { 1, 0 } }, never = { };
	struct sigaction action = { .sa_handler = on_alarm };
	struct kch_restore arg;
	int fd = open_device(), err;

	sigaction(SIGALRM, &action, NULL);
	err = hold(fd, vm, ID_SAVED, LONG_MS, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	/* One that comes before it waits ends nothing. */
	setitimer(ITIMER_REAL, &every_second, NULL);
	err = hold_wait(fd, &arg);
	setitimer(ITIMER_REAL, &never, NULL);
	check(err == EINTR, "%s: %s", errno_name(err), arg.message);
	vm_start(vm, 0);
	err = hold_wait(fd, &arg);
	check(!err && arg.outcome.mode == KCH_MODE_IDENTICAL, "%s: %s",
	      errno_name(err), arg.message);
	vm_stop(vm);
	close(fd);
}

/*
 * The last of all: nothing is restored any more.  Their guests wait for the clocks that came,
 * also if the VMs are preserved already, with a clock that their VMM has set.
 */
static void held_at_kexec(void)
{
	struct kch_restore arg;
	struct clocks before[2], saved[2], live;
	int fd[2], err, i;
	struct vm vm[2];

	for (i = 0; i < 2; i++) {
		vm_create_loaded(&vm[i], 2);
		before[i] = live_clocks(&vm[i]);
		fd[i] = open_device();
		saved[i] = saved_clocks(ID_SAVED + i);
		if (i)
			must_preserve(&vm[i], ID_SAVED + i);
		err = hold(fd[i], &vm[i], ID_SAVED + i, LONG_MS, &arg);
		check(!err, "%s: %s", errno_name(err), arg.message);
		if (!i)
			must_preserve(&vm[i], ID_SAVED + i);
	}
	fault_insert("seal=1", ECANCELED);
	for (i = 0; i < 2; i++) {
		check_as_left(&vm[i], &before[i], "kexec");
		err = hold_wait(fd[i], &arg);
		check(err == ECANCELED && strstr(arg.message, "before the VMM resumed"),
		      "%s: %s", errno_name(err), arg.message);
		err = restore(&vm[i], ID_SAVED + i, 0, &arg);
		check(err == ESHUTDOWN, "%s: %s", errno_name(err), arg.message);
		close(fd[i]);
	}
	scene_over_kexec(NULL);
	for (i = 0; i < 2; i++) {
		err = restore(&vm[i], ID_SAVED + i, 0, &arg);
		live = live_clocks(&vm[i]);
		check(!err && same_clocks(&saved[i], &live, 2),
		      "held at the kexec, and preserved %s: %s: %s", i ? "before" : "then",
		      errno_name(err), arg.message);
		vm_destroy(&vm[i]);
	}
}

void test_hold_ends(void)
{
	static const uint32_t vcpus[] = { 2, 2 };
	struct vm vm;

	begin(vcpus, 2);
	without_descriptors();
	vm_create_loaded(&vm, 2);
	timed_out(&vm, false);
	timed_out(&vm, true);
	ended_unseen(&vm);
	file_closed(&vm);
	changed_meanwhile(ID_SAVED + 1);
	vm_closed(ID_SAVED + 1, false);
	vm_closed(ID_SAVED + 1, true);
	process_gone(ID_SAVED + 1, SIGKILL, "killed");
	process_gone(ID_SAVED + 1, SIGUSR1, "another program");
	two_holds(&vm);
	vm_destroy(&vm);

	held_while_kept();
	module_unload();
	begin(vcpus, 2);
	vm_create_loaded(&vm, 2);
	interrupted(&vm);
	vm_destroy(&vm);
	check(becomes_dead(KCH_INCOMING, ID_SAVED), "closed, and live");

	module_unload();
	begin(vcpus, 2);
	held_at_kexec();
	module_unload();
	region_clear();
}
