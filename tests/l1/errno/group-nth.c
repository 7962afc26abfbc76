// SPDX-License-Identifier: GPL-2.0
/*
 * The Nth allocation, copy or page fault of a call fails, for every N there is: the call fails and
 * nothing has changed, or it has been done all the same.  In the caller by the kernel's own
 * /proc/thread-self/fail-nth; in the thread that restores by kch_fault, which sets the same there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define PAGE		4096
#define NTH_MAX		4000	/* no call of ours has so many */
/* A call has now one more, now one less: whether the kernel's caches have what it needs. */
#define MISSES		3
#define DEBUGFS_FAULTS	"/sys/kernel/debug/"
#define OTHER_OFFSET	(SCENE_OFFSET - 7)

static struct forged record;
/*
 * The structure and its buffer, privately of a file: there is no page until the kernel
 * reads, and another one must be had for it to write.
 */
static char *pages;
static int pages_file;

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

/* What fails is any allocation, also of one page, also one that could wait; without a word. */
static bool can_fail(void)
{
	static const struct {
		const char *file;
		const char *text;
	} settings[] = {
		{ "failslab/ignore-gfp-wait", "N" }, { "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" }, { "fail_usercopy/verbose", "0" },
	};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), DEBUGFS_FAULTS "%s", settings[i].file);
		if (!write_file(path, settings[i].text))
			return false;
	}
	return true;
}

static int nth_file(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("fail-nth: %s", strerror(errno));
	return fd;
}

/*
 * The call with its Nth fault; 0 or the errno.  @reached: there was one.  The last can be
 * that of reading the file that tells.
 */
static int call_nth(int fd, unsigned int cmd, void *arg, unsigned int nth, bool *reached)
{
	int nth_fd = nth_file(), err;
	char text[16];
	ssize_t n;

	n = snprintf(text, sizeof(text), "%u", nth);
	if (write(nth_fd, text, n) != n)
		die("fail-nth: %s", strerror(errno));
	err = ioctl(fd, cmd, arg) ? errno : 0;
	n = pread(nth_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	*reached = n > 0 && !atoi(text);
	/* Where two are left, these two copies are the last ones. */
	if (write(nth_fd, "0", 1) != 1 && write(nth_fd, "0", 1) != 1)
		die("fail-nth cannot be turned off: %s", strerror(errno));
	close(nth_fd);
	return err;
}

/**
 * struct sweep - a call whose every fault fails
 * @name: for people
 * @cmd: its number
 * @clock_of: on the descriptor of the clock of a VM (0), or of an entry (1); -1: the device
 * @spoil: what its arguments are besides those of the scene
 * @undo: makes the scene as it was when the call has been done
 */
struct sweep {
	const char *name;
	unsigned int cmd;
	int clock_of;
	void (*spoil)(union kch_any *arg);
	void (*undo)(const union kch_any *arg);
};

static void reload(const union kch_any *arg)
{
	(void)arg;
	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, OTHER_OFFSET);
	scene_reload(&record);
	must_preserve(&scene.kept, ID_KEPT);
}

static void unpreserve_new(const union kch_any *arg)
{
	(void)arg;
	must_unpreserve(ID_NEW);
}

static void preserve_kept(const union kch_any *arg)
{
	(void)arg;
	must_preserve(&scene.kept, ID_KEPT);
}

static void close_clock(const union kch_any *arg)
{
	if (arg->clock_fd.fd >= 0)
		close(arg->clock_fd.fd);
}

static void grow(const union kch_any *arg)
{
	(void)arg;
	vm_destroy(&scene.grown);
	vm_create_ready(&scene.grown, 2, SCENE_OFFSET + 3);
	vm_add(&scene.grown, 2);
	vm_set_offset(&scene.grown, 2, SCENE_OFFSET + 3);
}

static void incoming(union kch_any *arg)
{
	arg->get.which = KCH_INCOMING;
	set_uuid(arg->get.uuid, ID_SAVED);
}

static void list_incoming(union kch_any *arg)
{
	arg->list.which = KCH_INCOMING;
}

static void check_only(union kch_any *arg)
{
	arg->restore.flags = KCH_RESTORE_CHECK;
}

static void elsewhere(union kch_any *arg)
{
	arg->restore.flags = KCH_RESTORE_ELSEWHERE;
}

static void held(union kch_any *arg)
{
	arg->restore.flags = KCH_RESTORE_HOLD;
	arg->restore.hold_ms = 60000;
}

static void entry_clock(union kch_any *arg)
{
	arg->clock_fd.vm_fd = -1;
	set_uuid(arg->clock_fd.uuid, ID_SAVED);
}

static const struct sweep sweeps[] = {
	{ "INFO", KCH_IOC_INFO, -1 },
	{ "PRESERVE", KCH_IOC_PRESERVE, -1, NULL, unpreserve_new },
	{ "UNPRESERVE", KCH_IOC_UNPRESERVE, -1, NULL, preserve_kept },
	{ "LIST", KCH_IOC_LIST, -1 },
	{ "LIST incoming", KCH_IOC_LIST, -1, list_incoming },
	{ "GET", KCH_IOC_GET, -1 },
	{ "GET incoming", KCH_IOC_GET, -1, incoming },
	{ "READ", KCH_IOC_READ, -1 },
	{ "ADOPT", KCH_IOC_ADOPT, -1, NULL, grow },
	{ "CLOCK_FD", KCH_IOC_CLOCK_FD, -1, NULL, close_clock },
	{ "CLOCK_FD of an entry", KCH_IOC_CLOCK_FD, -1, entry_clock, close_clock },
	{ "INFO of a clock", KCH_IOC_INFO, 0 },
	{ "GET of a clock", KCH_IOC_GET, 0 },
	{ "GET of an entry's clock", KCH_IOC_GET, 1, incoming },
	{ "RESTORE as a check", KCH_IOC_RESTORE, -1, check_only },
	{ "RESTORE elsewhere", KCH_IOC_RESTORE, -1, elsewhere, reload },
	{ "RESTORE", KCH_IOC_RESTORE, -1, NULL, reload },
	{ "RESTORE held", KCH_IOC_RESTORE, -1, held, reload },
	{ "RESTORE of a clock", KCH_IOC_RESTORE, 1, NULL, reload },
	{ "FINISH", KCH_IOC_FINISH, -1, NULL, reload },
};

static int clock_fd(bool of_entry)
{
	union kch_any arg = { .clock_fd = {
		.size = sizeof(arg.clock_fd),
		.vm_fd = scene.kept.fd,
	} };

	set_uuid(arg.clock_fd.uuid, ID_KEPT);
	if (of_entry)
		entry_clock(&arg);
	if (ioctl(device, KCH_IOC_CLOCK_FD, &arg))
		die("CLOCK_FD: %s", arg.clock_fd.message);
	return arg.clock_fd.fd;
}

static union kch_any *place(const struct sweep *sweep)
{
	union kch_any arg = { .size = kch_call_of(sweep->cmd)->size };

	scene_base(sweep->cmd, &arg);
	if (sweep->cmd == KCH_IOC_LIST)
		arg.list.entries = (uintptr_t)(pages + PAGE);
	if (sweep->cmd == KCH_IOC_GET)
		arg.get.buffer = (uintptr_t)(pages + PAGE);
	if (sweep->cmd == KCH_IOC_READ)
		arg.read.buffer = (uintptr_t)(pages + PAGE);
	if (sweep->spoil)
		sweep->spoil(&arg);
	if (pwrite(pages_file, &arg, sizeof(arg), 0) != sizeof(arg))
		die("the memory file cannot be written");
	madvise(pages, 2 * PAGE, MADV_DONTNEED);
	return (void *)pages;
}

static void one_fault(const struct sweep *sweep, unsigned int nth, unsigned int counts[3],
		      bool *reached)
{
	int fd = sweep->clock_of < 0 ? device : clock_fd(sweep->clock_of), err;
	unsigned int descriptors = descriptors_open(), more;
	struct snapshot *before, *after;
	const char *difference;
	union kch_any *arg;

	before = snapshot_take();
	arg = place(sweep);
	err = call_nth(fd, sweep->cmd, arg, nth, reached);
	if (sweep->clock_of >= 0)
		close(fd);
	after = snapshot_take();
	difference = snapshot_difference(before, after);
	more = descriptors_open() + (sweep->clock_of >= 0) - descriptors;
	snapshot_free(before);
	snapshot_free(after);
	if (!err) {
		counts[0]++;
		if (sweep->undo)
			sweep->undo(arg);
		return;
	}
	check(*reached, "%s: without a fault: %s (%s)", sweep->name, errno_name(err),
	      (char *)arg + kch_call_of(sweep->cmd)->message);
	check(err == ENOMEM || err == EFAULT || err == ENXIO, "%s: fault %u: %s", sweep->name, nth,
	      errno_name(err));
	if (!check(!more, "%s: fault %u: %u descriptors are left", sweep->name, nth, more))
		progress("%s: fault %u: %u descriptors are left", sweep->name, nth, more);
	counts[1]++;
	/* Done, but the answer could not be given: the last copy of all. */
	if (err == EFAULT && difference && sweep->undo && !counts[2]++) {
		sweep->undo(arg);
		return;
	}
	if (!check(!difference, "%s: fault %u: %s, but changed: %s", sweep->name, nth,
		   errno_name(err), difference))
		progress("%s: fault %u: %s, but changed: %s", sweep->name, nth, errno_name(err),
			 difference);
}

static void begin(void)
{
	pages_file = memfd_create("nth", MFD_CLOEXEC);
	if (pages_file < 0 || ftruncate(pages_file, 2 * PAGE))
		die("no memory file");
	pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, pages_file, 0);
	if (pages == MAP_FAILED)
		die("no memory");
	scene_begin();
	forge_begin(&record);
	forge_add(&record, &scene.vm, ID_SAVED);
	/* So that the restore sets something of the vCPUs, too. */
	reload(NULL);
}

static void end(void)
{
	scene_end();
	munmap(pages, 2 * PAGE);
	close(pages_file);
}

void test_fail_nth(void)
{
	unsigned int nth, misses, counts[3];
	bool reached;
	size_t i;

	if (!can_fail())
		return skip("this kernel fails nothing: no CONFIG_FAILSLAB and the like");
	begin();
	for (i = 0; i < sizeof(sweeps) / sizeof(sweeps[0]); i++) {
		memset(counts, 0, sizeof(counts));
		for (nth = 1, misses = 0; misses < MISSES && nth < NTH_MAX; nth++) {
			one_fault(&sweeps[i], nth, counts, &reached);
			misses = reached ? 0 : misses + 1;
		}
		check(misses && counts[1], "%s: %u faults, and no end", sweeps[i].name, nth - 1);
		printf("# condition %s: %u faults: refused %u, done %u, done without an answer %u\n",
		       sweeps[i].name, nth - 1 - MISSES, counts[1] - counts[2],
		       counts[0] - MISSES, counts[2]);
		progress("%s: %u faults, refused %u, done %u, without an answer %u", sweeps[i].name,
			 nth - 1 - MISSES, counts[1] - counts[2], counts[0] - MISSES,
			 counts[2]);
	}
	end();
}

/* The module does not know yet whether it reads KVM right: it makes a VM of its own. */
void test_fail_ask(void)
{
	struct sweep sweep = { "READ that asks", KCH_IOC_READ, -1 };
	unsigned int nth, refused = 0, misses = 0, descriptors;
	bool reached;
	union kch_any *arg;
	int err;

	if (!can_fail())
		return skip("this kernel fails nothing: no CONFIG_FAILSLAB and the like");
	begin();
	/* With a VM preserved it asks when it is loaded. */
	must_unpreserve(ID_KEPT);
	module_unload();
	descriptors = descriptors_open();
	for (nth = 1; misses < MISSES && nth < NTH_MAX; nth++) {
		/* What is known already is not asked again. */
		if (device < 0)
			module_load();
		arg = place(&sweep);
		err = call_nth(device, sweep.cmd, arg, nth, &reached);
		check(reached || !err, "without a fault: %s (%s)", errno_name(err),
		      arg->read.message);
		check(!err || err == ENOMEM || err == EFAULT || err == ENXIO, "fault %u: %s (%s)",
		      nth, errno_name(err), arg->read.message);
		check(descriptors_open() == descriptors + 1, "fault %u: descriptors are left", nth);
		refused += !!err;
		misses = reached ? 0 : misses + 1;
		if (!err)
			module_unload();
	}
	check(misses && refused, "%u faults, and no end", nth - 1);
	printf("# condition %s: %u faults: refused %u\n", sweep.name, nth - 1 - MISSES, refused);
	module_load();
	end();
}

static void one_thread_fault(unsigned int nth, unsigned int counts[2], bool *reached)
{
	struct snapshot *before = snapshot_take(), *after;
	const char *difference;
	struct kch_restore arg;
	char parameters[32];
	int err;

	snprintf(parameters, sizeof(parameters), "thread_nth=%u", nth);
	fault_insert(parameters, 0);
	err = restore(&scene.vm, ID_SAVED, 0, &arg);
	*reached = !fault_get("thread_left");
	fault_remove();
	after = snapshot_take();
	difference = snapshot_difference(before, after);
	snapshot_free(before);
	snapshot_free(after);
	counts[!!err]++;
	if (!err)
		return reload(NULL);
	check(*reached, "without a fault: %s (%s)", errno_name(err), arg.message);
	check(err == EFAULT || err == ENXIO || err == ENOMEM, "fault %u: %s (%s)", nth,
	      errno_name(err), arg.message);
	check(!difference, "fault %u: %s (%s), but changed: %s", nth, errno_name(err), arg.message,
	      difference);
	progress("the thread's fault %u: %s (%s) %s", nth, errno_name(err), arg.message,
		 difference ?: "");
}

/* The thread that does the restore, in the VM's memory. */
void test_fail_thread(void)
{
	unsigned int nth, misses = 0, counts[2] = { };
	bool reached;

	if (!can_fail())
		return skip("this kernel fails nothing: no CONFIG_FAILSLAB and the like");
	begin();
	for (nth = 1; misses < MISSES && nth < NTH_MAX; nth++) {
		one_thread_fault(nth, counts, &reached);
		misses = reached ? 0 : misses + 1;
	}
	check(misses && counts[1], "%u faults, and no end", nth - 1);
	printf("# condition thread: %u faults: refused %u, done %u\n", nth - 1 - MISSES, counts[1],
	       counts[0] - MISSES);
	end();
}
