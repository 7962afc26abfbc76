// SPDX-License-Identifier: GPL-2.0
/* Scratch VMs, by KVM's own ioctls. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "scratch.h"

/* The end of 4 GiB, where a vCPU begins; KVM's own pages on Intel are before it. */
#define MEMORY_GPA	0xffff0000U
#define MEMORY_BYTES	0x10000U
#define TSS_GPA		0xfffbd000U
#define IDENTITY_GPA	0xfffbc000U
#define RESET_VECTOR	0xfff0U
#define HLT		0xf4

#define MSR_KVM_SYSTEM_TIME_NEW	0x4b564d01
#define PAGE_BYTES		64	/* from one vCPU's page to the next */

static bool failed(struct scratch *s, const char *what)
{
	s->failed = what;
	return false;
}

bool scratch_make(struct scratch *s, int kvm)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = MEMORY_GPA, .memory_size = MEMORY_BYTES,
	};
	uint64_t identity = IDENTITY_GPA;

	*s = (struct scratch){ .vm = ioctl(kvm, KVM_CREATE_VM, 0) };
	if (s->vm < 0)
		return failed(s, "KVM_CREATE_VM");
	s->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->memory == MAP_FAILED)
		return failed(s, "mmap");
	s->memory[RESET_VECTOR] = HLT;
	region.userspace_addr = (uintptr_t)s->memory;
	/* AMD has no use for these two, and does not mind. */
	ioctl(s->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	ioctl(s->vm, KVM_SET_TSS_ADDR, TSS_GPA);
	return !ioctl(s->vm, KVM_SET_USER_MEMORY_REGION, &region) ||
	       failed(s, "KVM_SET_USER_MEMORY_REGION");
}

static bool enable_page(struct scratch *s, unsigned int vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {
		.head.nmsrs = 1,
		.entry = { .index = MSR_KVM_SYSTEM_TIME_NEW,
			   .data = (MEMORY_GPA + vcpu * PAGE_BYTES) | 1 },
	};

	return ioctl(s->vcpus[vcpu], KVM_SET_MSRS, &msrs) == 1 ||
	       failed(s, "KVM_SET_MSRS of MSR_KVM_SYSTEM_TIME_NEW");
}

bool scratch_add(struct scratch *s, int kvm, unsigned int count)
{
	s->run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (; s->count < count; s->count++) {
		int fd = ioctl(s->vm, KVM_CREATE_VCPU, s->count);

		if (fd < 0)
			return failed(s, "KVM_CREATE_VCPU");
		s->vcpus[s->count] = fd;
		s->runs[s->count] = mmap(NULL, (size_t)s->run_bytes, PROT_READ | PROT_WRITE,
					 MAP_SHARED, fd, 0);
		if (s->runs[s->count] == MAP_FAILED)
			return failed(s, "mmap of a vCPU");
		if (!enable_page(s, s->count))
			return false;
	}
	return true;
}

bool scratch_run(struct scratch *s)
{
	unsigned int turn, i;

	/* Twice: a new vCPU gives the ones before it another reference. */
	for (turn = 0; turn < 2; turn++)
		for (i = 0; i < s->count; i++) {
			const struct kvm_run *run = s->runs[i];
			struct kvm_regs regs;

			if (ioctl(s->vcpus[i], KVM_GET_REGS, &regs))
				return failed(s, "KVM_GET_REGS");
			regs.rip = RESET_VECTOR;
			if (ioctl(s->vcpus[i], KVM_SET_REGS, &regs))
				return failed(s, "KVM_SET_REGS");
			if (ioctl(s->vcpus[i], KVM_RUN, 0) || run->exit_reason != KVM_EXIT_HLT)
				return failed(s, "KVM_RUN");
		}
	return true;
}

void *scratch_page(const struct scratch *s, unsigned int vcpu)
{
	return s->memory + vcpu * PAGE_BYTES;
}

void scratch_free(struct scratch *s)
{
	while (s->count) {
		munmap(s->runs[--s->count], (size_t)s->run_bytes);
		close(s->vcpus[s->count]);
	}
	if (s->vm >= 0)
		close(s->vm);
	if (s->memory && s->memory != MAP_FAILED)
		munmap(s->memory, MEMORY_BYTES);
}
