// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Saving and restoring the clock, and saying what could not be.  All called
 * with the lock of machine.c held for writing.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "run.h"

#define MSR_IA32_TSC_DEADLINE	0x6e0
#define RETRY_NS		100000000L

static struct kch_handle *device_handle;

/* The device; NULL if it is not there, with errno set. */
static struct kch_handle *device(void)
{
	/* The module may be loaded while the VMM runs. */
	if (!device_handle)
		device_handle = kch_open(NULL);
	return device_handle;
}

void run_clock_forget(void)
{
	device_handle = NULL;
}

static const char *open_error(void)
{
	if (errno == ENOENT)
		return "the module kvmclock_handover is not loaded";
	if (errno == EPERM || errno == EACCES)
		return "not allowed to use " KCH_DEVICE ": CAP_SYS_ADMIN is needed";
	return strerror(errno);
}

void run_clock_prepare(struct run_machine *machine)
{
	struct kch_handle *handle = device();
	int err;

	if (!handle)
		return;
	err = kch_vm_prepare(handle, machine->vm_fd, run_options.id);
	if (!err || err == -ENODATA || err == -ENOENT)
		return;
	machine->prepare_errno = -err;
	snprintf(machine->prepare_message, sizeof(machine->prepare_message),
		 "%s", kch_last_message(handle));
}

/*
 * To a guest that starts from its reset a VMM gives no time but what it has
 * read from the same VM before, if any.  A guest that comes back gets one from
 * elsewhere, and that is more than the new VM has had yet.
 */
static bool comes_back(const struct run_machine *machine)
{
	uint32_t i;

	if (run_options.incoming != RUN_INCOMING_AUTO)
		return run_options.incoming == RUN_INCOMING_YES;
	for (i = 0; i < machine->vcpu_count; i++)
		if (machine->vcpus[i].tsc > machine->vcpus[i].tsc_read)
			return true;
	return machine->clock_set_ns > machine->clock_read_ns;
}

/*
 * The clock as the VMM left it, and against the saved one if there is one, which
 * only a TSC that ran on can tell.
 */
static void describe_clock(struct kch_handle *handle,
			   const struct run_machine *machine, bool tsc_ran_on,
			   char *text, size_t size)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kvm_clock_data clock = {};
	struct kch_vm *saved;
	double now_ns, cycles, elapsed, behind_s = 0;
	uint64_t host_tsc;
	bool known = false;

	if (run_real_ioctl(machine->vm_fd, KVM_GET_CLOCK, &clock) < 0) {
		snprintf(text, size, "the guest's clock is what the VMM made it");
		return;
	}
	host_tsc = __builtin_ia32_rdtsc();
	now_ns = (double)clock.clock;
	if (handle && tsc_ran_on &&
	    !kch_vm_get(handle, KCH_INCOMING, run_options.id, &saved)) {
		if (!kch_vm_info(saved, &info) && !kch_vm_vcpu(saved, 0, &vcpu) &&
		    vcpu.hw_tsc_khz && host_tsc > info.host_tsc) {
			/* Of the guest, as those that its frequency counts. */
			cycles = (double)(host_tsc - info.host_tsc) *
				 (double)vcpu.tsc_scaling_ratio /
				 (double)(1ULL << info.tsc_scaling_frac_bits);
			elapsed = cycles * 1e6 / vcpu.hw_tsc_khz;
			behind_s = ((double)info.kvmclock_ns + elapsed - now_ns) / 1e9;
			known = true;
		}
		kch_vm_free(saved);
	}
	if (known)
		snprintf(text, size,
			 "the guest's kvmclock is %.3f s, as the VMM set it: %.3f s %s the saved clock",
			 now_ns / 1e9, behind_s < 0 ? -behind_s : behind_s,
			 behind_s < 0 ? "ahead of" : "behind");
	else
		snprintf(text, size,
			 "the guest's kvmclock is %.3f s, as the VMM set it",
			 now_ns / 1e9);
}

/* Says why not; @err is 0 or of the library.  Whether the guest may run all the same. */
static bool not_restored(struct kch_handle *handle,
			 const struct run_machine *machine, int err,
			 const char *why)
{
	char clock[256];

	/* Before @handle's message, which @why may be, is overwritten. */
	char reason[2 * KCH_MESSAGE_SIZE];

	snprintf(reason, sizeof(reason), "%s", why);
	describe_clock(handle, machine, err != -ETIME, clock, sizeof(clock));
	run_say("clock not restored: %s; %s%s", reason, clock,
		run_options.require ? "; the guest is not started (--require)" : "");
	return !run_options.require;
}

static int restore_with_patience(struct kch_handle *handle,
				 const struct run_machine *machine,
				 struct kch_restore_result *result)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };
	struct kch_restore_opts opts = {
		.sz = sizeof(opts),
		.flags = run_options.flags,
	};
	struct kch_vcpu_fd *vcpus;
	unsigned int tries = run_options.wait_s * (1000000000 / RETRY_NS);
	uint32_t i;
	int err;

	vcpus = calloc(machine->vcpu_count, sizeof(*vcpus));
	if (!vcpus)
		return -ENOMEM;
	for (i = 0; i < machine->vcpu_count; i++) {
		vcpus[i].vcpu_id = machine->vcpus[i].id;
		vcpus[i].fd = machine->vcpus[i].fd;
	}
	while (true) {
		err = kch_vm_restore(handle, machine->vm_fd, vcpus,
				     machine->vcpu_count, run_options.id, &opts,
				     result);
		/* The frequency is still being measured, or kvmclockctl looks. */
		if ((err != -EAGAIN && err != -EBUSY) || !tries--)
			break;
		nanosleep(&pause, NULL);
	}
	free(vcpus);
	return err;
}

/*
 * KVM armed the guest's timers by the TSC that the VMM had written; with the
 * right TSC they are due at another time.
 */
static void arm_timers(const struct run_machine *machine)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr;
	uint32_t i;

	for (i = 0; i < machine->vcpu_count; i++) {
		if (!machine->vcpus[i].tsc_deadline)
			continue;
		memset(&msr, 0, sizeof(msr));
		msr.head.nmsrs = 1;
		msr.entry.index = MSR_IA32_TSC_DEADLINE;
		msr.entry.data = machine->vcpus[i].tsc_deadline;
		if (run_real_ioctl(machine->vcpus[i].fd, KVM_SET_MSRS, &msr) != 1)
			run_say("vCPU %u: its timer could not be armed again: %s",
				machine->vcpus[i].id, strerror(errno));
	}
}

/*
 * A record of this id that an earlier VM of this boot left is out of date as
 * soon as the guest goes on: the next kernel must not get it.
 */
static void drop_stale(struct kch_handle *handle)
{
	struct kch_entry *entries;
	uint32_t count, i;

	if (kch_list(handle, KCH_OUTGOING, sizeof(*entries), &entries, &count))
		return;
	for (i = 0; i < count; i++) {
		if (memcmp(entries[i].uuid, run_options.id, KCH_UUID_SIZE) ||
		    (entries[i].flags & KCH_ENTRY_LIVE))
			continue;
		if (!kch_vm_unsave(handle, run_options.id))
			run_say("the clock that an earlier VM of this id left is dropped: this one runs on");
	}
	free(entries);
}

static bool restore(struct kch_handle *handle, const struct run_machine *machine,
		    bool back)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	int err;

	if (!back) {
		struct kch_vm *saved;

		if (kch_vm_get(handle, KCH_INCOMING, run_options.id, &saved))
			return true;
		kch_vm_free(saved);
		run_say("clock not restored: this guest starts anew, the saved one is another's past");
		return true;
	}
	if (machine->prepare_errno)
		return not_restored(handle, machine, -machine->prepare_errno,
				    machine->prepare_message);
	err = restore_with_patience(handle, machine, &result);
	if (err)
		return not_restored(handle, machine, err,
				    kch_last_message(handle)[0] ?
				    kch_last_message(handle) : strerror(-err));
	arm_timers(machine);
	if (run_options.verbose)
		run_say("clock restored: %s: %lld ns, %lld cycles, %lld ppb; away for %.3f s",
			kch_mode_name(result.mode), (long long)result.error_ns,
			(long long)result.error_cycles,
			(long long)result.error_rate_ppb,
			(double)result.blackout_ns / 1e9);
	return true;
}

bool run_clock_restore(struct run_machine *machine)
{
	struct kch_handle *handle = device();
	bool back = comes_back(machine);
	const char *why;

	if (!handle) {
		why = open_error();
		if (back)
			return not_restored(NULL, machine, 0, why);
		run_say("clock will not be saved: %s", why);
		return true;
	}
	/* A guest that must not run loses nothing. */
	if (!restore(handle, machine, back))
		return false;
	drop_stale(handle);
	return true;
}

/* The process that has the VM saved under this id; 0 if that VM has gone. */
static int holder(struct kch_handle *handle)
{
	struct kch_entry *entries;
	uint32_t count, i;
	int pid = 0;

	if (kch_list(handle, KCH_OUTGOING, sizeof(*entries), &entries, &count))
		return 0;
	for (i = 0; i < count; i++)
		if (!memcmp(entries[i].uuid, run_options.id, KCH_UUID_SIZE) &&
		    (entries[i].flags & KCH_ENTRY_LIVE))
			pid = entries[i].pid;
	free(entries);
	return pid;
}

/*
 * Whether it is this very VM that process @pid, in the kernel's counting, has
 * saved under the id.
 */
static bool is_this(struct kch_handle *handle, const struct run_machine *machine,
		    int pid)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm;
	bool result;

	if (kch_vm_read(handle, machine->vm_fd, &vm, NULL))
		return false;
	result = !kch_vm_info(vm, &info) && info.pid == pid &&
		 !memcmp(info.uuid, run_options.id, KCH_UUID_SIZE);
	kch_vm_free(vm);
	return result;
}

bool run_clock_save(struct run_machine *machine)
{
	struct kch_handle *handle = device();
	int err, pid = 0;

	if (!handle) {
		run_say("clock not saved: %s", open_error());
		return false;
	}
	err = kch_vm_save(handle, machine->vm_fd, run_options.id,
			  run_options.name, NULL);
	if (!err) {
		/* What others had put there is there no more. */
		machine->saved_by_others = false;
	} else if (err == -EEXIST) {
		/*
		 * Of a VM of the past; of this one, as it was when kvmclockctl
		 * saved it; or was the id given twice?
		 */
		pid = holder(handle);
		if (pid && is_this(handle, machine, pid)) {
			machine->saved_by_others = true;
			pid = 0;
		}
		if (!pid && !kch_vm_unsave(handle, run_options.id))
			err = kch_vm_save(handle, machine->vm_fd, run_options.id,
					  run_options.name, NULL);
	}
	if (pid)
		run_say("clock not saved: process %d has another VM of this id, which is saved already; after a kexec this guest's clock will be what the VMM makes it",
			pid);
	else if (err)
		run_say("clock not saved: %s; after a kexec this guest's clock will be what the VMM makes it",
			kch_last_message(handle));
	else if (run_options.verbose)
		run_say("clock saved");
	return !err;
}

void run_clock_unsave(const struct run_machine *machine)
{
	struct kch_handle *handle = device();
	int err;

	if (!handle || machine->saved_by_others)
		return;
	err = kch_vm_unsave(handle, run_options.id);
	if (err && err != -ENOENT)
		run_say("saved clock not taken back: %s", kch_last_message(handle));
	else if (!err && run_options.verbose)
		run_say("saved clock taken back: the guest runs on");
}
