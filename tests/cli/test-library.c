// SPDX-License-Identifier: GPL-2.0
/*
 * The library against a device and a KVM played by fake.c: what it writes, in which
 * order, and that a refusal leaves nothing changed.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <kvmclock-handover-stock.h>
#include "clock.h"
#include "fake.h"
#include "ktap.h"

#define OLD_OFFSET	0x5555ULL
#define SAVED_OFFSET	0xfffffff000000000ULL
#define OLD_CLOCK_NS	99000000000ULL
#define TSC_KHZ		2596124U

static struct kch_handle *handle;
static const char *region, *live_region;
static uint8_t uuid[KCH_UUID_SIZE];

static const struct kch_vcpu_fd two_vcpus[] = {
	{ .vcpu_id = 0, .fd = FAKE_VCPU_FD },
	{ .vcpu_id = 1, .fd = FAKE_VCPU_FD + 1 },
};

/* A fresh VM of two vCPUs, and a record with one like it. */
static void set_up(void)
{
	unsigned int i;

	kch_close(handle);
	memset(&fake, 0, sizeof(fake));
	fake.error_number = -1;
	fake.kvm_khz = TSC_KHZ;
	fake.vm_khz = TSC_KHZ;
	fake.tsc_source = KCH_TSC_SETTLED;
	fake.clock_ns = OLD_CLOCK_NS;
	fake.restore_mode = KCH_MODE_IDENTICAL;
	for (i = 0; i < FAKE_VCPUS_MAX; i++) {
		fake.offsets[i] = OLD_OFFSET;
		fake.vcpu_khz[i] = TSC_KHZ;
	}
	fake_load(region, &fake.incoming, &fake.has_incoming);
	fake_load(live_region, &fake.live, &fake.has_live);
	memset(uuid, 0x11, sizeof(uuid));
	uuid[KCH_UUID_SIZE - 1] = 'a';
	handle = kch_open(NULL);
	if (!handle)
		abort();
}

#define check_err(call, expected) \
	do { \
		int err_ = (call); \
		ktap_check(err_ == -(expected), "%d (%s), expected %d", err_, \
			   kch_last_message(handle), -(expected)); \
		ktap_check(!(expected) || errno == (expected), "errno %d", errno); \
		ktap_check(!(expected) == !kch_last_message(handle)[0], \
			   "message: '%s'", kch_last_message(handle)); \
	} while (0)

static void check_log(const char *expected)
{
	ktap_check(!strcmp(fake.log, expected), "'%s', expected '%s'", fake.log,
		   expected);
}

static void check_vm_unchanged(void)
{
	ktap_check(fake.offsets[0] == OLD_OFFSET, "%#lx", fake.offsets[0]);
	ktap_check(fake.offsets[1] == OLD_OFFSET, "%#lx", fake.offsets[1]);
}

static void test_open(void)
{
	struct {
		struct kch_open_opts known;
		uint64_t newer;
	} opts = { .known = { .sz = sizeof(opts), .device = "/dev/null" } };

	set_up();
	ktap_check(!kch_open(&opts.known) && errno == ENOTTY, "errno %d", errno);
	opts.newer = 1;
	ktap_check(!kch_open(&opts.known) && errno == E2BIG, "errno %d", errno);
	opts.known.sz = sizeof(size_t);
	ktap_check(!kch_open(&opts.known) && errno == EINVAL, "errno %d", errno);
	opts.known.sz = sizeof(opts.known);
	opts.known.device = "/nonexistent";
	ktap_check(!kch_open(&opts.known) && errno == ENOENT, "errno %d", errno);
}

static void test_uuid(void)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	char back[KCH_UUID_TEXT_SIZE];
	uint8_t bytes[KCH_UUID_SIZE];

	ktap_check(!kch_uuid_parse(text, bytes), "refused");
	kch_uuid_format(bytes, back);
	ktap_check(!strcmp(text, back), "%s", back);
	ktap_check(bytes[0] == 0x01 && bytes[15] == 0xef, "%#x", bytes[0]);
	ktap_check(!kch_uuid_parse("0123456789ABCDEF0123456789abcdef", bytes),
		   "without hyphens");
	ktap_check(kch_uuid_parse("", bytes) == -EINVAL, "empty");
	ktap_check(kch_uuid_parse("01234567-89ab-cdef-0123-456789abcde", bytes) ==
		   -EINVAL, "too short");
	ktap_check(kch_uuid_parse("01234567-89ab-cdef-0123-456789abcdef0", bytes) ==
		   -EINVAL, "too long");
	ktap_check(kch_uuid_parse("0123456789-ab-cdef-0123-456789abcdef", bytes) ==
		   -EINVAL, "hyphens elsewhere");
	ktap_check(kch_uuid_parse("g1234567-89ab-cdef-0123-456789abcdef", bytes) ==
		   -EINVAL, "not hexadecimal");
	ktap_check(kch_uuid_parse("00000000-0000-0000-0000-000000000000", bytes) ==
		   -EINVAL, "all zero");
}

static void test_list(void)
{
	struct kch_entry *entries;
	uint32_t count;

	set_up();
	check_err(kch_list(handle, KCH_INCOMING, sizeof(*entries), &entries, &count), 0);
	ktap_check(count == 2, "%u", count);
	ktap_check(!strcmp(entries[0].name, "a"), "%s", entries[0].name);
	ktap_check(entries[1].vcpu_count == 1, "%u", entries[1].vcpu_count);
	free(entries);
	fake.has_incoming = false;
	check_err(kch_list(handle, KCH_INCOMING, sizeof(*entries), &entries, &count),
		  ENODATA);
	ktap_check(!entries && !count, "%p %u", (void *)entries, count);
	check_err(kch_list(handle, KCH_OUTGOING, sizeof(*entries), &entries, &count), 0);
	ktap_check(!entries && !count, "%p %u", (void *)entries, count);
}

static void test_host(void)
{
	struct {
		struct kch_host_info known;
		uint64_t newer;
	} host = { .known = { .sz = sizeof(host) }, .newer = 1 };

	set_up();
	check_err(kch_host(handle, KCH_INCOMING, &host.known), 0);
	ktap_check(host.known.sz == sizeof(host), "%zu", host.known.sz);
	ktap_check(!host.newer, "%lu", host.newer);
	ktap_check(host.known.tsc_khz == TSC_KHZ, "%u", host.known.tsc_khz);
	ktap_check(host.known.sealed == 1 && host.known.generation == 3, "%u %lu",
		   host.known.sealed, host.known.generation);
	ktap_check(!strcmp(host.known.kernel_release, "6.12.0-test"), "%s",
		   host.known.kernel_release);
	host.known.sz = 8;
	check_err(kch_host(handle, KCH_INCOMING, &host.known), EINVAL);
	host.known.sz = sizeof(host);
	check_err(kch_host(handle, KCH_OUTGOING, &host.known), ENODATA);
}

static void reopen(int clock_fd)
{
	struct kch_open_opts opts = { .sz = sizeof(opts), .clock_fd = clock_fd };

	kch_close(handle);
	handle = kch_open(&opts);
	if (!handle)
		abort();
}

static void check_get(void)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm;

	check_err(kch_vm_get(handle, KCH_INCOMING, uuid, &vm), 0);
	if (!vm)
		return;
	ktap_check(!kch_vm_info(vm, &info), "errno %d", errno);
	ktap_check(info.vcpu_count == 2, "%u", info.vcpu_count);
	ktap_check(!strcmp(info.name, "a"), "%s", info.name);
	ktap_check(info.kvmclock_offset == -3000000000LL, "%ld",
		   info.kvmclock_offset);
	ktap_check(!kch_vm_vcpu(vm, 1, &vcpu), "errno %d", errno);
	ktap_check(vcpu.vcpu_id == 1 && vcpu.tsc_shift == -1 &&
		   vcpu.ia32_tsc_adjust == -5 && vcpu.pvclock_gpa == 0x1040,
		   "%u %d %ld %#lx", vcpu.vcpu_id, vcpu.tsc_shift,
		   vcpu.ia32_tsc_adjust, vcpu.pvclock_gpa);
	ktap_check(kch_vm_vcpu(vm, 2, &vcpu) == -EINVAL, "a third vCPU");
	vcpu.sz = 16;
	ktap_check(kch_vm_vcpu(vm, 0, &vcpu) == -EINVAL, "too short");
	kch_vm_free(vm);
}

static void test_get(void)
{
	static const uint8_t zero[KCH_UUID_SIZE];
	struct kch_vm *vm;

	set_up();
	check_get();
	check_err(kch_vm_get(handle, KCH_INCOMING, zero, &vm), EINVAL);
	uuid[0] ^= 1;
	check_err(kch_vm_get(handle, KCH_INCOMING, uuid, &vm), ENOENT);
	ktap_check(!vm, "%p", (void *)vm);
}

/*
 * A newer module answers with longer entries than this library knows, of a record that
 * an older module wrote.
 */
static void test_newer_module(void)
{
	static const int sizes[][2] = { { 64, 0 }, { 0, 16 }, { 72, 8 } };
	struct kch_rec_header header;
	struct kch_vm *vm;
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		set_up();
		fake.extra_vm_size = sizes[i][0];
		fake.extra_vcpu_size = sizes[i][1];
		reopen(0);
		check_get();
		/* A VM can be read although there is no record. */
		fake.live = fake.incoming;
		fake.has_incoming = false;
		check_err(kch_vm_read(handle, FAKE_VM_FD, &vm, NULL), 0);
		kch_vm_free(vm);
		/* A clock's descriptor does not need a record of the device either. */
		fake.clock_record = fake.live;
		fake.has_clock = true;
		reopen(FAKE_CLOCK_FD);
		check_get();
	}
	/* The answer does not have the record's sizes. */
	set_up();
	header = fake.incoming.header;
	fake.incoming.header.vm_size = cpu_to_le32(le32_to_cpu(header.vm_size) + 64);
	check_get();
	/* Sizes that cannot be are refused. */
	fake.extra_vm_size = -8;
	reopen(0);
	check_err(kch_vm_get(handle, KCH_INCOMING, uuid, &vm), EBADMSG);
}

/* Buffers grow: the entry of a VM with 100 vCPUs takes more than a page. */
static void test_large_vm(void)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_live_info live = { .sz = sizeof(live) };
	struct kch_vm *vm;

	set_up();
	fake.live = fake.incoming;
	check_err(kch_vm_read(handle, FAKE_VM_FD, &vm, &live), 0);
	ktap_check(live.rebase_step_ns == -17 && live.rebase_bound_ns == 46 &&
		   live.pid == 77, "%ld %ld %d", live.rebase_step_ns,
		   live.rebase_bound_ns, live.pid);
	kch_vm_free(vm);
	fake_load(getenv("LARGE_REGION"), &fake.live, &fake.has_live);
	check_err(kch_vm_read(handle, FAKE_VM_FD, &vm, NULL), 0);
	if (!vm)
		return;
	kch_vm_info(vm, &info);
	ktap_check(info.vcpu_count == 100, "%u", info.vcpu_count);
	kch_vm_free(vm);
	live.sz = 8;
	check_err(kch_vm_read(handle, FAKE_VM_FD, &vm, &live), EINVAL);
	check_err(kch_vm_read(handle, 0, &vm, NULL), EBADFD);
}

/* The host TSC at which compare() compares; mk-region's reference is before it. */
#define COMPARE_AT	0x200000000000ULL
#define REFERENCE	(0x123456789abcULL - 1000000)
static uint64_t compare_at = COMPARE_AT;

/* Compares record VM a with VM @number of the live region. */
static int compare(unsigned int number, uint32_t vcpu, struct kch_vcpu_error *error)
{
	struct kch_vm *saved, *live;
	struct kch_record record = fake.incoming;
	size_t offset = 0;
	struct kch_record_vm vm;
	int err;

	kch_vm_get(handle, KCH_INCOMING, uuid, &saved);
	fake.incoming = fake.live;
	do
		kch_record_next(&fake.live, &offset, &vm, NULL);
	while (number--);
	kch_vm_get(handle, KCH_INCOMING, vm.vm.uuid, &live);
	fake.incoming = record;
	*error = (struct kch_vcpu_error){ .sz = sizeof(*error) };
	err = kch_vm_compare(saved, live, vcpu, compare_at, error);
	kch_vm_free(saved);
	kch_vm_free(live);
	return err;
}

static void test_compare(void)
{
	struct kch_vcpu_error error;

	/* live: a:2 as saved, b:2:1 one cycle off, c:2:0:1 one of mul, d:1 */
	set_up();
	ktap_check(!compare(0, 1, &error), "errno %d", errno);
	ktap_check(error.identical && error.vcpu_id == 1 && !error.ns &&
		   !error.cycles && !error.rate_ppb, "%ld ns %ld cycles %ld ppb",
		   error.ns, error.cycles, error.rate_ppb);
	ktap_check(!compare(1, 0, &error), "errno %d", errno);
	ktap_check(!error.identical && error.cycles == 1 && !error.rate_ppb,
		   "%ld cycles %ld ppb", error.cycles, error.rate_ppb);
	ktap_check(!compare(2, 0, &error), "errno %d", errno);
	/* 15,000 s at 0.3 ppb, rounded to zero */
	ktap_check(!error.identical && error.ns > 1000 && error.ns < 4000 &&
		   !error.cycles && !error.rate_ppb, "%ld ns %ld cycles %ld ppb",
		   error.ns, error.cycles, error.rate_ppb);
	ktap_check(compare(3, 1, &error) == -ENOENT, "errno %d", errno);
	ktap_check(compare(0, 2, &error) == -EINVAL, "errno %d", errno);
	/* From the reference on, and not before it. */
	compare_at = REFERENCE;
	ktap_check(!compare(2, 0, &error) && !error.ns, "errno %d, %ld ns", errno,
		   error.ns);
	compare_at = REFERENCE - 1;
	ktap_check(compare(2, 0, &error) == -EINVAL, "errno %d", errno);
	compare_at = COMPARE_AT;
}

static void test_save(void)
{
	struct kch_save_opts opts = { .sz = sizeof(opts) };
	char name[KCH_NAME_SIZE + 1];

	set_up();
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, "web1", NULL), 0);
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, NULL, &opts), 0);
	check_log("preserve:web1 preserve: ");
	memset(name, 'x', sizeof(name));
	name[KCH_NAME_SIZE] = '\0';
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, name, NULL), ENAMETOOLONG);
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, "web\x1b[2J", NULL), EINVAL);
	opts.reserved = 1;
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, NULL, &opts), EINVAL);
	check_err(kch_vm_save(handle, 0, uuid, NULL, NULL), EBADFD);
	fake.error_number = _IOC_NR(KCH_IOC_PRESERVE);
	fake.error_errno = ENOSPC;
	fake.error_message = "region full";
	check_err(kch_vm_save(handle, FAKE_VM_FD, uuid, NULL, NULL), ENOSPC);
	ktap_check(!strcmp(kch_last_message(handle), "region full"), "%s",
		   kch_last_message(handle));
	check_log("preserve:web1 preserve: ");
}

static void test_prepare(void)
{
	set_up();
	fake.vm_is_empty = true;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), 0);
	check_log("");
	/* 10 ppm off: KVM tolerates it, and accepts the number */
	fake.vm_khz = TSC_KHZ + 26;
	fake.kvm_khz = TSC_KHZ + 26;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), 0);
	check_log("khz=2596124 ");
	fake.log[0] = '\0';
	/* 2500 ppm off, and no scaling: KVM would emulate it */
	fake.vm_khz = TSC_KHZ + 6500;
	fake.kvm_khz = TSC_KHZ + 6500;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), ERANGE);
	check_log("");
	fake.tsc_control = true;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), 0);
	check_log("khz=2596124 ");
	fake.vm_khz = 1;
	fake.set_khz_errno = EINVAL;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), EINVAL);
	fake.vm_is_empty = false;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), EBUSY);
	uuid[0] ^= 1;
	check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), ENOENT);
}

/*
 * Where the module cannot look at the VM, KVM is asked whether it is one: the module does not
 * understand it, or this is the handle of one clock.
 */
static void test_prepare_unread(void)
{
	static const int unread[] = { ELIBBAD, ENXIO, 0 };
	unsigned int i;
	int ends[2];

	ktap_check(!pipe(ends), "errno %d", errno);
	for (i = 0; i < sizeof(unread) / sizeof(unread[0]); i++) {
		set_up();
		fake.no_device = !unread[i];
		fake.has_clock = true;
		fake.clock_record = fake.incoming;
		reopen(unread[i] ? 0 : FAKE_CLOCK_FD);
		fake.error_number = unread[i] ? (int)_IOC_NR(KCH_IOC_READ) : -1;
		fake.error_errno = unread[i];
		fake.error_message = "the module cannot read it";
		fake.vm_khz = TSC_KHZ + 26;
		fake.kvm_khz = TSC_KHZ + 26;
		check_err(kch_vm_prepare(handle, ends[0], uuid), EBADFD);
		check_err(kch_vm_prepare(handle, FAKE_VCPU_FD, uuid), EBADFD);
		check_log("");
		check_err(kch_vm_prepare(handle, FAKE_VM_FD, uuid), 0);
		check_log("khz=2596124 ");
	}
	close(ends[0]);
	close(ends[1]);
}

/* The module sets everything, whether vCPUs are given or not. */
static void test_restore(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };

	set_up();
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, NULL,
				 &result), 0);
	check_log("restore ");
	ktap_check(result.outcome.mode == KCH_MODE_IDENTICAL && result.outcome.vcpu_id == -1 &&
		   result.outcome.blackout_ns == 1234567 &&
		   result.outcome.rebase_bound_ns == 46 &&
		   result.outcome.page == KCH_PAGE_SAME_FUNCTION, "%u %d %llu %llu %u",
		   result.outcome.mode, result.outcome.vcpu_id, result.outcome.blackout_ns,
		   result.outcome.rebase_bound_ns, result.outcome.page);
	ktap_check(fake.offsets[0] == 0xfffffff000000000ULL &&
		   fake.clock_ns == OLD_CLOCK_NS, "set here: %lu", fake.clock_ns);
	set_up();
	check_err(kch_vm_restore(handle, FAKE_VM_FD, NULL, 0, uuid, NULL, &result), 0);
	check_log("restore ");
	ktap_check(result.outcome.mode == KCH_MODE_IDENTICAL, "%u", result.outcome.mode);
}

static void test_restore_check(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts),
					 .flags = KCH_RESTORE_CHECK };

	struct kch_restore_result result = { .sz = sizeof(result) };

	set_up();
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), 0);
	check_log("");
	check_vm_unchanged();
	ktap_check(result.outcome.vcpu_id == -1 && !result.outcome.found &&
		   !result.outcome.expected &&
		   result.outcome.mode == KCH_MODE_NONE && result.outcome.page == KCH_PAGE_NONE,
		   "%d %#llx %#llx %u", result.outcome.vcpu_id,
		   result.outcome.found, result.outcome.expected,
		   result.outcome.page);
}

/* A KVM whose clock goes, for the modes that set it. */
static struct fake_clock kvm_clock;

static void set_up_weaker(int err)
{
	set_up();
	memset(&kvm_clock, 0, sizeof(kvm_clock));
	kvm_clock.master = true;
	kvm_clock.delay_ns = 900;
	fake.clock = &kvm_clock;
	fake.error_number = err ? (int)_IOC_NR(KCH_IOC_RESTORE) : -1;
	fake.error_errno = err;
	fake.error_message = "the module's reason";
}

/*
 * All that is refused before the first write.  The vCPUs that are given are checked
 * only for a weaker mode.
 */
static void test_restore_refused(void)
{
	struct kch_vcpu_fd vcpus[3] = { two_vcpus[0], two_vcpus[1],
					{ .vcpu_id = 2, .fd = FAKE_VCPU_FD + 2 } };
	struct kch_restore_result result = { .sz = 8 };
	struct kch_restore_opts opts = { .sz = 8 };
	const struct kch_restore_opts weaker = { .sz = sizeof(weaker),
						 .mode = KCH_MODE_CONVERGED };

#define refuse(count, expected) \
	do { \
		check_err(kch_vm_restore(handle, FAKE_VM_FD, vcpus, count, uuid, \
					 &weaker, NULL), expected); \
		check_log(""); \
		check_vm_unchanged(); \
	} while (0)

	set_up_weaker(EAGAIN);
	refuse(1, ELNRNG);
	refuse(3, ELNRNG);
	vcpus[1].vcpu_id = 5;
	refuse(2, ELNRNG);
	vcpus[1].vcpu_id = 0;
	refuse(2, EINVAL);
	vcpus[1] = two_vcpus[1];
	refuse(0, EINVAL);

	fake.has_vcpu_ids = true;
	fake.vcpu_ids[1] = 0;
	refuse(2, EINVAL);
	fake.vcpu_ids[1] = 1;
	fake.vcpu_khz[1] = TSC_KHZ + 1;
	refuse(2, ERANGE);
	fake.vcpu_khz[1] = TSC_KHZ;
	fake.get_offset_errno[1] = ENOTTY;
	refuse(2, EBADFD);
	fake.get_offset_errno[1] = ENXIO;
	refuse(2, ENOSYS);
	fake.get_offset_errno[1] = EIO;
	refuse(2, EIO);
	fake.get_offset_errno[1] = 0;

	fake.error_errno = ETIME;
	fake.error_message = "host TSC is behind the saved one";
	refuse(2, ETIME);
	fake.error_number = -1;

	uuid[0] ^= 1;
	refuse(2, ENOENT);
	uuid[0] ^= 1;
	fake.has_incoming = false;
	refuse(2, ENODATA);

	check_err(kch_vm_restore(handle, FAKE_VM_FD, vcpus, 2, uuid, &opts, NULL),
		  EINVAL);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, vcpus, 2, uuid, NULL, &result),
		  EINVAL);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, NULL, 2, uuid, NULL, NULL),
		  EINVAL);
	check_log("");
}

/* Files that are no VM: a pipe; and a vCPU, which has a frequency as a VM does. */
static void test_no_vm(void)
{
	const struct kch_stock_vcpu saved[] = { { .vcpu_id = 0, .fd = FAKE_VCPU_FD },
						{ .vcpu_id = 1, .fd = FAKE_VCPU_FD + 1 } };
	int files[] = { FAKE_VCPU_FD, -1 }, ends[2];
	const int closed = 899;
	uint8_t bytes[1024];
	size_t size = sizeof(bytes);
	unsigned int i;

	set_up();
	ktap_check(!pipe(ends), "errno %d", errno);
	files[1] = ends[0];
	check_err(kch_stock_save(handle, FAKE_VM_FD, saved, 2, uuid, NULL, bytes, &size), 0);
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, bytes, size), 0);
	for (i = 0; i < 2; i++) {
		check_err(kch_vm_restore(handle, files[i], two_vcpus, 2, uuid, NULL,
					 NULL), EBADFD);
		check_err(kch_stock_restore(handle, files[i], two_vcpus, 2, bytes, size,
					    NULL, NULL), EBADFD);
		check_err(kch_stock_prepare(handle, files[i], bytes, size), EBADFD);
	}
	check_err(kch_stock_restore(handle, closed, two_vcpus, 2, bytes, size, NULL,
				    NULL), EBADF);
	check_err(kch_stock_prepare(handle, closed, bytes, size), EBADF);
	/* And a NULL pointer for vCPUs. */
	check_err(kch_stock_restore(handle, FAKE_VM_FD, NULL, 2, bytes, size, NULL,
				    NULL), EINVAL);
	check_err(kch_stock_save(handle, FAKE_VM_FD, NULL, 2, uuid, NULL, bytes, &size),
		  EINVAL);
	check_log("");
	close(ends[0]);
	close(ends[1]);
}

/* What the library set in a weaker mode, it puts back; the module does so itself. */
static void test_restore_put_back(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_restore_opts opts = { .sz = sizeof(opts), .mode = KCH_MODE_CONVERGED };

	set_up_weaker(EOPNOTSUPP);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, NULL,
				 &result), EOPNOTSUPP);
	check_log("");
	check_vm_unchanged();
	ktap_check(result.outcome.mode == KCH_MODE_NONE && result.outcome.vcpu_id == 1 &&
		   result.outcome.found == 7 && result.outcome.expected == 8, "%u %d %llu %llu",
		   result.outcome.mode, result.outcome.vcpu_id,
		   result.outcome.found, result.outcome.expected);

	set_up_weaker(EAGAIN);
	fake.set_offset_errno[1] = EINVAL;
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts, NULL),
		  EINVAL);
	check_log("offset0=fffffff000000000 offset0=5555 ");
	check_vm_unchanged();
	ktap_check(strstr(kch_last_message(handle), "could not be put back"),
		   "silent: %s", kch_last_message(handle));
}

/* What a caller that accepts a weaker mode gets, and is told; and what is refused. */
static void test_restore_weaker(void)
{
	static const int weaker[] = { EOPNOTSUPP, EAGAIN, ERANGE, EOVERFLOW,
				      ELIBBAD, ENXIO };
	static const int never[] = { ETIME, EREMCHG, EINPROGRESS, EALREADY, EBUSY,
				     ENOTRECOVERABLE, EBADMSG, ENOENT };
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_restore_opts opts = { .sz = sizeof(opts),
					 .mode = KCH_MODE_CONVERGED };
	unsigned int i;
	int err;

	for (i = 0; i < sizeof(weaker) / sizeof(weaker[0]); i++) {
		set_up_weaker(weaker[i]);
		err = kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				     &result);
		ktap_check(!err, "%d after %d: %s", err, weaker[i],
			   kch_last_message(handle));
		ktap_check(result.outcome.mode == KCH_MODE_CONVERGED &&
			   result.refusal == weaker[i], "%u %d", result.outcome.mode,
			   result.refusal);
		/* The record's clock is used up by that. */
		ktap_check(strstr(fake.log, "used "), "%s", fake.log);
		ktap_check(result.outcome.error_ns >= -1 && result.outcome.error_ns <= 1 &&
			   !result.outcome.error_cycles && !result.tsc_rate_ppb,
			   "%lld ns", result.outcome.error_ns);
		ktap_check(!strcmp(kch_last_message(handle),
				   "mode converged: the module's reason"), "'%s'",
			   kch_last_message(handle));
		ktap_check(fake.offsets[0] == 0xfffffff000000000ULL &&
			   fake.offsets[1] == 0xfffffff000000000ULL, "%#lx",
			   fake.offsets[0]);
	}
	/* A clock that might be given again is not given. */
	set_up_weaker(EAGAIN);
	fake.elsewhere_errno = EREMOTEIO;
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), EREMOTEIO);
	ktap_check(!strcmp(kch_last_message(handle), "not noted; the module: the module's reason"),
		   "'%s'", kch_last_message(handle));
	check_vm_unchanged();
	ktap_check(result.outcome.mode == KCH_MODE_NONE, "%u", result.outcome.mode);
	/* Identical if that is possible, whatever else is accepted. */
	set_up_weaker(0);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_IDENTICAL && !result.refusal, "%u %d",
		   result.outcome.mode, result.refusal);
	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		set_up_weaker(never[i]);
		check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid,
					 &opts, &result), never[i]);
		check_log("");
		check_vm_unchanged();
	}
	/* A caller that asks for identical gets no other mode. */
	opts.mode = 0;
	set_up_weaker(EAGAIN);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), EAGAIN);
	check_log("");
	opts.mode = KCH_MODE_CONVERGED;
	/* Above the bound: refused, with both reasons, and put back. */
	opts.bound_ns = 1;
	opts.rounds_max = 1;
	set_up_weaker(EAGAIN);
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), EDOM);
	ktap_check(strstr(kch_last_message(handle), "the module's reason") &&
		   strstr(kch_last_message(handle), "accepted are 1 ns"), "'%s'",
		   kch_last_message(handle));
	check_vm_unchanged();
	/* A vCPU of another VM is not written to. */
	set_up_weaker(EAGAIN);
	fake.foreign[0] = true;
	check_err(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts,
				 &result), EXDEV);
	check_log("");
	check_vm_unchanged();
	/* With KCH_RESTORE_CHECK nothing is written. */
	opts = (struct kch_restore_opts){ .sz = sizeof(opts),
					  .mode = KCH_MODE_CONVERGED,
					  .flags = KCH_RESTORE_CHECK };
	set_up_weaker(EAGAIN);
	err = kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, &opts, &result);
	ktap_check(!err && result.refusal == EAGAIN, "%d %d", err, result.refusal);
	check_log("");
	check_vm_unchanged();
}

static void test_adopt(void)
{
	uint32_t adopted;

	set_up();
	check_err(kch_vm_adopt(handle, FAKE_VM_FD, &adopted), 0);
	ktap_check(adopted == 2, "%u", adopted);
	check_err(kch_vm_adopt(handle, FAKE_VM_FD, NULL), 0);
	check_err(kch_vm_adopt(handle, 0, &adopted), EBADFD);
	ktap_check(adopted == 0, "%u", adopted);
}

static void test_finish(void)
{
	uint32_t restored, left;

	set_up();
	check_err(kch_finish(handle, 0, &restored, &left), 0);
	ktap_check(restored == 1 && left == 0, "%u %u", restored, left);
	check_err(kch_finish(handle, KCH_FINISH_DISCARD, NULL, NULL), 0);
}

/* All ioctls of the device succeed while signals come. */
static void call_all(unsigned int signals)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_info info = { .size = sizeof(info) };
	struct kch_entry *entries;
	struct kch_vm *vm;
	uint32_t count;

#define call(function) do {						\
		fake.interruptions = signals;				\
		check_err(function, 0);					\
		ktap_check(!fake.interruptions, "%u", fake.interruptions); \
	} while (0)
	call(kch_info(handle, &info));
	call(kch_list(handle, KCH_INCOMING, sizeof(*entries), &entries, &count));
	free(entries);
	call(kch_vm_get(handle, KCH_INCOMING, uuid, &vm));
	kch_vm_free(vm);
	call(kch_vm_read(handle, FAKE_VM_FD, &vm, NULL));
	kch_vm_free(vm);
	call(kch_vm_save(handle, FAKE_VM_FD, uuid, "a", NULL));
	call(kch_vm_unsave(handle, uuid));
	call(kch_vm_restore(handle, FAKE_VM_FD, two_vcpus, 2, uuid, NULL, &result));
	call(kch_vm_adopt(handle, FAKE_VM_FD, NULL));
	call(kch_finish(handle, 0, NULL, NULL));
#undef call
}

static void test_signals(void)
{
	sigset_t before, after;

	set_up();
	fake.offsets[0] = SAVED_OFFSET;
	fake.offsets[1] = SAVED_OFFSET;
	sigemptyset(&before);
	sigaddset(&before, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	call_all(0);
	/* Also those that cannot be blocked, such as the end of a stop. */
	call_all(3);
	fake.signals = true;
	call_all(0);
	fake.signals = false;
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ktap_check(sigismember(&after, SIGUSR1) && !sigismember(&after, SIGALRM),
		   "signals are still held back");
	sigemptyset(&before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "open", test_open },
		{ "uuid", test_uuid },
		{ "list", test_list },
		{ "host", test_host },
		{ "get", test_get },
		{ "newer_module", test_newer_module },
		{ "large_vm", test_large_vm },
		{ "compare", test_compare },
		{ "save", test_save },
		{ "prepare", test_prepare },
		{ "prepare_unread", test_prepare_unread },
		{ "restore", test_restore },
		{ "restore_check", test_restore_check },
		{ "restore_refused", test_restore_refused },
		{ "no_vm", test_no_vm },
		{ "restore_put_back", test_restore_put_back },
		{ "restore_weaker", test_restore_weaker },
		{ "adopt", test_adopt },
		{ "finish", test_finish },
		{ "signals", test_signals },
	};

	region = getenv("SAVED_REGION");
	live_region = getenv("LIVE_REGION");
	if (!region || !live_region || !getenv("LARGE_REGION")) {
		fputs("SAVED_REGION, LIVE_REGION and LARGE_REGION must be set\n",
		      stderr);
		return 2;
	}
	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
