// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "handover.h"

static int clock_fd;

void handover_use_clock(int fd)
{
	clock_fd = fd;
}

static struct kch_handle *open_device(struct handover *h)
{
	struct kch_open_opts opts = { .sz = sizeof(opts), .clock_fd = clock_fd };
	struct kch_handle *handle = kch_open(&opts);

	memset(h, 0, sizeof(*h));
	if (!handle) {
		h->error = -errno;
		snprintf(h->message, sizeof(h->message), "%s: %s", KCH_DEVICE,
			 strerror(errno));
	}
	return handle;
}

static void finish(struct kch_handle *handle, struct handover *h, int error)
{
	h->error = error;
	if (error)
		snprintf(h->message, sizeof(h->message), "%s",
			 kch_last_message(handle));
	kch_close(handle);
}

void handover_save(const struct vm *vm, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = open_device(h);

	if (handle)
		finish(handle, h, kch_vm_save(handle, vm->fd, saved->uuid,
					      saved->name, NULL));
}

void handover_prepare(const struct vm *vm, struct handover *h)
{
	struct kch_handle *handle = open_device(h);

	if (handle)
		finish(handle, h, kch_vm_prepare(handle, vm->fd,
						 vm->mem->saved->uuid));
}

void handover_restore(const struct vm *vm, uint32_t flags, struct handover *h)
{
	struct kch_handle *handle = open_device(h);
	struct kch_restore_opts opts = {
		.sz = sizeof(opts),
		.flags = flags,
		.mode = KCH_MODE_IDENTICAL,
	};
	struct kch_vcpu_fd vcpus[GUEST_VCPUS_MAX];
	uint32_t i;

	if (!handle)
		return;
	for (i = 0; i < vm->vcpu_count; i++) {
		vcpus[i].vcpu_id = vm->vcpu[i].id;
		vcpus[i].fd = vm->vcpu[i].fd;
	}
	h->result.sz = sizeof(h->result);
	finish(handle, h, kch_vm_restore(handle, vm->fd, vcpus, vm->vcpu_count,
					 vm->mem->saved->uuid, &opts,
					 &h->result));
}

void handover_adopt(const struct vm *vm, struct handover *h)
{
	struct kch_handle *handle = open_device(h);

	if (handle)
		finish(handle, h, kch_vm_adopt(handle, vm->fd, NULL));
}
