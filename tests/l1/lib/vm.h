/* SPDX-License-Identifier: GPL-2.0 */
/* VMs with as much in them as their clocks need, and hardly a guest. */
#ifndef KCH_TESTS_VM_H
#define KCH_TESTS_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/kvm.h>

#define VM_VCPUS_MAX	64

/**
 * struct vm - one VM
 * @fd: what KVM_CREATE_VM returned
 * @vcpu: what KVM_CREATE_VCPU returned, @vcpus of them
 * @vcpus: how many
 * @ram: its only page
 * @thread: runs vCPU @turn
 * @turn: which that is
 * @running: there is such a thread
 */
struct vm {
	int fd;
	int vcpu[VM_VCPUS_MAX];
	uint32_t vcpus;
	uint8_t *ram;
	pthread_t thread;
	uint32_t turn;
	volatile bool running;
};

int kvm_open(void);

/* No vCPU yet. */
void vm_create(struct vm *vm);
void vm_add(struct vm *vm, uint32_t vcpu_id);
void vm_destroy(struct vm *vm);

/* vCPUs 0 to COUNT - 1, offsets equal and set, a clock, every vCPU run once. */
void vm_create_ready(struct vm *vm, uint32_t vcpus, uint64_t offset);

uint64_t vm_offset(const struct vm *vm, uint32_t index);
void vm_set_offset(const struct vm *vm, uint32_t index, uint64_t offset);
struct kvm_clock_data vm_clock(const struct vm *vm);
void vm_set_clock(const struct vm *vm, uint64_t ns);

/* As if the guest had asked for it: Hyper-V's reference TSC page.  False: KVM has none. */
bool vm_set_hyperv_page(const struct vm *vm, uint64_t gpa);

/* Enters the guest, which halts at once. */
void vm_run_once(const struct vm *vm, uint32_t index);

/*
 * A vCPU runs from the one to the other.  vm_go() does not wait for it to get there;
 * vm_start() does, and dies if it does not.
 */
void vm_go(struct vm *vm, uint32_t index);
void vm_start(struct vm *vm, uint32_t index);
void vm_stop(struct vm *vm);

/* How often it went round its loop since: a vCPU that was in the guest has. */
uint32_t vm_rounds(const struct vm *vm);
/* Waits for that; false if it does not come, for long. */
bool vm_comes(const struct vm *vm);

#endif /* KCH_TESTS_VM_H */
