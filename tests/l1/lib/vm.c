// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "vm.h"

#define PAGE		4096

/* The guest's code: hlt at 0, a loop at 1 that counts its rounds. */
#define CODE_HALT	0
#define CODE_LOOP	1
#define ROUNDS		0x800

#define COMES_S		20

int kvm_open(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/kvm: %s", strerror(errno));
	return fd;
}

void vm_create(struct vm *vm)
{
	/* hlt; incl ROUNDS; jmp to before that */
	static const uint8_t code[] = { 0xf4, 0x66, 0xff, 0x06, 0x00, 0x08, 0xeb, 0xf9 };
	struct kvm_userspace_memory_region memory = { .memory_size = PAGE };

	memset(vm, 0, sizeof(*vm));
	vm->fd = ioctl(kvm_open(), KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		die("KVM_CREATE_VM: %s", strerror(errno));
	vm->ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->ram == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	memcpy(vm->ram, code, sizeof(code));
	memory.userspace_addr = (uintptr_t)vm->ram;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &memory))
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

void vm_add(struct vm *vm, uint32_t vcpu_id)
{
	int fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu_id);

	if (fd < 0)
		die("KVM_CREATE_VCPU %u: %s", vcpu_id, strerror(errno));
	vm->vcpu[vm->vcpus++] = fd;
}

void vm_destroy(struct vm *vm)
{
	uint32_t i;

	vm_stop(vm);
	for (i = 0; i < vm->vcpus; i++)
		close(vm->vcpu[i]);
	close(vm->fd);
	munmap(vm->ram, PAGE);
	vm->fd = -1;
	vm->vcpus = 0;
}

void vm_create_ready(struct vm *vm, uint32_t vcpus, uint64_t offset)
{
	uint32_t i;

	vm_create(vm);
	for (i = 0; i < vcpus; i++)
		vm_add(vm, i);
	for (i = 0; i < vcpus; i++)
		vm_set_offset(vm, i, offset);
	vm_set_clock(vm, 1000000000);
	for (i = 0; i < vcpus; i++)
		vm_run_once(vm, i);
}

static void offset_attr(const struct vm *vm, uint32_t index, unsigned int cmd,
			uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	if (ioctl(vm->vcpu[index], cmd, &attr))
		die("KVM_VCPU_TSC_OFFSET: %s", strerror(errno));
}

uint64_t vm_offset(const struct vm *vm, uint32_t index)
{
	uint64_t offset = 0;

	offset_attr(vm, index, KVM_GET_DEVICE_ATTR, &offset);
	return offset;
}

void vm_set_offset(const struct vm *vm, uint32_t index, uint64_t offset)
{
	offset_attr(vm, index, KVM_SET_DEVICE_ATTR, &offset);
}

struct kvm_clock_data vm_clock(const struct vm *vm)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock))
		die("KVM_GET_CLOCK: %s", strerror(errno));
	return clock;
}

void vm_set_clock(const struct vm *vm, uint64_t ns)
{
	struct kvm_clock_data clock = { .clock = ns };

	if (ioctl(vm->fd, KVM_SET_CLOCK, &clock))
		die("KVM_SET_CLOCK: %s", strerror(errno));
}

bool vm_set_hyperv_page(const struct vm *vm, uint64_t gpa)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry guest_os_id, reference_tsc;
	} msrs = {
		.head.nmsrs = 2,
		.guest_os_id = { .index = 0x40000000, .data = 1 },
		.reference_tsc = { .index = 0x40000021, .data = gpa | 1 },
	};

	return ioctl(vm->vcpu[0], KVM_SET_MSRS, &msrs) == 2;
}

static void enter(const struct vm *vm, uint32_t index, uint64_t rip)
{
	/* Interrupts on: under Bochs the host gets none of its own otherwise. */
	struct kvm_regs regs = { .rip = rip, .rflags = 0x202 };
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu[index], KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vm->vcpu[index], KVM_SET_SREGS, &sregs) ||
	    ioctl(vm->vcpu[index], KVM_SET_REGS, &regs))
		die("KVM_SET_REGS: %s", strerror(errno));
}

void vm_run_once(const struct vm *vm, uint32_t index)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };

	enter(vm, index, CODE_HALT);
	if (ioctl(vm->vcpu[index], KVM_SET_MP_STATE, &runnable))
		die("KVM_SET_MP_STATE: %s", strerror(errno));
	if (ioctl(vm->vcpu[index], KVM_RUN, 0))
		die("KVM_RUN: %s", strerror(errno));
}

/* Only there to make KVM_RUN return. */
static void on_kick(int signal)
{
	(void)signal;
}

static void *run(void *arg)
{
	struct vm *vm = arg;

	while (vm->running)
		ioctl(vm->vcpu[vm->turn], KVM_RUN, 0);
	return NULL;
}

void vm_go(struct vm *vm, uint32_t index)
{
	struct sigaction kick = { .sa_handler = on_kick };

	sigaction(SIGUSR1, &kick, NULL);
	enter(vm, index, CODE_LOOP);
	memset(vm->ram + ROUNDS, 0, sizeof(uint32_t));
	vm->turn = index;
	vm->running = true;
	if (pthread_create(&vm->thread, NULL, run, vm))
		die("pthread_create failed");
}

bool vm_comes(const struct vm *vm)
{
	int tries = COMES_S * 10000;

	while (!vm_rounds(vm) && tries--)
		usleep(100);
	return vm_rounds(vm);
}

void vm_start(struct vm *vm, uint32_t index)
{
	vm_go(vm, index);
	if (!vm_comes(vm))
		die("a vCPU does not get into the guest");
}

void vm_stop(struct vm *vm)
{
	if (!vm->running)
		return;
	vm->running = false;
	/* The first may come just before it enters KVM_RUN. */
	while (pthread_tryjoin_np(vm->thread, NULL)) {
		pthread_kill(vm->thread, SIGUSR1);
		usleep(10000);
	}
}

uint32_t vm_rounds(const struct vm *vm)
{
	return *(volatile uint32_t *)(vm->ram + ROUNDS);
}
