/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test VMM and its guest share: the layout of guest memory, and the
 * results that the guest keeps in it.  Both survive the kexec together with the
 * guest's memory, so that the guest that goes on remembers what it saw before.
 */
#ifndef KCH_VMM_GUEST_H
#define KCH_VMM_GUEST_H

#include <linux/types.h>

#define GUEST_VCPUS_MAX		16

/* Guest physical addresses, identity mapped. */
#define GUEST_PML4		0x01000
#define GUEST_PDPT		0x02000
#define GUEST_PD		0x03000
#define GUEST_PVCLOCK		0x04000	/* one slot per vCPU, as Linux has it */
#define GUEST_PVCLOCK_SIZE	0x01000
#define GUEST_PVCLOCK_SLOT	64
#define GUEST_CODE		0x10000	/* guest.lds has the same number */
#define GUEST_CODE_SIZE		0x08000
#define GUEST_SHARED		0x20000	/* struct guest_shared */
#define GUEST_STACKS		0x40000
#define GUEST_STACK_SIZE	0x01000
#define GUEST_MEMORY_MIN	0x60000

#define GUEST_MAGIC		0x544553554748434bULL	/* "KCHGUEST" */
#define GUEST_VERSION		2

/* Written 0 before, and 1 after the guest reads its TSC for the VMM. */
#define GUEST_BRACKET_PORT	0x4b

/* struct pvclock_vcpu_time_info, as KVM writes it */
struct guest_pvclock {
	__u32 version;
	__u32 pad0;
	__u64 tsc_timestamp;
	__u64 system_time;
	__u32 tsc_to_system_mul;
	__s8  tsc_shift;
	__u8  flags;
	__u8  pad[2];
};

_Static_assert(sizeof(struct guest_pvclock) == 32, "KVM's layout");

#define GUEST_CHANGES		16

/**
 * struct guest_change - the guest saw other bytes in its page than before
 * @tsc: guest TSC at which both pages are evaluated, cycles
 * @old_page: what it remembered
 * @new_page: what it saw
 * @old_ns: kvmclock of the old page at @tsc
 * @new_ns: kvmclock of the new page at @tsc
 * @step_ns: new minus old at @tsc
 * @hour_ns: new minus old an hour of cycles later
 */
struct guest_change {
	__u64 tsc;
	struct guest_pvclock old_page;
	struct guest_pvclock new_page;
	__u64 old_ns;
	__u64 new_ns;
	__s64 step_ns;
	__s64 hour_ns;
};

/**
 * struct guest_counts - only ever grow; the VMM takes differences
 * @iterations: times the page was read and checked
 * @tsc_back: own TSC below the one read before
 * @clock_back: own kvmclock below the one read before
 * @global_checks: comparisons with the last reading of any vCPU
 * @global_tsc_back: TSC below the last one any vCPU had read
 * @global_clock_back: kvmclock below the last one any vCPU had read
 * @lock_misses: iterations without global comparison: another vCPU was at it
 * @peer_checks: comparisons of the own page with another vCPU's at one TSC
 * @peer_disagreements: of these, with different results
 * @page_changes: own page's bytes other than those remembered
 * @tsc_adjusts: commands to move the own TSC that were obeyed
 */
struct guest_counts {
	__u64 iterations;
	__u64 tsc_back;
	__u64 clock_back;
	__u64 global_checks;
	__u64 global_tsc_back;
	__u64 global_clock_back;
	__u64 lock_misses;
	__u64 peer_checks;
	__u64 peer_disagreements;
	__u64 page_changes;
	__u64 tsc_adjusts;
};

/**
 * struct guest_maxima - absolute values; the VMM clears them
 * @tsc_back: cycles
 * @clock_back_ns: the farthest kvmclock went back, on one vCPU or between them
 * @peer_ns: the largest disagreement between two vCPUs' pages
 * @step_ns: the largest step at a change of the page
 * @hour_ns: the same, an hour later
 * @rate_ppb: the largest change of rate; ~0 if the shift changed
 */
struct guest_maxima {
	__u64 tsc_back;
	__u64 clock_back_ns;
	__u64 peer_ns;
	__u64 step_ns;
	__u64 hour_ns;
	__u64 rate_ppb;
};

/**
 * struct guest_observation - one reading
 * @tsc: guest TSC, cycles
 * @clock_ns: kvmclock at @tsc
 * @page: the page it was computed from
 */
struct guest_observation {
	__u64 tsc;
	__u64 clock_ns;
	struct guest_pvclock page;
};

/**
 * struct guest_vcpu - what one vCPU keeps
 * @id: its number
 * @online: it has a page of its own and has read it
 * @count: see there
 * @max: see there
 * @last: the last observation, also what it compares the next one with
 * @arm: counted up by the VMM before the vCPU is let run again
 * @armed: the value of @arm for which @first was taken
 * @first: first observation whose reading began after @arm was counted up
 * @tsc_adjust: VMM's command: cycles to add to IA32_TSC_ADJUST; cleared when done
 * @brackets: VMM's command: readings of the TSC to be made between two exits to
 *	it; counted down
 * @bracket_tsc: the last of them
 * @changes: the last GUEST_CHANGES changes, change n at n % GUEST_CHANGES
 */
struct guest_vcpu {
	__u32 id;
	__u32 online;
	struct guest_counts count;
	struct guest_maxima max;
	struct guest_observation last;
	__u64 arm;
	__u64 armed;
	struct guest_observation first;
	__s64 tsc_adjust;
	__u64 brackets;
	__u64 bracket_tsc;
	struct guest_change changes[GUEST_CHANGES];
};

/**
 * struct guest_shared - at GUEST_SHARED
 * @magic: GUEST_MAGIC
 * @version: GUEST_VERSION
 * @vcpu_count: vCPUs the VM has
 * @hour_cycles: guest TSC cycles of an hour
 * @lock: guards the next two; only ever tried, never waited for: its holder may
 *	be preempted for a whole time slice
 * @pad: unused
 * @global_tsc: last TSC read by any vCPU
 * @global_clock_ns: last kvmclock read by any vCPU
 * @vcpu: one for each
 */
struct guest_shared {
	__u64 magic;
	__u32 version;
	__u32 vcpu_count;
	__u64 hour_cycles;
	__u32 lock;
	__u32 pad;
	__u64 global_tsc;
	__u64 global_clock_ns;
	struct guest_vcpu vcpu[GUEST_VCPUS_MAX];
};

_Static_assert(GUEST_VCPUS_MAX * GUEST_PVCLOCK_SLOT <= GUEST_PVCLOCK_SIZE,
	       "the pvclock structures fit");
_Static_assert(GUEST_SHARED + sizeof(struct guest_shared) <= GUEST_STACKS,
	       "the results fit");
_Static_assert(GUEST_STACKS + GUEST_VCPUS_MAX * GUEST_STACK_SIZE <=
	       GUEST_MEMORY_MIN, "the stacks fit");

#endif /* KCH_VMM_GUEST_H */
