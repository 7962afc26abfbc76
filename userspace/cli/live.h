/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual machines that run on this host, whatever VMM they have. */
#ifndef KCH_CLI_LIVE_H
#define KCH_CLI_LIVE_H

#include <stddef.h>
#include "cli.h"

/**
 * struct live_vm - a VM of some process
 * @pid: the process; the first one if several hold the VM
 * @number: the VM's file descriptor there; the first one
 * @fd: a duplicate of it, in this process
 * @uuid: its id, see identity.h
 * @name: its name; may be empty
 */
struct live_vm {
	pid_t pid;
	int number;
	int fd;
	uint8_t uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
};

struct live_vms {
	struct live_vm *vms;
	size_t count;
	size_t room;	/* that @vms has */
	void *by_file;	/* their descriptors, a tree of tsearch() */
	int code;	/* exit code: EXIT_FAILED if some could not be taken */
};

/* All of them, or with @pid only that process's.  Complains as it goes. */
void live_find(struct tool *tool, pid_t pid, struct live_vms *live);
void live_free(struct live_vms *live);

/*
 * The one that --pid, --fd and --id mean; with --pid the id is not looked at.
 * NULL after a complaint, with the exit code in @code.
 */
struct live_vm *live_choose(struct tool *tool, struct live_vms *live, int *code);

/**
 * struct live_vcpus - descriptors of a process's vCPUs, duplicated into this one
 * @fds: them
 * @count: how many
 */
struct live_vcpus {
	int *fds;
	size_t count;
};

/*
 * Those of the VM's process, of all its VMs: the module knows which are whose.  -ESRCH if
 * that is not the process any more that the VM was found in; another errno if
 * one of them cannot be had.  @message says so.
 */
int live_take_vcpus(const struct live_vm *vm, struct live_vcpus *vcpus,
		    char *message, size_t size);
void live_free_vcpus(struct live_vcpus *vcpus);

/* Its name, or what can be said without; free(). */
char *live_label(const struct live_vm *vm);

#endif /* KCH_CLI_LIVE_H */
