// SPDX-License-Identifier: GPL-2.0
/*
 * The library without the module, against the KVM of fake.c: the bounds it reports,
 * which vCPUs it accepts, and signals.  stock-kvm.c does it with a real KVM.
 */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "stock.h"

/*
 * Without a master clock the pages are ahead of KVM's clock by the time that passed
 * while they were written.  The reported bound includes that.  They are never behind.
 */
static void test_page_lag(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm = NULL;
	int64_t error;

	set_up();
	kvm_clock.master = false;
	pages[1].system_time += 14000;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	kch_vm_free(vm);
	ktap_check(info.kvmclock_slack_ns >= 14000 && info.kvmclock_slack_ns < 50000,
		   "%u", info.kvmclock_slack_ns);
	kvm_clock.reference_ns = 1000;
	check_err(restore(NULL, &result), 0);
	ktap_check(result.error_slack_ns > info.kvmclock_slack_ns, "%lu, saved %u",
		   result.error_slack_ns, info.kvmclock_slack_ns);
	error = true_error_ns(result.outcome.host_tsc) - 14000;
	ktap_check((uint64_t)llabs(error) <=
		   (uint64_t)llabs(result.outcome.error_ns) + result.error_slack_ns +
		   KCH_ROUNDING_NS, "%ld ns, reported %lld +- %lu", error,
		   result.outcome.error_ns, result.error_slack_ns);

	/* Behind; too far ahead for any record; written after now. */
	set_up();
	kvm_clock.master = false;
	pages[1].system_time -= 100000;
	check_err(save(), ESTALE);
	set_up();
	kvm_clock.master = false;
	pages[1].system_time += 5000000000ULL;
	check_err(save(), ESTALE);
	set_up();
	kvm_clock.master = false;
	pages[1].tsc_timestamp += 1ULL << 60;
	check_err(save(), ESTALE);
	/* A clocksource that is not the TSC has ticks. */
	set_up();
	kvm_clock.master = false;
	fake.unsettled = true;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	kch_vm_free(vm);
	ktap_check(info.kvmclock_slack_ns > 280, "%u", info.kvmclock_slack_ns);
}

/* clocks_calc_mult_shift() of the kernel, for 600 s of a TSC of @khz. */
static double host_clock_ppb(uint32_t khz)
{
	uint64_t room = 600000ULL * khz >> 32, mult = 0;
	unsigned int bits = 32, shift;

	for (; room; room >>= 1)
		bits--;
	for (shift = 32; shift; shift--) {
		mult = ((1000000ULL << shift) + khz / 2) / khz;
		if (!(mult >> bits))
			break;
	}
	return ((double)mult * khz / ((double)(1ULL << shift) * 1e6) - 1) * 1e9;
}

/* KVM's next reference is by the host's clock, whose multiplier is rounded. */
static void test_growth(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	double largest = 0;
	uint32_t khz;

	for (khz = 800000; khz < 6000000; khz += 1009) {
		double ppb = host_clock_ppb(khz);

		ppb = ppb < 0 ? -ppb : ppb;
		largest = ppb > largest ? ppb : largest;
		ktap_check(ppb < HOST_CLOCK_PPB, "%u kHz: %f ppb", khz, ppb);
	}
	/* The error comes near the bound: a smaller bound would be wrong. */
	ktap_check(largest > HOST_CLOCK_PPB - 10, "%f", largest);
	saved_and_new(TSC_KHZ);
	check_err(restore(NULL, &result), 0);
	ktap_check(result.error_growth_ppb >= HOST_CLOCK_PPB, "%lu",
		   result.error_growth_ppb);
}

/* A memory file is a VM's ring, and each vCPU a descriptor of it. */
static int new_ring(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 3 * 4096))
		abort();
	return fd;
}

static void open_vcpus(int ring, unsigned int first, unsigned int count)
{
	for (; count--; first++)
		if (dup2(ring, FAKE_VCPU_FD + (int)first) < 0)
			abort();
}

static void test_members(void)
{
	static const struct kch_vcpu_fd three[] = {
		{ .vcpu_id = 0, .fd = FAKE_VCPU_FD },
		{ .vcpu_id = 1, .fd = FAKE_VCPU_FD + 1 },
		{ .vcpu_id = 7, .fd = FAKE_VCPU_FD + 2 },
	};
	int ours = new_ring(), other = new_ring(), no_ring = eventfd(0, EFD_CLOEXEC);
	unsigned int i;

#define members_set_up() \
	do { \
		saved_and_new(TSC_KHZ); \
		fake.ring_page = 2; \
		fake.has_vcpu_ids = true; \
		for (i = 0; i < FAKE_VCPUS_MAX; i++) \
			fake.vcpu_ids[i] = i; \
	} while (0)
#define save_refused(expected) \
	do { \
		check_err(save(), expected); \
		ktap_check(!fake.log[0], "%s", fake.log); \
	} while (0)

	/* All of one VM, one of them open twice; another VM with one of the same id. */
	members_set_up();
	open_vcpus(ours, 0, 2);
	open_vcpus(ours, 3, 1);
	fake.vcpu_ids[3] = 1;
	open_vcpus(other, 4, 2);
	fake.vcpu_ids[4] = 0;
	fake.vcpu_ids[5] = 9;
	check_err(restore(NULL, NULL), 0);
	/* The switch is what it was, on or off. */
	ktap_check(!fake.triple_fault, "it was not switched back");
	fake.triple_fault = true;
	check_err(restore(NULL, NULL), 0);
	ktap_check(fake.triple_fault, "it was not switched back");

	/* One is of another VM, either of the two. */
	members_set_up();
	open_vcpus(other, 1, 1);
	check_err(restore(NULL, NULL), EXDEV);
	check_unchanged();
	ktap_check(!fake.log[0], "%s", fake.log);
	kvm_clock.reference_ns = 77000000123ULL;
	members_set_up();
	open_vcpus(ours, 0, 2);
	fake.foreign[0] = true;
	check_err(restore(NULL, NULL), EXDEV);
	check_unchanged();
	ktap_check(!fake.log[0] && !fake.triple_fault, "%s", fake.log);
	set_up();
	fake.ring_page = 2;
	open_vcpus(other, 1, 1);
	save_refused(EXDEV);
	open_vcpus(other, 0, 1);
	open_vcpus(ours, 1, 1);
	save_refused(EXDEV);
	open_vcpus(ours, 0, 1);
	save_refused(0);
	fake.foreign[0] = true;
	save_refused(EXDEV);

	/* One cannot be asked, or the folder of descriptors cannot. */
	set_up();
	fake.ring_page = 2;
	fake.has_vcpu_ids = true;
	for (i = 0; i < FAKE_VCPUS_MAX; i++)
		fake.vcpu_ids[i] = 0;
	fake.vcpu_ids[1] = 1;
	open_vcpus(no_ring, 1, 1);
	save_refused(ENODEV);
	open_vcpus(no_ring, 2, 1);
	fake.vcpu_ids[2] = 7;
	open_vcpus(ours, 1, 1);
	save_refused(ENODEV);
	open_vcpus(other, 2, 1);
	fake.opendir_errno = EMFILE;
	save_refused(EMFILE);
	fake.opendir_errno = ENOENT;
	save_refused(0);

	/* One is left out. */
	set_up();
	fake.ring_page = 2;
	fake.has_vcpu_ids = true;
	for (i = 0; i < FAKE_VCPUS_MAX; i++)
		fake.vcpu_ids[i] = i;
	open_vcpus(ours, 2, 1);
	fake.vcpu_ids[2] = 7;
	fake.vcpu_ids[3] = 1;
	fake.vcpu_ids[4] = 0;
	save_refused(EMLINK);
	ktap_check(strstr(kch_last_message(handle), "vCPU 7 "), "%s",
		   kch_last_message(handle));
	open_vcpus(other, 2, 1);
	save_refused(0);
	open_vcpus(ours, 2, 1);
	members_set_up();
	fake.vcpu_ids[2] = 7;
	fake.vcpu_ids[3] = 1;
	check_err(restore(NULL, NULL), EMLINK);
	check_unchanged();
	/* One too many, compared with the record, or with the VM. */
	check_err(kch_stock_restore(handle, FAKE_VM_FD, three, 3, buffer, size, NULL,
				    NULL), ELNRNG);
	ktap_check(!fake.log[0], "%s", fake.log);
	for (i = 0; i < FAKE_VCPUS_MAX; i++)
		close(FAKE_VCPU_FD + (int)i);
	close(ours);
	close(other);
	close(no_ring);
}

/* Under a timer that is faster than any ioctl all of them succeed. */
static void test_signals(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	sigset_t before, after;

	sigemptyset(&before);
	sigaddset(&before, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	saved_and_new(TSC_KHZ);
	fake.signals = true;
	fake.offsets[0] = OFFSET;
	fake.offsets[1] = OFFSET;
	check_err(restore(NULL, &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED, "%u", result.outcome.mode);
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), 0);
	set_up();
	fake.signals = true;
	check_err(save(), 0);
	/* KVM_CREATE_VM among them. */
	ktap_check(fake.interrupted > 10, "%u", fake.interrupted);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ktap_check(sigismember(&after, SIGUSR2) && !sigismember(&after, SIGALRM),
		   "the mask is another one");
	sigemptyset(&before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "page_lag", test_page_lag },
		{ "growth", test_growth },
		{ "members", test_members },
		{ "signals", test_signals },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
