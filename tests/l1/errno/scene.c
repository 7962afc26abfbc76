// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "fault.h"
#include "forge.h"
#include "scene.h"
#include "snapshot.h"

struct scene scene;

static char buffer[65536];

void scene_base(unsigned int cmd, union kch_any *arg)
{
	switch (cmd) {
	case KCH_IOC_PRESERVE:
		arg->preserve.vm_fd = scene.vm.fd;
		set_uuid(arg->preserve.uuid, ID_NEW);
		strcpy(arg->preserve.name, "new");
		break;
	case KCH_IOC_UNPRESERVE:
		set_uuid(arg->unpreserve.uuid, ID_KEPT);
		break;
	case KCH_IOC_LIST:
		arg->list.entry_size = sizeof(struct kch_entry);
		arg->list.entries = (uintptr_t)buffer;
		arg->list.count = 16;
		break;
	case KCH_IOC_GET:
		arg->get.buffer = (uintptr_t)buffer;
		arg->get.buffer_size = sizeof(buffer);
		set_uuid(arg->get.uuid, ID_KEPT);
		break;
	case KCH_IOC_READ:
		arg->read.vm_fd = scene.vm.fd;
		arg->read.buffer = (uintptr_t)buffer;
		arg->read.buffer_size = sizeof(buffer);
		break;
	case KCH_IOC_RESTORE:
		arg->restore.vm_fd = scene.vm.fd;
		arg->restore.mode = KCH_MODE_IDENTICAL;
		set_uuid(arg->restore.uuid, ID_SAVED);
		break;
	case KCH_IOC_CLOCK_FD:
		arg->clock_fd.vm_fd = scene.vm.fd;
		set_uuid(arg->clock_fd.uuid, ID_NEW);
		break;
	case KCH_IOC_ADOPT:
		arg->adopt.vm_fd = scene.grown.fd;
		break;
	case KCH_IOC_FINISH:
		arg->finish.flags = KCH_FINISH_DISCARD;
		break;
	}
}

void scene_reload(struct forged *forged)
{
	module_unload();
	region_clear();
	forge_write(forged, 0);
	module_load();
}

void scene_over_kexec(const char *how)
{
	struct kch_rec_header header;
	unsigned int slot;
	size_t at;

	if (how)
		fault_insert(how, ECANCELED);
	module_unload();
	for (slot = 0; slot < 2; slot++) {
		at = slot * kch_slot_size(region_size);
		region_read(&header, sizeof(header), at);
		if (header.commit != (KCH_RECORD_COMMIT ^ header.sequence))
			continue;
		header.boot_id[3] ^= 0xff;
		forge_seal_header(&header);
		region_write(&header, sizeof(header), at);
	}
	module_load();
}

void scene_begin(void)
{
	static struct forged forged;

	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	vm_create_ready(&scene.kept, 1, SCENE_OFFSET + 1);
	vm_create_ready(&scene.spare, 1, SCENE_OFFSET + 2);
	vm_create_ready(&scene.grown, 2, SCENE_OFFSET + 3);
	vm_add(&scene.grown, 2);
	vm_set_offset(&scene.grown, 2, SCENE_OFFSET + 3);
	condition_base = scene_base;

	region_clear();
	module_load();
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	scene_reload(&forged);
	must_preserve(&scene.kept, ID_KEPT);

	snapshot_watch_none();
	snapshot_watch(&scene.vm);
	snapshot_watch(&scene.kept);
	snapshot_watch(&scene.spare);
	snapshot_watch(&scene.grown);
}

void scene_end(void)
{
	module_unload();
	snapshot_watch_none();
	vm_destroy(&scene.vm);
	vm_destroy(&scene.kept);
	vm_destroy(&scene.spare);
	vm_destroy(&scene.grown);
}
