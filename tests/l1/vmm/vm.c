// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include "report.h"
#include "vm.h"

#define CPUID_ENTRIES		128

#define CR0_PE			(1UL << 0)
#define CR0_PG			(1UL << 31)
#define CR4_PAE			(1UL << 5)
#define EFER_LME		(1UL << 8)
#define EFER_LMA		(1UL << 10)
#define RFLAGS_FIXED		0x2UL
#define RFLAGS_IF		(1UL << 9)

/* Only there to make KVM_RUN return. */
static void on_kick(int signal)
{
	(void)signal;
}

static void get_cpuid(struct vm *vm)
{
	size_t size = sizeof(*vm->cpuid) +
		      CPUID_ENTRIES * sizeof(vm->cpuid->entries[0]);

	vm->cpuid = calloc(1, size);
	if (!vm->cpuid)
		die("no memory");
	vm->cpuid->nent = CPUID_ENTRIES;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, vm->cpuid))
		die("KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
}

static void add_memory(const struct vm *vm, uint32_t slot, uint64_t start,
		       uint64_t end, const uint8_t *backing)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = start,
		.memory_size = end - start,
		.userspace_addr = (uintptr_t)backing,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

void vm_create(struct vm *vm, struct guestmem *mem)
{
	const uint64_t pvclock_end = GUEST_PVCLOCK + GUEST_PVCLOCK_SIZE;
	struct sigaction kick = { .sa_handler = on_kick };

	memset(vm, 0, sizeof(*vm));
	vm->mem = mem;
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		die("/dev/kvm: %s", strerror(errno));
	vm->run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vm->run_size < 0)
		die("KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
	get_cpuid(vm);
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		die("KVM_CREATE_VM: %s", strerror(errno));
	add_memory(vm, 0, 0, GUEST_PVCLOCK, mem->ram);
	add_memory(vm, 1, GUEST_PVCLOCK, pvclock_end, mem->pvclock);
	add_memory(vm, 2, pvclock_end, mem->ram_size, mem->ram + pvclock_end);
	sigaction(SIGUSR1, &kick, NULL);
}

struct vcpu *vm_add_vcpu(struct vm *vm)
{
	struct vcpu *vcpu = &vm->vcpu[vm->vcpu_count];

	if (vm->vcpu_count == GUEST_VCPUS_MAX)
		die("more than %u vCPUs", GUEST_VCPUS_MAX);
	vcpu->id = vm->vcpu_count;
	vcpu->vm = vm;
	vcpu->exit_reason = -1;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, vcpu->id);
	if (vcpu->fd < 0)
		die("KVM_CREATE_VCPU %u: %s", vcpu->id, strerror(errno));
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("vCPU %u: mmap: %s", vcpu->id, strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, vm->cpuid))
		die("KVM_SET_CPUID2: %s", strerror(errno));
	vm->vcpu_count++;
	return vcpu;
}

/* 64-bit mode at once; no descriptor table is ever loaded from. */
void vcpu_set_entry(struct vcpu *vcpu)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x8, .type = 0xb,
		.present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0x3,
		.present = 1, .s = 1, .db = 1, .g = 1,
	};
	uint64_t stack = GUEST_STACKS + (vcpu->id + 1) * GUEST_STACK_SIZE;
	struct kvm_regs regs = {
		.rip = GUEST_CODE,
		/*
		 * Interrupts are on, though nobody makes any: under Bochs the
		 * host gets none of its own while a guest has them off.
		 */
		.rflags = RFLAGS_FIXED | RFLAGS_IF,
		/* As after a call: the ABI wants it 8 off 16. */
		.rsp = stack - 8,
		.rdi = GUEST_SHARED,
		.rsi = GUEST_SHARED + offsetof(struct guest_shared, vcpu) +
		       vcpu->id * sizeof(struct guest_vcpu),
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr3 = GUEST_PML4;
	sregs.cr4 |= CR4_PAE;
	sregs.cr0 |= CR0_PE | CR0_PG;
	sregs.efer |= EFER_LME | EFER_LMA;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs))
		die("KVM_SET_SREGS: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS: %s", strerror(errno));
}

void vm_set_tsc_khz(const struct vm *vm, uint32_t khz)
{
	if (ioctl(vm->fd, KVM_SET_TSC_KHZ, khz))
		die("KVM_SET_TSC_KHZ of %u: %s", khz, strerror(errno));
}

struct kvm_clock_data vm_clock(const struct vm *vm)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock))
		die("KVM_GET_CLOCK: %s", strerror(errno));
	return clock;
}

uint32_t vm_tsc_khz(const struct vm *vm)
{
	int khz = ioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0)
		die("KVM_GET_TSC_KHZ: %s", strerror(errno));
	return khz;
}

uint32_t vm_host_khz(const struct vm *vm)
{
	int fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0), vcpu, khz;

	if (fd < 0)
		die("KVM_CREATE_VM: %s", strerror(errno));
	vcpu = ioctl(fd, KVM_CREATE_VCPU, 0);
	khz = vcpu < 0 ? -1 : ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		die("the host's frequency: %s", strerror(errno));
	close(vcpu);
	close(fd);
	return khz;
}

void vcpu_set_tsc_khz(const struct vcpu *vcpu, uint32_t khz)
{
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz))
		die("KVM_SET_TSC_KHZ of %u kHz: %s", khz, strerror(errno));
}

uint64_t vcpu_tsc_offset(const struct vcpu *vcpu)
{
	uint64_t offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr))
		die("reading KVM_VCPU_TSC_OFFSET: %s", strerror(errno));
	return offset;
}

void vcpu_set_tsc_offset(const struct vcpu *vcpu, uint64_t offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	if (ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr))
		die("writing KVM_VCPU_TSC_OFFSET: %s", strerror(errno));
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

uint64_t vcpu_msr(const struct vcpu *vcpu, uint32_t index)
{
	struct one_msr msr = { .head.nmsrs = 1, .entry.index = index };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &msr) != 1)
		die("reading MSR %#x: %s", index, strerror(errno));
	return msr.entry.data;
}

void vcpu_set_msr(const struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct one_msr msr = {
		.head.nmsrs = 1,
		.entry.index = index,
		.entry.data = value,
	};

	if (ioctl(vcpu->fd, KVM_SET_MSRS, &msr) != 1)
		die("writing MSR %#x: %s", index, strerror(errno));
}

/* The guest reads its TSC between two exits; false if this is another. */
static bool take_bracket(struct vcpu *vcpu)
{
	uint64_t now = __rdtsc();
	const struct kvm_run *run = vcpu->run;
	uint8_t is_end;

	if (run->exit_reason != KVM_EXIT_IO ||
	    run->io.port != GUEST_BRACKET_PORT ||
	    run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1)
		return false;
	is_end = *((const uint8_t *)run + run->io.data_offset);
	if (is_end && vcpu->bracket_before &&
	    vcpu->bracket_count < BRACKETS_MAX) {
		const struct guest_vcpu *guest =
			&vcpu->vm->mem->shared->vcpu[vcpu->id];
		struct bracket *b = &vcpu->bracket[vcpu->bracket_count];

		b->before = vcpu->bracket_before;
		b->guest = guest->bracket_tsc;
		b->after = now;
		__atomic_store_n(&vcpu->bracket_count, vcpu->bracket_count + 1,
				 __ATOMIC_RELEASE);
	}
	/* Read last, so that the bracket is as narrow as it can be. */
	vcpu->bracket_before = is_end ? 0 : __rdtsc();
	return true;
}

static void *run_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!__atomic_load_n(&vcpu->vm->stop, __ATOMIC_ACQUIRE)) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			if (take_bracket(vcpu))
				continue;
			/* The guest asks nothing else of its VMM. */
			vcpu->exit_reason = vcpu->run->exit_reason;
			break;
		}
		if (errno != EINTR && errno != EAGAIN) {
			vcpu->exit_reason = KVM_EXIT_UNKNOWN;
			break;
		}
	}
	return NULL;
}

void vcpu_start(struct vcpu *vcpu)
{
	int error;

	vcpu->run->immediate_exit = 0;
	error = pthread_create(&vcpu->thread, NULL, run_vcpu, vcpu);
	if (error)
		die("pthread_create: %s", strerror(error));
}

void vm_start(struct vm *vm)
{
	uint32_t i;

	vm->stop = false;
	vm->running = true;
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_start(&vm->vcpu[i]);
}

void vm_stop(struct vm *vm)
{
	uint32_t i;

	if (!vm->running)
		return;
	__atomic_store_n(&vm->stop, true, __ATOMIC_RELEASE);
	/* immediate_exit also catches one that is about to enter KVM_RUN. */
	for (i = 0; i < vm->vcpu_count; i++) {
		vm->vcpu[i].run->immediate_exit = 1;
		pthread_kill(vm->vcpu[i].thread, SIGUSR1);
	}
	for (i = 0; i < vm->vcpu_count; i++)
		pthread_join(vm->vcpu[i].thread, NULL);
	vm->running = false;
}

void vm_destroy(struct vm *vm)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		munmap(vm->vcpu[i].run, vm->run_size);
		close(vm->vcpu[i].fd);
	}
	close(vm->fd);
	close(vm->kvm_fd);
	free(vm->cpuid);
}
