// SPDX-License-Identifier: LGPL-2.1-or-later
/* After the kexec: a clock that was saved without the module. */
#include <stdlib.h>
#include "stock.h"

struct kch_handle *kch_open_stock(void)
{
	struct kch_handle *handle = calloc(1, sizeof(*handle));

	if (handle)
		handle->fd = -1;
	return handle;
}

/* What the record code does not look at, because a restore in the module does. */
static int check_vm(struct kch_handle *handle, const struct kch_vm *vm)
{
	uint32_t i;

	if (!vm->vcpu_count)
		return kch_fail(handle, -EBADMSG, "a clock without vCPUs");
	for (i = 0; i < vm->vcpu_count; i++) {
		const struct kch_rec_vcpu *vcpu = &vm->vcpus[i];

		if (i && le32_to_cpu(vcpu->vcpu_id) <= le32_to_cpu(vcpu[-1].vcpu_id))
			return kch_fail(handle, -EBADMSG,
					"vCPU %u follows vCPU %u",
					le32_to_cpu(vcpu->vcpu_id),
					le32_to_cpu(vcpu[-1].vcpu_id));
		if (!(le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID) ||
		    !vcpu->tsc_to_system_mul || !vcpu->tsc_scaling_ratio)
			return kch_fail(handle, -EBADMSG,
					"vCPU %u without a clock",
					le32_to_cpu(vcpu->vcpu_id));
	}
	return 0;
}

int kch_stock_parse(struct kch_handle *handle, const void *buffer, size_t size,
		    struct kch_rec_header *header, struct kch_vm **result)
{
	struct kch_message message = {};
	struct kch_record_vm found;
	struct kch_record record;
	size_t offset = 0;
	struct kch_vm *vm;
	uint32_t i;
	int err;

	*result = NULL;
	err = kch_record_open(buffer, size, &record, &message);
	if (!err)
		err = kch_record_next(&record, &offset, &found, &message);
	if (err == -EBADE)
		err = -EBADMSG;
	if (err)
		return kch_fail(handle, err, "%s",
				message.text[0] ? message.text : "no VM is in it");
	if (record.vm_count != 1 || offset != record.total_size)
		return kch_fail(handle, -EBADMSG, "%u VMs, expected 1",
				record.vm_count);
	vm = malloc(sizeof(*vm) + found.vcpu_count * sizeof(vm->vcpus[0]));
	if (!vm)
		return kch_fail(handle, -ENOMEM, "no memory for %u vCPUs",
				found.vcpu_count);
	vm->entry = found.vm;
	vm->vcpu_count = found.vcpu_count;
	for (i = 0; i < found.vcpu_count; i++)
		kch_record_vcpu(&found, i, &vm->vcpus[i]);
	err = check_vm(handle, vm);
	if (err) {
		free(vm);
		return err;
	}
	*header = record.header;
	*result = vm;
	return 0;
}

int kch_stock_vm(struct kch_handle *handle, const void *buffer, size_t size,
		 struct kch_vm **vm)
{
	struct kch_rec_header header;

	kch_start(handle);
	return kch_stock_parse(handle, buffer, size, &header, vm);
}

int kch_stock_prepare(struct kch_handle *handle, int vm_fd, const void *buffer,
		      size_t size)
{
	struct kch_rec_header header;
	struct kch_reading clock;
	uint32_t khz, host_khz;
	struct kch_vm *vm;
	int err;

	kch_start(handle);
	err = kch_stock_parse(handle, buffer, size, &header, &vm);
	if (err)
		return err;
	/* Where they differ the restore sets each vCPU its own. */
	khz = le32_to_cpu(vm->vcpus[0].virtual_tsc_khz);
	kch_vm_free(vm);
	err = kch_kvm_khz(handle, &host_khz);
	/* Tells a VM from another file, which may well take the ioctls that follow. */
	if (!err)
		err = kch_read_clock(handle, vm_fd, host_khz, &clock);
	return err ? err : kch_set_khz(handle, vm_fd, khz, host_khz);
}

static int same_machine(struct kch_handle *handle,
			const struct kch_rec_header *header, uint32_t flags,
			struct kch_restore_result *result)
{
	struct kch_machine machine;
	struct kch_message message = {};
	int err;

	kch_this_machine(&machine);
	err = kch_machine_same(header, &machine, flags & KCH_RESTORE_ANY_WALL,
			       &result->outcome, &message);
	return err ? kch_fail(handle, err, "%s", message.text) : 0;
}

int kch_stock_restore(struct kch_handle *handle, int vm_fd,
		      const struct kch_vcpu_fd *vcpus, size_t count,
		      const void *buffer, size_t size,
		      const struct kch_restore_opts *opts,
		      struct kch_restore_result *result)
{
	struct kch_restore_result out = { .outcome.vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	struct kch_target *target = NULL;
	struct kch_rec_header header;
	int err;

	kch_start(handle);
	err = kch_restore_opts_read(handle, opts, result, &restore_opts);
	if (err)
		return err;
	if (restore_opts.flags & ~(KCH_RESTORE_FLAGS | KCH_RESTORE_BEST_EFFORT) ||
	    !strcmp(kch_mode_name(restore_opts.mode), "unknown"))
		return kch_fail(handle, -EINVAL, "unknown flags %#x, or mode %u",
				restore_opts.flags, restore_opts.mode);
	err = kch_target_new(handle, vm_fd, vcpus, count, &target);
	if (!err)
		err = kch_stock_parse(handle, buffer, size, &header,
				      &target->saved);
	if (!err)
		err = same_machine(handle, &header, restore_opts.flags, &out);
	if (!err)
		err = kch_target_match(handle, target);
	if (!err)
		err = kch_target_remember(handle, target, true);
	if (!err)
		err = kch_restore_weaker(handle, target,
					 restore_opts.mode ? restore_opts.mode :
							     KCH_MODE_CONVERGED,
					 &restore_opts, &out);
	kch_target_free(target);
	if (!err)
		kch_start(handle);
	if (result)
		kch_output(result, KCH_RESTORE_RESULT_MIN, &out, sizeof(out));
	return err ? kch_error(err) : 0;
}
