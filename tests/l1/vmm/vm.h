/* SPDX-License-Identifier: GPL-2.0 */
/* A KVM virtual machine and the threads that run its vCPUs. */
#ifndef KCH_VMM_VM_H
#define KCH_VMM_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "guestmem.h"

struct vm;

#define BRACKETS_MAX	32

/**
 * struct bracket - a guest's TSC between two readings of the host's
 * @before: host TSC, read before
 * @guest: the guest's, as it read it
 * @after: host TSC, read after
 */
struct bracket {
	uint64_t before;
	uint64_t guest;
	uint64_t after;
};

/**
 * struct vcpu - one vCPU
 * @id: as given to KVM_CREATE_VCPU, also its place in all arrays
 * @fd: what that returned
 * @vm: the VM it belongs to
 * @run: KVM's page for it
 * @thread: who runs it, if the VM is running
 * @exit_reason: why it stopped by itself, -1 if it did not
 * @bracket_before: host TSC when a bracket was opened; 0 none is
 * @bracket_count: members of @bracket in use; only ever grows
 * @bracket: what the guest was asked for by struct guest_vcpu::brackets
 */
struct vcpu {
	uint32_t id;
	int fd;
	struct vm *vm;
	struct kvm_run *run;
	pthread_t thread;
	int exit_reason;
	uint64_t bracket_before;
	uint32_t bracket_count;
	struct bracket bracket[BRACKETS_MAX];
};

/**
 * struct vm - one VM
 * @kvm_fd: /dev/kvm
 * @fd: what KVM_CREATE_VM returned
 * @run_size: bytes of a vCPU's struct kvm_run
 * @cpuid: what all vCPUs get
 * @mem: its memory
 * @vcpu_count: members of @vcpu in use
 * @vcpu: its vCPUs
 * @running: threads exist
 * @stop: tells them to end
 */
struct vm {
	int kvm_fd;
	int fd;
	int run_size;
	struct kvm_cpuid2 *cpuid;
	struct guestmem *mem;
	uint32_t vcpu_count;
	struct vcpu vcpu[GUEST_VCPUS_MAX];
	bool running;
	bool stop;
};

/* The VM with its memory, without vCPUs. */
void vm_create(struct vm *vm, struct guestmem *mem);

/* One more vCPU, in KVM's reset state with its CPUID. */
struct vcpu *vm_add_vcpu(struct vm *vm);

/* Sets it to run the guest from its entry. */
void vcpu_set_entry(struct vcpu *vcpu);

/* Asks KVM for a frequency of the guest's TSC; before the first vCPU. */
void vm_set_tsc_khz(const struct vm *vm, uint32_t khz);

struct kvm_clock_data vm_clock(const struct vm *vm);

/* The frequency its guest's TSC has, as KVM sees it. */
uint32_t vm_tsc_khz(const struct vm *vm);

/* The frequency KVM takes the host's TSC for: that of a VM of which nobody asked one. */
uint32_t vm_host_khz(const struct vm *vm);

void vcpu_set_tsc_khz(const struct vcpu *vcpu, uint32_t khz);
uint64_t vcpu_tsc_offset(const struct vcpu *vcpu);
void vcpu_set_tsc_offset(const struct vcpu *vcpu, uint64_t offset);
uint64_t vcpu_msr(const struct vcpu *vcpu, uint32_t index);
void vcpu_set_msr(const struct vcpu *vcpu, uint32_t index, uint64_t value);

/* Starts a thread for each vCPU, or for one that was added. */
void vm_start(struct vm *vm);
void vcpu_start(struct vcpu *vcpu);

/* Takes all vCPUs out of KVM_RUN and ends the threads. */
void vm_stop(struct vm *vm);

/* Gives up all descriptors. */
void vm_destroy(struct vm *vm);

#endif /* KCH_VMM_VM_H */
