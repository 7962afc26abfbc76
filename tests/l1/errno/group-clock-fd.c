// SPDX-License-Identifier: GPL-2.0
/* The clock's descriptor: opened for an entry, and what a VMM in a jail does with it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "check.h"
#include "condition.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define ID_OTHER	(ID_SAVED + 1)
#define NOBODY		65534
#define JAIL		"/run/jail"

static void begin(void)
{
	static struct forged forged;
	struct vm vm;
	uint32_t id;

	condition_base = scene_base;
	snapshot_watch_none();
	region_clear();
	module_load();
	forge_begin(&forged);
	for (id = ID_SAVED; id <= ID_OTHER; id++) {
		vm_create_ready(&vm, 2, SCENE_OFFSET + id);
		forge_add(&forged, &vm, id);
		vm_destroy(&vm);
	}
	scene_reload(&forged);
}

/* 0 or an errno; @arg has the descriptor. */
static int open_clock(int vm_fd, uint32_t id, const char *name, struct kch_clock_fd *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->vm_fd = vm_fd;
	set_uuid(arg->uuid, id);
	strcpy(arg->name, name);
	return device_call(KCH_IOC_CLOCK_FD, arg);
}

static int call(int fd, unsigned int cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? errno : 0;
}

static int clock_get(int fd, uint32_t which, uint32_t id, void *buffer, uint32_t size)
{
	struct kch_get get = {
		.size = sizeof(get),
		.which = which,
		.buffer = (uintptr_t)buffer,
		.buffer_size = size,
	};

	set_uuid(get.uuid, id);
	return call(fd, KCH_IOC_GET, &get);
}

static int clock_restore(int fd, const struct vm *vm, uint32_t id, uint32_t flags,
			 struct kch_restore *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->vm_fd = vm->fd;
	arg->mode = KCH_MODE_IDENTICAL;
	arg->flags = flags;
	set_uuid(arg->uuid, id);
	return call(fd, KCH_IOC_RESTORE, arg);
}

static void enter_jail(void)
{
	if ((mkdir(JAIL, 0700) && errno != EEXIST) || chroot(JAIL) || chdir("/") ||
	    setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		die("no jail: %s", strerror(errno));
}

/* The first step that is not as it must be, or 0. */
static int in_jail(int fd, const struct vm *vm)
{
	struct kch_info info = { .size = sizeof(info) };
	struct kch_preserve preserve = { .size = sizeof(preserve), .vm_fd = vm->fd };
	struct kch_finish finish = { .size = sizeof(finish) };
	struct kch_restore arg;
	uint8_t entry[4096];

	/* The control: without the descriptor there is nothing to be had here. */
	if (open("/dev/kvm", O_RDWR) >= 0 || open(KCH_DEVICE, O_RDWR) >= 0)
		return 1;
	if (call(fd, KCH_IOC_INFO, &info) || info.region_start || info.region_size ||
	    info.incoming_vms || info.rec_vm_size != sizeof(struct kch_rec_vm) ||
	    !(info.flags & KCH_INFO_SELFCHECKED))
		return 2;
	if (clock_get(fd, KCH_INCOMING, ID_SAVED, entry, sizeof(entry)))
		return 3;
	if (clock_get(fd, KCH_INCOMING, ID_OTHER, entry, sizeof(entry)) != ENOENT)
		return 4;
	if (clock_get(fd, KCH_OUTGOING, ID_SAVED, entry, sizeof(entry)) != ENODATA)
		return 5;
	if (call(fd, KCH_IOC_PRESERVE, &preserve) != ENOTTY ||
	    call(fd, KCH_IOC_FINISH, &finish) != ENOTTY)
		return 6;
	if (clock_restore(fd, vm, ID_OTHER, 0, &arg) != ENOENT)
		return 7;
	if (clock_restore(fd, vm, ID_SAVED, 0, &arg) || arg.outcome.mode != KCH_MODE_IDENTICAL ||
	    arg.outcome.error_ns || arg.outcome.error_cycles || arg.outcome.error_rate_ppb)
		return 8;
	if (clock_restore(fd, vm, ID_SAVED, 0, &arg) != EALREADY)
		return 9;
	/* It is the clock of that VM now. */
	if (clock_get(fd, KCH_OUTGOING, ID_SAVED, entry, sizeof(entry)) ||
	    ((struct kch_rec_vm *)entry)->vcpu_count != cpu_to_le32(2))
		return 10;
	return 0;
}

static void restore_in_jail(void)
{
	struct kch_entry entries[2];
	struct kch_clock_fd clock;
	struct kch_restore arg;
	uint32_t count = 2, i;
	int status, pipes[2];
	struct vm vm;
	pid_t pid;
	int err;

	err = open_clock(-1, ID_SAVED, "", &clock);
	check(!err && clock.fd >= 0, "%s: %s", errno_name(err), clock.message);
	if (pipe(pipes))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		char byte;

		vm_create(&vm);
		vm_add(&vm, 0);
		vm_add(&vm, 1);
		close(device);
		close(pipes[1]);
		enter_jail();
		status = in_jail(clock.fd, &vm);
		if (read(pipes[0], &byte, 1) < 0)
			status = 11;
		_exit(status);
	}
	close(pipes[0]);
	close(clock.fd);
	/* It is restored for everybody, while the VM is there. */
	for (i = 0; i < 100; i++) {
		count = 2;
		if (list(KCH_INCOMING, entries, &count))
			die("the record cannot be listed");
		if (entries[0].flags & KCH_ENTRY_RESTORED)
			break;
		usleep(100000);
	}
	check(entries[0].flags & KCH_ENTRY_RESTORED && entries[0].flags & KCH_ENTRY_LIVE &&
	      entries[0].pid == pid, "flags %#x, process %d, expected %d",
	      entries[0].flags, entries[0].pid, pid);
	check(!(entries[1].flags & KCH_ENTRY_RESTORED), "the other VM: %#x",
	      entries[1].flags);
	vm_create(&vm);
	vm_add(&vm, 0);
	vm_add(&vm, 1);
	err = restore(&vm, ID_SAVED, 0, &arg);
	check(err == EALREADY, "%s: %s", errno_name(err), arg.message);
	vm_destroy(&vm);
	close(pipes[1]);
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "step %d of the process in the jail",
	      WEXITSTATUS(status));
}

/* Of a VM that is here: its clock as it is. */
static void read_live(void)
{
	struct kch_clock_fd clock;
	struct kch_rec_vm entry[16];
	struct vm vm;
	int err;

	vm_create_ready(&vm, 2, SCENE_OFFSET);
	err = open_clock(vm.fd, ID_NEW, "live", &clock);
	check(!err, "%s: %s", errno_name(err), clock.message);
	err = clock_get(clock.fd, KCH_OUTGOING, ID_NEW, entry, sizeof(entry));
	check(!err && !strcmp(entry->name, "live") &&
	      le32_to_cpu(entry->vcpu_count) == 2, "%s '%s'", errno_name(err),
	      entry->name);
	err = clock_get(clock.fd, KCH_INCOMING, ID_NEW, entry, sizeof(entry));
	check(err == ENODATA, "%s", errno_name(err));
	close(clock.fd);
	vm_destroy(&vm);
}

static void no_descriptor_left(void)
{
	struct kch_clock_fd clock;
	struct rlimit limit, before;
	int err;

	if (getrlimit(RLIMIT_NOFILE, &before))
		die("RLIMIT_NOFILE: %s", strerror(errno));
	limit = before;
	/* The lowest number that is free. */
	limit.rlim_cur = dup(device);
	close(limit.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &limit);
	err = open_clock(-1, ID_SAVED, "", &clock);
	setrlimit(RLIMIT_NOFILE, &before);
	check(err == EMFILE && clock.fd == -1, "no descriptor left: %s, %d", errno_name(err),
	      clock.fd);
}

static int open_record(const void *record, uint32_t bytes, uint32_t id, struct kch_clock_fd *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = sizeof(*arg);
	arg->vm_fd = -1;
	arg->record = (uintptr_t)record;
	arg->record_bytes = bytes;
	set_uuid(arg->uuid, id);
	return device_call(KCH_IOC_CLOCK_FD, arg);
}

/* It is of that VM's entry, wherever in the record that is. */
static void second_of_record(const void *record)
{
	struct kch_rec_vm entry[16];
	struct kch_restore restored;
	struct kch_clock_fd clock;
	struct vm vm, other;
	int err;

	err = open_record(record, 4096, ID_SAVED + 1, &clock);
	check(!err, "the second VM: %s: %s", errno_name(err), clock.message);
	vm_create_ready(&vm, 2, SCENE_OFFSET);
	err = clock_restore(clock.fd, &vm, ID_SAVED + 1, 0, &restored);
	check(!err, "the second VM: %s: %s", errno_name(err), restored.message);
	err = clock_get(clock.fd, KCH_OUTGOING, ID_SAVED + 1, entry, sizeof(entry));
	check(!err, "the second VM's clock is bound to none: %s", errno_name(err));
	check(vm_offset(&vm, 0) == SCENE_OFFSET + ID_SAVED + 1, "another VM's offset: %lld",
	      (long long)vm_offset(&vm, 0));
	close(vm.fd);
	vm_create_ready(&other, 2, SCENE_OFFSET);
	err = clock_restore(clock.fd, &other, ID_SAVED + 1, KCH_RESTORE_STALE, &restored);
	check(err == EALREADY, "the second VM, closed but for its vCPUs: %s: %s", errno_name(err),
	      restored.message);
	vm_destroy(&other);
	vm.fd = -1;
	vm_destroy(&vm);
	/* Only the descriptor has that VM still: another one can have the clock. */
	vm_create_ready(&vm, 2, SCENE_OFFSET);
	err = clock_restore(clock.fd, &vm, ID_SAVED + 1, KCH_RESTORE_STALE, &restored);
	check(!err, "the second VM, ended: %s: %s", errno_name(err), restored.message);
	vm_destroy(&vm);
	close(clock.fd);
}

/* Of a record that the caller has: the one that came, which has this VM; and of others. */
static void given_record(void)
{
	static uint8_t region[1 << 20], nothing[4096];
	struct kch_rec_vm entry[16];
	struct kch_clock_fd clock;
	uint8_t *record = region;
	ssize_t size;
	int fd, err;

	fd = open(KCH_DEBUGFS "incoming_raw", O_RDONLY);
	size = fd < 0 ? -1 : read(fd, region, sizeof(region));
	if (size < 4096)
		die("incoming_raw: %zd bytes", size);
	close(fd);
	if (memcmp(record, KCH_RECORD_MAGIC, KCH_RECORD_MAGIC_SIZE))
		record += sizeof(region) / 2;
	err = open_record(record, 4096, ID_SAVED, &clock);
	check(!err, "the record that came: %s: %s", errno_name(err), clock.message);
	err = clock_get(clock.fd, KCH_INCOMING, ID_SAVED, entry, sizeof(entry));
	check(!err && le32_to_cpu(entry->vcpu_count) == 2, "%s", errno_name(err));
	close(clock.fd);
	second_of_record(record);
	err = open_record(record, 4096, ID_UNKNOWN, &clock);
	check(err == ENOENT && clock.fd == -1, "another id: %s", errno_name(err));
	record[330] ^= 1;
	err = open_record(record, 4096, ID_SAVED, &clock);
	check(err == EBADMSG, "damaged: %s: %s", errno_name(err), clock.message);
	err = open_record(nothing, sizeof(nothing), ID_SAVED, &clock);
	check(err == ENODATA, "no record: %s: %s", errno_name(err), clock.message);
	err = open_record((void *)8, 4096, ID_SAVED, &clock);
	check(err == EFAULT, "no memory there: %s: %s", errno_name(err), clock.message);
	err = open_record(record, 0, ID_SAVED, &clock);
	check(err == EINVAL, "no bytes: %s", errno_name(err));
	err = open_record(record, KCH_RECORD_BYTES_MAX + 1, ID_SAVED, &clock);
	check(err == EINVAL, "too many bytes: %s", errno_name(err));
}

void test_clock_fd(void)
{
	struct kch_clock_fd clock;
	int err;

	begin();
	err = open_clock(-1, ID_UNKNOWN, "", &clock);
	check(err == ENOENT && clock.fd == -1 && strstr(clock.message, "no VM of id"),
	      "%s, %d: %s", errno_name(err), clock.fd, clock.message);
	err = open_clock(-1, 0, "", &clock);
	check(err == EINVAL, "%s: %s", errno_name(err), clock.message);
	err = open_clock(-1, ID_SAVED, "a name", &clock);
	check(err == EINVAL, "%s: %s", errno_name(err), clock.message);
	err = open_clock(-2, ID_SAVED, "", &clock);
	check(err == EBADF, "%s: %s", errno_name(err), clock.message);
	no_descriptor_left();
	given_record();
	restore_in_jail();
	read_live();
	module_unload();
	region_clear();
	module_load();
	err = open_clock(-1, ID_SAVED, "", &clock);
	check(err == ENODATA, "%s: %s", errno_name(err), clock.message);
	module_unload();
}
