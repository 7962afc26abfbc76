// SPDX-License-Identifier: GPL-2.0
/* A clock is given back once, and only by the kernel after the one that saved it. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/* Whether the entry has its mark.  Loading the module anew shows that the region has it. */
static bool marked(void)
{
	struct {
		struct kch_rec_vm vm;
		struct kch_rec_vcpu vcpus[4];
	} entry;
	uint32_t size = sizeof(entry);
	int err = get(KCH_INCOMING, ID_SAVED, &entry, &size);

	if (err)
		die("GET: %s", errno_name(err));
	return entry.vm.used;
}

static void new_vm(void)
{
	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
}

static int restore_to_new(uint32_t flags, struct kch_restore *arg)
{
	new_vm();
	return restore(&scene.vm, ID_SAVED, flags, arg);
}

static void is_given(const char *what, uint32_t flags)
{
	struct kch_restore arg;
	int err = restore_to_new(flags, &arg);

	check(!err && arg.outcome.mode == KCH_MODE_IDENTICAL, "%s: %s (%s)", what,
	      errno_name(err), arg.message);
}

static void is_refused(const char *what, uint32_t flags, int expected, const char *message)
{
	struct kch_restore arg;
	int err = restore_to_new(flags, &arg);

	check(err == expected && strstr(arg.message, message), "%s: %s (%s), expected %s (%s)",
	      what, errno_name(err), arg.message, errno_name(expected), message);
}

static void load_anew(const char *more)
{
	char parameters[96];

	module_unload();
	snprintf(parameters, sizeof(parameters), "region=%#llx,%zu %s",
		 (unsigned long long)region_start, region_size, more);
	module_load_with(parameters);
}

static int elsewhere(const struct vm *vm, uint32_t id, uint32_t flags, struct kch_restore *arg)
{
	return restore(vm, id, KCH_RESTORE_ELSEWHERE | flags, arg);
}

/* Until its VM has ended, and has been looked at. */
static void wait_for_end(uint32_t id, void *entry, uint32_t *size)
{
	const struct kch_rec_vm *vm = entry;
	uint32_t room = *size, tries = 0;

	do {
		usleep(100000);
		*size = room;
		check(!get(KCH_OUTGOING, id, entry, size), "no entry");
	} while (!(vm->flags & KCH_VM_AT_END) && tries++ < 100);
	check(vm->flags & KCH_VM_AT_END, "not looked at: flags %#x", vm->flags);
}

/* The next record has what the VM had at its end, until another VM has that clock. */
static void refused_elsewhere(void)
{
	struct vm none = { .fd = -1 }, gone;
	uint64_t before[128], after[128];
	struct kch_preserve preserved;
	uint32_t size = sizeof(before);
	struct kch_restore arg;

	vm_create_ready(&gone, 2, SCENE_OFFSET);
	check(!preserve(&gone, ID_NEW, &preserved), "%s", preserved.message);
	vm_destroy(&gone);
	wait_for_end(ID_NEW, before, &size);
	check(elsewhere(&none, ID_NEW, 0, &arg) == EBADF, "no VM: %s", arg.message);
	none.fd = device;
	check(elsewhere(&none, ID_NEW, 0, &arg) == EBADFD, "the device: %s", arg.message);
	check(elsewhere(&scene.vm, ID_NEW, KCH_RESTORE_HOLD, &arg) == EINVAL, "held: %s",
	      arg.message);
	check(!get(KCH_OUTGOING, ID_NEW, after, &size) && !memcmp(before, after, size),
	      "what was refused has changed the entry");
	check(elsewhere(&scene.vm, ID_NEW, 0, &arg) == ENOENT, "not in the record: %s",
	      arg.message);
	check(!get(KCH_OUTGOING, ID_NEW, after, &size) && memcmp(before, after, size),
	      "another VM has the clock, and the entry is as it was");
}

/* Of a clock that came, and was then preserved here: its VM has ended, and has been looked at. */
static void preserve_ended(void)
{
	uint64_t entry[128];
	uint32_t size = sizeof(entry);
	struct vm vm;

	vm_create_ready(&vm, 1, SCENE_OFFSET);
	must_preserve(&vm, ID_SAVED);
	vm_destroy(&vm);
	wait_for_end(ID_SAVED, entry, &size);
}

static void leaves_all(const char *what, int expected)
{
	struct snapshot *before = snapshot_take(), *after;
	struct kch_restore arg;
	const char *difference;
	int err = elsewhere(&scene.spare, ID_SAVED, 0, &arg);

	after = snapshot_take();
	difference = snapshot_difference(before, after);
	check(err == expected && !difference, "%s: %s, changed: %s", what, errno_name(err),
	      difference ?: "nothing");
	snapshot_free(before);
	snapshot_free(after);
}

/* Another VM has, or is about to have, the clock that came: that one is refused, all else stays. */
static void elsewhere_is_taken(void)
{
	struct kch_restore arg;
	int fd;

	scene_begin();
	snapshot_watch_none();
	preserve_ended();
	fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	check(!hold(fd, &scene.vm, ID_SAVED, 60000, &arg), "held: %s", arg.message);
	close(fd);
	check(!list_flags(KCH_OUTGOING, ID_SAVED), "a hold that ended, and the guest is not back: %#x",
	      list_flags(KCH_OUTGOING, ID_SAVED));
	fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	check(!hold(fd, &scene.vm, ID_SAVED, 60000, &arg), "held: %s", arg.message);
	vm_go(&scene.vm, 0);
	check(!hold_wait(fd, &arg), "resumed: %s", arg.message);
	check(list_flags(KCH_OUTGOING, ID_SAVED) == KCH_ENTRY_STALE, "resumed: flags %#x",
	      list_flags(KCH_OUTGOING, ID_SAVED));
	new_vm();
	check(!hold(fd, &scene.vm, ID_SAVED, 60000, &arg), "held: %s", arg.message);
	preserve_ended();
	leaves_all("while it is held", EBUSY);
	close(fd);
	check(!restore(&scene.vm, ID_SAVED, KCH_RESTORE_STALE, &arg), "restored: %s", arg.message);
	preserve_ended();
	leaves_all("another VM has it", EALREADY);
	scene_end();
}

void test_used(void)
{
	struct kch_restore arg;
	int fd;

	scene_begin();
	check(!restore(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &arg) && !marked(),
	      "checked: marked");
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "restored: %s", arg.message);
	check(marked(), "restored: not marked");
	is_refused("its VM is gone", 0, EALREADY, "given back already");
	load_anew("");
	is_refused("the module is loaded anew", 0, EALREADY, "given back already");
	is_refused("another flag", KCH_RESTORE_OLD, EALREADY, "given back already");
	is_given("asked for", KCH_RESTORE_STALE);
	/* Since when the guest did not run nobody knows. */
	new_vm();
	arg = (struct kch_restore){
		.size = sizeof(arg), .vm_fd = scene.vm.fd, .mode = KCH_MODE_IDENTICAL,
		.flags = KCH_RESTORE_STALE, .policy = KCH_POLICY_HIDE,
	};
	set_uuid(arg.uuid, ID_SAVED);
	check(ioctl(device, KCH_IOC_RESTORE, &arg) && errno == EBADRQC &&
	      strstr(arg.message, "may not be its last clock") && !arg.hidden_ns,
	      "hidden since nobody knows when: %s", arg.message);
	scene_end();

	/* What the guest did not get is there for another try. */
	scene_begin();
	fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", KCH_DEVICE, strerror(errno));
	check(!hold(fd, &scene.vm, ID_SAVED, 60000, &arg) && marked(), "held: not marked");
	close(fd);
	check(!marked(), "a hold that ended: marked");
	is_given("after a hold that ended", 0);
	check(marked(), "after a hold: not marked");
	/* Of another try for that guest nothing comes: it was given back all the same. */
	new_vm();
	fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	check(!hold(fd, &scene.vm, ID_SAVED, 60000, &arg), "held again: %s", arg.message);
	close(fd);
	check(marked(), "another hold that ended: the mark is gone");
	is_refused("after another hold", 0, EALREADY, "given back already");
	load_anew("");
	check(marked(), "another hold that ended: the region's mark is gone");
	scene_end();

	scene_begin();
	kernel_said("");
	check(elsewhere(&scene.vm, ID_UNKNOWN, 0, &arg) == ENOENT, "another id: %s", arg.message);
	check(!kernel_said("refused"), "the log has a restore that nobody asked for");
	check(elsewhere(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &arg) == EINVAL &&
	      strstr(arg.message, "stands alone"), "with a check: %s", arg.message);
	check(!marked(), "refused: marked");
	check(!elsewhere(&scene.vm, ID_SAVED, 0, &arg) && marked() &&
	      arg.outcome.mode == KCH_MODE_NONE, "elsewhere: %s", arg.message);
	check(!elsewhere(&scene.vm, ID_SAVED, 0, &arg), "twice: %s", arg.message);
	is_refused("given elsewhere", 0, EALREADY, "given back already");
	check(!elsewhere(&scene.vm, ID_SAVED, 0, &arg), "by its next VM: %s", arg.message);
	refused_elsewhere();
	scene_end();
	elsewhere_is_taken();
}

/* From here to the start of this kernel, cycles. */
static uint64_t before_start(const struct forged *forged)
{
	return le64_to_cpu(forged->header.host_tsc) -
	       le64_to_cpu(forged->header.boottime_ns) / 1000000 *
	       le32_to_cpu(forged->header.tsc_khz);
}

/* The TSC was reset, and has passed the saved value since: only by the start that is seen. */
static void test_made_later(void)
{
	static struct forged forged;

	scene_begin();
	do {
		sleep(1);
		forge_begin(&forged);
		forge_add(&forged, &scene.vm, ID_SAVED);
	} while (le64_to_cpu(forged.header.boottime_ns) < 15000000000);
	forge_close(&forged);
	scene_reload(&forged);
	is_refused("made after this kernel's start", KCH_RESTORE_ANY_WALL, ETIME,
		   "s after this one started: the TSC was reset in between");
	check(!marked(), "refused: marked");
	memset(forged.header.boot_id, 0, sizeof(forged.header.boot_id));
	forge_close(&forged);
	scene_reload(&forged);
	is_given("by a program", KCH_RESTORE_ANY_WALL);
	scene_end();
}

/* Its blackout began when it was read last, ten seconds before the seal. */
static void test_ended_before(void)
{
	static struct forged forged;
	struct kch_restore arg = { 0 };
	uint64_t read;

	scene_begin();
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	read = le64_to_cpu(forged.header.host_tsc) -
	       10000ULL * le32_to_cpu(forged.header.tsc_khz);
	forge_entry(&forged)->host_tsc = cpu_to_le64(read);
	forge_entry(&forged)->master_cycle_now = cpu_to_le64(read);
	forge_close(&forged);
	scene_reload(&forged);
	new_vm();
	arg = (struct kch_restore){
		.size = sizeof(arg), .vm_fd = scene.vm.fd, .mode = KCH_MODE_IDENTICAL,
		.flags = KCH_RESTORE_CHECK, .blackout_ms_max = 10000,
	};
	set_uuid(arg.uuid, ID_SAVED);
	check(ioctl(device, KCH_IOC_RESTORE, &arg) && errno == EKEYEXPIRED &&
	      arg.outcome.blackout_ns > 10000000000 &&
	      strstr(arg.message, "at most 10000 ms are allowed"), "ended before the seal: %s",
	      arg.message);
	scene_end();
}

void test_old(void)
{
	static struct forged forged;
	struct kch_restore arg = { 0 };
	uint64_t cycles;

	scene_begin();
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	/* Made half way to the start of this kernel: a second or two before it. */
	cycles = le64_to_cpu(forged.header.host_tsc) - before_start(&forged) / 2;
	forged.header.host_tsc = cpu_to_le64(le64_to_cpu(forged.header.host_tsc) - cycles);
	forged.header.realtime_ns =
		cpu_to_le64(le64_to_cpu(forged.header.realtime_ns) -
			    cycles / le32_to_cpu(forged.header.tsc_khz) * 1000000);
	/* Nothing in it is younger. */
	forge_entry(&forged)->host_tsc = forged.header.host_tsc;
	forge_entry(&forged)->master_cycle_now = forged.header.host_tsc;
	forge_close(&forged);
	module_unload();
	region_clear();
	forge_write(&forged, 0);
	module_load();
	new_vm();
	check(!restore(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &arg), "a kexec of some seconds: %s",
	      arg.message);
	load_anew("kexec_seconds_max=0");
	is_refused("another kernel in between", 0, EKEYEXPIRED, "another kernel ran in between");
	is_refused("another flag", KCH_RESTORE_STALE, EKEYEXPIRED, "another kernel ran in between");
	check(!marked(), "refused: marked");
	arg = (struct kch_restore){
		.size = sizeof(arg), .vm_fd = scene.vm.fd, .mode = KCH_MODE_IDENTICAL,
		.flags = KCH_RESTORE_OLD, .blackout_ms_max = 1,
	};
	set_uuid(arg.uuid, ID_SAVED);
	check(ioctl(device, KCH_IOC_RESTORE, &arg) && errno == EKEYEXPIRED &&
	      strstr(arg.message, "at most 1 ms are allowed") &&
	      arg.outcome.expected == 1000000 && arg.outcome.found == arg.outcome.blackout_ns,
	      "too long a blackout: %s", arg.message);
	is_given("asked for", KCH_RESTORE_OLD);
	scene_end();
	test_made_later();
	test_ended_before();
}
