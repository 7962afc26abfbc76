/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vmclock page of a stopped VM, from outside: kept when it is saved, put back when it is
 * restored.
 */
#ifndef KCH_CLI_VMCLOCK_H
#define KCH_CLI_VMCLOCK_H

#include "live.h"
#include "../lib/vmclock_page.h"

/* Where it is kept, if no folder is named. */
#define VMCLOCK_FOLDER	"/var/lib/kvmclock-handover"

struct vmclock {
	pid_t pid;
	uint64_t address;		/* in that process; 0: there is nothing to put back */
	struct vmclock_page kept, found;	/* when it was saved, and as its VMM has it now */
	char *path;			/* of the file with the first */
};

/* Keeps the page of a VM below @folder, if it has one.  0, or an exit code after a complaint. */
int vmclock_keep(struct tool *tool, const struct live_vm *vm, const uint8_t uuid[KCH_UUID_SIZE],
		 const char *folder);

/*
 * What is to be put back.  Whatever is wrong with that is a warning: the guest will be told of
 * a disruption that there was not, which is no reason to leave its clock wrong.
 */
void vmclock_find(struct tool *tool, const struct live_vm *vm, const uint8_t uuid[KCH_UUID_SIZE],
		  const char *folder, struct vmclock *vmclock);

/* The guest sees none of what its VMM has changed.  Before the guest runs; true if it was done. */
bool vmclock_put_back(struct tool *tool, struct vmclock *vmclock);

/*
 * The guest is told, because its clock did not come back exactly: so much was hidden from it,
 * or with 0 it is as its VMM left it.  true if that was done.
 */
bool vmclock_tell(struct tool *tool, struct vmclock *vmclock, uint64_t hidden_ns);

#endif /* KCH_CLI_VMCLOCK_H */
