// SPDX-License-Identifier: GPL-2.0
#include <asm/kvm_para.h>

#include "hyperv.h"
#include "machine.h"
#include "svm_util.h"

#define XEN_HYPERCALL_MSR	0x40000200

struct guest *machine_guest(const struct machine *machine, u32 index)
{
	return addr_gva2hva(machine->vm, (gva_t)&guests[index]);
}

void machine_open(struct machine *machine, const struct scenario *scenario)
{
	memset(machine, 0, sizeof(*machine));
	machine->scenario = scenario;
	machine->vm = vm_create(scenario->vcpus);
	/* Before anybody asks for another. */
	machine->host_khz = __vm_ioctl(machine->vm, KVM_GET_TSC_KHZ, NULL);
	TEST_ASSERT((int)machine->host_khz > 0, "KVM_GET_TSC_KHZ");
}

void machine_add_vcpus(struct machine *machine)
{
	u32 i;

	for (i = 0; i < machine->scenario->vcpus; i++) {
		machine->vcpu[i] = vm_vcpu_add(machine->vm, i, guest_code);
		if (machine->scenario->does & GUEST_HYPERV)
			vcpu_set_hv_cpuid(machine->vcpu[i]);
		vcpu_args_set(machine->vcpu[i], 1, (u64)i);
	}
}

static gva_t page_alloc(struct machine *machine, gpa_t *gpa)
{
	gva_t page = guest_page_alloc(machine->vm);

	memset(addr_gva2hva(machine->vm, page), 0, getpagesize());
	*gpa = addr_gva2gpa(machine->vm, page);
	return page;
}

void machine_equip(struct machine *machine)
{
	u64 does = machine->scenario->does;
	gpa_t hyperv_gpa = 0;
	gva_t hyperv = 0, svm;
	u32 i;

	if (does & GUEST_HYPERV)
		hyperv = page_alloc(machine, &hyperv_gpa);
	for (i = 0; i < machine->scenario->vcpus; i++) {
		struct guest *guest = machine_guest(machine, i);

		guest->does = does;
		guest->pvclock = (void *)page_alloc(machine, &guest->pvclock_gpa);
		guest->xen = (void *)page_alloc(machine, &guest->xen_gpa);
		guest->hyperv = (void *)hyperv;
		guest->hyperv_gpa = hyperv_gpa;
		if (does & GUEST_NESTED) {
			vcpu_alloc_svm(machine->vm, &svm);
			guest->svm = (void *)svm;
		}
		if (does & GUEST_MSR_IS_SET)
			vcpu_set_msr(machine->vcpu[i], MSR_KVM_SYSTEM_TIME,
				     guest->pvclock_gpa | KVM_MSR_ENABLED);
	}
}

static void xen_vcpu_attach(struct kvm_vcpu *vcpu, u16 type, u64 gpa)
{
	struct kvm_xen_vcpu_attr attr = { .type = type, .u.gpa = gpa };

	vcpu_ioctl(vcpu, KVM_XEN_VCPU_SET_ATTR, &attr);
}

void machine_attach(struct machine *machine)
{
	struct kvm_xen_hvm_config config = {
		.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
		.msr = XEN_HYPERCALL_MSR,
	};
	struct kvm_xen_hvm_attr mode = {
		.type = KVM_XEN_ATTR_TYPE_LONG_MODE,
		.u.long_mode = 1,
	};
	u32 i;

	if (!(machine->scenario->does & GUEST_XEN))
		return;
	vm_ioctl(machine->vm, KVM_XEN_HVM_CONFIG, &config);
	vm_ioctl(machine->vm, KVM_XEN_HVM_SET_ATTR, &mode);
	for (i = 0; i < machine->scenario->vcpus; i++) {
		u64 gpa = machine_guest(machine, i)->xen_gpa;

		xen_vcpu_attach(machine->vcpu[i], KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO,
				gpa + GUEST_XEN_VCPU_INFO);
		xen_vcpu_attach(machine->vcpu[i], KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO,
				gpa + GUEST_XEN_TIME_INFO);
	}
}

void machine_free(struct machine *machine)
{
	kvm_vm_free(machine->vm);
}

void machine_turn(struct machine *machine, struct turn *turns)
{
	struct ucall uc;
	u32 i;

	for (i = 0; i < machine->scenario->vcpus; i++) {
		struct kvm_vcpu *vcpu = machine->vcpu[i];

		turns[i].before = rdtsc();
		vcpu_run(vcpu);
		turns[i].after = rdtsc();
		switch (get_ucall(vcpu, &uc)) {
		case UCALL_SYNC:
			TEST_ASSERT(uc.args[1] == i, "vCPU %u says it is %lu", i,
				    (unsigned long)uc.args[1]);
			break;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
			break;
		default:
			TEST_FAIL("vCPU %u: exit reason %s", i,
				  exit_reason_str(vcpu->run->exit_reason));
		}
		turns[i].guest = *machine_guest(machine, i);
	}
}

void machine_stopped(struct machine *machine)
{
	u32 i;

	for (i = 0; i < machine->scenario->vcpus; i++)
		vcpu_ioctl(machine->vcpu[i], KVM_KVMCLOCK_CTRL, NULL);
	machine->was_stopped = true;
}

void machine_mark(struct machine *machine)
{
	u32 i;

	for (i = 0; i < machine->scenario->vcpus; i++) {
		struct guest *guest = machine_guest(machine, i);

		guest->kvmclock.changed = false;
		guest->xen_vcpu.changed = false;
		guest->xen_time.changed = false;
		guest->hyperv_changed = false;
	}
}

void machine_begin(struct machine *machine, const struct scenario *scenario)
{
	struct turn turns[GUEST_VCPUS_MAX];

	machine_open(machine, scenario);
	machine_add_vcpus(machine);
	machine_equip(machine);
	machine_attach(machine);
	machine_turn(machine, turns);
	if (scenario->stopped)
		machine_stopped(machine);
	machine_turn(machine, turns);
	machine_mark(machine);
}

u64 machine_offset(const struct machine *machine, u32 index)
{
	u64 offset;

	vcpu_device_attr_get(machine->vcpu[index], KVM_VCPU_TSC_CTRL,
			     KVM_VCPU_TSC_OFFSET, &offset);
	return offset;
}

void machine_set_offset(const struct machine *machine, u32 index, u64 offset)
{
	vcpu_device_attr_set(machine->vcpu[index], KVM_VCPU_TSC_CTRL,
			     KVM_VCPU_TSC_OFFSET, &offset);
}
