/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What most groups of tests start from: a region with a sealed record "from
 * before the kexec" in slot 0, the module loaded, and four VMs.
 */
#ifndef KCH_ERRNO_SCENE_H
#define KCH_ERRNO_SCENE_H

#include "calls.h"
#include "condition.h"

struct forged;

#define ID_KEPT		0x11	/* of @kept, in the outgoing record */
#define ID_SAVED	0x99	/* of @vm, in the incoming record */
#define ID_NEW		0x22	/* of nothing yet */
#define ID_UNKNOWN	0x77

#define SCENE_OFFSET	(-123456789012345ULL)

/**
 * struct scene - the VMs
 * @vm: two vCPUs, its clock is in the incoming record, five seconds ahead
 * @kept: one vCPU, preserved
 * @spare: one vCPU, in no record
 * @grown: three vCPUs, the last was added and did not run yet
 */
struct scene {
	struct vm vm;
	struct vm kept;
	struct vm spare;
	struct vm grown;
};

extern struct scene scene;

/* With a scene, every ioctl accepts what this fills in. */
void scene_base(unsigned int cmd, union kch_any *arg);

void scene_begin(void);
void scene_end(void);

/* The module anew, with only that in the region; what was preserved is gone. */
void scene_reload(struct forged *forged);

/*
 * As over a kexec: sealed, and then found by a kernel with another boot id.
 * @how: parameters of kch_fault, which do not let it be loaded; NULL: it was sealed already
 */
void scene_over_kexec(const char *how);

#endif /* KCH_ERRNO_SCENE_H */
