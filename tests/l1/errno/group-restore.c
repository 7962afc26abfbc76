// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/* VMs that are not quite what was saved of scene.vm. */
static struct {
	struct vm fewer;	/* vCPU 0 only */
	struct vm more;		/* vCPU 2 too */
	struct vm others;	/* vCPUs 0 and 2 */
} wrong;

static void make_wrong(void)
{
	uint32_t i;

	vm_create_ready(&wrong.fewer, 1, SCENE_OFFSET);
	vm_create_ready(&wrong.more, 3, SCENE_OFFSET);

	vm_create(&wrong.others);
	vm_add(&wrong.others, 0);
	vm_add(&wrong.others, 2);
	for (i = 0; i < 2; i++)
		vm_set_offset(&wrong.others, i, SCENE_OFFSET);
	vm_set_clock(&wrong.others, 1);

	snapshot_watch(&wrong.fewer);
	snapshot_watch(&wrong.more);
	snapshot_watch(&wrong.others);
}

static void drop_wrong(void)
{
	vm_destroy(&wrong.fewer);
	vm_destroy(&wrong.more);
	vm_destroy(&wrong.others);
}

#define VM(name)						\
static void vm_##name(struct attempt *a)			\
{								\
	a->arg.restore.vm_fd = wrong.name.fd;			\
}

VM(fewer)
VM(more)
VM(others)

static void id_unknown(struct attempt *a)
{
	set_uuid(a->arg.restore.uuid, ID_UNKNOWN);
}

static void id_none(struct attempt *a)
{
	set_uuid(a->arg.restore.uuid, 0);
}

static void id_outgoing(struct attempt *a)
{
	set_uuid(a->arg.restore.uuid, ID_KEPT);
}

static const struct condition refused[] = {
	{ KCH_IOC_RESTORE, "no mode", SET(kch_restore, mode, KCH_MODE_NONE),
	  .expected = EINVAL, .message = "mode 0" },
	{ KCH_IOC_RESTORE, "mode of the future", SET(kch_restore, mode, KCH_MODE_IDENTICAL + 1),
	  .expected = EINVAL, .message = "mode 6" },
	{ KCH_IOC_RESTORE, "unknown id", id_unknown, .expected = ENOENT,
	  .message = "77777777-7777-7777-7777-777777777777 among the 1" },
	{ KCH_IOC_RESTORE, "id all zero", id_none, .expected = ENOENT,
	  .message = "among the 1" },
	{ KCH_IOC_RESTORE, "id of the outgoing record", id_outgoing,
	  .expected = ENOENT, .message = "among the 1" },
	{ KCH_IOC_RESTORE, "fewer vCPUs", vm_fewer, .expected = ELNRNG,
	  .message = "the VM has 1 vCPUs, 2 were saved" },
	{ KCH_IOC_RESTORE, "more vCPUs", vm_more, .expected = ELNRNG,
	  .message = "the VM has 3 vCPUs, 2 were saved" },
	{ KCH_IOC_RESTORE, "other vCPUs", vm_others, .expected = ELNRNG,
	  .message = "vCPU 2 where vCPU 1 was saved" },
};

/* Only checking is no way around a refusal, and changes nothing when it is none. */
static void checks_only(struct attempt *a)
{
	a->arg.restore.flags = KCH_RESTORE_CHECK;
}

static void weakest_mode(struct attempt *a)
{
	checks_only(a);
	a->arg.restore.mode = KCH_MODE_REALTIME;
}

static const struct condition check_only[] = {
	{ KCH_IOC_RESTORE, "check only", checks_only, .message = "" },
	{ KCH_IOC_RESTORE, "check only, any mode", weakest_mode, .message = "" },
};

static const struct condition running[] = {
	{ KCH_IOC_RESTORE, "vCPU running", .expected = EBUSY,
	  .message = "vCPU 0 is running" },
	{ KCH_IOC_RESTORE, "vCPU running, check only", checks_only,
	  .expected = EBUSY, .message = "vCPU 0 is running" },
};

static const struct condition again[] = {
	{ KCH_IOC_RESTORE, "the same VM again", .expected = EALREADY,
	  .message = "restored already, to a VM that process" },
	{ KCH_IOC_RESTORE, "another VM, the first is alive", vm_fewer,
	  .expected = EALREADY, .message = "restored already" },
};

/* The members that say more than the errno. */
static void numbers_of_refusals(void)
{
	struct kch_restore arg;

	restore(&wrong.fewer, ID_SAVED, 0, &arg);
	check(arg.outcome.vcpu_id == -1 && arg.outcome.found == 1 && arg.outcome.expected == 2 &&
	      arg.outcome.mode == KCH_MODE_NONE,
	      "fewer vCPUs: vCPU %d, found %llu, expected %llu, mode %u",
	      arg.outcome.vcpu_id, arg.outcome.found, arg.outcome.expected, arg.outcome.mode);
	restore(&wrong.others, ID_SAVED, 0, &arg);
	check(arg.outcome.vcpu_id == 2 && arg.outcome.found == 2 && arg.outcome.expected == 1,
	      "other vCPUs: vCPU %d, found %llu, expected %llu",
	      arg.outcome.vcpu_id, arg.outcome.found, arg.outcome.expected);
}

/* The clock is the saved one: in what was read, and for KVM. */
static void check_restored(const struct vm *vm, const struct kch_restore *arg)
{
	uint64_t saved_bytes[64], live_bytes[64];
	struct kch_rec_vm *saved = (void *)saved_bytes;
	struct kch_rec_vm *live = (void *)live_bytes;
	struct kch_rec_vcpu *saved_vcpu = (void *)(saved + 1);
	struct kch_rec_vcpu *live_vcpu = (void *)(live + 1);
	uint32_t size = sizeof(saved_bytes), i;

	check(arg->outcome.mode == KCH_MODE_IDENTICAL && !arg->outcome.error_ns &&
	      !arg->outcome.error_cycles && !arg->outcome.error_rate_ppb &&
	      arg->outcome.vcpu_id == -1 && arg->outcome.host_tsc && arg->outcome.blackout_ns &&
	      arg->outcome.page == KCH_PAGE_SAME_BYTES && arg->outcome.rebase_bound_ns < 2000,
	      "mode %u, %lld ns, %lld cycles, %lld ppb, vCPU %d, blackout %llu ns",
	      arg->outcome.mode, arg->outcome.error_ns, arg->outcome.error_cycles,
	      arg->outcome.error_rate_ppb, arg->outcome.vcpu_id, arg->outcome.blackout_ns);
	if (get(KCH_INCOMING, ID_SAVED, saved, &size) ||
	    read_entry(vm, live, sizeof(live_bytes)))
		die("what was saved, or the live clock, cannot be read");
	for (i = 0; i < vm->vcpus; i++) {
		check(live->master_cycle_now == saved->master_cycle_now &&
		      live->master_kernel_ns + live->kvmclock_offset ==
		      saved->master_kernel_ns + saved->kvmclock_offset,
		      "reference %llu, saved %llu", live->master_cycle_now,
		      saved->master_cycle_now);
		check(live_vcpu[i].tsc_to_system_mul ==
		      saved_vcpu[i].tsc_to_system_mul &&
		      live_vcpu[i].tsc_shift == saved_vcpu[i].tsc_shift &&
		      live_vcpu[i].tsc_offset == saved_vcpu[i].tsc_offset,
		      "vCPU %u: mul %u, saved %u", i,
		      live_vcpu[i].tsc_to_system_mul,
		      saved_vcpu[i].tsc_to_system_mul);
		vm_run_once(vm, i);
	}
}

/*
 * What of a VM is not as it was saved is set: all that can be, or one cycle of one
 * vCPU.  The clock then is the saved one, and KVM takes no other when it runs.
 */
static void restore_unset(void)
{
	struct vm unset, off_by_one, no_clock;
	struct kch_restore arg;
	int i;

	vm_create(&unset);
	vm_create(&no_clock);
	for (i = 0; i < 2; i++) {
		vm_add(&unset, i);
		vm_add(&no_clock, i);
	}
	vm_set_clock(&unset, 1);
	for (i = 0; i < 2; i++)
		vm_set_offset(&no_clock, i, SCENE_OFFSET);
	vm_create_ready(&off_by_one, 2, SCENE_OFFSET);
	vm_set_offset(&off_by_one, 1, SCENE_OFFSET + 1);

	check(!restore(&unset, ID_SAVED, KCH_RESTORE_STALE, &arg), "nothing set: %s", arg.message);
	check_restored(&unset, &arg);
	vm_destroy(&unset);
	check(!restore(&off_by_one, ID_SAVED, KCH_RESTORE_STALE, &arg), "off by one: %s",
	      arg.message);
	check_restored(&off_by_one, &arg);
	vm_destroy(&off_by_one);
	check(!restore(&no_clock, ID_SAVED, KCH_RESTORE_STALE, &arg), "no clock: %s", arg.message);
	check_restored(&no_clock, &arg);
	vm_destroy(&no_clock);
}

/* The VM belongs to another process than the one that asks. */
static void restore_in_child(const struct vm *vm)
{
	struct kch_restore arg;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(restore(vm, ID_SAVED, KCH_RESTORE_STALE, &arg) || arg.outcome.error_ns ||
		      arg.outcome.mode != KCH_MODE_IDENTICAL);
	waitpid(pid, &status, 0);
	check(!status, "restored by another process: status %#x", status);
}

/* Threads that the host may have at most. */
static long threads_max(long count)
{
	FILE *file = fopen("/proc/sys/kernel/threads-max", "r+");
	long was;

	if (!file || fscanf(file, "%ld", &was) != 1 || fseek(file, 0, SEEK_SET) ||
	    fprintf(file, "%ld", count) < 0 || fclose(file))
		die("threads-max: %s", strerror(errno));
	return was;
}

/* The kernel's own word for it, EAGAIN, would say that the TSC is not settled. */
static void check_no_thread(void)
{
	static const struct condition none = {
		KCH_IOC_RESTORE, "no thread", .expected = ENOMEM, .message = "no memory",
	};
	long was = threads_max(20);

	condition_run(&none);
	threads_max(was);
}

/* Ten lines in five seconds, for the privileged too. */
static void check_log_limit(void)
{
	const unsigned int many = 400;
	time_t begun = time(NULL);
	struct kch_restore arg;
	unsigned int i, lines;

	kernel_said("");
	for (i = 0; i < many; i++)
		restore(&scene.vm, ID_UNKNOWN, 0, &arg);
	lines = kernel_said("its clock was not changed");
	check(lines <= 10 * (2 + (time(NULL) - begun) / 5), "%u lines of %u refusals", lines, many);
}

void test_restore(void)
{
	struct kch_entry entries[2];
	struct kch_restore arg;
	struct kch_info info;
	uint32_t count = 2;
	struct vm second;
	unsigned int i;

	scene_begin();
	make_wrong();
	kernel_said("");
	conditions_run(refused, sizeof(refused) / sizeof(refused[0]));
	i = kernel_said("its clock was not changed");
	/* All but those with arguments that are wrong in themselves. */
	check(sabotage || i == sizeof(refused) / sizeof(refused[0]) - 2,
	      "%u lines in the kernel's log", i);
	conditions_run(check_only, sizeof(check_only) / sizeof(check_only[0]));
	numbers_of_refusals();
	check_no_thread();
	vm_start(&scene.vm, 0);
	conditions_run(running, sizeof(running) / sizeof(running[0]));
	vm_stop(&scene.vm);

	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	check_restored(&scene.vm, &arg);
	device_info(&info);
	check(info.restored_vms == 1, "%u VMs restored", info.restored_vms);
	check(!list(KCH_INCOMING, entries, &count) &&
	      entries[0].flags == (KCH_ENTRY_RESTORED | KCH_ENTRY_LIVE),
	      "flags %#x of the restored VM", entries[0].flags);
	conditions_run(again, sizeof(again) / sizeof(again[0]));
	check_log_limit();

	/* That VM may be gone before it ever ran: then once more, if it is asked for. */
	snapshot_watch_none();
	vm_create_ready(&second, 2, SCENE_OFFSET);
	check(restore(&second, ID_SAVED, 0, &arg) == EALREADY,
	      "a second VM while the first is there");
	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	vm_destroy(&second);
	restore_unset();
	vm_create_ready(&second, 2, SCENE_OFFSET);
	restore_in_child(&second);
	check(!list(KCH_INCOMING, entries, &count) &&
	      entries[0].flags == (KCH_ENTRY_RESTORED | KCH_ENTRY_LIVE) &&
	      entries[0].pid == getpid(),
	      "flags %#x, process %d", entries[0].flags, entries[0].pid);
	vm_destroy(&second);
	drop_wrong();
	scene_end();
}

static const struct condition early[] = {
	{ KCH_IOC_RESTORE, "TSC frequency not settled", .expected = EAGAIN,
	  .message = "still being calibrated" },
	{ KCH_IOC_RESTORE, "TSC frequency not settled, check only", checks_only,
	  .expected = EAGAIN, .message = "still being calibrated" },
};

static const struct condition no_tsc[] = {
	{ KCH_IOC_PRESERVE, "the clocksource is not the TSC",
	  .expected = EPFNOSUPPORT, .message = ", not the TSC: KVM has no master clock" },
	{ KCH_IOC_RESTORE, "the clocksource is not the TSC",
	  .expected = EPFNOSUPPORT, .message = ", not the TSC: KVM has no master clock" },
	{ KCH_IOC_RESTORE, "the clocksource is not the TSC, check only",
	  checks_only, .expected = EPFNOSUPPORT,
	  .message = "until tsc is made the current_clocksource again" },
	{ KCH_IOC_ADOPT, "the clocksource is not the TSC",
	  .expected = EPFNOSUPPORT, .message = ", not the TSC: KVM has no master clock" },
};

/* Where the module can only read it in a file. */
static const struct condition untold[] = {
	{ KCH_IOC_RESTORE, "the clocksource cannot be told",
	  .expected = EPFNOSUPPORT, .message = "cannot be told" },
};

static void hides_from_stale(struct attempt *a)
{
	a->arg.restore.flags = KCH_RESTORE_STALE;
	a->arg.restore.policy = KCH_POLICY_HIDE;
}

/* What holds for every mode is said first: from that alone nobody goes on to a weaker one. */
static const struct condition too_late = {
	KCH_IOC_RESTORE, "too long a blackout", SET(kch_restore, blackout_ms_max, 1),
	.expected = EKEYEXPIRED, .message = "at most 1 ms are allowed",
};

static const struct condition given_back = {
	KCH_IOC_RESTORE, "given back already", .expected = EALREADY,
	.message = "given back already",
};

static const struct condition not_the_last = {
	KCH_IOC_RESTORE, "perhaps not the last clock", .expected = ESTALE,
	.message = "may have had another clock since",
};

static const struct condition not_to_hide_from = {
	KCH_IOC_RESTORE, "perhaps not the last clock, to hide from", hides_from_stale,
	.expected = EBADRQC, .message = "may not be its last clock",
};

static void first_refused(const struct condition *condition)
{
	fault_insert("clocksource=1", 0);
	condition_run(condition);
	fault_remove();
	fault_insert("clocksource=2", 0);
	condition_run(condition);
	fault_remove();
}

static void check_first_refused(void)
{
	static struct forged forged;

	first_refused(&too_late);
	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	first_refused(&given_back);
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED)->flags = cpu_to_le32(KCH_VM_STALE);
	forge_close(&forged);
	scene_reload(&forged);
	first_refused(&not_the_last);
	first_refused(&not_to_hide_from);
}

void test_settled(void)
{
	struct kch_restore arg;
	struct kch_info info;
	int err;

	scene_begin();
	fault_insert("clocksource=1", 0);
	device_info(&info);
	check(info.tsc_source == KCH_TSC_EARLY && info.incoming_error == EAGAIN,
	      "INFO: source %u, error %d", info.tsc_source, info.incoming_error);
	conditions_run(early, sizeof(early) / sizeof(early[0]));
	fault_remove();

	fault_insert("clocksource=2", 0);
	device_info(&info);
	check(info.tsc_source == KCH_TSC_OTHER &&
	      info.incoming_error == EPFNOSUPPORT,
	      "INFO: source %u, error %d", info.tsc_source, info.incoming_error);
	conditions_run(no_tsc, sizeof(no_tsc) / sizeof(no_tsc[0]));
	fault_remove();

	err = module_insert(FAULT_MODULE, "clocksource=3");
	if (!err) {
		device_info(&info);
		check(info.tsc_source == KCH_TSC_UNKNOWN &&
		      info.incoming_error == EPFNOSUPPORT,
		      "INFO: source %u, error %d", info.tsc_source,
		      info.incoming_error);
		conditions_run(untold, sizeof(untold) / sizeof(untold[0]));
		fault_remove();
	}
	check(!err || err == EOPNOTSUPP, "%s", errno_name(err));

	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "once settled: %s",
	      arg.message);
	check_restored(&scene.vm, &arg);
	snapshot_watch_none();
	check_first_refused();
	scene_end();
}

/* Only with a second CPU. */
static bool cpu_off_and_on(void)
{
	static const char name[] = "/sys/devices/system/cpu/cpu1/online";
	int fd = open(name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (pwrite(fd, "0", 1, 0) != 1 || pwrite(fd, "1", 1, 0) != 1)
		die("%s: %s", name, strerror(errno));
	close(fd);
	return true;
}

/*
 * A CPU comes back with a TSC that is behind: KVM moves the guests' TSC offsets, and
 * gives up their master clocks.  What READ says then is still KVM's clock.
 */
void test_tsc_back(void)
{
	static uint64_t live_bytes[64], saved_bytes[64];
	struct kch_rec_vm *live = (void *)live_bytes, *saved = (void *)saved_bytes;
	const struct kch_rec_vcpu *is = (void *)(live + 1);
	const struct kch_rec_vcpu *was = (void *)(saved + 1);
	uint32_t size = sizeof(saved_bytes), i;
	uint64_t before, after, moved;
	struct kch_restore arg;
	char parameter[32];

	scene_begin();
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	check_restored(&scene.vm, &arg);
	snprintf(parameter, sizeof(parameter), "ahead=%d", scene.vm.fd);
	fault_insert(parameter, ECANCELED);
	if (!cpu_off_and_on()) {
		skip("there is one CPU only");
		scene_end();
		return;
	}
	for (i = 0; i < scene.vm.vcpus; i++)
		vm_run_once(&scene.vm, i);
	before = vm_clock(&scene.vm).clock;
	if (read_entry(&scene.vm, live, sizeof(live_bytes)) ||
	    get(KCH_INCOMING, ID_SAVED, saved, &size))
		die("what was saved, or the live clock, cannot be read");
	after = vm_clock(&scene.vm).clock;
	check(!(live->flags & KCH_VM_MASTER_CLOCK), "there is a master clock");
	for (i = 0; i < scene.vm.vcpus; i++) {
		moved = is[i].tsc_offset - was[i].tsc_offset;
		check(moved && moved <= FAULT_AHEAD_CYCLES,
		      "vCPU %u: offset moved by %lld", i, (long long)moved);
	}
	check(live->kvmclock_slack_ns &&
	      live->kvmclock_ns + live->kvmclock_slack_ns >= before &&
	      live->kvmclock_ns - live->kvmclock_slack_ns <= after,
	      "%llu, give or take %u ns, KVM says %llu to %llu",
	      live->kvmclock_ns, live->kvmclock_slack_ns,
	      (unsigned long long)before, (unsigned long long)after);
	scene_end();
}

static const struct condition left[] = {
	{ KCH_IOC_FINISH, "a VM is left", SET(kch_finish, flags, 0),
	  .expected = ENOTEMPTY, .message = "1 of the record's 1 VMs" },
};

static const struct condition finished[] = {
	{ KCH_IOC_FINISH, "finished with already", .expected = ENODATA,
	  .message = "finished with" },
	{ KCH_IOC_RESTORE, "finished with already", .expected = ENODATA,
	  .message = "finished with" },
	{ KCH_IOC_LIST, "finished with already",
	  SET(kch_list, which, KCH_INCOMING), .expected = ENODATA,
	  .message = "finished with" },
	{ KCH_IOC_GET, "finished with already",
	  SET(kch_get, which, KCH_INCOMING), .expected = ENODATA,
	  .message = "finished with" },
};

static void check_finished(void)
{
	struct kch_info info;
	size_t size;

	device_info(&info);
	check(!info.incoming_vms && !info.restored_vms &&
	      info.outgoing_vms == 1 && info.incoming_error == ENODATA &&
	      info.flags == KCH_INFO_SELFCHECKED,
	      "INFO: %u incoming, %u restored, %u outgoing, error %d, flags %#x",
	      info.incoming_vms, info.restored_vms, info.outgoing_vms,
	      info.incoming_error, info.flags);
	free(debugfs_read("incoming_raw", &size));
	check(!size, "%zu bytes of evidence after FINISH", size);
	conditions_run(finished, sizeof(finished) / sizeof(finished[0]));
	/* In the region too: the next module does not find it again. */
	module_unload();
	module_load();
	device_info(&info);
	check(info.incoming_error == ENODATA && info.outgoing_vms == 1,
	      "loaded again: error %d, %u outgoing", info.incoming_error,
	      info.outgoing_vms);
}

void test_finish(void)
{
	struct kch_restore restored;
	struct kch_finish arg;

	scene_begin();
	conditions_run(left, sizeof(left) / sizeof(left[0]));
	check(finish(0, &arg) == ENOTEMPTY && arg.left == 1 && !arg.restored,
	      "left %u, restored %u", arg.left, arg.restored);
	check(!finish(KCH_FINISH_DISCARD, &arg) && arg.left == 1 &&
	      !arg.restored, "%s: left %u, restored %u", arg.message,
	      arg.left, arg.restored);
	check_finished();
	scene_end();

	scene_begin();
	if (restore(&scene.vm, ID_SAVED, 0, &restored))
		die("restoring: %s", restored.message);
	check(!finish(0, &arg) && !arg.left && arg.restored == 1,
	      "%s: left %u, restored %u", arg.message, arg.left,
	      arg.restored);
	check_finished();
	scene_end();
}
