// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Are these vCPUs those of this VM, and all of them?  KVM has no ioctl that tells.
 * Two things that a VM has once, for all of its vCPUs, are used instead.
 */
#include <dirent.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "members.h"

#define PAGE_BYTES	4096

static int compare_vcpus(const void *a, const void *b)
{
	const struct kch_vcpu *x = a, *y = b;

	return (x->vcpu_id > y->vcpu_id) - (x->vcpu_id < y->vcpu_id);
}

static int check_ids(struct kch_handle *handle, const struct kch_members *m)
{
	uint32_t i;

	for (i = 0; i < m->count; i++) {
		const struct kch_vcpu *vcpu = &m->vcpus[i];
		int id = kch_vcpu_id_of(vcpu->fd);

		if (i && vcpu->vcpu_id == vcpu[-1].vcpu_id)
			return kch_fail(handle, -EINVAL, "vCPU %u is given twice", vcpu->vcpu_id);
		if (id >= 0 && (uint32_t)id != vcpu->vcpu_id)
			return kch_fail(handle, -EINVAL,
					"file descriptor %d is vCPU %d, given as vCPU %u",
					vcpu->fd, id, vcpu->vcpu_id);
	}
	return 0;
}

int kch_members_take(struct kch_handle *handle, int vm_fd, const void *vcpus,
		     size_t stride, size_t count, struct kch_members *members)
{
	size_t i;
	int err;

	*members = (struct kch_members){ .fd = vm_fd, .count = (uint32_t)count };
	if (!count || count > KCH_REC_VCPUS_MAX)
		return kch_fail(handle, -EINVAL, "%zu vCPUs, expected 1 to %u",
				count, KCH_REC_VCPUS_MAX);
	if (!vcpus)
		return kch_fail(handle, -EINVAL, "%zu vCPUs at no address", count);
	members->vcpus = calloc(count, sizeof(members->vcpus[0]));
	if (!members->vcpus)
		return kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	for (i = 0; i < count; i++) {
		const struct kch_vcpu_fd *given = (const void *)((const char *)vcpus + i * stride);

		members->vcpus[i] = (struct kch_vcpu){
			.given = given, .vcpu_id = given->vcpu_id, .fd = given->fd,
		};
	}
	qsort(members->vcpus, count, sizeof(members->vcpus[0]), compare_vcpus);
	err = check_ids(handle, members);
	if (err) {
		free(members->vcpus);
		members->vcpus = NULL;
	}
	return err;
}

/*
 * Each vCPU's file maps the coalesced MMIO ring, which is one page for all vCPUs of a
 * VM.  Its entries have 24 bytes each and leave the page's last 8 unused; there we
 * write a random number, once, and so tell one ring from another.  No vCPU has to be
 * stopped for this.
 */
static int ring_tag(int fd, int ring_page, uint64_t *found)
{
	uint64_t *page, *tag, value, none = 0;

	_Static_assert((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) %
		       sizeof(struct kvm_coalesced_mmio) >= sizeof(*tag),
		       "no room behind the ring");
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)ring_page * PAGE_BYTES);
	if (page == MAP_FAILED)
		return -errno;
	tag = page + PAGE_BYTES / sizeof(*tag) - 1;
	value = __atomic_load_n(tag, __ATOMIC_SEQ_CST);
	if (!value && getrandom(&value, sizeof(value), 0) == sizeof(value) &&
	    !__atomic_compare_exchange_n(tag, &none, value, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		value = none;
	munmap(page, PAGE_BYTES);
	*found = value;
	return value ? 0 : -EIO;
}

static int ring_unknown(struct kch_handle *handle, int err, uint32_t id)
{
	return kch_fail(handle, err,
			"vCPU %u cannot be mapped (%s): of which VM it is cannot be told", id,
			strerror(-err));
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
 * KVM_CAP_X86_TRIPLE_FAULT_EVENT switches, for a VM, whether KVM_GET_VCPU_EVENTS of its
 * vCPUs tells of triple faults, and nothing else.  So we switch it on the VM, see
 * whether that shows in the vCPU, and switch it back.  What to switch back to comes
 * from the vCPU: if that is of another VM, this VM gets the other's setting.  A VMM
 * has one setting for all of its VMs.
 */
static int check_vm(struct kch_handle *handle, int vm_fd, const struct kch_vcpu *vcpu)
{
	bool before = false, after = false;
	int err, back_err;

	if (kch_call(vm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_X86_TRIPLE_FAULT_EVENT) <= 0)
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
		return kch_fail(handle, err, "vCPU %u: whether the VM has it cannot be asked: %s",
				vcpu->vcpu_id, strerror(-err));
	if (after != before)
		return 0;
	return kch_fail(handle, -EXDEV,
			"vCPU %u (file descriptor %d) is of another VM than file descriptor %d",
			vcpu->vcpu_id, vcpu->fd, vm_fd);
}

/* Each vCPU that this process has open, and that is of this VM, must be given. */
static int check_open(struct kch_handle *handle, const struct kch_members *m, int fd,
		      int ring_page, uint64_t tag)
{
	int id = kch_vcpu_id_of(fd), err;
	const struct kch_vcpu key = { .vcpu_id = (uint32_t)id };
	uint64_t found;

	if (id < 0 || bsearch(&key, m->vcpus, m->count, sizeof(key), compare_vcpus))
		return 0;
	err = ring_tag(fd, ring_page, &found);
	/* Closed meanwhile. */
	if (err == -EBADF)
		return 0;
	if (err)
		return ring_unknown(handle, err, key.vcpu_id);
	if (found != tag)
		return 0;
	return kch_fail(handle, -EMLINK,
			"the VM has vCPU %d (file descriptor %d), too, which is not among the %u given: its clock would be another one",
			id, fd, m->count);
}

static int check_rings(struct kch_handle *handle, const struct kch_members *m)
{
	int ring_page = kch_call(m->fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_COALESCED_MMIO);
	const struct kch_vcpu *first = m->vcpus;
	struct dirent *entry;
	uint64_t tag, other;
	uint32_t i;
	int err;
	DIR *dir;

	if (ring_page <= 0)
		return 0;
	err = ring_tag(first->fd, ring_page, &tag);
	if (err)
		return ring_unknown(handle, err, first->vcpu_id);
	for (i = 1; i < m->count; i++) {
		err = ring_tag(m->vcpus[i].fd, ring_page, &other);
		if (err)
			return ring_unknown(handle, err, m->vcpus[i].vcpu_id);
		if (other != tag)
			return kch_fail(handle, -EXDEV,
					"vCPU %u (file descriptor %d) is of another VM than file descriptor %d, of which vCPU %u is",
					m->vcpus[i].vcpu_id, m->vcpus[i].fd, m->fd, first->vcpu_id);
	}
	dir = opendir(KCH_FD_DIR);
	/* In a jail without /proc it is up to the caller. */
	if (!dir && errno != ENOENT)
		return kch_fail(handle, -errno,
				KCH_FD_DIR ": %s; whether the VM has more vCPUs than were given cannot be told",
				strerror(errno));
	while (dir && !err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = check_open(handle, m, atoi(entry->d_name), ring_page, tag);
	if (dir)
		closedir(dir);
	return err;
}

int kch_members_read(struct kch_handle *handle, struct kch_members *members)
{
	uint32_t i;
	int err;

	err = kch_kvm_khz(handle, &members->host_khz);
	for (i = 0; !err && i < members->count; i++)
		err = kch_read_vcpu(handle, &members->vcpus[i]);
	if (!err)
		err = kch_read_clock(handle, members->fd, members->host_khz, &members->clock);
	if (!err)
		err = check_vm(handle, members->fd, &members->vcpus[0]);
	if (err)
		return err;
	members->frac_bits = kch_frac_bits(members->fd);
	return check_rings(handle, members);
}
