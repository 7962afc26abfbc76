// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "handover.h"
#include "report.h"

static int clock_fd;
static uint64_t bound;
static uint32_t rounds, mode, policy, limit_ms;

void handover_use_clock(int fd)
{
	clock_fd = fd;
}

void handover_use_bound(uint64_t bound_ns, uint32_t rounds_max)
{
	if (bound_ns)
		bound = bound_ns;
	if (rounds_max)
		rounds = rounds_max;
}

void handover_use_mode(uint32_t weakest)
{
	mode = weakest;
}

void handover_use_policy(uint32_t use_policy, uint32_t use_limit_ms)
{
	policy = use_policy;
	limit_ms = use_limit_ms;
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

static struct kch_handle *open_stock(struct handover *h)
{
	memset(h, 0, sizeof(*h));
	h->error = -ENOMEM;
	return kch_open_stock();
}

void handover_stock_save(const struct vm *vm, struct handover *h)
{
	struct kch_stock_vcpu vcpus[GUEST_VCPUS_MAX];
	struct guest_pvclock pages[GUEST_VCPUS_MAX];
	struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = open_stock(h);
	size_t size = sizeof(saved->stock);
	uint32_t i;

	if (!handle)
		return;
	for (i = 0; i < vm->vcpu_count; i++) {
		pages[i] = guestmem_read_page(vm->mem, i);
		vcpus[i].vcpu_id = vm->vcpu[i].id;
		vcpus[i].fd = vm->vcpu[i].fd;
		vcpus[i].pvclock = &pages[i];
	}
	finish(handle, h, kch_stock_save(handle, vm->fd, vcpus, vm->vcpu_count,
					 saved->uuid, saved->name, saved->stock,
					 &size));
	saved->stock_size = h->error ? 0 : size;
}

void handover_stock_prepare(const struct vm *vm, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = open_stock(h);

	if (handle)
		finish(handle, h, kch_stock_prepare(handle, vm->fd, saved->stock,
						    saved->stock_size));
}

static void fill_fds(const struct vm *vm, struct kch_vcpu_fd *vcpus)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		vcpus[i].vcpu_id = vm->vcpu[i].id;
		vcpus[i].fd = vm->vcpu[i].fd;
	}
}

static struct kch_restore_opts restore_opts(uint32_t flags)
{
	return (struct kch_restore_opts){
		.sz = sizeof(struct kch_restore_opts),
		.flags = flags,
		.mode = mode,
		.bound_ns = bound,
		.rounds_max = rounds,
		.policy = policy,
		.limit_ms = limit_ms,
	};
}

void handover_stock_restore(const struct vm *vm, uint32_t flags,
			    struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = open_stock(h);
	const struct kch_restore_opts opts = restore_opts(flags);
	struct kch_vcpu_fd vcpus[GUEST_VCPUS_MAX];

	if (!handle)
		return;
	fill_fds(vm, vcpus);
	h->result.sz = sizeof(h->result);
	finish(handle, h, kch_stock_restore(handle, vm->fd, vcpus,
					    vm->vcpu_count, saved->stock,
					    saved->stock_size, &opts,
					    &h->result));
}

void handover_import(const struct vm *vm, bool module, uint32_t flags, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = module ? open_device(h) : open_stock(h);
	const struct kch_restore_opts opts = restore_opts(flags);
	struct kch_vcpu_fd vcpus[GUEST_VCPUS_MAX];

	if (!handle)
		return;
	fill_fds(vm, vcpus);
	h->result.sz = sizeof(h->result);
	finish(handle, h, kch_import(handle, vm->fd, vcpus, vm->vcpu_count, saved->stock,
				     saved->stock_size, &opts, &h->result));
}

void handover_take_clock(const struct vm *vm, struct handover *h)
{
	struct kch_handle *handle = open_device(h);
	int fd;

	if (!handle)
		return;
	fd = kch_clock_fd(handle, -1, vm->mem->saved->uuid, NULL);
	finish(handle, h, fd < 0 ? fd : 0);
	clock_fd = fd < 0 ? 0 : fd;
}

int handover_clock_of(const struct vm *vm, struct handover *h)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct kch_handle *handle = open_device(h);
	int fd;

	if (!handle)
		return h->error;
	fd = kch_clock_fd(handle, vm->fd, saved->uuid, saved->name);
	finish(handle, h, fd < 0 ? fd : 0);
	return fd;
}

void handover_restore(const struct vm *vm, uint32_t flags, struct handover *h)
{
	struct kch_handle *handle = open_device(h);
	const struct kch_restore_opts opts = restore_opts(flags);
	struct kch_vcpu_fd vcpus[GUEST_VCPUS_MAX];

	if (!handle)
		return;
	fill_fds(vm, vcpus);
	h->result.sz = sizeof(h->result);
	finish(handle, h, kch_vm_restore(handle, vm->fd, vcpus, vm->vcpu_count,
					 vm->mem->saved->uuid, &opts,
					 &h->result));
}

void handover_scaling(const struct vm *vm, struct saved_clock *clock)
{
	struct kch_handle *handle = kch_open(NULL);
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *live;
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		clock[i].tsc_scaling_ratio = 1;
		clock[i].tsc_scaling_frac_bits = 0;
	}
	if (!handle) {
		if (vm->mem->saved->asked_khz)
			die("%s: %s: the ratio of a scaled guest is not known",
			    KCH_DEVICE, strerror(errno));
		return;
	}
	if (kch_vm_read(handle, vm->fd, &live, NULL))
		die("%s", kch_last_message(handle));
	if (kch_vm_info(live, &info) || info.vcpu_count != vm->vcpu_count)
		die("the module reads another number of vCPUs");
	for (i = 0; i < vm->vcpu_count; i++) {
		struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };

		if (kch_vm_vcpu(live, i, &vcpu) ||
		    vcpu.vcpu_id != vm->vcpu[i].id)
			die("the module reads another vCPU %u", i);
		clock[i].tsc_scaling_ratio = vcpu.tsc_scaling_ratio;
		clock[i].tsc_scaling_frac_bits = info.tsc_scaling_frac_bits;
	}
	kch_vm_free(live);
	kch_close(handle);
}

void handover_adopt(const struct vm *vm, struct handover *h)
{
	struct kch_handle *handle = open_device(h);

	if (handle)
		finish(handle, h, kch_vm_adopt(handle, vm->fd, NULL));
}
