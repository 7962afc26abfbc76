/* SPDX-License-Identifier: GPL-2.0 */
/* The model's VMs, guests and time. */
#ifndef KCH_MODEL_H
#define KCH_MODEL_H

#include "shim.h"
#include "core/record.h"

#define VMS		16
#define VCPUS_MAX	2
#define KHZ		1000000U	/* a cycle is a ns */

/* A guest: @clock names the function it has, or had when it ran last. */
struct guest {
	u8 uuid[KCH_UUID_SIZE];
	u64 clock;
	bool exists;
	bool saved;		/* by its VMM, and not back yet */
	u64 given;		/* what it will have once it is resumed */
	bool held;		/* its clock is marked as given; the VMM has not resumed it */
	bool marked;		/* by the last restore, not before */
	struct kvm *vm;
	u64 boot;		/* of the last kernel that it had a VM in */
};

struct kvm {
	struct file file;
	struct guest *guest;
	u64 clock;
	pid_t pid;
	bool alive;
	bool looked;		/* it has gone, and the last look is over */
	u32 vcpus;
};

extern struct kvm vms[VMS];
extern u64 now_tsc;
extern u64 wall_ns;		/* when the TSC was 0 */
extern u64 boot, started_tsc;	/* of this kernel */
extern bool kho_came;
extern volatile bool sealing;	/* VMMs have saved their guests */

#endif /* KCH_MODEL_H */
