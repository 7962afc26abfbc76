// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The VM: what the VMM makes, sets and runs, and when the clock is to be saved
 * or restored.
 *
 * The vCPUs' descriptors are watched while no vCPU may run: from their creation
 * to the first KVM_RUN, and from a save to the next KVM_RUN.  That KVM_RUN and
 * all that follow it wait at the gate; ioctls of other threads on vCPUs are
 * let finish, because the module does not touch a VM that is in use.  When the
 * gate has been opened, vCPUs are no longer watched.
 *
 * "Stopped" is what a VMM does that reads the clock with KVM_GET_CLOCK after
 * the guest has run: QEMU does when it stops the VM, and when it writes the
 * clock's state.  Whoever reads it for another reason makes us save for
 * nothing, and take back at the next KVM_RUN.
 *
 * A program that the VMM forks to start another has the descriptors, too, and
 * mostly closes them all.  It has our state as it was, with a lock that nobody
 * gives back, or (vfork) our state itself.  So in another process than the VM's
 * nothing is looked at and nothing is locked.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <unistd.h>
#include "run.h"

#define MSR_IA32_TSC		0x10
#define MSR_IA32_TSC_DEADLINE	0x6e0

/* The one VM that has the id. */
static struct run_machine machine = { .vm_fd = -1 };

/*
 * Held for writing while the clock is saved or restored and when @machine
 * changes, for reading during any other ioctl on a vCPU that is watched.
 * Writers first: the VMM's threads must not be able to hold them off.
 */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

/* The process that all of this is about; 0 before it has made a VM. */
static pid_t owner;

static bool is_owner(void)
{
	return getpid() == __atomic_load_n(&owner, __ATOMIC_ACQUIRE);
}

/* Who makes a VM is its VMM: a forked one begins anew. */
static void own(void)
{
	pid_t pid = getpid();
	pid_t before = __atomic_exchange_n(&owner, pid, __ATOMIC_ACQ_REL);

	if (!before || before == pid)
		return;
	lock = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
	/* The numbers may be other files by now, so none is closed. */
	run_watch_none();
	run_clock_forget();
	machine = (struct run_machine){ .vm_fd = -1 };
}

/* With the lock. */
static struct run_vcpu *vcpu_of(int fd)
{
	uint32_t i;

	for (i = 0; i < machine.vcpu_count; i++)
		if (machine.vcpus[i].fd == fd)
			return &machine.vcpus[i];
	return NULL;
}

static void watch_vcpus(bool on)
{
	uint32_t i;

	for (i = 0; i < machine.vcpu_count; i++)
		if (machine.vcpus[i].fd >= 0)
			run_watch(machine.vcpus[i].fd, on);
}

static int create_vm(int fd, void *arg)
{
	int vm_fd = run_real_ioctl(fd, KVM_CREATE_VM, arg);

	/* Which of several it is shows when one gets a vCPU. */
	if (vm_fd >= 0 && run_options.active) {
		own();
		run_watch(vm_fd, true);
	}
	return vm_fd;
}

/* Whether @vm_fd is, or now becomes, the VM; with the lock for writing. */
static bool claim(int vm_fd)
{
	static bool told;

	if (machine.vm_fd == vm_fd)
		return true;
	if (machine.vm_fd >= 0) {
		if (!told)
			run_say("this program has a second virtual machine: only the first one's clock is kept");
		told = true;
		run_watch(vm_fd, false);
		return false;
	}
	machine.vm_fd = vm_fd;
	machine.state = RUN_NEW;
	run_clock_prepare(&machine);
	return true;
}

static void add_vcpu(int fd, uint32_t id)
{
	struct run_vcpu *vcpus;

	vcpus = realloc(machine.vcpus,
			(machine.vcpu_count + 1) * sizeof(*vcpus));
	if (!vcpus) {
		/* The restore then finds that one is missing, and says so. */
		run_say("no memory to remember vCPU %u", id);
		return;
	}
	machine.vcpus = vcpus;
	vcpus[machine.vcpu_count++] = (struct run_vcpu){ .fd = fd, .id = id };
	run_watch(fd, true);
}

static int create_vcpu(int vm_fd, void *arg)
{
	int fd;

	pthread_rwlock_wrlock(&lock);
	/* A vCPU that is added to a running VM gets the clock of the others. */
	if (!claim(vm_fd) || machine.state != RUN_NEW) {
		pthread_rwlock_unlock(&lock);
		return run_real_ioctl(vm_fd, KVM_CREATE_VCPU, arg);
	}
	fd = run_real_ioctl(vm_fd, KVM_CREATE_VCPU, arg);
	if (fd >= 0)
		add_vcpu(fd, (uint32_t)(uintptr_t)arg);
	pthread_rwlock_unlock(&lock);
	return fd;
}

static int get_clock(int vm_fd, void *arg)
{
	int result = run_real_ioctl(vm_fd, KVM_GET_CLOCK, arg);

	if (result < 0)
		return result;
	pthread_rwlock_wrlock(&lock);
	if (machine.vm_fd == vm_fd) {
		uint64_t clock_ns = ((struct kvm_clock_data *)arg)->clock;

		if (clock_ns > machine.clock_read_ns)
			machine.clock_read_ns = clock_ns;
		if (machine.state == RUN_RUNNING && run_clock_save(&machine)) {
			machine.state = RUN_STOPPED;
			watch_vcpus(true);
		}
	}
	pthread_rwlock_unlock(&lock);
	return result;
}

static int set_clock(int vm_fd, void *arg)
{
	pthread_rwlock_wrlock(&lock);
	if (machine.vm_fd == vm_fd)
		machine.clock_set_ns = ((struct kvm_clock_data *)arg)->clock;
	pthread_rwlock_unlock(&lock);
	return run_real_ioctl(vm_fd, KVM_SET_CLOCK, arg);
}

/* The first vCPU to come here opens the gate for all. */
static void pass_gate(int vcpu_fd)
{
	pthread_rwlock_wrlock(&lock);
	if (vcpu_of(vcpu_fd)) {
		if (machine.state == RUN_NEW) {
			if (!run_clock_restore(&machine))
				_exit(RUN_EXIT_REFUSED);
		} else if (machine.state == RUN_STOPPED) {
			run_clock_unsave(&machine);
		}
		machine.state = RUN_RUNNING;
		watch_vcpus(false);
	}
	pthread_rwlock_unlock(&lock);
}

static void remember_read(struct run_vcpu *vcpu, const struct kvm_msrs *msrs,
			  int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (msrs->entries[i].index == MSR_IA32_TSC &&
		    msrs->entries[i].data > vcpu->tsc_read)
			vcpu->tsc_read = msrs->entries[i].data;
}

static void remember_written(struct run_vcpu *vcpu, const struct kvm_msrs *msrs)
{
	uint32_t i;

	for (i = 0; i < msrs->nmsrs; i++) {
		if (msrs->entries[i].index == MSR_IA32_TSC)
			vcpu->tsc = msrs->entries[i].data;
		if (msrs->entries[i].index == MSR_IA32_TSC_DEADLINE)
			vcpu->tsc_deadline = msrs->entries[i].data;
	}
}

static int vcpu_ioctl(int fd, uint32_t request, void *arg)
{
	struct run_vcpu *vcpu;
	int result, saved_errno;

	pthread_rwlock_rdlock(&lock);
	/* Only the vCPU's own thread writes to its entry. */
	vcpu = vcpu_of(fd);
	if (vcpu && request == KVM_SET_MSRS)
		remember_written(vcpu, arg);
	result = run_real_ioctl(fd, request, arg);
	saved_errno = errno;
	if (vcpu && request == KVM_GET_MSRS)
		remember_read(vcpu, arg, result);
	pthread_rwlock_unlock(&lock);
	errno = saved_errno;
	return result;
}

/* Of the ioctls on a VM. */
static bool concerns_clock(uint32_t request)
{
	return request == KVM_CREATE_VCPU || request == KVM_GET_CLOCK ||
	       request == KVM_SET_CLOCK;
}

int run_ioctl(int fd, unsigned long full_request, void *arg)
{
	/* KVM looks at 32 bits, and QEMU's int brings its sign along. */
	uint32_t request = (uint32_t)full_request;

	if (request == KVM_CREATE_VM)
		return create_vm(fd, arg);
	/*
	 * The VM's descriptor is watched all the time: no lock and no system
	 * call for what does not concern us.  Nor is anything locked in a forked
	 * process, which may have another file there.
	 */
	if ((fd == __atomic_load_n(&machine.vm_fd, __ATOMIC_RELAXED) &&
	     !concerns_clock(request)) || !is_owner())
		return run_real_ioctl(fd, request, arg);
	switch (request) {
	case KVM_CREATE_VCPU:
		return create_vcpu(fd, arg);
	case KVM_GET_CLOCK:
		return get_clock(fd, arg);
	case KVM_SET_CLOCK:
		return set_clock(fd, arg);
	case KVM_RUN:
		pass_gate(fd);
		return run_real_ioctl(fd, request, arg);
	}
	return vcpu_ioctl(fd, request, arg);
}

void run_close(int fd)
{
	struct run_vcpu *vcpu;

	if (!is_owner())
		return;
	run_watch(fd, false);
	pthread_rwlock_wrlock(&lock);
	vcpu = vcpu_of(fd);
	if (vcpu) {
		vcpu->fd = -1;
	} else if (machine.vm_fd == fd) {
		/* What was saved stays saved: that is how a VMM ends. */
		watch_vcpus(false);
		free(machine.vcpus);
		machine = (struct run_machine){ .vm_fd = -1 };
	}
	pthread_rwlock_unlock(&lock);
}
