/* SPDX-License-Identifier: GPL-2.0 */
/* A VM of a scenario. */
#ifndef KCH_SELFTESTS_MACHINE_H
#define KCH_SELFTESTS_MACHINE_H

#include "scenario.h"

/**
 * struct machine - one VM
 * @scenario: what it is
 * @vm: the library's
 * @vcpu: the library's, as many as the scenario says
 * @was_stopped: and told so
 * @host_khz: the frequency KVM takes the host's TSC for, kHz
 */
struct machine {
	const struct scenario *scenario;
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu[GUEST_VCPUS_MAX];
	bool was_stopped;
	u32 host_khz;
};

/**
 * struct turn - a vCPU ran until it had looked once
 * @before: host TSC before, cycles
 * @after: host TSC after, cycles
 * @guest: what it saw
 */
struct turn {
	u64 before;
	u64 after;
	struct guest guest;
};

/* In this order; what may be done between the first two is kch_vm_prepare(). */
void machine_open(struct machine *machine, const struct scenario *scenario);
void machine_add_vcpus(struct machine *machine);
/* For a new guest; the memory of one that comes back is there already. */
void machine_equip(struct machine *machine);
/* What KVM has to be told of guest memory, of both. */
void machine_attach(struct machine *machine);
void machine_free(struct machine *machine);

struct guest *machine_guest(const struct machine *machine, u32 index);

/* Every vCPU looks once. */
void machine_turn(struct machine *machine, struct turn *turns);

/* KVM_KVMCLOCK_CTRL: the guest is told that it was stopped, at its next turn. */
void machine_stopped(struct machine *machine);

/* From now on no page may change. */
void machine_mark(struct machine *machine);

/* A new one, whose guest has its clocks and looked at them. */
void machine_begin(struct machine *machine, const struct scenario *scenario);

u64 machine_offset(const struct machine *machine, u32 index);
void machine_set_offset(const struct machine *machine, u32 index, u64 offset);

#endif /* KCH_SELFTESTS_MACHINE_H */
