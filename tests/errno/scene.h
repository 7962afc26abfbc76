/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What most groups of tests start from: a region with a sealed record "from
 * before the kexec" in slot 0, the module loaded, and four VMs.
 */
#ifndef KCH_ERRNO_SCENE_H
#define KCH_ERRNO_SCENE_H

#include "condition.h"
#include "vm.h"

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

/* All 16 bytes are ID. */
void set_uuid(__u8 uuid[KCH_UUID_SIZE], uint8_t id);

/* Die if they are refused. */
void scene_preserve(const struct vm *vm, uint8_t id);
void scene_unpreserve(uint8_t id);

/* 0 or an errno; @arg gets all the kernel said. */
int preserve(const struct vm *vm, uint8_t id, struct kch_preserve *arg);
int unpreserve(uint8_t id);
int restore(const struct vm *vm, uint8_t id, uint32_t flags,
	    struct kch_restore *arg);
int adopt(const struct vm *vm, struct kch_adopt *arg);
int finish(uint32_t flags, struct kch_finish *arg);
int list(uint32_t which, struct kch_entry *entries, uint32_t *count);
int get(uint32_t which, uint8_t id, void *buffer, uint32_t *size);

#endif /* KCH_ERRNO_SCENE_H */
