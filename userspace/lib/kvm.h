/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's own ioctls on VMs and vCPUs, and what KVM computes from frequencies. */
#ifndef KCH_LIB_KVM_H
#define KCH_LIB_KVM_H

#include "clock.h"
#include "handle.h"

/* A vCPU as KVM has it. */
struct kch_vcpu {
	const void *given;	/* the caller's structure */
	uint32_t vcpu_id;
	int fd;
	uint32_t khz;		/* the TSC frequency it was promised */
	uint64_t offset;	/* TSC offset, cycles */
	uint64_t ratio;		/* TSC scaling ratio */
};

/* What KVM says of a VM's kvmclock. */
struct kch_reading {
	uint64_t clock_ns;
	uint64_t host_tsc;	/* at that instant, cycles */
	uint64_t realtime_ns;	/* CLOCK_REALTIME at that instant, if at_once */
	uint64_t slack_ns;	/* how far clock_ns may be from kvmclock at host_tsc */
	bool at_once;		/* KVM gave all three of one instant: it has a master clock */
};

/* The beginning of a small file.  False: it is empty, or cannot be read. */
bool kch_read_line(const char *path, char *line, size_t size);

/* This process's descriptors; a thread may have a table of its own. */
#define KCH_FD_DIR	"/proc/thread-self/fd"

/* The id of the vCPU that @fd is; -1: it cannot be told, or @fd is none. */
int kch_vcpu_id_of(int fd);

/*
 * Reads a vCPU's TSC offset and frequency.  -EBADF, -EBADFD (@fd is no vCPU),
 * -ENOSYS (no KVM_VCPU_TSC_OFFSET), -EIO (another process's VM, or dead).
 */
int kch_read_vcpu(struct kch_handle *handle, struct kch_vcpu *vcpu);

/* Sets a vCPU's TSC offset; without a message. */
int kch_set_tsc_offset(int vcpu_fd, uint64_t offset);

/* Reads an MSR of a vCPU; false: KVM does not give it. */
bool kch_get_msr(int vcpu_fd, uint32_t index, uint64_t *value);

/*
 * KVM starts a timer by the TSC that the vCPU has when MSR_IA32_TSC_DEADLINE is written, and
 * by no later one: writes an armed one again.  Without a message.
 */
int kch_rearm_deadline(int vcpu_fd);

/*
 * Reads a VM's kvmclock; @host_khz is for the slack.  -EBADF, -EBADFD (@vm_fd is no
 * VM), -EIO (another process's VM, or dead).
 */
int kch_read_clock(struct kch_handle *handle, int vm_fd, uint32_t host_khz,
		   struct kch_reading *reading);

/*
 * The frequency KVM computes guest clocks from, kHz: from the module, or else from a
 * VM made for this question.  -ENXIO: neither can tell.
 */
int kch_kvm_khz(struct kch_handle *handle, uint32_t *khz);

/*
 * KVM_SET_TSC_KHZ on a VM that has another frequency.  -ERANGE: KVM could only
 * emulate it on this host.
 */
int kch_set_khz(struct kch_handle *handle, int vm_fd, uint32_t khz, uint32_t host_khz);

/* Whether KVM runs vCPUs of @khz without scaling on this host. */
bool kch_khz_is_unscaled(uint32_t khz, uint32_t host_khz);

/* The fraction bits of this KVM's scaling ratios; 0 where it cannot scale. */
uint8_t kch_frac_bits(int vm_fd);

/* The scaling ratio KVM gives a vCPU of @khz. */
uint64_t kch_ratio(uint32_t khz, uint32_t host_khz, uint8_t frac_bits);

/*
 * Compares the guest's TSC, as KVM gives it, with what offset and ratio make it.
 * -ELIBBAD: it is another.
 */
int kch_check_tsc(struct kch_handle *handle, const struct kch_vcpu *vcpu,
		  uint8_t frac_bits, uint32_t host_khz);

/*
 * How fast KVM's host clock and @clock drift apart, at most, parts per 1e9: the sum of
 * what follows from @clock, with a host clock by a TSC of exactly @host_khz, and of how
 * far the host clock may be off that.
 */
uint64_t kch_host_clock_ppb(const struct kch_clock *clock, uint32_t host_khz);
uint64_t kch_host_clock_slack_ppb(void);

#endif /* KCH_LIB_KVM_H */
