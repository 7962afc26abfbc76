// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "record.h"

#include "calls.h"

void set_uuid(__u8 uuid[KCH_UUID_SIZE], uint32_t id)
{
	memset(uuid, id & 0xff, KCH_UUID_SIZE);
	if (id > 0xff)
		memcpy(uuid, &id, sizeof(id));
}

int preserve(const struct vm *vm, uint32_t id, struct kch_preserve *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->vm_fd = vm->fd;
	set_uuid(arg->uuid, id);
	snprintf(arg->name, sizeof(arg->name), "vm-%02x", id);
	return device_call(KCH_IOC_PRESERVE, arg);
}

int unpreserve(uint32_t id)
{
	struct kch_unpreserve arg = { .size = sizeof(arg) };

	set_uuid(arg.uuid, id);
	return device_call(KCH_IOC_UNPRESERVE, &arg);
}

int restore(const struct vm *vm, uint32_t id, uint32_t flags,
	    struct kch_restore *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->flags = flags;
	arg->vm_fd = vm->fd;
	arg->mode = KCH_MODE_IDENTICAL;
	set_uuid(arg->uuid, id);
	return device_call(KCH_IOC_RESTORE, arg);
}

int hold(int fd, const struct vm *vm, uint32_t id, uint32_t hold_ms,
	 struct kch_restore *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->flags = KCH_RESTORE_HOLD | KCH_RESTORE_STALE;
	arg->hold_ms = hold_ms;
	arg->vm_fd = vm->fd;
	arg->mode = KCH_MODE_IDENTICAL;
	set_uuid(arg->uuid, id);
	return ioctl(fd, KCH_IOC_RESTORE, arg) ? errno : 0;
}

int hold_wait(int fd, struct kch_restore *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	return ioctl(fd, KCH_IOC_WAIT, arg) ? errno : 0;
}

int adopt(const struct vm *vm, struct kch_adopt *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->vm_fd = vm->fd;
	return device_call(KCH_IOC_ADOPT, arg);
}

int finish(uint32_t flags, struct kch_finish *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->flags = flags;
	return device_call(KCH_IOC_FINISH, arg);
}

int list(uint32_t which, struct kch_entry *entries, uint32_t *count)
{
	struct kch_list arg = {
		.size = sizeof(arg),
		.which = which,
		.entry_size = sizeof(*entries),
		.entries = (uintptr_t)entries,
		.count = *count,
	};
	int err = device_call(KCH_IOC_LIST, &arg);

	*count = arg.count;
	return err;
}

uint32_t list_flags(uint32_t which, uint32_t id)
{
	struct kch_entry entries[16];
	uint32_t count = 16, i;

	if (list(which, entries, &count))
		die("LIST failed");
	for (i = 0; i < count; i++)
		if (entries[i].uuid[0] == id)
			return entries[i].flags;
	die("no VM %02x in the record", id);
}

bool becomes_dead(uint32_t which, uint32_t id)
{
	int tries = 250;

	while (list_flags(which, id) & KCH_ENTRY_LIVE && tries--)
		usleep(20000);
	return tries >= 0;
}

int get(uint32_t which, uint32_t id, void *buffer, uint32_t *size)
{
	struct kch_get arg = {
		.size = sizeof(arg),
		.which = which,
		.buffer = (uintptr_t)buffer,
		.buffer_size = *size,
	};
	int err;

	set_uuid(arg.uuid, id);
	err = device_call(KCH_IOC_GET, &arg);
	*size = arg.buffer_size;
	return err;
}

int read_entry(const struct vm *vm, struct kch_rec_vm *entry, size_t size)
{
	struct kch_read read = {
		.size = sizeof(read),
		.vm_fd = vm->fd,
		.buffer = (uintptr_t)entry,
		.buffer_size = size,
	};

	return device_call(KCH_IOC_READ, &read);
}

bool vm_gets_busy(const struct vm *vm)
{
	uint8_t entry[8192] __attribute__((aligned(8)));
	struct kch_rec_vm *seen = (void *)entry;
	int tries = 20000;

	do {
		if (read_entry(vm, seen, sizeof(entry)))
			return false;
		if (le32_to_cpu(seen->flags) & KCH_VM_RUNNING)
			return true;
		usleep(1000);
	} while (tries--);
	return false;
}

void must_preserve(const struct vm *vm, uint32_t id)
{
	struct kch_preserve arg;
	int err = preserve(vm, id, &arg);

	if (err)
		die("preserving a VM as %02x: %s: %s", id, errno_name(err),
		    arg.message);
}

void must_unpreserve(uint32_t id)
{
	int err = unpreserve(id);

	if (err)
		die("unpreserving %02x: %s", id, errno_name(err));
}
