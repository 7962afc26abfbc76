// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody waits while somebody else decides how long: whose memory does not come, or
 * whose vCPU runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>

#include "check.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define PAGE		4096
#define PAGES		8
#define COMES_S		20
#define AT_ONCE_S	5	/* on an emulated host that has other things to do */

/* Whoever touches it waits until it is given, and, by @features, whoever takes it away. */
static int make_wait(void *at, size_t size, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	range.range.start = (uintptr_t)at;
	range.range.len = size;
	if (uffd >= 0 && (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range)))
		die("userfaultfd: %s", strerror(errno));
	return uffd;
}

/* Memory that does not come. */
static char *memory_that_waits(int *uffd)
{
	char *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	*uffd = make_wait(at, PAGES * PAGE, 0);
	return *uffd < 0 ? NULL : at;
}

/* Until so many threads wait for it, that did not before: else nothing is shown. */
static void check_waiters(int uffd, int count, const char *what)
{
	struct pollfd waiter = { .fd = uffd, .events = POLLIN };
	struct uffd_msg message;

	while (count && poll(&waiter, 1, COMES_S * 1000) == 1)
		if (read(uffd, &message, sizeof(message)) == sizeof(message))
			count--;
	check(!count, "%s: %d do not wait for memory", what, count);
}

static void give_memory(int uffd, char *at)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)at, .len = PAGES * PAGE },
	};

	if (ioctl(uffd, UFFDIO_ZEROPAGE, &zero))
		die("UFFDIO_ZEROPAGE: %s", strerror(errno));
}

/* @cmd: of an ioctl; 0: a page is read into @arg, as of a file of debugfs. */
struct stuck {
	pthread_t thread;
	unsigned int cmd;
	void *arg;
	union kch_any any;
	int fd;
	int err;
	volatile bool over;
};

static void *get_stuck(void *arg)
{
	struct stuck *s = arg;

	if (s->cmd)
		s->err = ioctl(s->fd, s->cmd, s->arg) ? errno : 0;
	else if (read(s->fd, s->arg, PAGE) != PAGE)
		die("debugfs: %s", strerror(errno));
	s->over = true;
	return NULL;
}

static void stick(struct stuck *s)
{
	if (pthread_create(&s->thread, NULL, get_stuck, s))
		die("pthread_create");
}

static void stick_reader(struct stuck *s, const char *name, char *to)
{
	s->fd = open(name, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		die("%s: %s", name, strerror(errno));
	s->arg = to;
	stick(s);
}

/* In a process of its own, which is killed if it is not done in time. */
static bool done_within(int (*fn)(void), int seconds)
{
	int status, tries = seconds * 100;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(fn());
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (!tries--) {
			kill(pid, SIGKILL);
			return false;
		}
		usleep(10000);
	}
	return !status;
}

bool done_at_once(int (*fn)(void))
{
	return done_within(fn, AT_ONCE_S);
}

static int ask_everything(void)
{
	struct kch_entry entries[4];
	struct kch_preserve preserved;
	struct kch_restore restored;
	struct kch_info info = { .size = sizeof(info) };
	uint64_t bytes[1024];
	uint32_t count = 4, size = sizeof(bytes);

	return device_call(KCH_IOC_INFO, &info) || list(KCH_INCOMING, entries, &count) ||
	       get(KCH_INCOMING, ID_SAVED, bytes, &size) ||
	       read_entry(&scene.spare, (void *)bytes, sizeof(bytes)) ||
	       preserve(&scene.spare, ID_NEW, &preserved) || unpreserve(ID_NEW) ||
	       restore(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &restored);
}

static int restore_is_busy(void)
{
	struct kch_restore arg;

	return restore(&scene.vm, ID_SAVED, 0, &arg) != EBUSY;
}

static int all_but_restore(void)
{
	struct kch_info info = { .size = sizeof(info) };
	uint64_t bytes[1024];

	return device_call(KCH_IOC_INFO, &info) ||
	       read_entry(&scene.vm, (void *)bytes, sizeof(bytes));
}

/* The end of a hold: waited for, or by closing its file. */
struct end {
	pthread_t thread;
	int fd;
	bool closes;
	int err;
	struct kch_restore arg;
	volatile bool over;
};

static void *end_hold(void *arg)
{
	struct end *end = arg;

	if (end->closes)
		close(end->fd);
	else
		end->err = hold_wait(end->fd, &end->arg);
	end->over = true;
	return NULL;
}

/*
 * A vCPU makes the guest's Hyper-V page when it comes to KVM_RUN, with a lock of KVM's, and
 * that memory does not come.  The hold ends all the same.
 */
#define HOLD_ENDS_S	60	/* two waits of 5 s each, on that host */

static void vm_create_stuck(struct vm *vm, char *at)
{
	struct kvm_userspace_memory_region memory = {
		.slot = 1, .guest_phys_addr = PAGE, .memory_size = PAGE,
		.userspace_addr = (uintptr_t)at,
	};
	uint32_t i;

	vm_create(vm);
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &memory))
		die("a second page: %s", strerror(errno));
	for (i = 0; i < 2; i++)
		vm_add(vm, i);
	for (i = 0; i < 2; i++)
		vm_set_offset(vm, i, SCENE_OFFSET);
	vm_set_clock(vm, 1000000000);
	if (!vm_set_hyperv_page(vm, PAGE))
		die("Hyper-V's MSRs cannot be set");
}

static void vm_destroy_stuck(struct vm *vm, char *at, int uffd)
{
	vm_stop(vm);
	vm_destroy(vm);
	munmap(at, PAGES * PAGE);
	close(uffd);
	check(becomes_dead(KCH_INCOMING, ID_SAVED), "closed, and live");
}

static void hyperv_page_does_not_come(bool closes)
{
	struct end end = { .closes = closes };
	struct kch_restore arg;
	unsigned int tries = 0;
	struct vm vm;
	int uffd, err;
	char *at = memory_that_waits(&uffd);

	vm_create_stuck(&vm, at);
	end.fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	/* That it is broken off comes too late for the look at the VM, and is not the hold's. */
	fault_insert("late=kch_kvm_check_vm late_ms=1 break_off=1", 0);
	err = hold(end.fd, &vm, ID_SAVED, 600000, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	fault_remove();
	vm_go(&vm, 0);
	check_waiters(uffd, 1, "a Hyper-V page");
	if (pthread_create(&end.thread, NULL, end_hold, &end))
		die("pthread_create");
	check(done_at_once(all_but_restore), "others wait for a Hyper-V page");
	while (!end.over && tries++ < (closes ? AT_ONCE_S : HOLD_ENDS_S) * 100)
		usleep(10000);
	check(end.over, "the hold does not end, %s", closes ? "closed" : "waited for");
	give_memory(uffd, at);
	pthread_join(end.thread, NULL);
	if (!closes) {
		check(end.err == EBUSY && strstr(end.arg.message, "Hyper-V"), "%s: %s",
		      errno_name(end.err), end.arg.message);
		close(end.fd);
	}
	check(vm_comes(&vm), "still held");
	vm_destroy_stuck(&vm, at, uffd);
}

/* Two entries that nobody was given yet. */
static void reload_saved(void)
{
	static struct forged forged;

	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	forge_add(&forged, &scene.vm, ID_SAVED + 1);
	scene_reload(&forged);
}

/*
 * It is started while it is being restored, when that comes to function @late: KVM_SET_CLOCK
 * would wait for that page, too, and an ioctl of the vCPU for its KVM_RUN.
 */
#define LATE_MS		15000	/* a CPU does nothing else: not until the kernel complains */

static void started_vm(const char *late, uint64_t offset)
{
	struct stuck restorer = { .cmd = KCH_IOC_RESTORE };
	char parameters[64];
	unsigned int tries;
	struct vm vm;
	int uffd;
	char *at = memory_that_waits(&uffd);
	bool stays = offset != SCENE_OFFSET;

	reload_saved();
	vm_create_stuck(&vm, at);
	for (tries = 0; tries < vm.vcpus; tries++)
		vm_set_offset(&vm, tries, offset);
	scene_base(restorer.cmd, &restorer.any);
	restorer.fd = device;
	restorer.any.restore.size = sizeof(struct kch_restore);
	restorer.any.restore.vm_fd = vm.fd;
	restorer.arg = &restorer.any;
	snprintf(parameters, sizeof(parameters), "late=%s late_ms=%d", late, LATE_MS);
	fault_insert(parameters, 0);
	stick(&restorer);
	for (tries = 0; !fault_get("came") && tries < COMES_S * 1000; tries++)
		usleep(1000);
	vm_go(&vm, 0);
	check_waiters(uffd, 1, late);
	fault_set("late_ms", 0);
	for (tries = 0; !restorer.over && tries < HOLD_ENDS_S * 100; tries++)
		usleep(10000);
	check(restorer.over, "%s: RESTORE waits for a vCPU", late);
	give_memory(uffd, at);
	vm_stop(&vm);
	pthread_join(restorer.thread, NULL);
	check(restorer.err == EBUSY &&
	      strstr(restorer.any.restore.message, "was started while") &&
	      !strstr(restorer.any.restore.message, "counts as given back") == !stays,
	      "%s: %s: %s", late, errno_name(restorer.err), restorer.any.restore.message);
	check(list_flags(KCH_INCOMING, ID_SAVED) ==
	      (stays ? KCH_ENTRY_RESTORED | KCH_ENTRY_LET_GO : 0), "%s: LIST: flags %#x", late,
	      list_flags(KCH_INCOMING, ID_SAVED));
	fault_remove();
	vm_destroy_stuck(&vm, at, uffd);
}

/* What memory the process has. */
struct ranges {
	unsigned int count;
	struct {
		uint64_t start;
		uint64_t end;
	} at[512];
};

/* Nothing is allocated for it. */
static void read_maps(struct ranges *ranges)
{
	static char text[1 << 16];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;
	char *line;

	while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += n;
	close(fd);
	text[size] = '\0';
	ranges->count = 0;
	for (line = text; line && ranges->count < 512; line = strchr(line + 1, '\n'))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &ranges->at[ranges->count].start,
			   &ranges->at[ranges->count].end) == 2)
			ranges->count++;
	if (!ranges->count || ranges->count == 512)
		die("/proc/self/maps: %u ranges", ranges->count);
}

/* The page that it has, and did not have before; NULL: none. */
static void *new_page(const struct ranges *before)
{
	static struct ranges now;
	unsigned int i, j;
	uint64_t at, end;

	read_maps(&now);
	for (i = 0; i < now.count; i++) {
		for (at = now.at[i].start; at < now.at[i].end; at = end) {
			for (j = 0; j < before->count && before->at[j].end <= at; j++)
				;
			if (j < before->count && before->at[j].start <= at) {
				end = before->at[j].end;
				continue;
			}
			end = now.at[i].end;
			if (j < before->count && before->at[j].start < end)
				end = before->at[j].start;
			if (end - at == PAGE)
				return (void *)at;
		}
	}
	return NULL;
}

static struct ranges before_restore;

static void *restore_after_look(void *arg)
{
	read_maps(&before_restore);
	return get_stuck(arg);
}

/* The module's page in the VMM's memory: the VMM does not let it be taken away. */
static void page_stays(void)
{
	struct stuck restorer = { .fd = device, .cmd = KCH_IOC_RESTORE };
	char parameters[64], *page;
	unsigned int tries;
	int uffd = -1;

	scene_base(restorer.cmd, &restorer.any);
	restorer.any.restore.size = sizeof(struct kch_restore);
	restorer.any.restore.flags = KCH_RESTORE_CHECK | KCH_RESTORE_STALE;
	restorer.arg = &restorer.any;
	snprintf(parameters, sizeof(parameters), "late=kch_kvm_check_vm late_ms=%d", LATE_MS);
	fault_insert(parameters, 0);
	if (pthread_create(&restorer.thread, NULL, restore_after_look, &restorer))
		die("pthread_create");
	for (tries = 0; !fault_get("came") && tries < COMES_S * 1000; tries++)
		usleep(1000);
	page = new_page(&before_restore);
	if (page) {
		*page = 0;
		uffd = make_wait(page, PAGE, UFFD_FEATURE_EVENT_UNMAP);
	}
	check(uffd >= 0, "no page of the module's is seen");
	fault_set("late_ms", 0);
	for (tries = 0; !restorer.over && tries < HOLD_ENDS_S * 100; tries++)
		usleep(10000);
	check(restorer.over, "RESTORE waits for who does not read that a page is taken away");
	close(uffd);
	pthread_join(restorer.thread, NULL);
	check(!restorer.err, "%s: %s", errno_name(restorer.err), restorer.any.restore.message);
	fault_remove();
}

/*
 * A hold ends while a vCPU is in an ioctl that does not end: its TSC offset stays, and with it
 * the guest goes on, so that nobody is given that clock any more.
 */
static void not_put_back(void)
{
	struct stuck vcpu = { .cmd = KVM_GET_SREGS };
	int uffd, held, err;
	char *at = memory_that_waits(&uffd);
	struct kch_restore arg;
	struct vm vm;

	reload_saved();
	vm_create(&vm);
	vm_add(&vm, 0);
	vm_add(&vm, 1);
	vm_set_clock(&vm, 1000000000);
	held = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	err = hold(held, &vm, ID_SAVED, 2000, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	vcpu.fd = vm.vcpu[1];
	vcpu.arg = at;
	stick(&vcpu);
	check_waiters(uffd, 1, "a vCPU");
	err = hold_wait(held, &arg);
	check(err == ETIMEDOUT && strstr(arg.message, "did not resume within 2000 ms") &&
	      strstr(arg.message, "counts as given back"), "%s: %s", errno_name(err),
	      arg.message);
	check(list_flags(KCH_INCOMING, ID_SAVED) == (KCH_ENTRY_RESTORED | KCH_ENTRY_LET_GO),
	      "not put back: LIST: flags %#x", list_flags(KCH_INCOMING, ID_SAVED));
	err = restore(&scene.vm, ID_SAVED, 0, &arg);
	check(err == EALREADY, "given twice: %s: %s", errno_name(err), arg.message);
	give_memory(uffd, at);
	pthread_join(vcpu.thread, NULL);
	close(held);
	vm_destroy(&vm);
	munmap(at, PAGES * PAGE);
	close(uffd);
}

/* In a process of its own, which has a descriptor of every VM, too. */
static int kexec_comes(void)
{
	vm_destroy(&scene.spare);
	fault_insert("seal=1", ECANCELED);
	return 0;
}

#define LATER_NS	77000000000ULL	/* of a VM's clock, which starts at 1 s */

/* While the kexec waits for holds; what it had last counts all the same. */
static void *end_spare(void *unused)
{
	while (unpreserve(ID_UNKNOWN) != ESHUTDOWN)
		usleep(1000);
	vm_destroy(&scene.spare);
	return unused;
}

/*
 * The last of all: nothing is preserved or restored any more.  A hold ends at its own time
 * limit, as a vCPU whose TSC offset is to be put back is in an ioctl that does not end.
 * Another one's VMM has just resumed.
 */
#define KEXEC_S		30

static void kexec_with_reader_and_holds(void)
{
	struct stuck reader = { 0 }, vcpu = { .cmd = KVM_GET_SREGS };
	struct end resumed = { };
	struct entry {
		struct kch_rec_vm vm;
		struct kch_rec_vcpu vcpu;
	} entry;
	uint32_t size = sizeof(entry);
	pthread_t ender;
	struct kch_restore arg;
	int uffd, held, err, resumed_uffd;
	char *at = memory_that_waits(&uffd), *resumed_at = memory_that_waits(&resumed_uffd);
	struct vm vm, resuming;

	reload_saved();
	vm_create_stuck(&resuming, resumed_at);
	resumed.fd = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	err = hold(resumed.fd, &resuming, ID_SAVED + 1, 600000, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	vm_create(&vm);
	vm_add(&vm, 0);
	vm_add(&vm, 1);
	vm_set_clock(&vm, 1000000000);
	held = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
	err = hold(held, &vm, ID_SAVED, 600000, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	vcpu.fd = vm.vcpu[1];
	vcpu.arg = at + PAGE;
	stick(&vcpu);
	stick_reader(&reader, KCH_DEBUGFS "region_raw", at);
	vm_go(&resuming, 0);
	check_waiters(uffd, 2, "a reader and a vCPU");
	check_waiters(resumed_uffd, 1, "a Hyper-V page");
	if (pthread_create(&resumed.thread, NULL, end_hold, &resumed))
		die("pthread_create");
	must_preserve(&scene.spare, ID_NEW);
	vm_set_clock(&scene.spare, LATER_NS);
	if (pthread_create(&ender, NULL, end_spare, NULL))
		die("pthread_create");
	kernel_said("");
	check(done_within(kexec_comes, KEXEC_S), "a kexec waits for a reader of debugfs");
	pthread_join(ender, NULL);
	/* Of a restore, or of an ioctl: then the record is not sealed. */
	check(!kernel_said("does not come to its end"), "it does not wait for a hold");
	give_memory(uffd, at);
	pthread_join(resumed.thread, NULL);
	check(resumed.err == ECANCELED && strstr(resumed.arg.message, "while its VMM resumed"),
	      "resuming at the kexec: %s: %s", errno_name(resumed.err), resumed.arg.message);
	close(resumed.fd);
	give_memory(resumed_uffd, resumed_at);
	vm_destroy_stuck(&resuming, resumed_at, resumed_uffd);
	pthread_join(reader.thread, NULL);
	pthread_join(vcpu.thread, NULL);
	check(hold_wait(held, &arg) == ECANCELED, "held at the kexec: %s", arg.message);
	close(held);
	vm_destroy(&vm);
	close(reader.fd);
	munmap(at, PAGES * PAGE);
	close(uffd);
	scene_over_kexec(NULL);
	err = get(KCH_INCOMING, ID_NEW, &entry, &size);
	check(!err && entry.vm.flags & (KCH_VM_AT_SEAL | KCH_VM_AT_END) &&
	      entry.vm.kvmclock_ns >= LATER_NS, "ended at the kexec: %s, flags %#x, %llu ns",
	      errno_name(err), entry.vm.flags, (unsigned long long)entry.vm.kvmclock_ns);
	check(!list_flags(KCH_INCOMING, ID_SAVED), "held at the kexec: flags %#x",
	      list_flags(KCH_INCOMING, ID_SAVED));
}

void test_locks(void)
{
	struct stuck stuck[7] = { 0 };
	struct kch_preserve preserved;
	char parameters[32];
	unsigned int i;
	int uffd, err;
	char *at = memory_that_waits(&uffd);

	if (!at) {
		skip("no userfaultfd in this kernel");
		return;
	}
	scene_begin();
	/* A buffer for the answer of each, an ioctl's own structure, and a vCPU's. */
	for (i = 0; i < 4; i++)
		stuck[i].fd = device;
	stuck[0].cmd = KCH_IOC_LIST;
	scene_base(stuck[0].cmd, &stuck[0].any);
	stuck[0].any.list.size = sizeof(struct kch_list);
	stuck[0].any.list.entries = (uintptr_t)at;
	stuck[1].cmd = KCH_IOC_GET;
	scene_base(stuck[1].cmd, &stuck[1].any);
	stuck[1].any.get.size = sizeof(struct kch_get);
	stuck[1].any.get.buffer = (uintptr_t)at + PAGE;
	stuck[2].cmd = KCH_IOC_READ;
	scene_base(stuck[2].cmd, &stuck[2].any);
	stuck[2].any.read.size = sizeof(struct kch_read);
	stuck[2].any.read.buffer = (uintptr_t)at + 2 * PAGE;
	for (i = 0; i < 3; i++)
		stuck[i].arg = &stuck[i].any;
	stuck[3].cmd = KCH_IOC_RESTORE;
	stuck[3].arg = at + 3 * PAGE;
	for (i = 0; i < 4; i++)
		stick(&stuck[i]);
	/* What an auditor reads. */
	stick_reader(&stuck[4], KCH_DEBUGFS "region_raw", at + 4 * PAGE);
	stick_reader(&stuck[5], KCH_DEBUGFS "incoming_raw", at + 5 * PAGE);
	check_waiters(uffd, 6, "ioctls and readers");
	check(done_at_once(ask_everything), "others wait for memory that does not come");

	/* One of its vCPUs is in an ioctl that does not end, or in KVM_RUN. */
	stuck[6].fd = scene.vm.vcpu[1];
	stuck[6].cmd = KVM_GET_SREGS;
	stuck[6].arg = at + 6 * PAGE;
	stick(&stuck[6]);
	check_waiters(uffd, 1, "a vCPU's ioctl");
	check(done_at_once(restore_is_busy), "RESTORE waits for a vCPU's ioctl");
	check(done_at_once(all_but_restore), "others wait for a vCPU's ioctl");
	/* Nor does it do what KVM is to do when it runs. */
	snprintf(parameters, sizeof(parameters), "update=%d", scene.vm.fd);
	fault_insert(parameters, ECANCELED);
	err = preserve(&scene.vm, ID_NEW, &preserved);
	check(err == EBUSY && strstr(preserved.message, "does not come to it"), "PRESERVE: %s: %s",
	      errno_name(err), preserved.message);
	give_memory(uffd, at);
	for (i = 0; i < 7; i++)
		pthread_join(stuck[i].thread, NULL);
	close(stuck[4].fd);
	close(stuck[5].fd);
	vm_start(&scene.vm, 0);
	check(done_at_once(restore_is_busy), "RESTORE waits for a vCPU in KVM_RUN");
	check(done_at_once(all_but_restore), "others wait for a vCPU in KVM_RUN");
	vm_stop(&scene.vm);
	munmap(at, PAGES * PAGE);
	close(uffd);
	hyperv_page_does_not_come(false);
	hyperv_page_does_not_come(true);
	/* While it is looked at still, and behind all of that. */
	started_vm("kch_kvm_check_vm", SCENE_OFFSET);
	started_vm("kch_incoming_use", SCENE_OFFSET);
	started_vm("kch_kvm_rearm_deadline", SCENE_OFFSET + 1);
	page_stays();
	not_put_back();
	kexec_with_reader_and_holds();
	scene_end();
}
