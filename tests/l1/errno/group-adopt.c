// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "record.h"

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/* VMs with a new vCPU that cannot have the clock of the others. */
static struct {
	struct vm unborn;	/* none has run */
	struct vm off_by_one;	/* the new one's offset, by a cycle */
	struct vm scaled;	/* the new one's ratio; a fault is needed for that */
	struct vm waiting;	/* the new one waits in KVM_RUN to be started */
} wrong;

static void add_vcpu(struct vm *vm, uint32_t id, uint64_t offset)
{
	vm_add(vm, id);
	vm_set_offset(vm, vm->vcpus - 1, offset);
}

static void make_wrong(void)
{
	char parameters[32];

	vm_create(&wrong.unborn);
	add_vcpu(&wrong.unborn, 0, SCENE_OFFSET);
	add_vcpu(&wrong.unborn, 1, SCENE_OFFSET);
	vm_set_clock(&wrong.unborn, 1);

	vm_create_ready(&wrong.off_by_one, 1, SCENE_OFFSET);
	add_vcpu(&wrong.off_by_one, 1, SCENE_OFFSET + 1);

	vm_create_ready(&wrong.scaled, 1, SCENE_OFFSET);
	add_vcpu(&wrong.scaled, 1, SCENE_OFFSET);
	snprintf(parameters, sizeof(parameters), "ratio=%d", wrong.scaled.fd);
	fault_insert(parameters, ECANCELED);

	/* With KVM's own APICs a second vCPU waits until the first starts it. */
	vm_create(&wrong.waiting);
	if (ioctl(wrong.waiting.fd, KVM_CREATE_IRQCHIP, 0))
		die("KVM_CREATE_IRQCHIP failed");
	add_vcpu(&wrong.waiting, 0, SCENE_OFFSET);
	vm_set_clock(&wrong.waiting, 1);
	vm_start(&wrong.waiting, 0);
	vm_stop(&wrong.waiting);
	add_vcpu(&wrong.waiting, 1, SCENE_OFFSET);

	snapshot_watch(&wrong.unborn);
	snapshot_watch(&wrong.off_by_one);
	snapshot_watch(&wrong.scaled);
	snapshot_watch(&wrong.waiting);
}

#define VM(name)						\
static void vm_##name(struct attempt *a)			\
{								\
	a->arg.adopt.vm_fd = wrong.name.fd;			\
}

VM(unborn)
VM(off_by_one)
VM(scaled)
VM(waiting)

static const struct condition refused[] = {
	{ KCH_IOC_ADOPT, "no vCPU has run", vm_unborn, .expected = ENODATA,
	  .message = "none of the VM's 2 vCPUs has run" },
	{ KCH_IOC_ADOPT, "TSC offset off by one cycle", vm_off_by_one,
	  .expected = EL2NSYNC,
	  .message = "vCPU 1 has TSC offset -123456789012344, vCPU 0 has -123456789012345" },
	{ KCH_IOC_ADOPT, "other scaling ratio", vm_scaled, .expected = ERANGE,
	  .message = "vCPU 1 has TSC scaling ratio" },
};

static const struct condition busy[] = {
	{ KCH_IOC_ADOPT, "the new vCPU is in an ioctl", vm_waiting,
	  .expected = EBUSY, .message = "vCPU 1 is new, but in an ioctl" },
};

/* Every vCPU of @vm has the pair of the first, and the VM its reference. */
static void check_adopted(const struct vm *vm, const struct kch_rec_vm *before)
{
	uint64_t bytes[128];
	struct kch_rec_vm *now = (void *)bytes;
	const struct kch_rec_vcpu *vcpus = (const void *)(now + 1);
	const struct kch_rec_vcpu *first = (const void *)(before + 1);
	uint32_t i;

	if (read_entry(vm, now, sizeof(bytes)))
		die("the VM's clock cannot be read");
	check(now->master_cycle_now == before->master_cycle_now &&
	      now->master_kernel_ns == before->master_kernel_ns &&
	      now->kvmclock_offset == before->kvmclock_offset,
	      "reference %llu, before %llu", now->master_cycle_now,
	      before->master_cycle_now);
	for (i = 0; i < vm->vcpus; i++)
		check(vcpus[i].flags & KCH_VCPU_PAIR_VALID &&
		      vcpus[i].tsc_to_system_mul == first->tsc_to_system_mul &&
		      vcpus[i].tsc_shift == first->tsc_shift,
		      "vCPU %u: mul %u, shift %d, flags %#x", i,
		      vcpus[i].tsc_to_system_mul, vcpus[i].tsc_shift,
		      vcpus[i].flags);
}

void test_adopt(void)
{
	uint64_t bytes[128];
	struct kch_rec_vm *before = (void *)bytes;
	struct kch_adopt arg;

	scene_begin();
	make_wrong();
	conditions_run(refused, sizeof(refused) / sizeof(refused[0]));
	check(adopt(&wrong.off_by_one, &arg) == EL2NSYNC && arg.vcpu_id == 1 &&
	      arg.found == SCENE_OFFSET + 1 && arg.expected == SCENE_OFFSET &&
	      !arg.adopted, "vCPU %d, found %lld, expected %lld, %u adopted",
	      arg.vcpu_id, (long long)arg.found, (long long)arg.expected,
	      arg.adopted);
	vm_go(&wrong.waiting, 1);
	check(vm_gets_busy(&wrong.waiting), "vCPU 1 does not come to KVM_RUN");
	conditions_run(busy, sizeof(busy) / sizeof(busy[0]));
	vm_stop(&wrong.waiting);

	if (read_entry(&scene.grown, before, sizeof(bytes)))
		die("the VM's clock cannot be read");
	check(!adopt(&scene.grown, &arg) && arg.adopted == 1 &&
	      arg.vcpu_id == -1, "%s: %u adopted", arg.message, arg.adopted);
	check_adopted(&scene.grown, before);
	vm_run_once(&scene.grown, 2);
	check_adopted(&scene.grown, before);
	/* Once too often does nothing. */
	check(!adopt(&scene.grown, &arg) && !arg.adopted, "%s: %u adopted",
	      arg.message, arg.adopted);
	check_adopted(&scene.grown, before);

	snapshot_watch_none();
	vm_destroy(&wrong.unborn);
	vm_destroy(&wrong.off_by_one);
	vm_destroy(&wrong.scaled);
	vm_destroy(&wrong.waiting);
	scene_end();
}
