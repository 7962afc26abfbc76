// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "tally.h"
#include "things.h"
#include "worker.h"

static void signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, WORKER_SIGNAL);
	pthread_sigmask(how, &set, NULL);
}

static struct vm *some_vm(struct caller *c)
{
	return &c->vms[random_below(&c->random, CALLER_VMS)];
}

/* Of those of the incoming record, now and then another one. */
static void make_vm(struct caller *c, struct vm *vm)
{
	signals(SIG_BLOCK);
	if (random_one_in(&c->random, 16))
		vm_create(vm);
	else
		vm_create_ready(vm, 1 + random_below(&c->random, 2), FUZZ_OFFSET);
	signals(SIG_UNBLOCK);
	thing_publish(&c->random, vm->fd);
	if (vm->vcpus)
		thing_publish(&c->random, vm->vcpu[0]);
}

static void act_new_vm(struct caller *c)
{
	struct vm *vm = some_vm(c);

	vm_destroy(vm);
	make_vm(c, vm);
	tally_act("a VM gone and another made", true);
}

static void run_once(const struct vm *vm)
{
	if (!vm->vcpus)
		return;
	signals(SIG_BLOCK);
	vm_run_once(vm, 0);
	signals(SIG_UNBLOCK);
}

/* What a VMM does. */
static void act_vmm(struct caller *c)
{
	struct vm *vm = some_vm(c);

	switch (random_below(&c->random, 8)) {
	case 0:
		if (vm->vcpus && vm->vcpus < 4)
			vm_add(vm, vm->vcpus);
		break;
	case 1:
		vm_set_clock(vm, random_next(&c->random) >> 8);
		break;
	case 2:
		if (vm->vcpus)
			vm_set_offset(vm, 0, FUZZ_OFFSET + random_below(&c->random, 2));
		break;
	case 3:
		if (vm->vcpus) {
			vm_go(vm, 0);
			call_any(c);
			call_any(c);
			vm_stop(vm);
		}
		break;
	default:
		run_once(vm);
	}
	tally_act("a VMM's ioctls", true);
}

static void close_device(struct caller *c)
{
	if (c->device >= 0)
		close(c->device);
	c->device = -1;
}

static void act_device(struct caller *c)
{
	close_device(c);
	c->device = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	thing_publish(&c->random, c->device);
	tally_act("the device opened", c->device >= 0);
}

static void close_clock(struct caller_clock *clock)
{
	if (clock->fd >= 0)
		close(clock->fd);
	clock->fd = -1;
}

static void act_files(struct caller *c)
{
	static const char * const names[] = {
		KCH_DEBUGFS "status", KCH_DEBUGFS "outgoing", KCH_DEBUGFS "incoming",
		KCH_DEBUGFS "vms", KCH_DEBUGFS "restored", KCH_DEBUGFS "region_raw",
		KCH_DEBUGFS "incoming_raw", NULL,
	};
	const char *name = names[random_below(&c->random, sizeof(names) / sizeof(names[0]))];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", c->clocks[0].fd);
	fd = open(name ?: path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		lseek(fd, random_below(&c->random, 64), SEEK_SET);
		if (read(fd, c->buffer, 1 + random_below(&c->random, CALLER_BUFFER)) < 0)
			tally_act("a file read", false);
		close(fd);
	}
	tally_act("a file read", fd >= 0);
}

/* The VMM of a VM that is held: it resumes, sets a clock first, is late, or goes away. */
static void play_held(struct caller *c, struct vm *vm, int fd, bool on_clock, unsigned int how)
{
	union kch_any arg = { .restore = { .size = sizeof(arg.restore) } };

	if (how == 0)
		vm_set_clock(vm, 1000000000);
	if (how <= 1)
		run_once(vm);
	if (how == 2) {
		vm_destroy(vm);
		make_vm(c, vm);
	}
	if (how <= 4)
		tally_act("a hold waited for", !call_on(fd, on_clock, KCH_IOC_WAIT, &arg));
	else
		tally_act("a hold abandoned", true);
}

/* A hold by an open file of its own, or by the descriptor of the entry's clock. */
static void act_hold(struct caller *c)
{
	struct vm *vm = some_vm(c);
	uint32_t id = call_id_for(&c->random, vm);
	unsigned int how = random_below(&c->random, 6);
	union kch_any arg = { .clock_fd = {
		.size = sizeof(arg.clock_fd),
		.vm_fd = -1,
	} };
	int opened = open(KCH_DEVICE, O_RDWR | O_CLOEXEC), fd = opened;
	int clock = -1, err;

	set_uuid(arg.clock_fd.uuid, id);
	if (opened >= 0 && random_one_in(&c->random, 2) &&
	    !call_on(opened, false, KCH_IOC_CLOCK_FD, &arg)) {
		clock = arg.clock_fd.fd;
		fd = clock;
	}
	arg = (union kch_any){ .restore = {
		.size = sizeof(arg.restore),
		.flags = KCH_RESTORE_HOLD | KCH_RESTORE_STALE,
		.hold_ms = how <= 1 ? 4000 : 1 + random_below(&c->random, 40),
		.vm_fd = vm->fd,
		.mode = KCH_MODE_IDENTICAL,
	} };
	set_uuid(arg.restore.uuid, id);
	err = fd < 0 ? ENODEV : call_on(fd, clock >= 0, KCH_IOC_RESTORE, &arg);
	tally_act("a hold begun", !err);
	if (!err)
		play_held(c, vm, fd, clock >= 0, how);
	if (clock >= 0)
		close(clock);
	if (opened >= 0)
		close(opened);
}

/* A process of its own that is killed in the midst of it. */
static void act_killed(struct caller *c)
{
	pid_t child = fork();

	if (!child) {
		/* What it finds is found by threads, too; only they count. */
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		for (;;) {
			act_hold(c);
			call_any(c);
		}
	}
	if (child < 0)
		return tally_act("a process killed", false);
	usleep(1000 + random_below(&c->random, 40000));
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	tally_act("a process killed", true);
}

/* Somebody has it open, nearly always. */
static void act_unload(struct caller *c)
{
	int err;

	close_device(c);
	/* Both wait for the kernel's lock of modules, and a signal ends that. */
	signals(SIG_BLOCK);
	err = syscall(SYS_delete_module, module_name(), O_NONBLOCK) ? errno : 0;
	tally_act("the module unloaded in use", !err);
	if (!err)
		module_load_only();
	signals(SIG_UNBLOCK);
	if (err && err != EAGAIN && err != EBUSY && err != ENOENT)
		wrong("unloading: %s", errno_name(err));
}

static void step(struct caller *c)
{
	if (c->device < 0)
		act_device(c);
	switch (random_below(&c->random, 128)) {
	case 0 ... 7:
		return act_new_vm(c);
	case 8 ... 15:
		return act_vmm(c);
	case 16 ... 18:
		return act_device(c);
	case 19:
		return close_clock(&c->clocks[random_below(&c->random, CALLER_CLOCKS)]);
	case 20 ... 22:
		return act_files(c);
	case 23 ... 30:
		return act_hold(c);
	case 31:
		return act_killed(c);
	case 32:
		return act_unload(c);
	default:
		return call_any(c);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct caller *c = &w->caller;
	unsigned int i;

	for (i = 0; i < CALLER_VMS; i++)
		make_vm(c, &c->vms[i]);
	for (i = 0; i < w->steps; i++) {
		c->late = i > w->steps - w->steps / 8;
		step(c);
	}
	signals(SIG_BLOCK);
	w->done = true;
	for (i = 0; i < CALLER_VMS; i++)
		vm_destroy(&c->vms[i]);
	for (i = 0; i < CALLER_CLOCKS; i++)
		close_clock(&c->clocks[i]);
	close_device(c);
	return NULL;
}

/* Far from all else: where a spoiled address of it points to, there is nothing that we need. */
#define BUFFERS		0x100000000000
#define BUFFERS_APART	0x1000000000

void worker_init(struct worker *w, unsigned int number)
{
	memset(w, 0, sizeof(*w));
	place_init(&w->caller.place);
	w->caller.buffer = mmap((void *)(BUFFERS + number * BUFFERS_APART), CALLER_BUFFER,
				PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (w->caller.buffer == MAP_FAILED)
		die("no memory for answers");
}

void worker_start(struct worker *w, uint64_t seed, unsigned int steps)
{
	unsigned int i;

	w->caller.random.state = seed;
	w->caller.device = -1;
	for (i = 0; i < CALLER_CLOCKS; i++)
		w->caller.clocks[i].fd = -1;
	w->steps = steps;
	w->done = false;
	if (pthread_create(&w->thread, NULL, work, w))
		die("no thread");
}
