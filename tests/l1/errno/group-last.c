// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include <linux/kvm.h>

#include "check.h"
#include "clock.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define CLOCKSOURCES	"/sys/devices/system/clocksource/clocksource0/"

/* Another clock than each VM starts with, that of vm_create_ready(). */
#define LATER_NS	77000000000ULL

/* A VM's entry, with room for four vCPUs. */
struct entry {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[4];
};

/* The record's entry; its flags are checked. */
static void entry_of(uint32_t which, uint32_t id, uint32_t flags, const char *what,
		     struct entry *entry)
{
	uint32_t size = sizeof(*entry);
	int err = get(which, id, entry, &size);

	if (err)
		die("%s: it is not in the record: %s", what, errno_name(err));
	check((entry->vm.flags & ~KCH_VM_RUNNING) == flags, "%s: flags %#x, expected %#x",
	      what, entry->vm.flags, flags);
}

/* The errno of a restore to a new VM of those offsets, and its clock. */
static int restore_anew(uint32_t id, uint32_t vcpus, uint64_t offset, uint32_t flags,
			struct kch_restore *arg, uint64_t *clock_ns)
{
	struct entry live;
	struct vm vm;
	int err;

	vm_create_ready(&vm, vcpus, offset);
	err = restore(&vm, id, flags, arg);
	if (read_entry(&vm, &live.vm, sizeof(live)))
		die("a VM cannot be read");
	*clock_ns = live.vm.kvmclock_ns;
	vm_destroy(&vm);
	return err;
}

static void restores_to(const char *what, uint32_t id, uint32_t vcpus, uint32_t flags,
			uint64_t least_ns)
{
	struct kch_restore arg;
	uint64_t clock_ns;
	int err;

	err = restore_anew(id, vcpus, SCENE_OFFSET, flags, &arg, &clock_ns);
	check(!err && arg.outcome.mode == KCH_MODE_IDENTICAL, "%s: RESTORE: %s (%s)", what,
	      errno_name(err), arg.message);
	check(clock_ns >= least_ns && clock_ns < least_ns + LATER_NS / 2,
	      "%s: the clock is at %llu ns, expected a little more than %llu", what,
	      (unsigned long long)clock_ns, (unsigned long long)least_ns);
}

static void is_refused(const char *what, uint32_t id, uint32_t vcpus, int expected,
		       const char *message)
{
	struct kch_restore arg;
	uint64_t clock_ns;
	int err;

	err = restore_anew(id, vcpus, SCENE_OFFSET, 0, &arg, &clock_ns);
	check(err == expected && strstr(arg.message, message),
	      "%s: RESTORE: %s (%s), expected %s (%s)", what, errno_name(err),
	      arg.message, errno_name(expected), message);
	check(clock_ns < LATER_NS / 2, "%s: a VM's clock was changed", what);
}

/* KVM's own clock of the VM, which has no master clock, against the record's. */
static void is_true(const char *what, const struct vm *vm, const struct entry *entry)
{
	struct kvm_clock_data kvm;
	struct kch_clock clock;
	uint64_t before, after;
	int64_t early, late;

	kch_clock_of(&entry->vm, entry->vcpus, &clock);
	_mm_lfence();
	before = __rdtsc();
	kvm = vm_clock(vm);
	after = __rdtsc();
	early = kvm.clock - kch_clock_ns(&clock, before);
	late = kvm.clock - kch_clock_ns(&clock, after);
	/* KVM read it between the two, and the host's clock has a rate of its own. */
	check(early > -20000 && late < 20000,
	      "%s: KVM's clock is %lld to %lld ns from the record's", what,
	      (long long)late, (long long)early);
	check(entry->vm.master_cycle_now == entry->vm.host_tsc &&
	      entry->vm.kvmclock_ns == entry->vm.master_kernel_ns +
				       entry->vm.kvmclock_offset,
	      "%s: the reference is not that of the reading", what);
}

static void set_clocksource(const char *name)
{
	int fd = open(CLOCKSOURCES "current_clocksource", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, name, strlen(name)) != (ssize_t)strlen(name))
		die("the clocksource cannot be made %s", name);
	close(fd);
}

/* One that the host has besides the TSC. */
static const char *other_clocksource(void)
{
	static char names[256];
	int fd = open(CLOCKSOURCES "available_clocksource", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, names, sizeof(names) - 1);
	char *name, *rest;

	if (n <= 0)
		die("no clocksources");
	close(fd);
	names[n] = '\0';
	for (name = strtok_r(names, "\n ", &rest); name;
	     name = strtok_r(NULL, "\n ", &rest))
		if (strncmp(name, "tsc", 3))
			return name;
	die("no clocksource but the TSC");
}

static void run_all(const struct vm *vm)
{
	uint32_t i;

	for (i = 0; i < vm->vcpus; i++)
		vm_run_once(vm, i);
}

static bool has_master_clock(const struct vm *vm)
{
	return vm_clock(vm).flags & KVM_CLOCK_TSC_STABLE;
}

/* KVM hears of the clocksource in a work of its own, which a busy host may run later. */
static void run_until_lost(const struct vm *vm)
{
	int tries = 1000;

	for (run_all(vm); has_master_clock(vm); run_all(vm)) {
		if (!tries--)
			die("the VM kept its master clock");
		usleep(10000);
	}
}

/*
 * The clocksource is another one for a while, and the VM has no master clock since.  KVM's
 * work tells one vCPU after the other.  One that ran before it was told makes a master clock
 * again, from the TSC, when it runs next: then once more.
 */
static void lose_master_clock(const struct vm *vm)
{
	int tries = 100;

	do {
		if (!tries--)
			die("the VM got its master clock back each time");
		set_clocksource(other_clocksource());
		run_until_lost(vm);
		set_clocksource("tsc");
		run_all(vm);
	} while (has_master_clock(vm));
}

/* What is written down when a VM has run on after it was preserved. */
void test_last(void)
{
	static struct vm moved, unaware, moved_all, switched, set, closed, dead, half;
	static struct vm anew, grown;
	const uint64_t back = 2040000000ULL;	/* cycles: about a second */
	struct kch_restore arg;
	struct entry entry;
	char parameters[32];
	size_t size_before;
	int err;

	region_clear();
	module_load();
	vm_create_ready(&moved, 2, SCENE_OFFSET);
	vm_create_ready(&unaware, 2, SCENE_OFFSET);
	vm_create_ready(&moved_all, 1, SCENE_OFFSET);
	vm_create_ready(&switched, 2, SCENE_OFFSET);
	vm_create_ready(&set, 2, SCENE_OFFSET);
	vm_create_ready(&closed, 2, SCENE_OFFSET);
	vm_create_ready(&dead, 2, SCENE_OFFSET);
	must_preserve(&moved, 0x51);
	must_preserve(&unaware, 0x59);
	must_preserve(&moved_all, 0x52);
	must_preserve(&switched, 0x53);
	must_preserve(&set, 0x54);
	must_preserve(&closed, 0x55);
	must_preserve(&dead, 0x56);
	vm_create_ready(&half, 1, SCENE_OFFSET);
	must_preserve(&half, 0x58);
	close(half.fd);
	/* A VM whose vCPUs are still somebody's is not gone. */
	sleep_jiffies(3);
	check(list_flags(KCH_OUTGOING, 0x58) == KCH_ENTRY_LIVE,
	      "VM closed but for its vCPU: LIST: flags %#x",
	      list_flags(KCH_OUTGOING, 0x58));
	vm_set_offset(&half, 0, SCENE_OFFSET - back);
	run_all(&half);

	lose_master_clock(&switched);
	vm_set_offset(&moved, 0, SCENE_OFFSET - back);
	run_all(&moved);
	vm_set_offset(&unaware, 1, SCENE_OFFSET - back);
	vm_set_offset(&moved_all, 0, SCENE_OFFSET - back);
	run_all(&moved_all);
	vm_set_clock(&set, LATER_NS);
	vm_set_clock(&closed, LATER_NS);
	vm_destroy(&closed);
	snprintf(parameters, sizeof(parameters), "dead=%d", dead.fd);
	fault_insert(parameters, ECANCELED);
	scene_over_kexec("seal=1");

	entry_of(KCH_INCOMING, 0x51, KCH_VM_AT_SEAL, "one offset moved", &entry);
	check(entry.vcpus[0].tsc_offset == SCENE_OFFSET - back &&
	      entry.vcpus[1].tsc_offset == SCENE_OFFSET,
	      "one offset moved: %lld and %lld", (long long)entry.vcpus[0].tsc_offset,
	      (long long)entry.vcpus[1].tsc_offset);
	is_true("one offset moved", &moved, &entry);
	is_refused("one offset moved", 0x51, 2, EOPNOTSUPP, "no master clock");
	check(list_flags(KCH_INCOMING, 0x51) == KCH_ENTRY_NO_MASTER_CLOCK,
	      "one offset moved: LIST: flags %#x", list_flags(KCH_INCOMING, 0x51));

	/* KVM has not noticed yet: it would when the vCPU runs next. */
	entry_of(KCH_INCOMING, 0x59, KCH_VM_AT_SEAL, "offset moved, not run since", &entry);
	is_refused("offset moved, not run since", 0x59, 2, EOPNOTSUPP, "no master clock");

	entry_of(KCH_INCOMING, 0x52, KCH_VM_AT_SEAL | KCH_VM_MASTER_CLOCK,
		 "all offsets moved", &entry);
	vm_create_ready(&anew, 1, SCENE_OFFSET);
	err = restore(&anew, 0x52, 0, &arg);
	check(!err && vm_offset(&anew, 0) == SCENE_OFFSET - back,
	      "all offsets moved: RESTORE: %s (%s), offset %lld", errno_name(err),
	      arg.message, (long long)vm_offset(&anew, 0));
	vm_destroy(&anew);

	entry_of(KCH_INCOMING, 0x53, KCH_VM_AT_SEAL, "clocksource switched", &entry);
	is_true("clocksource switched", &switched, &entry);
	is_refused("clocksource switched", 0x53, 2, EOPNOTSUPP, "no master clock");

	entry_of(KCH_INCOMING, 0x58, KCH_VM_AT_SEAL | KCH_VM_MASTER_CLOCK,
		 "VM closed but for its vCPU", &entry);
	check(entry.vcpus[0].tsc_offset == SCENE_OFFSET - back,
	      "VM closed but for its vCPU: %lld", (long long)entry.vcpus[0].tsc_offset);
	restores_to("clock set", 0x54, 2, 0, LATER_NS);
	restores_to("clock set, then closed", 0x55, 2, 0, LATER_NS);

	entry_of(KCH_INCOMING, 0x56, KCH_VM_STALE, "dead VM", &entry);
	is_refused("dead VM", 0x56, 2, ESTALE, "may have had another clock since");
	check(list_flags(KCH_INCOMING, 0x56) == KCH_ENTRY_STALE,
	      "dead VM: LIST: flags %#x", list_flags(KCH_INCOMING, 0x56));
	restores_to("dead VM", 0x56, 2, KCH_RESTORE_STALE, 1000000000);
	module_unload();
	vm_destroy(&moved);
	vm_destroy(&unaware);
	vm_destroy(&moved_all);
	vm_destroy(&switched);
	vm_destroy(&set);
	vm_destroy(&dead);
	half.fd = -1;
	vm_destroy(&half);

	/* A slot of 2048 bytes has room for 24 vCPUs. */
	region_clear();
	size_before = region_size;
	region_size = 4096;
	module_load();
	vm_create_ready(&grown, 1, SCENE_OFFSET);
	must_preserve(&grown, 0x57);
	while (grown.vcpus < 25)
		vm_add(&grown, grown.vcpus);
	scene_over_kexec("seal=1");
	is_refused("no room for its vCPUs", 0x57, 1, ESTALE,
		   "may have had another clock since");
	module_unload();
	vm_destroy(&grown);
	region_size = size_before;
	region_clear();
}

/* Sealed though no memory is left: VMs that were set, have grown, are gone, are carried on. */
void test_no_memory(void)
{
	static struct vm set, grown, closed;
	struct kch_preserve p;
	struct kch_info info;
	struct entry entry;
	uint32_t size = sizeof(entry);
	int err;

	scene_begin();
	vm_create_ready(&set, 2, SCENE_OFFSET);
	vm_create_ready(&grown, 1, SCENE_OFFSET);
	vm_create_ready(&closed, 1, SCENE_OFFSET);
	must_preserve(&set, 0x61);
	must_preserve(&grown, 0x62);
	must_preserve(&closed, 0x63);
	vm_set_clock(&set, LATER_NS);
	vm_add(&grown, 1);
	vm_set_offset(&grown, 1, SCENE_OFFSET);
	vm_set_clock(&closed, LATER_NS);
	vm_destroy(&closed);
	scene_over_kexec("seal=1 no_memory=1");

	device_info(&info);
	check(!info.incoming_error && info.flags & KCH_INFO_SEALED && info.incoming_vms == 5,
	      "%s, flags %#x, %u VMs", errno_name(info.incoming_error), info.flags,
	      info.incoming_vms);
	entry_of(KCH_INCOMING, 0x61, KCH_VM_AT_SEAL | KCH_VM_MASTER_CLOCK, "clock set", &entry);
	/* Whether it has a master clock then is KVM's business: 6.1 says no. */
	err = get(KCH_INCOMING, 0x62, &entry, &size);
	check(!err && entry.vm.flags & KCH_VM_AT_SEAL && entry.vm.vcpu_count == 2,
	      "grown: %s, flags %#x, %u vCPUs", errno_name(err), entry.vm.flags,
	      entry.vm.vcpu_count);
	restores_to("clock set", 0x61, 2, 0, LATER_NS);
	restores_to("closed", 0x63, 1, 0, LATER_NS);
	restores_to("carried on", ID_SAVED, 2, 0, 1000000000);
	/* Where there is memory again. */
	err = preserve(&scene.spare, 0x64, &p);
	check(!err, "PRESERVE: %s (%s)", errno_name(err), p.message);
	vm_destroy(&set);
	vm_destroy(&grown);
	scene_end();
	region_clear();
}

/**
 * struct child - a process with a preserved VM
 * @pid: it
 * @to: a byte sets the VM's clock to LATER_NS
 * @from: a byte when it is done
 */
struct child {
	pid_t pid;
	int to;
	int from;
};

static void child_tell(const struct child *child)
{
	char byte = 0;

	if (write(child->to, &byte, 1) != 1 || read(child->from, &byte, 1) != 1)
		die("a child does not answer");
}

static void child_run(struct child *child, uint8_t id)
{
	int to[2], from[2];
	char byte = 0;
	struct vm vm;

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe failed");
	fflush(stdout);
	child->pid = fork();
	child->to = to[1];
	child->from = from[0];
	if (!child->pid) {
		vm_create_ready(&vm, 1, SCENE_OFFSET);
		must_preserve(&vm, id);
		close(device);
		while (write(from[1], &byte, 1) == 1 && read(to[0], &byte, 1) == 1)
			vm_set_clock(&vm, LATER_NS);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	if (read(child->from, &byte, 1) != 1)
		die("a child's VM was not preserved");
}

static void child_end(struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->to);
	close(child->from);
}

/* VMs of other processes, which come and go while the module does. */
void test_found_again(void)
{
	static struct child alive, ended, changed, away, last;
	struct kch_preserve preserved;
	static struct vm here;
	struct entry entry;
	int tries = 250;

	region_clear();
	module_load();
	child_run(&alive, 0x61);
	child_run(&ended, 0x62);
	child_run(&changed, 0x63);
	child_run(&away, 0x64);
	vm_create_ready(&here, 2, SCENE_OFFSET);
	must_preserve(&here, 0x65);
	/* What a process did before it was killed counts, too; seen without us asking. */
	child_tell(&ended);
	child_end(&ended);
	do {
		uint32_t size = sizeof(entry);

		usleep(20000);
		if (get(KCH_OUTGOING, 0x62, &entry, &size))
			die("no entry");
	} while (!(entry.vm.flags & KCH_VM_AT_END) && tries--);
	entry_of(KCH_OUTGOING, 0x62, KCH_VM_MASTER_CLOCK | KCH_VM_AT_END,
		 "process killed", &entry);
	check(entry.vm.kvmclock_ns >= LATER_NS, "process killed: %llu ns",
	      (unsigned long long)entry.vm.kvmclock_ns);

	module_unload();
	child_tell(&changed);
	child_end(&away);
	kernel_said("");
	module_load();
	check(kernel_said("is not found any more") == 2,
	      "the loss of two VMs is not said");
	check(list_flags(KCH_OUTGOING, 0x61) == KCH_ENTRY_LIVE &&
	      list_flags(KCH_OUTGOING, 0x65) == KCH_ENTRY_LIVE,
	      "alive: LIST: flags %#x and %#x", list_flags(KCH_OUTGOING, 0x61),
	      list_flags(KCH_OUTGOING, 0x65));
	check(!list_flags(KCH_OUTGOING, 0x62), "process killed: LIST: flags %#x",
	      list_flags(KCH_OUTGOING, 0x62));
	check(list_flags(KCH_OUTGOING, 0x63) == KCH_ENTRY_STALE,
	      "changed meanwhile: LIST: flags %#x", list_flags(KCH_OUTGOING, 0x63));
	check(list_flags(KCH_OUTGOING, 0x64) == KCH_ENTRY_STALE,
	      "ended meanwhile: LIST: flags %#x", list_flags(KCH_OUTGOING, 0x64));
	check(preserve(&here, 0x66, &preserved) == ENOTUNIQ &&
	      preserve(&here, 0x65, &preserved) == EEXIST,
	      "a VM found again: %s", preserved.message);
	if (read_entry(&here, &entry.vm, sizeof(entry)))
		die("a VM cannot be read");
	check(entry.vm.uuid[3] == 0x65, "a VM found again has the id %02x...",
	      entry.vm.uuid[3]);

	child_tell(&alive);
	scene_over_kexec("seal=1");
	restores_to("alive", 0x61, 1, 0, LATER_NS);
	restores_to("process killed", 0x62, 1, 0, LATER_NS);
	is_refused("changed meanwhile", 0x63, 1, ESTALE, "may have had another clock");
	is_refused("ended meanwhile", 0x64, 1, ESTALE, "may have had another clock");
	restores_to("changed meanwhile", 0x63, 1, KCH_RESTORE_STALE, 1000000000);
	module_unload();
	child_end(&alive);
	child_end(&changed);
	vm_destroy(&here);

	/* It ends, and the module is unloaded before it has looked. */
	region_clear();
	module_load();
	child_run(&last, 0x67);
	child_tell(&last);
	child_end(&last);
	module_unload();
	module_load();
	entry_of(KCH_OUTGOING, 0x67, KCH_VM_MASTER_CLOCK | KCH_VM_AT_END,
		 "unloaded at once", &entry);
	check(entry.vm.kvmclock_ns >= LATER_NS, "unloaded at once: %llu ns",
	      (unsigned long long)entry.vm.kvmclock_ns);
	module_unload();
	region_clear();
}

/* The guest is started anew, under the id of a VM that is gone. */
void test_anew(void)
{
	static struct vm first, second, other;
	struct kch_preserve arg;
	struct kch_entry entries[4];
	uint32_t count = 4;
	struct kch_info info;

	region_clear();
	module_load();
	vm_create_ready(&first, 3, SCENE_OFFSET);
	vm_create_ready(&second, 2, SCENE_OFFSET);
	vm_create_ready(&other, 1, SCENE_OFFSET);
	vm_set_clock(&second, LATER_NS);
	must_preserve(&first, 0x71);
	must_preserve(&other, 0x72);
	check(preserve(&second, 0x71, &arg) == EEXIST, "its VM is alive: %s",
	      arg.message);
	vm_destroy(&first);
	check(!preserve(&second, 0x71, &arg) &&
	      strstr(arg.message, "took the place of vm-71"), "its VM is gone: %s",
	      arg.message);
	device_info(&info);
	check(arg.needed == 320 + 256 + 320 && info.outgoing_used == arg.needed &&
	      info.outgoing_vms == 2, "needed %llu, used %llu, %u VMs", arg.needed,
	      info.outgoing_used, info.outgoing_vms);
	check(!list(KCH_OUTGOING, entries, &count) && count == 2 &&
	      entries[0].uuid[0] == 0x72 && entries[1].uuid[0] == 0x71 &&
	      entries[1].vcpu_count == 2 && entries[1].flags == KCH_ENTRY_LIVE,
	      "%u VMs, the last %02x with %u vCPUs, flags %#x", count,
	      entries[1].uuid[0], entries[1].vcpu_count, entries[1].flags);
	check(preserve(&second, 0x71, &arg) == EEXIST, "twice: %s", arg.message);
	scene_over_kexec("seal=1");
	restores_to("started anew", 0x71, 2, 0, LATER_NS);
	module_unload();
	vm_destroy(&second);
	vm_destroy(&other);
	region_clear();
}

static void goes_by(const char *what, const struct vm *vm, uint8_t id, const char *name)
{
	struct entry entry;

	if (read_entry(vm, &entry.vm, sizeof(entry)))
		die("a VM cannot be read");
	check(entry.vm.uuid[0] == id && entry.vm.uuid[15] == id &&
	      !strcmp(entry.vm.name, name), "%s: the VM goes by %02x (%s)", what,
	      entry.vm.uuid[0], entry.vm.name);
}

/* The id a VM was given stays its own for as long as it lives. */
void test_known(void)
{
	struct kch_restore restored;
	struct kch_finish finished;
	struct kch_preserve arg;

	scene_begin();
	goes_by("nothing done with it", &scene.vm, 0, "");
	if (restore(&scene.vm, ID_SAVED, 0, &restored))
		die("RESTORE: %s", restored.message);
	goes_by("restored", &scene.vm, ID_SAVED, "forged");
	if (finish(0, &finished))
		die("FINISH: %s", finished.message);
	goes_by("finished", &scene.vm, ID_SAVED, "forged");
	goes_by("preserved", &scene.kept, ID_KEPT, "vm-11");
	must_unpreserve(ID_KEPT);
	goes_by("unpreserved", &scene.kept, ID_KEPT, "vm-11");
	/* Some sweeps later, too. */
	sleep_jiffies(3);
	goes_by("later", &scene.vm, ID_SAVED, "forged");
	goes_by("later", &scene.kept, ID_KEPT, "vm-11");
	must_preserve(&scene.vm, ID_NEW);
	goes_by("preserved under another id", &scene.vm, ID_NEW, "vm-22");
	check(preserve(&scene.kept, ID_NEW, &arg) == EEXIST, "%s", arg.message);
	goes_by("not preserved", &scene.kept, ID_KEPT, "vm-11");
	/* Another VM is another, whatever address its file has. */
	vm_destroy(&scene.kept);
	vm_create_ready(&scene.kept, 1, SCENE_OFFSET);
	goes_by("another VM", &scene.kept, 0, "");
	scene_end();
	region_clear();
}
