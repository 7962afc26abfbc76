/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Many VMs, a process each, as on a host: what KVM and the module do for a
 * process's memory or descriptors must not add up over the VMs.
 */
#ifndef KCH_BENCH_FLEET_H
#define KCH_BENCH_FLEET_H

#include <stdint.h>
#include <sys/types.h>

#define FLEET_MAX	256

/**
 * enum fleet_order - what a VM's process is told to do
 * @FLEET_SAVE: unit_kvm_save() and unit_preserve(), in turn the one or other first
 * @FLEET_RESTORE: unit_kvm_restore() and unit_restore()
 * @FLEET_ENTRY: read the VM's clock with KCH_IOC_READ
 */
enum fleet_order { FLEET_SAVE, FLEET_RESTORE, FLEET_ENTRY };

/**
 * struct fleet_answer - what it found
 * @base: cycles of the former
 * @ours: cycles of the latter
 * @entry: for FLEET_ENTRY: struct kch_rec_vm and its vCPU
 */
struct fleet_answer {
	double base;
	double ours;
	uint8_t entry[256];
};

/* COUNT VMs of one vCPU each, which are ready. */
void fleet_start(uint32_t count);
void fleet_end(void);

/* VM INDEX does it under that id; its process opens the device for that. */
void fleet_order(uint32_t index, enum fleet_order order, uint32_t id,
		 struct fleet_answer *answer);

#endif /* KCH_BENCH_FLEET_H */
