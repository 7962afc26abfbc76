/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device and KVM, played by a program: open(), ioctl(), readlink() and
 * readlinkat() of this file replace the C library's.  It tests what needs neither kernel
 * nor KVM: what the library does in which order, and what the tool prints.  The nested
 * tests show that the real ones behave like this.
 *
 * Preloaded to the tool, it is set up from the environment:
 *
 *	FAKE_INCOMING, FAKE_OUTGOING	region files
 *	FAKE_LIVE	region file; its VM n is what KVM VM n is now
 *	FAKE_ERROR	"NUMBER:ERRNO:MESSAGE", NUMBER of the ioctl to refuse
 *	FAKE_BACKEND, FAKE_TSC_SOURCE	numbers for KCH_IOC_INFO
 *	FAKE_KNOWN	if set, the module knows the live VMs by id and name
 *	FAKE_WAIT	if set, a hold lasts for a minute
 *	FAKE_ENDED	if set, processes have ended when they were looked at
 *	FAKE_NO_VMS	if set, no process has a VM
 *	FAKE_ENTRY_PID	if set, the process of all VMs of the records, which are there
 *	FAKE_PID	if set, no other process has one; those of other tests do
 *	FAKE_DENIED	opendir or readlinkat: that may not be done with that process's
 *			descriptors; others: nothing with those of the other ones
 *	FAKE_CAPACITY, FAKE_SELFCHECK	numbers for KCH_IOC_INFO
 *	FAKE_NO_KVM	the errno of opening /dev/kvm
 *	FAKE_WRITES	a file: of each pwrite() the offset in its page, size, first number
 *	FAKE_SCALED	if set, the vCPUs' TSCs have half the host's frequency
 *
 * A memory file of the name fake-vm-N, in any process (fake-vmm), is KVM VM N.  N 99 is
 * a VM only in the process that made it, not in one that took it from there.
 * fake-vcpu-N is vCPU N of every VM, and fake-stats-N its statistics.  A restore answers
 * with an error of 1 cycle for each vCPU, and 1000 for each statistics file, that the
 * caller has open.
 */
#ifndef KCH_TESTS_CLI_FAKE_H
#define KCH_TESTS_CLI_FAKE_H

#include "record.h"

#define FAKE_VM_FD	900
#define FAKE_CLOCK_FD	950	/* a clock's descriptor, if has_clock */
#define FAKE_VCPU_FD	1000	/* plus the index */
#define FAKE_VCPUS_MAX	8
#define FAKE_LOG_SIZE	4096

/* The KVM of tests that are linked with this, and the module's answers. */
struct fake {
	struct kch_record incoming;
	struct kch_record outgoing;
	struct kch_record live;
	struct kch_record clock_record;	/* of FAKE_CLOCK_FD */
	bool has_incoming, has_outgoing, has_live, has_clock;
	int error_number;		/* KCH_IOC_ number to refuse, or -1 */
	int error_errno;
	const char *error_message;
	int opendir_errno;		/* of any folder */
	int elsewhere_errno;		/* of KCH_RESTORE_ELSEWHERE */
	uint32_t backend;
	uint32_t tsc_source;
	uint32_t kvm_khz;
	bool tsc_control;		/* KVM_CAP_VM_TSC_CONTROL */
	uint32_t vm_khz;		/* KVM_GET_TSC_KHZ of the VM */
	int set_khz_errno;
	bool vm_is_empty;		/* it has no vCPU yet */
	uint64_t offsets[FAKE_VCPUS_MAX];
	uint32_t vcpu_khz[FAKE_VCPUS_MAX];
	int set_offset_errno[FAKE_VCPUS_MAX];
	int get_offset_errno[FAKE_VCPUS_MAX];
	uint64_t clock_ns;
	uint32_t restore_mode;
	uint32_t hold_ms;		/* of the VM that is held; 0: none is */
	int extra_vm_size;		/* a newer module's VM entries */
	int extra_vcpu_size;		/* ... and vCPU entries */
	bool has_vcpu_ids;		/* the links of the files tell vcpu_ids */
	uint32_t vcpu_ids[FAKE_VCPUS_MAX];
	bool knows_vms;			/* FAKE_KNOWN */
	bool processes_end;		/* FAKE_ENDED */
	struct fake_clock *clock;	/* a clock that goes; NULL: clock_ns stands */
	int no_kvm;			/* errno of /dev/kvm, or 0 */
	bool no_device;			/* no /dev/kvmclock_handover */
	int clock_fd_errno;		/* of KCH_IOC_CLOCK_FD; else it is not known */
	const char *machine;		/* DMI product UUID; NULL: not to be read */
	bool signals;			/* EINTR of every ioctl, unless held back */
	unsigned int interruptions;	/* so many more, also of signals held back */
	unsigned int interrupted;	/* times that happened */
	unsigned int unknown;		/* ioctls that no KVM in use has */
	int ring_page;			/* KVM_CAP_COALESCED_MMIO */
	bool triple_fault;		/* KVM_CAP_X86_TRIPLE_FAULT_EVENT of the VM */
	bool foreign[FAKE_VCPUS_MAX];	/* of another VM, whose switch is off */
	bool unsettled;			/* the clocksource is tsc-early */
	uint64_t ratio;			/* of all vCPUs; 0: unscaled */
	uint8_t frac_bits;		/* of it */
	uint64_t tsc_apart[FAKE_VCPUS_MAX]; /* MSR_IA32_TSC is off by so much */
	bool offset_stays[FAKE_VCPUS_MAX]; /* writing it does nothing */
	uint64_t deadlines[FAKE_VCPUS_MAX]; /* MSR_IA32_TSC_DEADLINE */
	bool deadline_stays;		/* it cannot be written */
	/* All changes that were made, one word each. */
	char log[FAKE_LOG_SIZE];
};

/*
 * A VM's kvmclock as KVM keeps it: a function of this machine's TSC, as if that had the
 * frequency fake.kvm_khz.
 */
struct fake_clock {
	bool master;			/* KVM_CLOCK_HOST_TSC and REALTIME are given */
	uint64_t reference_cycles;
	uint64_t reference_ns;
	/* The time from its reference to its reading of the wall clock. */
	int64_t delay_ns;
	uint32_t jitter_ns;		/* ... more, up to that, now and then */
	uint32_t interrupt_ns;		/* ... and that, every sixth time */
	uint32_t sets;			/* times it was set */
};

extern struct fake fake;

void fake_load(const char *path, struct kch_record *record, bool *has);

#endif /* KCH_TESTS_CLI_FAKE_H */
