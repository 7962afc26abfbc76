// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "check.h"
#include "condition.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/* Descriptors that are no VMs, and VMs that have no clock to hand over. */
static struct {
	int null;
	int event;
	int pipe[2];
	int folder;
	int path;
	struct vm empty;	/* no vCPU */
	struct vm fresh;	/* nothing was set yet */
	struct vm apart;	/* two vCPUs whose TSCs differ */
	struct vm catchup;	/* promised a frequency the host does not have */
} other;

static void make_others(void)
{
	long khz;

	other.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	other.event = eventfd(0, EFD_CLOEXEC);
	other.folder = open("/", O_RDONLY | O_CLOEXEC);
	if (pipe(other.pipe))
		die("pipe failed");

	vm_create(&other.empty);

	vm_create(&other.fresh);
	vm_add(&other.fresh, 0);
	vm_add(&other.fresh, 1);

	vm_create(&other.apart);
	vm_add(&other.apart, 0);
	vm_add(&other.apart, 1);
	vm_set_offset(&other.apart, 0, SCENE_OFFSET);
	vm_set_offset(&other.apart, 1, SCENE_OFFSET + 1000);
	vm_set_clock(&other.apart, 1);

	vm_create(&other.catchup);
	vm_add(&other.catchup, 0);
	khz = ioctl(other.catchup.vcpu[0], KVM_GET_TSC_KHZ, 0);
	if (khz <= 0 ||
	    ioctl(other.catchup.vcpu[0], KVM_SET_TSC_KHZ, khz * 2))
		die("KVM_SET_TSC_KHZ %ld failed", khz * 2);
	vm_set_clock(&other.catchup, 1);

	snapshot_watch(&other.empty);
	snapshot_watch(&other.fresh);
	snapshot_watch(&other.apart);
	snapshot_watch(&other.catchup);
}

static void drop_others(void)
{
	close(other.null);
	close(other.event);
	close(other.folder);
	close(other.pipe[0]);
	close(other.pipe[1]);
	vm_destroy(&other.empty);
	vm_destroy(&other.fresh);
	vm_destroy(&other.apart);
	vm_destroy(&other.catchup);
}

/* Where the VM is named, in the five structures that name one. */
static void set_fd(struct attempt *a, int fd)
{
	switch (a->cmd) {
	case KCH_IOC_PRESERVE:
		a->arg.preserve.vm_fd = fd;
		break;
	case KCH_IOC_READ:
		a->arg.read.vm_fd = fd;
		break;
	case KCH_IOC_RESTORE:
		a->arg.restore.vm_fd = fd;
		break;
	case KCH_IOC_ADOPT:
		a->arg.adopt.vm_fd = fd;
		break;
	case KCH_IOC_CLOCK_FD:
		a->arg.clock_fd.vm_fd = fd;
		break;
	}
}

#define FD(name, fd)						\
static void name(struct attempt *a)				\
{								\
	set_fd(a, fd);						\
}

FD(fd_negative, -1)
FD(fd_closed, 1000)
FD(fd_device, device)
FD(fd_null, other.null)
FD(fd_event, other.event)
FD(fd_pipe, other.pipe[0])
FD(fd_folder, other.folder)
FD(fd_kvm, kvm_open())
FD(fd_vcpu, scene.vm.vcpu[0])
FD(fd_empty, other.empty.fd)
FD(fd_fresh, other.fresh.fd)
FD(fd_apart, other.apart.fd)
FD(fd_catchup, other.catchup.fd)

/* The VM under watch must be found by a duplicate of its descriptor, too. */
static void fd_duplicate(struct attempt *a)
{
	static int fd = -1;

	if (fd >= 0)
		close(fd);
	fd = dup(scene.vm.fd);
	set_fd(a, fd);
}

/* Of each ioctl that takes a VM. */
static const struct condition not_a_vm[] = {
	{ .name = "descriptor -1", .spoil = fd_negative, .expected = EBADF,
	  .message = "descriptor -1 is not open" },
	{ .name = "descriptor not open", .spoil = fd_closed, .expected = EBADF,
	  .message = "descriptor 1000 is not open" },
	{ .name = "the device itself", .spoil = fd_device, .expected = EBADFD,
	  .message = "kvmclock_handover, not a KVM virtual machine" },
	{ .name = "/dev/null", .spoil = fd_null, .expected = EBADFD,
	  .message = "null, not a KVM virtual machine" },
	{ .name = "an eventfd", .spoil = fd_event, .expected = EBADFD,
	  .message = "[eventfd], not a KVM virtual machine" },
	{ .name = "a pipe", .spoil = fd_pipe, .expected = EBADFD,
	  .message = ", not a KVM virtual machine" },
	{ .name = "a folder", .spoil = fd_folder, .expected = EBADFD,
	  .message = ", not a KVM virtual machine" },
	{ .name = "/dev/kvm", .spoil = fd_kvm, .expected = EBADFD,
	  .message = "kvm, not a KVM virtual machine" },
	{ .name = "a vCPU", .spoil = fd_vcpu, .expected = EBADFD,
	  .message = "kvm-vcpu:0, not a KVM virtual machine" },
	{ .name = "VM without vCPU", .spoil = fd_empty, .expected = ECHILD,
	  .message = "no vCPU" },
};

static const struct condition no_clock[] = {
	{ KCH_IOC_PRESERVE, "VM whose clock was not set yet", fd_fresh,
	  .expected = EOPNOTSUPP, .message = "no master clock" },
	{ KCH_IOC_PRESERVE, "vCPUs whose TSCs differ", fd_apart,
	  .expected = EOPNOTSUPP, .message = "no master clock" },
	{ KCH_IOC_PRESERVE, "vCPU in TSC catch-up", fd_catchup,
	  .expected = ENOTRECOVERABLE, .message = "vCPU 0 is in TSC catch-up" },
	{ KCH_IOC_RESTORE, "vCPU in TSC catch-up", fd_catchup,
	  .expected = ENOTRECOVERABLE, .message = "vCPU 0 is in TSC catch-up" },
	{ KCH_IOC_ADOPT, "VM whose clock was not set yet", fd_fresh,
	  .expected = EOPNOTSUPP, .message = "no master clock" },
	{ KCH_IOC_ADOPT, "vCPUs whose TSCs differ", fd_apart,
	  .expected = EOPNOTSUPP, .message = "no master clock" },
	{ KCH_IOC_ADOPT, "vCPU in TSC catch-up", fd_catchup,
	  .expected = ENOTRECOVERABLE, .message = "vCPU 0 is in TSC catch-up" },
	/* READ is for audits too: it tells what there is. */
	{ KCH_IOC_READ, "VM whose clock was not set yet", fd_fresh, .message = "" },
	{ KCH_IOC_READ, "vCPUs whose TSCs differ", fd_apart, .message = "" },
	{ KCH_IOC_READ, "vCPU in TSC catch-up", fd_catchup, .message = "" },
	{ KCH_IOC_READ, "duplicate of the descriptor", fd_duplicate, .message = "" },
};

static void read_only_buffer(struct attempt *a)
{
	static const char constant[1024];

	a->arg.read.buffer = (uintptr_t)constant;
}

static const struct condition read_buffer[] = {
	{ KCH_IOC_READ, "no room", SET(kch_read, buffer_size, 0),
	  .expected = ENOBUFS, .message = "320 are needed" },
	{ KCH_IOC_READ, "room one byte too small", SET(kch_read, buffer_size, 319),
	  .expected = ENOBUFS, .message = "buffer of 319 bytes, 320 are needed" },
	{ KCH_IOC_READ, "buffer at 0", SET(kch_read, buffer, 0),
	  .expected = EFAULT, .message = "buffer" },
	{ KCH_IOC_READ, "buffer in kernel memory",
	  SET(kch_read, buffer, 0xffffffff81000000ULL),
	  .expected = EFAULT, .message = "buffer" },
	{ KCH_IOC_READ, "read-only buffer", read_only_buffer,
	  .expected = EFAULT, .message = "buffer" },
	{ KCH_IOC_READ, "room just enough", SET(kch_read, buffer_size, 320),
	  .message = "" },
};

void test_vm(void)
{
	static const unsigned int takes_vm[] = {
		KCH_IOC_PRESERVE, KCH_IOC_READ, KCH_IOC_RESTORE, KCH_IOC_ADOPT, KCH_IOC_CLOCK_FD,
	};
	unsigned int i, n;

	scene_begin();
	make_others();
	for (i = 0; i < sizeof(takes_vm) / sizeof(takes_vm[0]); i++) {
		for (n = 0; n < sizeof(not_a_vm) / sizeof(not_a_vm[0]); n++) {
			struct condition one = not_a_vm[n];

			one.cmd = takes_vm[i];
			/* There that is the record, in which this id is not. */
			if (one.cmd == KCH_IOC_CLOCK_FD && one.spoil == fd_negative) {
				one.expected = ENOENT;
				one.message = "no VM of id";
			}
			condition_run(&one);
		}
	}
	conditions_run(no_clock, sizeof(no_clock) / sizeof(no_clock[0]));
	conditions_run(read_buffer, sizeof(read_buffer) / sizeof(read_buffer[0]));
	drop_others();
	scene_end();
}

static void id_none(struct attempt *a)
{
	set_uuid(a->arg.get.uuid, 0);
}

static void clock_of_record(struct attempt *a)
{
	a->arg.clock_fd.vm_fd = -1;
	a->arg.clock_fd.name[0] = '\0';
}

static const struct condition no_region[] = {
	{ KCH_IOC_PRESERVE, "no region", .expected = ENODEV,
	  .message = "no region" },
	{ KCH_IOC_UNPRESERVE, "no region", .expected = ENODEV,
	  .message = "no region" },
	{ KCH_IOC_RESTORE, "no region", .expected = ENODEV,
	  .message = "no region" },
	{ KCH_IOC_FINISH, "no region", .expected = ENODEV,
	  .message = "no region" },
	{ KCH_IOC_LIST, "no region: no record came",
	  SET(kch_list, which, KCH_INCOMING), .expected = ENODATA,
	  .message = "no region" },
	{ KCH_IOC_GET, "no region: no record came",
	  SET(kch_get, which, KCH_INCOMING), .expected = ENODATA,
	  .message = "no region" },
	{ KCH_IOC_CLOCK_FD, "no region: no record came", clock_of_record, .expected = ENODATA,
	  .message = "no region" },
	{ KCH_IOC_GET, "header of what was not preserved", id_none,
	  .expected = ENODATA, .message = "nothing was preserved yet" },
	/* Auditing works. */
	{ KCH_IOC_READ, "no region", .message = "" },
	{ KCH_IOC_LIST, "no region", .message = "" },
	{ KCH_IOC_INFO, "no region", .message = "" },
};

void test_no_region(void)
{
	struct kch_info info;

	condition_base = scene_base;
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	snapshot_watch(&scene.vm);
	module_load_with("");
	device_info(&info);
	check(info.backend == KCH_BACKEND_NONE && !info.region_size &&
	      !info.outgoing_capacity && info.incoming_error == ENODEV,
	      "INFO: backend %u, %llu bytes, capacity %llu, error %d",
	      info.backend, info.region_size, info.outgoing_capacity,
	      info.incoming_error);
	check(info.flags == KCH_INFO_SELFCHECKED, "INFO: flags %#x",
	      info.flags);
	check(info.rec_vm_size == sizeof(struct kch_rec_vm) &&
	      info.rec_vcpu_size == sizeof(struct kch_rec_vcpu),
	      "INFO: VM entries of %u bytes, vCPU entries of %u",
	      info.rec_vm_size, info.rec_vcpu_size);
	conditions_run(no_region, sizeof(no_region) / sizeof(no_region[0]));
	snapshot_watch_none();
	vm_destroy(&scene.vm);
	module_unload();
}
