/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KVM and the handover device, played by a preloaded library that stands behind
 * libkvmclock-run.so: what the wrapper does in which order, with any number of
 * threads.  That the real ones behave like this is for the nested tests to show.
 */
#ifndef KCH_TESTS_QEMU_FAKE_KVM_H
#define KCH_TESTS_QEMU_FAKE_KVM_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_VCPUS_MAX	8

/* Of the VM that is in the outgoing record. */
#define SAVED_PID	77

/* The test finds it by its name, and may set the first part of it. */
struct fake_kvm {
	bool no_module;
	bool has_record;
	uint32_t record_vcpus;
	uint32_t record_ratio;		/* its guest's TSC is faster so many times; 0: once */
	uint64_t record_age_ns;		/* by the host's TSC; 0: not known */
	bool saved;			/* there is an outgoing record of the id */
	bool saved_live;		/* ... and its VM exists */
	int pid;			/* of the VM, for KCH_IOC_READ; 0: cannot be read */
	int restore_errno;		/* what KCH_IOC_RESTORE says, so often: */
	int restore_errno_count;
	int interrupted;		/* ioctls of the device that a signal will end */
	/* What was seen. */
	int signals_open;		/* ioctls that a signal could have ended */
	int restores, preserves, unpreserves, runs, prepares;
	int runs_before_restore;
	int busy_at_restore;		/* vCPUs in an ioctl during a restore */
	int offsets_written;
	int deadlines_after_restore;
	uint64_t deadline;
	/* Its own. */
	int device_fd, vm_fd, vcpu_fds[FAKE_VCPUS_MAX];
	int vcpu_count, in_vcpu_ioctl;
};

#endif /* KCH_TESTS_QEMU_FAKE_KVM_H */
