// SPDX-License-Identifier: GPL-2.0
/*
 * The device and KVM, played by a program: see fake.h.  First what stands before the
 * C library's functions, then the device's ioctls.  KVM's are in fake-kvm.c.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "clock.h"
#include "slots.h"
#include "fake.h"
#include "fake-kvm.h"

#define VM_LINK		"anon_inode:kvm-vm"
#define FAKE_LINK	"/memfd:fake-vm-%d"
/* A VM in the process that has it, but another file in the process that takes it. */
#define REUSED_LINK	"/memfd:fake-vm-99"
#define VCPU_FILE	"/memfd:fake-vcpu-%d"
#define DEVICE_FILE	"/memfd:fake-device"
#define STATS_FILE	"/memfd:fake-stats-%d"

struct fake fake = { .error_number = -1 };

static int kvm_fd = -1, scratch_fd = -1;

void note(const char *format, ...)
{
	size_t used = strlen(fake.log);
	va_list args;

	va_start(args, format);
	vsnprintf(fake.log + used, sizeof(fake.log) - used, format, args);
	va_end(args);
}

void fake_load(const char *path, struct kch_record *record, bool *has)
{
	struct kch_message message = {};
	FILE *file = fopen(path, "re");
	unsigned int slot;
	size_t size;
	u8 *data;

	*has = false;
	if (!file) {
		perror(path);
		abort();
	}
	data = malloc(1 << 20);
	size = fread(data, 1, 1 << 20, file);
	fclose(file);
	if (kch_region_open(data, size, record, &slot, &message)) {
		fprintf(stderr, "%s: %s\n", path, message.text);
		abort();
	}
	*has = true;
}

static int number_of(const char *name, int fallback)
{
	const char *text = getenv(name);

	return text ? atoi(text) : fallback;
}

__attribute__((constructor))
static void set_up(void)
{
	const char *error = getenv("FAKE_ERROR");
	const char *path;

	fake.backend = (uint32_t)number_of("FAKE_BACKEND", KCH_BACKEND_RANGE);
	fake.tsc_source = (uint32_t)number_of("FAKE_TSC_SOURCE", KCH_TSC_SETTLED);
	fake.kvm_khz = 2596124;
	fake.restore_mode = KCH_MODE_IDENTICAL;
	fake.no_kvm = number_of("FAKE_NO_KVM", 0);
	fake.knows_vms = getenv("FAKE_KNOWN");
	fake.processes_end = getenv("FAKE_ENDED");
	path = getenv("FAKE_INCOMING");
	if (path)
		fake_load(path, &fake.incoming, &fake.has_incoming);
	path = getenv("FAKE_OUTGOING");
	if (path)
		fake_load(path, &fake.outgoing, &fake.has_outgoing);
	path = getenv("FAKE_LIVE");
	if (path)
		fake_load(path, &fake.live, &fake.has_live);
	if (error) {
		fake.error_number = atoi(error);
		error = strchr(error, ':') + 1;
		fake.error_errno = atoi(error);
		fake.error_message = strchr(error, ':') + 1;
	}
}

static int file_of(const char *text)
{
	int fd = memfd_create("fake", 0);

	if (!text) {
		close(fd);
		errno = EACCES;
		return -1;
	}
	if (dprintf(fd, "%s\n", text) < 0)
		abort();
	lseek(fd, 0, SEEK_SET);
	return fd;
}

int open(const char *path, int flags, ...)
{
	static int (*real)(const char *path, int flags, ...);
	mode_t mode = 0;
	va_list args;

	if (!real)
		real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	if (!strcmp(path, KCH_DEVICE)) {
		if (fake.no_device) {
			errno = ENOENT;
			return -1;
		}
		return memfd_create("fake-device", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	}
	if (!strcmp(path, "/dev/kvm")) {
		errno = fake.no_kvm;
		if (errno)
			return -1;
		kvm_fd = real("/dev/null", flags);
		return kvm_fd;
	}
	if (!strcmp(path, "/sys/devices/system/clocksource/clocksource0/current_clocksource"))
		return file_of(fake.unsettled ? "tsc-early" : "tsc");
	if (strstr(path, "/product_uuid"))
		return file_of(fake.machine);
	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return real(path, flags, mode);
}

/* Is that the call that FAKE_DENIED names? */
static bool is_denied(const char *call)
{
	const char *denied = getenv("FAKE_DENIED");

	return denied && !strcmp(denied, call);
}

DIR *opendir(const char *path)
{
	static DIR *(*real)(const char *path);
	const char *only = getenv("FAKE_PID");
	int pid;

	if (!real)
		real = (DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir");
	errno = fake.opendir_errno;
	if (only && sscanf(path, "/proc/%d/fd", &pid) == 1)
		errno = is_denied(pid == atoi(only) ? "opendir" : "others") ? EACCES :
			pid == atoi(only) ? errno : ENOENT;
	return errno ? NULL : real(path);
}

ssize_t readlinkat(int dir, const char *path, char *buffer, size_t size)
{
	static ssize_t (*real)(int dir, const char *path, char *buffer, size_t size);
	ssize_t length;
	int number;

	if (!real)
		real = (ssize_t (*)(int, const char *, char *, size_t))
			dlsym(RTLD_NEXT, "readlinkat");
	if (dir != AT_FDCWD && (getenv("FAKE_NO_VMS") || is_denied("readlinkat"))) {
		errno = is_denied("readlinkat") ? EACCES : ENOENT;
		return -1;
	}
	length = real(dir, path, buffer, size);
	if (dir == AT_FDCWD && length > 0 && size >= strlen(VM_LINK) &&
	    !strncmp(buffer, REUSED_LINK, strlen(REUSED_LINK)))
		return length;
	if (length > 0 && (size_t)length < size) {
		buffer[length] = '\0';
		if (sscanf(buffer, VCPU_FILE, &number) == 1)
			return snprintf(buffer, size, "anon_inode:kvm-vcpu:%d", number);
		if (sscanf(buffer, STATS_FILE, &number) == 1)
			return snprintf(buffer, size, "anon_inode:kvm-vcpu-stats:%d",
					number);
	}
	/* The tool gives a buffer no larger than the link of a real VM needs. */
	if (length > 0 && size >= strlen(VM_LINK) &&
	    !strncmp(buffer, "/memfd:fake-vm-", 15)) {
		memcpy(buffer, VM_LINK, strlen(VM_LINK));
		return (ssize_t)strlen(VM_LINK);
	}
	return length;
}

/* The tool polls processes, to see whether they have ended. */
int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	static int (*real)(struct pollfd *fds, nfds_t count, int timeout);

	if (fake.processes_end) {
		fds[0].revents = POLLIN;
		return 1;
	}
	if (!real)
		real = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
	return real(fds, count, timeout);
}

ssize_t readlink(const char *path, char *buffer, size_t size)
{
	int fd, length;

	if (fake.has_vcpu_ids && sscanf(path, "/proc/thread-self/fd/%d", &fd) == 1 &&
	    fd >= FAKE_VCPU_FD && fd < FAKE_VCPU_FD + FAKE_VCPUS_MAX) {
		length = snprintf(buffer, size, "anon_inode:kvm-vcpu:%u",
				  fake.vcpu_ids[fd - FAKE_VCPU_FD]);
		return length;
	}
	return readlinkat(AT_FDCWD, path, buffer, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	static ssize_t (*real)(int fd, const void *data, size_t size, off_t at);
	const char *path = getenv("FAKE_WRITES");
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (!real)
		real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
	if (file) {
		fprintf(file, "%u %zu %u\n", (unsigned int)at % 4096, size,
			*(const uint32_t *)data);
		fclose(file);
	}
	return real(fd, data, size, at);
}

/* The name of an open file, empty if it has none. */
static const char *name_of(int fd)
{
	static char target[64];
	char path[64];

	memset(target, 0, sizeof(target));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	syscall(SYS_readlink, path, target, sizeof(target) - 1);
	return target;
}

/* Also where it was duplicated to. */
static bool is_device(int fd)
{
	return fd < FAKE_VM_FD && !strncmp(name_of(fd), DEVICE_FILE, strlen(DEVICE_FILE));
}

/* The number of the VM that a file descriptor is, by its name; -1: it is none. */
static int vm_number(int fd)
{
	int number;

	if (fd == FAKE_VM_FD)
		return 0;
	return sscanf(name_of(fd), FAKE_LINK, &number) == 1 ? number : -1;
}

int fail(int err, char *message, const char *text)
{
	if (message)
		snprintf(message, KCH_MESSAGE_SIZE, "%s", text);
	errno = err;
	return -1;
}

static int do_info(struct kch_info *info)
{
	info->abi_version = KCH_ABI_VERSION;
	info->modes = 1U << KCH_MODE_IDENTICAL;
	info->rec_vm_size = (uint16_t)((int)sizeof(struct kch_rec_vm) +
				       fake.extra_vm_size);
	info->rec_vcpu_size = (uint16_t)((int)sizeof(struct kch_rec_vcpu) +
					 fake.extra_vcpu_size);
	info->backend = fake.backend;
	info->tsc_source = fake.tsc_source;
	info->tsc_khz = fake.kvm_khz;
	info->kvm_tsc_khz = fake.kvm_khz;
	info->region_start = 0x30000000;
	info->region_size = 1 << 20;
	info->outgoing_capacity = (uint64_t)number_of("FAKE_CAPACITY", 1 << 19);
	info->selfcheck_error = number_of("FAKE_SELFCHECK", 0);
	info->flags = fake.has_incoming ? KCH_INFO_INCOMING : 0;
	info->incoming_vms = fake.has_incoming ? fake.incoming.vm_count : 0;
	info->incoming_error = fake.has_incoming ? 0 : ENODATA;
	snprintf(info->message, sizeof(info->message), "%s",
		 fake.has_incoming ? "" : "no record was ever written here");
	return 0;
}

/* NULL, with a message: there is no such record. */
static const struct kch_record *record_of(uint32_t which, char *message)
{
	if (which == KCH_INCOMING && fake.has_incoming)
		return &fake.incoming;
	if (which == KCH_OUTGOING && fake.has_outgoing)
		return &fake.outgoing;
	fail(ENODATA, message, "no such record");
	return NULL;
}

static int do_list(struct kch_list *list)
{
	const struct kch_record *record;
	struct kch_record_vm vm;
	struct kch_entry entry;
	uint32_t count = list->count;
	size_t offset = 0, i;
	int err;

	/* There always is a record for the next kernel; it may be empty. */
	if (list->which == KCH_OUTGOING && !fake.has_outgoing) {
		list->count = 0;
		return 0;
	}
	record = record_of(list->which, list->message);
	if (!record)
		return -1;
	list->count = record->vm_count;
	if (count < record->vm_count)
		return fail(ENOBUFS, list->message, "the array is too small");
	for (i = 0; (err = kch_record_next(record, &offset, &vm, NULL)) != -ENODATA; i++) {
		memset(&entry, 0, sizeof(entry));
		if (err) {
			entry.flags = KCH_ENTRY_DAMAGED;
		} else {
			memcpy(entry.uuid, vm.vm.uuid, sizeof(entry.uuid));
			memcpy(entry.name, vm.vm.name, sizeof(entry.name));
			entry.vcpu_count = vm.vcpu_count;
			entry.bytes = vm.size;
			entry.pid = number_of("FAKE_ENTRY_PID", (int)le32_to_cpu(vm.vm.pid));
			if (getenv("FAKE_ENTRY_PID"))
				entry.flags |= KCH_ENTRY_LIVE;
			if (le32_to_cpu(vm.vm.flags) & KCH_VM_STALE)
				entry.flags |= KCH_ENTRY_STALE;
			else if (!(le32_to_cpu(vm.vm.flags) & KCH_VM_MASTER_CLOCK))
				entry.flags |= KCH_ENTRY_NO_MASTER_CLOCK;
		}
		memcpy((void *)(uintptr_t)(list->entries + i * list->entry_size),
		       &entry, sizeof(entry));
	}
	return 0;
}

/*
 * Answers with an entry in the module's sizes, which are those of a newer module if
 * the test says so.
 */
static int answer(const struct kch_record_vm *vm, uint64_t buffer, uint32_t *size,
		  char *message)
{
	int vm_size = (int)sizeof(vm->vm) + fake.extra_vm_size;
	int vcpu_size = (int)sizeof(struct kch_rec_vcpu) + fake.extra_vcpu_size;
	u8 *to = (u8 *)(uintptr_t)buffer;
	struct kch_rec_vcpu vcpu;
	uint32_t room = *size, i;

	*size = (uint32_t)(vm_size + (int)vm->vcpu_count * vcpu_size);
	if (room < *size)
		return fail(ENOBUFS, message, "the buffer is too small");
	memset(to, 0xee, *size);
	memcpy(to, &vm->vm, sizeof(vm->vm));
	to += vm_size;
	for (i = 0; i < vm->vcpu_count; i++, to += vcpu_size) {
		kch_record_vcpu(vm, i, &vcpu);
		memcpy(to, &vcpu, sizeof(vcpu));
	}
	return 0;
}

static int do_get(struct kch_get *get)
{
	static const u8 zero[KCH_UUID_SIZE];
	const struct kch_record *record = record_of(get->which, get->message);
	struct kch_message message;
	struct kch_record_vm vm;

	if (!record)
		return -1;
	if (!memcmp(get->uuid, zero, sizeof(zero))) {
		/* The header is answered as it was written, not in the module's sizes. */
		memcpy((void *)(uintptr_t)get->buffer, &record->header,
		       sizeof(record->header));
		get->buffer_size = sizeof(record->header);
		return 0;
	}
	if (kch_record_find(record, get->uuid, &vm, &message))
		return fail(ENOENT, get->message, message.text);
	return answer(&vm, get->buffer, &get->buffer_size, get->message);
}

static int do_read(struct kch_read *read)
{
	int number = vm_number(read->vm_fd);
	struct kch_record_vm vm;
	size_t offset = 0;

	if (number < 0 || !fake.has_live)
		return fail(EBADFD, read->message, "not a KVM virtual machine");
	if (fake.vm_is_empty)
		return fail(ECHILD, read->message, "the VM has no vCPU");
	do {
		if (kch_record_next(&fake.live, &offset, &vm, NULL))
			return fail(EBADFD, read->message, "no such VM");
	} while (number--);
	if (!fake.knows_vms) {
		memset(vm.vm.uuid, 0, sizeof(vm.vm.uuid));
		memset(vm.vm.name, 0, sizeof(vm.vm.name));
	}
	if (getenv("FAKE_SCALED"))
		vm.vm.tsc_scaling_frac_bits = 1;
	read->host_tsc = 0x200000000000ULL;
	read->rebase_step_ns = -17;
	read->rebase_bound_ns = 46;
	read->pid = 77;
	read->kvm_tsc_khz = fake.kvm_khz;
	return answer(&vm, read->buffer, &read->buffer_size, read->message);
}

static int do_preserve(struct kch_preserve *preserve)
{
	struct kch_record_vm vm;

	if (vm_number(preserve->vm_fd) < 0)
		return fail(EBADFD, preserve->message, "not a KVM virtual machine");
	note("preserve:%.*s ", KCH_NAME_SIZE, preserve->name);
	if (fake.has_outgoing &&
	    !kch_record_find(&fake.outgoing, preserve->uuid, &vm, NULL))
		snprintf(preserve->message, sizeof(preserve->message),
			 "took the place of %.63s", vm.vm.name);
	return 0;
}

static int do_unpreserve(void)
{
	note("unpreserve ");
	return 0;
}

/* How many files of that name this process has open. */
static int files_named(const char *name)
{
	int fd, count = 0;

	for (fd = 0; fd < 256; fd++)
		count += !!strstr(name_of(fd), name);
	return count;
}

static int do_wait(struct kch_restore *wait)
{
	if (!fake.hold_ms)
		return fail(ENOLINK, wait->message, "this open file has no hold");
	/* Descriptors left open would keep the VM when its process ends. */
	if (files_named("fake-vm") || files_named("fake-vcpu"))
		return fail(EUCLEAN, wait->message, "descriptors of the VM are kept");
	if (getenv("FAKE_WAIT"))
		sleep(60);
	wait->outcome.mode = KCH_MODE_IDENTICAL;
	wait->outcome.host_tsc = fake.hold_ms;
	wait->hidden_ns = (uint64_t)number_of("FAKE_HIDDEN", 0);
	fake.hold_ms = 0;
	return 0;
}

static int do_restore(struct kch_restore *restore)
{
	struct kch_message message;
	struct kch_rec_vcpu vcpu;
	struct kch_record_vm vm;
	struct stat status;
	u32 i;

	if (!fake.has_incoming)
		return fail(ENODATA, restore->message, "no such record");
	if (kch_record_find(&fake.incoming, restore->uuid, &vm, &message))
		return fail(ENOENT, restore->message, message.text);
	if (restore->vm_fd >= FAKE_VCPU_FD ||
	    (!fstat(restore->vm_fd, &status) && S_ISFIFO(status.st_mode)))
		return fail(EBADFD, restore->message, "not a KVM virtual machine");
	if (le32_to_cpu(vm.vm.flags) & KCH_VM_STALE &&
	    !(restore->flags & KCH_RESTORE_STALE))
		return fail(ESTALE, restore->message, "it may have had another clock since");
	/* The module sets everything, or nothing. */
	if (!(restore->flags & KCH_RESTORE_CHECK)) {
		for (i = 0; i < vm.vcpu_count && restore->vm_fd == FAKE_VM_FD; i++) {
			kch_record_vcpu(&vm, i, &vcpu);
			fake.offsets[i] = le64_to_cpu(vcpu.tsc_offset);
		}
		note("restore ");
		restore->outcome.page = KCH_PAGE_SAME_FUNCTION;
	}
	restore->outcome.mode = restore->flags & KCH_RESTORE_CHECK ? KCH_MODE_NONE :
							     fake.restore_mode;
	restore->outcome.rebase_bound_ns = 46;
	restore->outcome.host_tsc = 0x200000000000ULL;
	restore->outcome.blackout_ns = 1234567;
	if (!restore->policy)
		restore->policy = KCH_POLICY_CONTINUE;
	restore->hidden_ns = (uint64_t)number_of("FAKE_HIDDEN", 0);
	if (restore->flags & KCH_RESTORE_HOLD)
		fake.hold_ms = restore->hold_ms;
	/* A restore from outside: the caller has all vCPUs open, and no other file of the VM. */
	if (restore->vm_fd != FAKE_VM_FD)
		restore->outcome.error_cycles = 1000 * files_named("fake-stats") +
					files_named("fake-vcpu");
	restore->outcome.vcpu_id = -1;
	return 0;
}

static char *message_of(unsigned long request, void *arg)
{
	switch (request) {
	case KCH_IOC_PRESERVE: return ((struct kch_preserve *)arg)->message;
	case KCH_IOC_UNPRESERVE: return ((struct kch_unpreserve *)arg)->message;
	case KCH_IOC_LIST: return ((struct kch_list *)arg)->message;
	case KCH_IOC_GET: return ((struct kch_get *)arg)->message;
	case KCH_IOC_READ: return ((struct kch_read *)arg)->message;
	case KCH_IOC_RESTORE:
	case KCH_IOC_WAIT: return ((struct kch_restore *)arg)->message;
	case KCH_IOC_FINISH: return ((struct kch_finish *)arg)->message;
	case KCH_IOC_ADOPT: return ((struct kch_adopt *)arg)->message;
	case KCH_IOC_CLOCK_FD: return ((struct kch_clock_fd *)arg)->message;
	default: return NULL;
	}
}

static int device_ioctl(unsigned long request, void *arg)
{
	if (request == KCH_IOC_RESTORE &&
	    ((struct kch_restore *)arg)->flags == KCH_RESTORE_ELSEWHERE) {
		if (fake.elsewhere_errno)
			return fail(fake.elsewhere_errno, message_of(request, arg), "not noted");
		note("used ");
		return 0;
	}
	if (_IOC_NR(request) == (unsigned int)fake.error_number) {
		if (request == KCH_IOC_RESTORE) {
			((struct kch_restore *)arg)->outcome.vcpu_id = 1;
			((struct kch_restore *)arg)->outcome.found = 7;
			((struct kch_restore *)arg)->outcome.expected = 8;
		}
		return fail(fake.error_errno, message_of(request, arg),
			    fake.error_message);
	}
	switch (request) {
	case KCH_IOC_INFO: return do_info(arg);
	case KCH_IOC_PRESERVE: return do_preserve(arg);
	case KCH_IOC_UNPRESERVE: return do_unpreserve();
	case KCH_IOC_LIST: return do_list(arg);
	case KCH_IOC_GET: return do_get(arg);
	case KCH_IOC_READ: return do_read(arg);
	case KCH_IOC_RESTORE: return do_restore(arg);
	case KCH_IOC_WAIT: return do_wait(arg);
	case KCH_IOC_FINISH:
		((struct kch_finish *)arg)->restored = 1;
		((struct kch_finish *)arg)->left = 0;
		return 0;
	case KCH_IOC_ADOPT:
		if (((struct kch_adopt *)arg)->vm_fd != FAKE_VM_FD)
			return fail(EBADFD, message_of(request, arg),
				    "not a VM");
		((struct kch_adopt *)arg)->adopted = 2;
		return 0;
	case KCH_IOC_CLOCK_FD:
		if (fake.clock_fd_errno)
			return fail(fake.clock_fd_errno, message_of(request, arg),
				    fake.error_message);
		return fail(ENOTTY, NULL, NULL);
	default: return fail(ENOTTY, NULL, NULL);
	}
}

/* A clock's descriptor has the record that it came with; the device need not have one. */
static int clock_ioctl(unsigned long request, void *arg)
{
	struct kch_record device = fake.incoming;
	bool has = fake.has_incoming;
	int result;

	if (request != KCH_IOC_INFO && request != KCH_IOC_GET && request != KCH_IOC_RESTORE)
		return fail(ENOTTY, NULL, NULL);
	fake.incoming = fake.clock_record;
	fake.has_incoming = true;
	result = device_ioctl(request, arg);
	fake.incoming = device;
	fake.has_incoming = has;
	return result;
}

static bool is_ours(int fd)
{
	return fd >= 0 && (is_device(fd) || fd == kvm_fd || fd == scratch_fd ||
			   fd == FAKE_VM_FD || fd == FAKE_CLOCK_FD ||
			   (fd >= FAKE_VCPU_FD &&
			    fd < FAKE_VCPU_FD + FAKE_VCPUS_MAX));
}

/* A timer whose period is shorter than any ioctl. */
static bool is_interrupted(void)
{
	sigset_t held;

	if (fake.interruptions && fake.interruptions--)
		return true;
	if (!fake.signals)
		return false;
	pthread_sigmask(SIG_SETMASK, NULL, &held);
	if (sigismember(&held, SIGALRM))
		return false;
	fake.interrupted++;
	return true;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int fd, unsigned long request, ...);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (is_ours(fd) && is_interrupted())
		return fail(EINTR, NULL, NULL);
	if (is_device(fd))
		return device_ioctl(request, arg);
	if (fd == FAKE_CLOCK_FD && fake.has_clock)
		return clock_ioctl(request, arg);
	if (fd == kvm_fd && fd >= 0 && request == KVM_GET_API_VERSION)
		return KVM_API_VERSION;
	if (fd == kvm_fd && fd >= 0 && request == KVM_CREATE_VM) {
		scratch_fd = syscall(SYS_dup, kvm_fd);
		return scratch_fd;
	}
	if (fd == scratch_fd && fd >= 0 && request == KVM_GET_TSC_KHZ)
		return (int)fake.kvm_khz;
	if (fd == FAKE_VM_FD)
		return fake_vm_ioctl(request, arg);
	if (fd >= FAKE_VCPU_FD && fd < FAKE_VCPU_FD + FAKE_VCPUS_MAX)
		return fake_vcpu_ioctl((unsigned int)(fd - FAKE_VCPU_FD), request, arg);
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return real(fd, request, arg);
}
