// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "condition.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define ROUNDS	20

/* Of the vendor module that is loaded: each VM counts. */
static unsigned int kvm_users(void)
{
	FILE *modules = fopen("/proc/modules", "r");
	char line[512], found[64];
	unsigned int users = 0, n;

	while (fgets(line, sizeof(line), modules))
		if (sscanf(line, "%63s %*u %u", found, &n) == 2 &&
		    (!strcmp(found, "kvm_amd") || !strcmp(found, "kvm_intel")))
			users = n;
	fclose(modules);
	return users;
}

/* A VM in a process of its own, preserved there; the process is left waiting. */
static pid_t child_with_vm(uint8_t id)
{
	struct kch_preserve arg;
	char ready = 0;
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		die("pipe failed");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct vm vm;

		vm_create_ready(&vm, 1, SCENE_OFFSET);
		ready = preserve(&vm, id, &arg) ? 'n' : 'y';
		close(device);
		if (write(ends[1], &ready, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &ready, 1) != 1)
		ready = 'n';
	close(ends[0]);
	check(ready == 'y', "a child's VM was not preserved");
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void one_round(unsigned int round)
{
	struct vm here, closed;
	size_t size;
	pid_t alive, killed;

	module_load();
	/* First the children, or they would inherit the other VMs. */
	alive = child_with_vm(0x33);
	killed = child_with_vm(0x34);
	vm_create_ready(&here, 1, SCENE_OFFSET);
	vm_create_ready(&closed, 1, SCENE_OFFSET);
	must_preserve(&here, 0x31);
	must_preserve(&closed, 0x32);

	vm_destroy(&closed);
	end_child(killed);
	check(list_flags(KCH_OUTGOING, 0x31) & list_flags(KCH_OUTGOING, 0x33) & KCH_ENTRY_LIVE,
	      "round %u: VMs alive are not live", round);
	check(becomes_dead(KCH_OUTGOING, 0x32), "round %u: a VM that was closed is live", round);
	check(becomes_dead(KCH_OUTGOING, 0x34), "round %u: a VM whose process died is live",
	      round);
	free(debugfs_read("vms", &size));

	/* Which of the two goes first must not matter. */
	if (round & 1) {
		must_unpreserve(0x33);
		must_unpreserve(0x34);
		module_unload();
		end_child(alive);
		vm_destroy(&here);
	} else {
		end_child(alive);
		vm_destroy(&here);
		module_unload();
	}
	region_clear();
}

/* Files are let go a little later than they are closed. */
static void check_users(unsigned int wanted, const char *after)
{
	int tries = 250;

	while (kvm_users() != wanted && tries--)
		usleep(20000);
	check(kvm_users() == wanted, "KVM has %u users after %s, not %u",
	      kvm_users(), after, wanted);
}

/* /dev/kvm alone, once what was before this has gone. */
static unsigned int users_of_nothing(void)
{
	kvm_open();
	check_users(1, "nothing was done yet");
	return kvm_users();
}

void test_lifetime(void)
{
	unsigned int i, before = users_of_nothing();

	region_clear();
	for (i = 0; i < ROUNDS; i++)
		one_round(i);
	check_users(before, "all VMs were closed");
}

/* What a VM counts is KVM's business: for itself, or for each file. */
static unsigned int users_of_vm(uint32_t vcpus)
{
	unsigned int before = kvm_users(), users;
	struct vm vm;

	vm_create_ready(&vm, vcpus, SCENE_OFFSET);
	users = kvm_users() - before;
	check(users, "a VM does not show");
	vm_destroy(&vm);
	check_users(before, "a VM was closed");
	return users;
}

/* In both records: what came, and what is for the next kernel. */
static void restored_and_preserved(void)
{
	unsigned int before = kvm_users(), each = users_of_vm(2), with;
	struct kch_restore arg;

	with = before + each + 2 * users_of_vm(1) + users_of_vm(3);

	scene_begin();
	if (restore(&scene.vm, ID_SAVED, 0, &arg))
		die("RESTORE: %s", arg.message);
	must_preserve(&scene.vm, ID_SAVED);
	/* Those of the scene.  The VM of the self-check goes by itself. */
	check_users(with, "all was set up");
	vm_destroy(&scene.vm);
	check_users(with - each, "a VM in both records was closed");
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	check(restore(&scene.vm, ID_SAVED, 0, &arg) == EALREADY,
	      "RESTORE of a clock that was given back: %s", arg.message);
	check(!restore(&scene.vm, ID_SAVED, KCH_RESTORE_STALE, &arg),
	      "RESTORE to another VM, the first being gone: %s", arg.message);
	scene_end();
}

/* A VM that is watched must not outlive the process that closed it. */
void test_references(void)
{
	unsigned int before = users_of_nothing();
	struct vm vm;
	int i;

	restored_and_preserved();
	check_users(before, "a restore");

	module_load();
	/* Without anybody looking, and while it is still in the record. */
	vm_create_ready(&vm, 1, SCENE_OFFSET);
	must_preserve(&vm, 0x40);
	check(kvm_users() > before, "a VM does not show");
	vm_destroy(&vm);
	check_users(before, "a VM was closed");
	must_unpreserve(0x40);

	for (i = 0; i < ROUNDS; i++) {
		vm_create_ready(&vm, 1, SCENE_OFFSET);
		must_preserve(&vm, 0x41);
		vm_destroy(&vm);
		must_unpreserve(0x41);
	}
	check_users(before, "many VMs");
	module_unload();
	region_clear();
}
