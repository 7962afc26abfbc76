// SPDX-License-Identifier: LGPL-2.1-or-later
/* After the kexec, before the first vCPU: the TSC frequency. */
#include <linux/kvm.h>
#include "scaling.h"
#include "stock.h"

uint32_t kch_kvm_parameter(const char *name, uint32_t fallback)
{
	uint32_t value = fallback;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/kvm/parameters/%s", name);
	file = fopen(path, "re");
	if (!file)
		return fallback;
	if (fscanf(file, "%u", &value) != 1)
		value = fallback;
	fclose(file);
	return value;
}

/* The one frequency all saved vCPUs had, which is what new ones must get. */
static int saved_khz(struct kch_handle *handle, const struct kch_vm *vm,
		     uint32_t *khz)
{
	uint32_t i;

	*khz = le32_to_cpu(vm->vcpu_count ? vm->vcpus[0].virtual_tsc_khz :
					    vm->entry.default_tsc_khz);
	for (i = 1; i < vm->vcpu_count; i++)
		if (le32_to_cpu(vm->vcpus[i].virtual_tsc_khz) != *khz)
			return kch_fail(handle, -ERANGE,
					"saved vCPUs have TSC frequencies of %u and %u kHz: a VM has one frequency for new vCPUs",
					*khz,
					le32_to_cpu(vm->vcpus[i].virtual_tsc_khz));
	return 0;
}

int kch_set_khz(struct kch_handle *handle, int vm_fd, uint32_t khz,
		uint32_t host_khz)
{
	int now_khz;

	now_khz = kch_call(vm_fd, KVM_GET_TSC_KHZ, NULL);
	if (now_khz < 0 && errno != ENOTTY && errno != EINVAL)
		return kch_fail(handle, -errno, "KVM_GET_TSC_KHZ: %s",
				errno == EIO ? "the VM was not made by this process" :
					       strerror(errno));
	if (now_khz >= 0 && (uint32_t)now_khz == khz)
		return 0;

	/*
	 * The capability is about scaling.  Without it KVM still takes the
	 * number, and keeps the TSC unscaled within its tolerance.
	 */
	if (kch_call(vm_fd, KVM_CHECK_EXTENSION,
		     (void *)KVM_CAP_VM_TSC_CONTROL) <= 0 &&
	    !kch_khz_is_unscaled(khz, host_khz))
		return kch_fail(handle, -ERANGE,
				"TSC of %u kHz saved, the host has %u kHz and this CPU no TSC scaling: KVM would emulate it by moving the guest's TSC",
				khz, host_khz);
	if (kch_call(vm_fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz) < 0)
		return kch_fail(handle, errno == ENOTTY ? -ERANGE : -errno,
				"KVM_SET_TSC_KHZ of %u kHz on the VM, which has %d kHz: %s",
				khz, now_khz, strerror(errno));
	return 0;
}

int kch_vm_prepare(struct kch_handle *handle, int vm_fd,
		   const uint8_t uuid[KCH_UUID_SIZE])
{
	struct kch_info info = { .size = sizeof(info) };
	struct kch_vm *vm, *live;
	uint32_t khz;
	int err;

	err = kch_vm_get(handle, KCH_INCOMING, uuid, &vm);
	if (err)
		return err;
	err = saved_khz(handle, vm, &khz);
	kch_vm_free(vm);
	if (err)
		return err;
	err = kch_info(handle, &info);
	if (err)
		return err;

	/* The module tells a VM from another file, and that it is still empty. */
	err = kch_vm_read(handle, vm_fd, &live, NULL);
	if (!err) {
		kch_vm_free(live);
		return kch_fail(handle, -EBUSY,
				"the VM has vCPUs already: its TSC frequency must be set before the first");
	}
	/* A clock's descriptor reads no other VM; KVM refuses what comes too late. */
	if (err != -ECHILD && (err != -ENOTTY || !handle->clock_fd))
		return err;
	kch_start(handle);

	return kch_set_khz(handle, vm_fd, khz,
			   info.kvm_tsc_khz ? info.kvm_tsc_khz : info.tsc_khz);
}
