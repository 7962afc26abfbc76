/* SPDX-License-Identifier: GPL-2.0 */
/* The virtual machines that run on this host, whatever VMM they have. */
#ifndef KCH_CLI_LIVE_H
#define KCH_CLI_LIVE_H

#include <stddef.h>
#include "options.h"

struct live_vm {
	pid_t pid;			/* the process; the first one of several */
	int number;			/* the VM's descriptor there; the first one */
	int fd;				/* a duplicate of it, in this process */
	uint8_t uuid[KCH_UUID_SIZE];	/* its id, see identity.h */
	char name[KCH_NAME_SIZE];	/* may be empty */
	bool has_lasting_id;		/* the same after the kexec, or saved already */
};

struct live_vms {
	struct live_vm *vms;
	size_t count, room;
	void *by_file;	/* their descriptors, a tree of tsearch() */
	int code;	/* exit code: EXIT_FAILED if some could not be taken */
};

/* All of them, or with @pid only that process's.  Complains as it goes. */
void live_find(struct tool *tool, pid_t pid, struct live_vms *live);

/* Closes their descriptors. */
void live_close(struct live_vms *live);

/*
 * The one that @choice means; with a process the id is not looked at.
 * NULL after a complaint, with the exit code in @code.
 */
struct live_vm *live_choose(struct tool *tool, const struct vm_choice *choice,
			    struct live_vms *live, int *code);

/* Descriptors of a process's vCPUs, duplicated into this one. */
struct live_vcpus {
	int *fds;
	size_t count;
};

/*
 * Those of the VM's process, of all its VMs: the module knows which are whose.  -ESRCH if
 * that is not the process any more that the VM was found in; another errno if
 * one of them cannot be had.  @message says so.
 */
int live_take_vcpus(const struct live_vm *vm, struct live_vcpus *vcpus, char *message, size_t size);
void live_close_vcpus(struct live_vcpus *vcpus);

/* Its name, or what can be said without. */
const char *live_label(const struct live_vm *vm);

#endif /* KCH_CLI_LIVE_H */
