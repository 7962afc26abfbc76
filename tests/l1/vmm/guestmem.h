/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory that survives the kexec: a header with the VM's saved state, then
 * the guest's RAM.  All but one page of it: the page that holds the vCPUs'
 * kvmclock is ordinary memory, saved and loaded.  KVM maps that page for itself,
 * and stock kernels up to 6.12 at least take a range hidden by memmap= for
 * mapped RAM if there is RAM within the same 128 MiB (pfn_valid() says yes), and
 * crash when they write to it.
 */
#ifndef KCH_VMM_GUESTMEM_H
#define KCH_VMM_GUESTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "guest.h"

#define SAVED_MAGIC		0x4556415356484346ULL
#define SAVED_VERSION		3
#define SAVED_SIZE		0x10000	/* bytes before the guest's RAM */
#define SAVED_STOCK_SIZE	2048	/* for kch_stock_save() */

/**
 * struct saved_clock - what a vCPU's guest had for a clock
 * @tsc_offset: KVM_VCPU_TSC_OFFSET, cycles
 * @tsc_scaling_ratio: guest TSC cycles for one of the host's, fixed point
 * @tsc_scaling_frac_bits: of which so many bits are behind the point
 * @pad: 0
 * @page: its pvclock page, as it was in guest memory
 */
struct saved_clock {
	uint64_t tsc_offset;
	uint64_t tsc_scaling_ratio;
	uint32_t tsc_scaling_frac_bits;
	uint32_t pad;
	struct guest_pvclock page;
};

/**
 * struct saved_vcpu - one vCPU's state
 * @id: as given to KVM_CREATE_VCPU
 * @has_origin: @origin is set
 * @regs: general registers
 * @sregs: system registers
 * @tsc: MSR_IA32_TSC, for restoring it by value
 * @tsc_adjust: MSR_IA32_TSC_ADJUST
 * @system_time: MSR_KVM_SYSTEM_TIME_NEW
 * @clock: when it was saved last
 * @origin: when it was saved first; stays, over any number of kexecs. A vCPU that
 *	was added has that of the first vCPU, whose clock it was to be given
 */
struct saved_vcpu {
	uint32_t id;
	uint32_t has_origin;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t tsc;
	uint64_t tsc_adjust;
	uint64_t system_time;
	struct saved_clock clock;
	struct saved_clock origin;
};

/**
 * struct saved_vm - at the start of the memory
 * @magic: SAVED_MAGIC; written last, so that half a state is none
 * @version: SAVED_VERSION
 * @vcpu_count: members of @vcpu
 * @uuid: the id it is preserved under
 * @name: NUL-terminated
 * @saves: times it was saved
 * @registers_valid: @regs are those of the moment the guest stopped; if not,
 *	it ran on after the save and its vCPUs start from their entry
 * @tsc_khz: KVM_GET_TSC_KHZ, kHz
 * @asked_khz: what KVM_SET_TSC_KHZ was asked for when it was made; 0 nothing
 * @pad: 0
 * @faults: what the guest had found when it was saved first: of a new VM, KVM
 *	still changes the clock while the vCPUs come
 * @host_tsc: host TSC when it was saved, cycles
 * @clock: KVM_GET_CLOCK, at the same time
 * @stock_size: bytes of @stock in use; 0: it was refused
 * @stock: what kch_stock_save() made of the clock
 * @pvclock: the page that holds the vCPUs' kvmclock
 * @vcpu: its vCPUs
 */
struct saved_vm {
	uint64_t magic;
	uint32_t version;
	uint32_t vcpu_count;
	uint8_t uuid[16];
	char name[64];
	uint64_t saves;
	uint32_t registers_valid;
	uint32_t tsc_khz;
	uint32_t asked_khz;
	uint32_t pad;
	uint64_t faults;
	uint64_t host_tsc;
	struct kvm_clock_data clock;
	uint64_t stock_size;
	uint8_t stock[SAVED_STOCK_SIZE];
	uint8_t pvclock[GUEST_PVCLOCK_SIZE];
	struct saved_vcpu vcpu[GUEST_VCPUS_MAX];
};

_Static_assert(sizeof(struct saved_vm) <= SAVED_SIZE, "the state fits");

/**
 * struct guestmem - the mapping
 * @saved: the header
 * @ram: the guest's RAM, guest physical address 0
 * @ram_size: bytes
 * @pvclock: what the guest sees at GUEST_PVCLOCK instead of @ram
 * @shared: the results, in @ram
 */
struct guestmem {
	struct saved_vm *saved;
	uint8_t *ram;
	size_t ram_size;
	uint8_t *pvclock;
	struct guest_shared *shared;
};

/* "[FILE@]START,SIZE"; FILE is /dev/mem if not given. */
void guestmem_map(struct guestmem *mem, const char *where);

/* A new guest in it: code, page tables, no results. */
void guestmem_load_guest(struct guestmem *mem, uint32_t vcpu_count);

/* There is a saved VM and its guest; dies if not. */
void guestmem_check_saved(const struct guestmem *mem);

/* The page KVM writes for that vCPU. */
struct guest_pvclock *guestmem_page(const struct guestmem *mem, uint32_t id);

/* A consistent copy of it. */
struct guest_pvclock guestmem_read_page(const struct guestmem *mem,
					uint32_t id);

#endif /* KCH_VMM_GUESTMEM_H */
