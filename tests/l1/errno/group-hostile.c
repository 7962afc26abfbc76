// SPDX-License-Identifier: GPL-2.0
/*
 * Those who may not: ordinary users, root of a user namespace or of a container, root
 * without the capability.  They try what they can open or make, and what a process that
 * was allowed to has opened and left to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#include "check.h"
#include "condition.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define NOBODY		65534
#define JAIL		"/run/hostile"
#define NODE		"/node"		/* of the device, for everybody to open */
#define FILES		7
#define HALF		64		/* read of each file by who was allowed to */

#define CAP(name)	(1ULL << (name))
/* What a container's root has if nobody says otherwise. */
#define CAPS_CONTAINER	(CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | \
			 CAP(CAP_FSETID) | CAP(CAP_KILL) | CAP(CAP_SETGID) | CAP(CAP_SETUID) | \
			 CAP(CAP_SETPCAP) | CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_NET_RAW) | \
			 CAP(CAP_SYS_CHROOT) | CAP(CAP_MKNOD) | CAP(CAP_AUDIT_WRITE) | \
			 CAP(CAP_SETFCAP))

static const char * const names[FILES] = {
	"status", "outgoing", "incoming", "vms", "restored", "region_raw", "incoming_raw",
};

/* What they inherit. */
static int files[FILES], clock_fd;
static dev_t device_number;

/* The child's word to its parent: what it could do, "" for nothing. */
static char *wrong;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list args;

	if (*wrong)
		return;
	va_start(args, format);
	vsnprintf(wrong, 256, format, args);
	va_end(args);
}

/* @result is of a call that must fail with @expected; 0: that must not fail. */
static void expect(long result, int expected, const char *what, const char *name)
{
	int found = result < 0 ? errno : 0;

	if (found != expected)
		say("%s %s: %s instead of %s", what, name, errno_name(found),
		    errno_name(expected));
}

static void set_capabilities(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = effective, .permitted = permitted },
		{ .effective = effective >> 32, .permitted = permitted >> 32 },
	};

	if (syscall(SYS_capset, &head, data))
		die("capset: %s", strerror(errno));
}

static void be_nobody(void)
{
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		die("nobody: %s", strerror(errno));
}

static void be_nobody_for_good(void)
{
	be_nobody();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs: %s", strerror(errno));
}

/* Of all capabilities that there are by now this one is missing, or not in effect. */
static const uint64_t all_but_one = ~CAP(CAP_SYS_ADMIN) & (CAP(CAP_LAST_CAP + 1) - 1);

static void be_root_without(void)
{
	set_capabilities(all_but_one, all_but_one);
}

static void be_root_without_effect(void)
{
	set_capabilities(all_but_one, all_but_one | CAP(CAP_SYS_ADMIN));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* With all capabilities, there. */
static void be_namespace_root(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", getuid());
	snprintf(groups, sizeof(groups), "0 %u 1", getgid());
	if (unshare(CLONE_NEWUSER))
		_exit(1);
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", users);
	write_file("/proc/self/gid_map", groups);
	if (getuid() || getgid())
		die("not the namespace's root");
}

static void be_nobody_as_namespace_root(void)
{
	be_nobody();
	/* It was not dumpable, and its files in /proc were root's. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	be_namespace_root();
}

static void be_container_root(void)
{
	if (chroot(JAIL) || chdir("/"))
		die("%s: %s", JAIL, strerror(errno));
	set_capabilities(CAPS_CONTAINER, CAPS_CONTAINER);
}

static void be_root_in_chroot(void)
{
	if (chroot(JAIL) || chdir("/"))
		die("%s: %s", JAIL, strerror(errno));
}

/**
 * struct who - a row of the table
 * @name: for people
 * @become: the child becomes that
 * @path_errno: of opening what the host has, by its path
 * @expected: of all that they have or were left
 * @mknod_errno: of making a node of the device
 */
static const struct who {
	const char *name;
	void (*become)(void);
	int path_errno;
	int expected;
	int mknod_errno;
} everybody[] = {
	{ "nobody", be_nobody, EACCES, EPERM, EPERM },
	{ "nobody, no_new_privs", be_nobody_for_good, EACCES, EPERM, EPERM },
	{ "root without CAP_SYS_ADMIN", be_root_without, EPERM, EPERM, 0 },
	{ "root with CAP_SYS_ADMIN not in effect", be_root_without_effect, EPERM, EPERM, 0 },
	{ "root of a user namespace", be_namespace_root, EPERM, EPERM, EPERM },
	{ "nobody as root of a user namespace", be_nobody_as_namespace_root, EACCES, EPERM,
	  EPERM },
	{ "root of a container", be_container_root, ENOENT, EPERM, 0 },
	/* For the others to mean something. */
	{ "root in a chroot", be_root_in_chroot, ENOENT, 0, 0 },
};

static bool in_chroot(const struct who *who)
{
	return who->path_errno == ENOENT;
}

static void try_open(const struct who *who)
{
	static const char made[] = "/run/hostile/made";
	char path[128];
	unsigned int i;

	expect(open(KCH_DEVICE, O_RDWR), who->path_errno, "open", KCH_DEVICE);
	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), KCH_DEBUGFS "%s", names[i]);
		expect(open(path, O_RDONLY), who->path_errno, "open", path);
	}
	/* Its file mode lets everybody. */
	expect(open(in_chroot(who) ? NODE : JAIL NODE, O_RDWR), who->expected, "open", "a node");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", device);
	if (!in_chroot(who)) {
		expect(open(path, O_RDWR), who->path_errno, "open again", path);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", clock_fd);
		if (open(path, O_RDWR) >= 0)
			say("open again %s", path);
	}
	strcpy(path, in_chroot(who) ? "/made" : made);
	unlink(path);
	umask(0);
	expect(mknod(path, S_IFCHR | 0666, device_number), who->mknod_errno, "mknod", path);
	if (!who->mknod_errno)
		expect(open(path, O_RDWR), who->expected, "open what was made,", path);
}

static void try_calls(const struct who *who)
{
	struct kch_info info = { .size = sizeof(info) };
	struct attempt attempt;
	unsigned int i;

	for (i = 0; i < KCH_CALLS; i++) {
		attempt_init(&attempt, kch_calls[i].cmd);
		if (who->expected)
			expect(ioctl(device, attempt.cmd, attempt.user), EPERM,
			       kch_calls[i].name, "on the device's descriptor");
	}
	if (!who->expected)
		expect(ioctl(device, KCH_IOC_INFO, &info), 0, "INFO", "on the device's descriptor");
	/* Of a clock's descriptor all may use what it is for, and nothing else. */
	for (i = 0; i < KCH_CALLS; i++) {
		switch (kch_calls[i].cmd) {
		case KCH_IOC_INFO:
			expect(ioctl(clock_fd, KCH_IOC_INFO, &info), 0, "INFO", "of a clock");
			if (info.region_start || info.region_size || info.incoming_vms)
				say("INFO of a clock's descriptor says where the region is");
			break;
		case KCH_IOC_GET:
		case KCH_IOC_RESTORE:
		case KCH_IOC_WAIT:
			break;
		default:
			attempt_init(&attempt, kch_calls[i].cmd);
			expect(ioctl(clock_fd, attempt.cmd, attempt.user), ENOTTY,
			       kch_calls[i].name, "on a clock's descriptor");
		}
	}
}

static void try_files(const struct who *who)
{
	char bytes[HALF];
	struct iovec vector = { bytes, sizeof(bytes) };
	unsigned int i;
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (i = 0; i < FILES; i++) {
		/* Half of it was read before: the rest is in the kernel's buffer. */
		expect(read(files[i], bytes, sizeof(bytes)), who->expected, "read", names[i]);
		expect(pread(files[i], bytes, sizeof(bytes), 0), who->expected, "pread",
		       names[i]);
		expect(lseek(files[i], 0, SEEK_SET), 0, "lseek", names[i]);
		expect(readv(files[i], &vector, 1), who->expected, "readv", names[i]);
		if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, files[i], 0) != MAP_FAILED)
			say("mmap %s", names[i]);
		if (who->expected && out >= 0 && sendfile(out, files[i], NULL, HALF) >= 0)
			say("sendfile %s", names[i]);
		expect(write(files[i], "x", 1), EBADF, "write", names[i]);
	}
}

/* What is left open to them, each half read. */
static void leave(void)
{
	struct kch_clock_fd clock = { .size = sizeof(clock), .vm_fd = -1 };
	char path[128], bytes[HALF];
	unsigned int i;

	set_uuid(clock.uuid, ID_SAVED);
	if (device_call(KCH_IOC_CLOCK_FD, &clock))
		die("CLOCK_FD: %s", clock.message);
	clock_fd = clock.fd;
	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), KCH_DEBUGFS "%s", names[i]);
		files[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (files[i] < 0 || read(files[i], bytes, sizeof(bytes)) < 0)
			die("%s: %s", path, strerror(errno));
	}
}

static void take_away(void)
{
	unsigned int i;

	close(clock_fd);
	for (i = 0; i < FILES; i++)
		close(files[i]);
}

static void make_jail(void)
{
	struct stat at;

	if (stat(KCH_DEVICE, &at))
		die("%s: %s", KCH_DEVICE, strerror(errno));
	device_number = at.st_rdev;
	umask(0);
	if (mkdir(JAIL, 0777) && errno != EEXIST)
		die("%s: %s", JAIL, strerror(errno));
	unlink(JAIL NODE);
	if (mknod(JAIL NODE, S_IFCHR | 0666, device_number))
		die("%s: %s", JAIL NODE, strerror(errno));
}

static void try_as(const struct who *who, void (*attempts)(const struct who *who))
{
	int status;
	pid_t pid;

	leave();
	*wrong = '\0';
	fflush(stdout);
	pid = fork();
	if (!pid) {
		who->become();
		attempts(who);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	take_away();
	if (status == 0x100)
		printf("# condition %s: left out, no user namespaces in this kernel\n", who->name);
	else if (check(!status, "%s: status %#x", who->name, status))
		check(!*wrong, "%s: %s", who->name, wrong);
	conditions_done++;
}

static void try_all(void (*attempts)(const struct who *who))
{
	struct snapshot *before, *after;
	const char *difference;
	unsigned int i;

	wrong = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (wrong == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	scene_begin();
	make_jail();
	before = snapshot_take();
	for (i = 0; i < sizeof(everybody) / sizeof(everybody[0]); i++)
		try_as(&everybody[i], attempts);
	after = snapshot_take();
	difference = snapshot_difference(before, after);
	check(!difference, "changed: %s", difference);
	snapshot_free(before);
	snapshot_free(after);
	munmap(wrong, 4096);
	scene_end();
}

void test_hostile_open(void)
{
	try_all(try_open);
}

void test_hostile_calls(void)
{
	try_all(try_calls);
}

void test_hostile_files(void)
{
	try_all(try_files);
}
