// SPDX-License-Identifier: GPL-2.0
/*
 * A clock carried to another host, without the module, against the KVM of fake.c: that host
 * has another TSC, and a wall clock that is off by a known time.  Every refusal changes
 * nothing.
 */
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "slots.h"
#include "stock.h"

#define S		1000000000LL
#define WALL_NS		(1700000000 * S)
#define MAXERROR_US	2500
#define TAI_S		37

/* The wall clock of this host: by its TSC, and off by that. */
static int64_t wall_off_ns;
static struct timex wall;
static int wall_state;
static uint64_t wall_since;

int adjtimex(struct timex *timex)
{
	ktap_check(!timex->modes, "modes %#x: nothing is to be set", timex->modes);
	*timex = wall;
	return wall_state;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	uint64_t ns = (uint64_t)(WALL_NS + wall_off_ns) +
		      kch_cycles_to_ns(__builtin_ia32_rdtsc() - wall_since, TSC_KHZ);

	ktap_check(clock == CLOCK_REALTIME, "clock %d", clock);
	time->tv_sec = (time_t)(ns / S);
	time->tv_nsec = (long)(ns % S);
	return 0;
}

/* Exported, and a VM of two other vCPUs is there, on a host that is right about the time. */
static void exported(void)
{
	set_up();
	wall_since = __builtin_ia32_rdtsc();
	wall_off_ns = 0;
	wall_state = TIME_OK;
	wall = (struct timex){ .maxerror = MAXERROR_US };
	size = sizeof(buffer);
	if (kch_export(handle, FAKE_VM_FD, vcpus, 2, uuid, "web1", buffer, &size))
		abort();
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	kvm_clock.reference_cycles = __builtin_ia32_rdtsc();
	kvm_clock.reference_ns = 1000;
	fake.log[0] = '\0';
}

/* As if the host of the export had a TSC that was so much further, and another DMI id. */
static void make_foreign(uint64_t cycles)
{
	struct kch_rec_header header;
	struct {
		struct kch_rec_vm vm;
		struct kch_rec_vcpu vcpus[2];
	} entry;
	int i;

	memcpy(&header, buffer, sizeof(header));
	memcpy(&entry, buffer + sizeof(header), sizeof(entry));
	header.host_tsc += cycles;
	memset(header.machine_id, 0x77, sizeof(header.machine_id));
	header.cpu_signature ^= 0x10;
	entry.vm.master_cycle_now += cycles;
	entry.vm.host_tsc += cycles;
	for (i = 0; i < 2; i++)
		entry.vcpus[i].tsc_offset -= cycles;
	kch_rec_entry_close(&entry.vm);
	if (kch_record_write(buffer, size, &header, &entry, sizeof(entry), 1))
		abort();
}

static int import(const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	return kch_import(handle, FAKE_VM_FD, fds, 2, buffer, size, opts, result);
}

/* Live minus what it should be at one host TSC, and what is allowed for the reading. */
static void check_error(const struct kch_restore_result *result, int64_t expected_ns)
{
	int64_t error_ns = true_error_ns(result->outcome.host_tsc), off_ns, tsc_ns;
	int64_t bound_ns = 2 * MAXERROR_US * 1000LL;

	off_ns = error_ns - result->outcome.error_ns - expected_ns;
	/* A reading of the wall clock is no better than the time it takes. */
	ktap_check(off_ns > -20000 && off_ns < 20000, "%ld ns off, expected %ld", error_ns,
		   expected_ns);
	tsc_ns = (int64_t)((__int128)(int64_t)(fake.offsets[0] - OFFSET) * 1000000 / TSC_KHZ);
	off_ns = tsc_ns - expected_ns;
	ktap_check(off_ns > -20000 && off_ns < 20000, "the TSC is %ld ns off, expected %ld",
		   tsc_ns, expected_ns);
	ktap_check(fake.offsets[1] == fake.offsets[0], "%#lx %#lx", fake.offsets[0],
		   fake.offsets[1]);
	ktap_check(result->outcome.mode == KCH_MODE_CONVERGED && !result->outcome.error_cycles,
		   "%u %lld", result->outcome.mode, result->outcome.error_cycles);
	ktap_check(result->policy != KCH_POLICY_CONTINUE ||
		   (result->wall_bound_ns >= (uint64_t)bound_ns &&
		    result->wall_bound_ns < (uint64_t)bound_ns + 100000),
		   "bound of %lu ns, expected %ld", result->wall_bound_ns, bound_ns);
}

static void test_import(void)
{
	static const int64_t off_ns[] = { 0, 1234567, -1234567, 3600 * S };
	static const uint64_t foreign[] = { 0, 1, 5000000000000000, -3000000000 };
	struct kch_restore_result result = { .sz = sizeof(result) };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		exported();
		make_foreign(foreign[i]);
		pass_ms(20);
		/* Right clocks do not go back. */
		wall_off_ns = off_ns[i];
		check_err(import(NULL, &result), 0);
		check_error(&result, off_ns[i]);
		ktap_check(!result.by_tai && !result.hidden_ns &&
			   result.policy == KCH_POLICY_CONTINUE &&
			   result.elapsed_ns > (uint64_t)(20000000 + off_ns[i]), "%u %lu %lu",
			   result.by_tai, result.hidden_ns, result.elapsed_ns);
	}
}

/* A leap second between the two: CLOCK_REALTIME is a second late, TAI is not. */
static void test_import_tai(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };

	exported();
	wall.tai = TAI_S;
	size = sizeof(buffer);
	set_up();
	check_err(kch_export(handle, FAKE_VM_FD, vcpus, 2, uuid, "web1", buffer, &size), 0);
	fake.offsets[0] = OLD_OFFSET;
	pass_ms(20);
	wall_off_ns = -S;
	wall.tai = TAI_S + 1;
	check_err(import(NULL, &result), 0);
	check_error(&result, 0);
	ktap_check(result.by_tai == 1, "%u", result.by_tai);
	/* Only one of them knows TAI. */
	exported();
	wall.tai = TAI_S;
	check_err(import(NULL, &result), 0);
	check_error(&result, 0);
	ktap_check(result.by_tai == 0, "%u", result.by_tai);
}

static void test_import_policy(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts), .policy = KCH_POLICY_HIDE };
	struct kch_restore_result result = { .sz = sizeof(result) };
	int64_t passed_ns = 100 * S;

	exported();
	wall_off_ns = passed_ns;
	check_err(import(&opts, &result), 0);
	ktap_check(!result.elapsed_ns && result.hidden_ns >= (uint64_t)passed_ns &&
		   result.wall_bound_ns < 10, "%lu %lu %lu", result.elapsed_ns, result.hidden_ns,
		   result.wall_bound_ns);
	/* So much of it was not the error of the clock, but the time since the export. */
	check_error(&result, passed_ns - (int64_t)result.hidden_ns);
	/* No wall clock is needed for that. */
	exported();
	wall.status = STA_UNSYNC;
	wall_off_ns = -3600 * S;
	check_err(import(&opts, &result), 0);
	ktap_check(!result.elapsed_ns && !result.hidden_ns, "%lu", result.hidden_ns);

	opts.policy = KCH_POLICY_LIMIT;
	opts.limit_ms = 30000;
	exported();
	wall_off_ns = passed_ns;
	check_err(import(&opts, &result), 0);
	ktap_check(result.elapsed_ns == 30ULL * S &&
		   result.hidden_ns >= (uint64_t)(passed_ns - 30 * S) &&
		   result.policy == KCH_POLICY_LIMIT && result.limit_ms == 30000, "%lu %lu",
		   result.elapsed_ns, result.hidden_ns);
	check_error(&result, passed_ns - (int64_t)result.hidden_ns);
	opts.limit_ms = 200000;
	exported();
	wall_off_ns = passed_ns;
	check_err(import(&opts, &result), 0);
	ktap_check(!result.hidden_ns && result.elapsed_ns > (uint64_t)passed_ns, "%lu %lu",
		   result.elapsed_ns, result.hidden_ns);
}

static void refuse(const struct kch_restore_opts *opts, int expected, const char *words)
{
	struct kch_restore_result result = { .sz = sizeof(result) };

	check_err(import(opts, &result), expected);
	ktap_check(strstr(kch_last_message(handle), words), "'%s', not '%s'",
		   kch_last_message(handle), words);
	ktap_check(!fake.log[0], "%s", fake.log);
	check_unchanged();
	exported();
}

static void test_import_refused(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts) };
	struct kch_restore_result result = { .sz = sizeof(result) };

	exported();
	wall.status = STA_UNSYNC;
	refuse(NULL, ENOTCONN, "the wall clock of this host was not synchronised");
	wall_state = TIME_ERROR;
	refuse(NULL, ENOTCONN, "the wall clock of this host was not synchronised");
	wall.status = STA_UNSYNC;
	size = sizeof(buffer);
	check_err(kch_export(handle, FAKE_VM_FD, vcpus, 2, uuid, "web1", buffer, &size), ESTALE);
	exported();
	/* By the caller's word. */
	wall.status = STA_UNSYNC;
	opts.flags = KCH_RESTORE_ANY_WALL;
	check_err(import(&opts, &result), 0);
	ktap_check(result.wall_bound_ns == UINT64_MAX, "%lu", result.wall_bound_ns);
	exported();

	/* In the future: by more than both may be off, and by less. */
	wall_off_ns = -S;
	refuse(NULL, EILSEQ, "one of them is wrong");
	wall_off_ns = -2 * MAXERROR_US * 1000LL;
	check_err(import(NULL, &result), 0);
	exported();

	fake.kvm_khz = TSC_KHZ / 2;
	refuse(NULL, ERANGE, "its CPU cannot scale it");
	opts.flags = KCH_RESTORE_OLD;
	refuse(&opts, EINVAL, "not of an import");
	opts.flags = 0;
	opts.blackout_ms_max = 1;
	check_err(kch_import_fd(handle, FAKE_VM_FD, buffer, size, &opts, NULL), EINVAL);
	refuse(&opts, EINVAL, "blackout_ms_max is 1");
	opts.blackout_ms_max = 0;
	opts.mode = 77;
	refuse(&opts, EINVAL, "mode 77");
	opts.mode = KCH_MODE_IDENTICAL;
	refuse(&opts, ENOSYS, "cannot be reached without the module");
	opts.mode = 0;
	opts.policy = 4;
	refuse(&opts, EINVAL, "policy 4");
	opts.policy = KCH_POLICY_HIDE;
	opts.limit_ms = 1;
	refuse(&opts, EINVAL, "limit_ms is 1");
	buffer[400] ^= 1;
	refuse(NULL, EBADMSG, "");
	check_err(kch_export(handle, FAKE_VM_FD, NULL, 0, uuid, NULL, buffer, &size), ENOTTY);
}

/* What a record does not say is not taken for good. */
static void test_import_of_save_before(void)
{
	struct kch_rec_header *header = (struct kch_rec_header *)buffer;
	uint8_t entry[BUFFER_SIZE];

	exported();
	memcpy(entry, buffer + sizeof(*header), size - sizeof(*header));
	header->compat = cpu_to_le32(KCH_COMPAT_BOUND);
	header->wall_flags = 0;
	header->wall_maxerror_us = 0;
	if (kch_record_write(buffer, size, header, entry, size - sizeof(*header), 1))
		abort();
	refuse(NULL, ENOTCONN, "the wall clock of the host that it is from");
}

/* The same, and a module that cannot read the VM. */
static void exported_unread(int err)
{
	exported();
	kch_close(handle);
	handle = kch_open(NULL);
	if (!handle)
		abort();
	fake.error_number = (int)_IOC_NR(KCH_IOC_READ);
	fake.error_errno = err;
	fake.clock_fd_errno = err;
	fake.error_message = "the module cannot read it";
}

/* The module does not understand this KVM: for a weaker mode it need not. */
static void test_import_unread(void)
{
	static const int unread[] = { ELIBBAD, ENXIO };
	struct kch_restore_opts opts = { .sz = sizeof(opts) };
	struct kch_restore_result result = { .sz = sizeof(result) };
	unsigned int i;

	for (i = 0; i < sizeof(unread) / sizeof(unread[0]); i++) {
		exported_unread(unread[i]);
		opts.mode = 0;
		check_err(import(&opts, &result), unread[i]);
		ktap_check(!fake.log[0], "%s", fake.log);
		check_unchanged();
		opts.mode = KCH_MODE_CONVERGED;
		ktap_check(!import(&opts, &result), "%s", kch_last_message(handle));
		check_error(&result, 0);
		ktap_check(result.refusal == unread[i] &&
			   !strcmp(kch_last_message(handle),
				   "mode converged: the module cannot read it"), "%d '%s'",
			   result.refusal, kch_last_message(handle));
	}
}

/* Whoever gets a clock without the module: what that has of the guest is out of date then. */
static void test_noted(void)
{
	static const int none[] = { 0, ENODATA, ENODEV, ENOENT, EBADMSG, EPROTONOSUPPORT, EALREADY,
				    EBUSY };
	struct kch_restore_opts opts = { .sz = sizeof(opts), .mode = KCH_MODE_CONVERGED };
	struct kch_restore_result result = { .sz = sizeof(result) };
	unsigned int i;
	int err;

	for (i = 0; i < 2 * sizeof(none) / sizeof(none[0]); i++) {
		exported_unread(ELIBBAD);
		fake.elsewhere_errno = none[i / 2];
		err = i & 1 ? import(&opts, &result) : restore(&opts, &result);
		ktap_check(!err && result.outcome.mode == KCH_MODE_CONVERGED, "%u: %s", i,
			   kch_last_message(handle));
		ktap_check(!none[i / 2] == !!strstr(fake.log, "used "), "%u: %s", i, fake.log);
		ktap_check(!(i & 1) == !kch_last_message(handle)[0], "'%s'",
			   kch_last_message(handle));
		/* Without writing, there is nothing to note. */
		exported_unread(ELIBBAD);
		opts.flags = KCH_RESTORE_CHECK;
		err = i & 1 ? import(&opts, &result) : restore(&opts, &result);
		ktap_check(!err && !fake.log[0], "%u: %s, %s", i, kch_last_message(handle),
			   fake.log);
		opts.flags = 0;
		/* What might be given again is not given. */
		exported_unread(ELIBBAD);
		fake.elsewhere_errno = EREMOTEIO;
		err = i & 1 ? import(&opts, &result) : restore(&opts, &result);
		ktap_check(err == -EREMOTEIO && result.outcome.mode == KCH_MODE_NONE &&
			   strstr(kch_last_message(handle), "not noted"), "%u: %d '%s'", i, err,
			   kch_last_message(handle));
		check_unchanged();
	}
}

/* Also of arguments that are refused at once the result says that nothing was restored. */
static void test_result(void)
{
	static const struct kch_restore_opts wrong[] = {
		{ .sz = 8 },
		{ .sz = sizeof(wrong[0]), .rounds_max = KCH_ROUNDS_MAX + 1 },
		{ .sz = sizeof(wrong[0]), .mode = 77 },
		{ .sz = sizeof(wrong[0]), .flags = 1U << 30 },
	};
	struct kch_restore_result result;
	unsigned int i;

#define check_result(call) \
	do { \
		memset(&result, 0xee, sizeof(result)); \
		result.sz = sizeof(result); \
		check_err(call, EINVAL); \
		ktap_check(result.outcome.mode == KCH_MODE_NONE && result.outcome.vcpu_id == -1 && \
			   !result.refusal && !result.hidden_ns, "%u %d", result.outcome.mode, \
			   result.outcome.vcpu_id); \
	} while (0)

	set_up();
	check_result(kch_vm_restore(handle, FAKE_VM_FD, NULL, 2, uuid, NULL, &result));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (i < 2)
			check_result(kch_vm_restore(handle, FAKE_VM_FD, fds, 2, uuid,
						    &wrong[i], &result));
		check_result(kch_stock_restore(handle, FAKE_VM_FD, fds, 2, NULL, 0,
					       &wrong[i], &result));
		check_result(kch_import(handle, FAKE_VM_FD, fds, 2, NULL, 0, &wrong[i],
					&result));
		check_result(kch_import_fd(handle, FAKE_VM_FD, NULL, 0, &wrong[i], &result));
	}
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "import", test_import },
		{ "import_tai", test_import_tai },
		{ "import_policy", test_import_policy },
		{ "import_refused", test_import_refused },
		{ "import_unread", test_import_unread },
		{ "noted", test_noted },
		{ "result", test_result },
		{ "import_of_save_before", test_import_of_save_before },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
