// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Are these vCPUs those of this VM, and all of them?  KVM has no call that tells,
 * so two things are used that a VM has once, for all its vCPUs.
 */
#include <dirent.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "target.h"

#define PAGE_BYTES	4096

/**
 * struct members - what is being compared
 * @vcpus: those that were given, ascending by vcpu_id
 * @stride: bytes from one to the next
 * @count: how many
 * @ring_page: page of a vCPU's mapping that has the ring; 0: there is none
 * @tag: of the ring of the first
 */
struct members {
	const void *vcpus;
	size_t stride;
	uint32_t count;
	int ring_page;
	uint64_t tag;
};

static const struct kch_target_vcpu *given(const struct members *m, uint32_t i)
{
	return (const void *)((const char *)m->vcpus + i * m->stride);
}

/*
 * Each vCPU's file maps the coalesced MMIO ring, and that is the VM's: one page for
 * all of its vCPUs.  Its entries have 24 bytes each and leave the page's last 8
 * unused; there we give each ring a number, which it keeps.  No vCPU has to be
 * stopped for this, whoever's it is.  0: @fd is no vCPU.
 */
static uint64_t ring_tag(int fd, int ring_page)
{
	uint64_t *page, *tag, value, none = 0;

	errno = 0;
	_Static_assert((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) %
		       sizeof(struct kvm_coalesced_mmio) >= sizeof(*tag),
		       "no room behind the ring");
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)ring_page * PAGE_BYTES);
	if (page == MAP_FAILED)
		return 0;
	tag = page + PAGE_BYTES / sizeof(*tag) - 1;
	value = __atomic_load_n(tag, __ATOMIC_SEQ_CST);
	if (!value && getrandom(&value, sizeof(value), 0) == sizeof(value) &&
	    !__atomic_compare_exchange_n(tag, &none, value, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		value = none;
	munmap(page, PAGE_BYTES);
	return value;
}

static int set_event(int vm_fd, bool on)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT,
		.args = { on },
	};

	return kch_call(vm_fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

static int get_event(int vcpu_fd, bool *on)
{
	struct kvm_vcpu_events events = {};

	if (kch_call(vcpu_fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return -errno;
	*on = events.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	return 0;
}

/*
 * Whether KVM_GET_VCPU_EVENTS tells of triple faults is switched for the VM, and
 * shows in each of its vCPUs.  It decides about nothing else, and is switched back.
 * Only where the vCPU is of another VM does it not tell what there was before: the
 * VM then gets what that one has.  A VMM uses it for all of its VMs or for none.
 */
static int check_vm(struct kch_handle *handle, int vm_fd,
		    const struct kch_target_vcpu *vcpu)
{
	bool before, after;
	int err, back_err;

	if (kch_call(vm_fd, KVM_CHECK_EXTENSION,
		     (void *)KVM_CAP_X86_TRIPLE_FAULT_EVENT) <= 0)
		return 0;
	err = get_event(vcpu->fd, &before);
	if (!err) {
		err = set_event(vm_fd, !before);
		if (!err)
			err = get_event(vcpu->fd, &after);
		back_err = set_event(vm_fd, before);
		err = err ? err : back_err;
	}
	if (err)
		return kch_fail(handle, err,
				"vCPU %u: whether the VM has it cannot be asked: %s",
				vcpu->vcpu_id, strerror(-err));
	if (after != before)
		return 0;
	return kch_fail(handle, -EXDEV,
			"vCPU %u (file descriptor %d) is of another VM than file descriptor %d",
			vcpu->vcpu_id, vcpu->fd, vm_fd);
}

static int check_given(struct kch_handle *handle, const struct members *m,
		       int vm_fd)
{
	uint32_t i;

	for (i = 1; i < m->count; i++) {
		const struct kch_target_vcpu *vcpu = given(m, i);

		if (ring_tag(vcpu->fd, m->ring_page) != m->tag)
			return kch_fail(handle, -EXDEV,
					"vCPU %u (file descriptor %d) is of another VM than file descriptor %d, of which vCPU %u is",
					vcpu->vcpu_id, vcpu->fd, vm_fd,
					given(m, 0)->vcpu_id);
	}
	return 0;
}

static int compare_id(const void *key, const void *member)
{
	uint32_t id = *(const uint32_t *)key;
	const struct kch_target_vcpu *vcpu = member;

	return (id > vcpu->vcpu_id) - (id < vcpu->vcpu_id);
}

static int check_open(struct kch_handle *handle, const struct members *m, int fd)
{
	int id = kch_vcpu_id_of(fd);

	if (id < 0 || bsearch(&id, m->vcpus, m->count, m->stride, compare_id) ||
	    ring_tag(fd, m->ring_page) != m->tag)
		return 0;
	return kch_fail(handle, -EMLINK,
			"the VM has vCPU %d (file descriptor %d), too, which is not among the %u given: its clock would be another one",
			id, fd, m->count);
}

/* A VM's vCPUs are known by their files: of those that are open here, all must be given. */
static int check_left_out(struct kch_handle *handle, const struct members *m)
{
	DIR *dir = opendir(KCH_FD_DIR);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return 0;
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = check_open(handle, m, atoi(entry->d_name));
	closedir(dir);
	return err;
}

int kch_check_members(struct kch_handle *handle, int vm_fd, const void *vcpus,
		      size_t stride, uint32_t count)
{
	struct members m = { .vcpus = vcpus, .stride = stride, .count = count };
	int err;

	err = check_vm(handle, vm_fd, given(&m, 0));
	if (err)
		return err;
	m.ring_page = kch_call(vm_fd, KVM_CHECK_EXTENSION,
			       (void *)KVM_CAP_COALESCED_MMIO);
	if (m.ring_page <= 0)
		return 0;
	m.tag = ring_tag(given(&m, 0)->fd, m.ring_page);
	if (!m.tag)
		return kch_fail(handle, errno ? -errno : -EIO,
				"vCPU %u cannot be mapped: whether the others are of its VM cannot be told",
				given(&m, 0)->vcpu_id);
	err = check_given(handle, &m, vm_fd);
	return err ? err : check_left_out(handle, &m);
}
