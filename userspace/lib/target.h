/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM that is being given a saved clock, as far as KVM's own ioctls go: what
 * is there, what is to be there, and the way back.
 */
#ifndef KCH_LIB_TARGET_H
#define KCH_LIB_TARGET_H

#include "internal.h"

/**
 * struct kch_target_vcpu - one of its vCPUs
 * @fd: its file descriptor
 * @vcpu_id: its id
 * @old_offset: its TSC offset before, cycles
 * @new_offset: the TSC offset it gets: the saved one, or one derived anew, cycles
 * @khz: the frequency it was promised, kHz
 * @old_khz: the frequency it had before, kHz
 * @ratio: its TSC scaling ratio, as far as kch_target_scaling() was called
 */
struct kch_target_vcpu {
	int fd;
	uint32_t vcpu_id;
	uint64_t old_offset;
	uint64_t new_offset;
	uint32_t khz;
	uint32_t old_khz;
	uint64_t ratio;
};

/**
 * struct kch_target - the VM
 * @fd: its file descriptor
 * @saved: its saved clock
 * @count: vCPUs it has
 * @own_khz: saved vCPUs have different frequencies, so each is set its own
 * @written: vCPUs whose offset was written, from the first
 * @clock_written: KVM_SET_CLOCK was done
 * @old_clock_ns: kvmclock before, ns
 * @old_time_ns: CLOCK_MONOTONIC_RAW when @old_clock_ns was read, ns
 * @frac_bits: of the ratios
 * @vcpus: ascending by vcpu_id
 */
struct kch_target {
	int fd;
	struct kch_vm *saved;
	uint32_t count;
	bool own_khz;
	uint32_t written;
	bool clock_written;
	uint64_t old_clock_ns;
	uint64_t old_time_ns;
	uint8_t frac_bits;
	struct kch_target_vcpu vcpus[];
};

/* -EINVAL: not 1 to KCH_REC_VCPUS_MAX of them at @vcpus. */
int kch_check_vcpus(struct kch_handle *handle, const void *vcpus, size_t count);

/* KVM_GET_DEVICE_ATTR or KVM_SET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET. */
int kch_tsc_offset(int vcpu_fd, unsigned long request, uint64_t *offset);

/* A vCPU's TSC offset, with the errno and words of what may be wrong with @fd. */
int kch_read_tsc_offset(struct kch_handle *handle, int fd, uint32_t vcpu_id,
			uint64_t *offset);

/* The errno and words for @err of KVM_GET_CLOCK: -EBADFD where @vm_fd is no VM. */
int kch_fail_clock(struct kch_handle *handle, int vm_fd, int err);

/* This process's files; a thread may have a table of its own. */
#define KCH_FD_DIR	"/proc/thread-self/fd"

/* The id of the vCPU that @fd is; -1: that cannot be told. */
int kch_vcpu_id_of(int fd);

/*
 * -EXDEV: a vCPU is of another VM.  -EMLINK: the VM has one more.  @vcpus are struct
 * kch_target_vcpu, ascending by vcpu_id, @stride bytes from one to the next; none of
 * them runs, and all are known to be vCPUs.
 */
int kch_check_members(struct kch_handle *handle, int vm_fd, const void *vcpus,
		      size_t stride, uint32_t count);

/* -EINVAL: it can be told that @fd is another vCPU than @vcpu_id. */
int kch_check_vcpu_id(struct kch_handle *handle, int fd, uint32_t vcpu_id);

/* Without @saved; to be freed by kch_target_free(), which frees @saved too. */
int kch_target_new(struct kch_handle *handle, int vm_fd,
		   const struct kch_vcpu_fd *vcpus, size_t count,
		   struct kch_target **target);
void kch_target_free(struct kch_target *target);

/* Are these the vCPUs that were saved, each under its own id?  No writes. */
int kch_target_match(struct kch_handle *handle, struct kch_target *target);

/*
 * Reads what will be overwritten, and checks what KVM tells on the way.
 * @own_khz: vCPUs may have another frequency than was saved, if those differed.
 */
int kch_target_remember(struct kch_handle *handle, struct kch_target *target,
			bool own_khz);

/* The saved TSC offsets, and frequencies where each vCPU has its own. */
int kch_target_write_offsets(struct kch_handle *handle,
			     struct kch_target *target);

/*
 * KVM_SET_CLOCK to what the saved clock says now.  KVM then takes a master
 * clock reference at once, if it can.
 */
int kch_target_write_clock(struct kch_handle *handle, struct kch_target *target);

/* Puts back what was there.  Says so if it cannot, and goes on. */
void kch_target_put_back(struct kch_handle *handle, struct kch_target *target);

#endif /* KCH_LIB_TARGET_H */
