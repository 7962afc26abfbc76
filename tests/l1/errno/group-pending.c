// SPDX-License-Identifier: GPL-2.0
/* What KVM has still to do when a vCPU runs next. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "clock.h"

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

static struct vm pending;

static void of_pending(struct attempt *a)
{
	a->arg.preserve.vm_fd = pending.fd;
}

static const struct condition adjust[] = {
	{ KCH_IOC_PRESERVE, "an offset is about to be moved", of_pending, .expected = EOPNOTSUPP,
	  .message = "KVM will move the TSC offset of vCPU 1 by 12345 cycles" },
};

static const struct condition update[] = {
	{ KCH_IOC_PRESERVE, "a new reference is to be taken", of_pending, .message = "" },
};

static const struct condition backwards[] = {
	{ KCH_IOC_PRESERVE, "the master clock is about to go: backwards", of_pending,
	  .expected = EOPNOTSUPP, .message = "a host TSC was seen going backwards" },
};

static const struct condition apart[] = {
	{ KCH_IOC_PRESERVE, "the master clock is about to go: TSCs", of_pending,
	  .expected = EOPNOTSUPP, .message = "its vCPUs' TSCs do not match" },
};

static const struct condition no_tsc[] = {
	{ KCH_IOC_PRESERVE, "the master clock is about to go: clocksource", of_pending,
	  .expected = EPFNOSUPPORT, .message = ", not the TSC: KVM has no master clock" },
};

static const struct condition protect[] = {
	{ KCH_IOC_PRESERVE, "a TSC that the CPU protects", of_pending, .expected = ENOKEY,
	  .message = "vCPU 1 has a TSC that the CPU protects" },
};

static void mark(const char *what)
{
	char parameters[32];

	snprintf(parameters, sizeof(parameters), "%s=%d", what, pending.fd);
	fault_insert(parameters, ECANCELED);
}

/* Not under watch: to ask KVM for a vCPU's offset would do what is pending. */
static void pend(void)
{
	vm_create_ready(&pending, 2, SCENE_OFFSET);
}

static void pend_no_more(void)
{
	vm_destroy(&pending);
}

/* Accepted, though something is pending: the record is another one afterwards. */
static void must_be_accepted(const struct condition *c)
{
	struct kch_preserve arg;
	int err = preserve(&pending, ID_NEW, &arg);

	check(!err, "%s: %s: %s", c->name, errno_name(err), arg.message);
	if (!err)
		must_unpreserve(ID_NEW);
}

/* The clock is set first, and then one vCPU's offset, as it was saved: another one. */
static void offset_after_clock(void)
{
	static struct forged forged;
	struct kch_restore arg;
	uint64_t bytes[128];
	struct kch_rec_vm *live = (void *)bytes;
	struct kch_rec_vcpu *vcpus = (void *)(live + 1);
	int err;

	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	forge_vcpu(&forged, 1)->tsc_offset = cpu_to_le64(SCENE_OFFSET + 99);
	forge_close(&forged);
	scene_reload(&forged);
	vm_set_clock(&scene.vm, 1000000000);
	vm_set_offset(&scene.vm, 1, SCENE_OFFSET + 99);
	err = restore(&scene.vm, ID_SAVED, 0, &arg);
	check(err == EOPNOTSUPP && arg.outcome.mode == KCH_MODE_NONE, "%s: %s", errno_name(err),
	      arg.message);
	if (read_entry(&scene.vm, live, sizeof(bytes)))
		die("its clock cannot be read");
	check(vcpus[0].tsc_offset == SCENE_OFFSET && vcpus[1].tsc_offset == SCENE_OFFSET + 99,
	      "offsets %lld and %lld", (long long)vcpus[0].tsc_offset,
	      (long long)vcpus[1].tsc_offset);
	check(live->kvmclock_ns < 100000000000ULL, "%llu ns: a clock that was refused",
	      (unsigned long long)live->kvmclock_ns);
}

/* A frequency that the host cannot scale to: not even tried, it could not be undone. */
static void frequency_out_of_reach(void)
{
	static struct forged forged;
	static struct condition one[] = {
		{ KCH_IOC_RESTORE, "a frequency out of reach", .expected = ERANGE,
		  .message = "which this host cannot scale its TSC to" },
	};
	uint32_t i;

	if (ioctl(scene.vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0)
		return;
	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	for (i = 0; i < 2; i++) {
		struct kch_rec_vcpu *vcpu = forge_vcpu(&forged, i);

		vcpu->virtual_tsc_khz = cpu_to_le32(le32_to_cpu(vcpu->virtual_tsc_khz) / 100 * 101);
	}
	forge_close(&forged);
	scene_reload(&forged);
	snapshot_watch(&scene.vm);
	conditions_run(one, 1);
	snapshot_watch_none();
}

#define PAGE			4096

/* struct ms_hyperv_tsc_page */
struct hyperv_page {
	volatile uint32_t sequence;
	uint32_t reserved;
	volatile uint64_t scale;
	volatile int64_t offset;
};

/* What the page says at the guest's TSC, 100 ns: the same number as the clock's. */
static void check_hyperv_page(const struct hyperv_page *page, const struct vm *vm,
			      const char *when)
{
	uint64_t bytes[128];
	struct kch_rec_vm *live = (void *)bytes;
	struct kch_clock clock;
	uint64_t tsc, says, is;
	int i;

	if (read_entry(vm, live, sizeof(bytes)))
		die("its clock cannot be read");
	kch_clock_of(live, (void *)(live + 1), &clock);
	check(page->sequence, "%s: there is no page", when);
	for (i = 0; i < 100; i++) {
		uint64_t host = le64_to_cpu(live->host_tsc) + i * 1000000000ULL;

		tsc = kch_clock_tsc(&clock, host);
		says = (uint64_t)(((unsigned __int128)tsc * page->scale) >> 64) + page->offset;
		is = kch_clock_ns(&clock, host) / 100;
		if (!check(says - is + 1 <= 2, "%s: the page says %llu, the clock %llu", when,
			   (unsigned long long)says, (unsigned long long)is))
			break;
	}
}

/*
 * Hyper-V's page is made once, of the clock there is.  A restore comes later, and the
 * page must be made anew; its control is that it was another one before.
 */
static void hyperv_page_before_restore(void)
{
	struct kvm_userspace_memory_region memory = {
		.slot = 1, .guest_phys_addr = PAGE, .memory_size = PAGE,
	};
	struct hyperv_page *page, before;
	struct kch_restore arg;
	struct vm vm;
	uint32_t i;
	int err;

	vm_create(&vm);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory.userspace_addr = (uintptr_t)page;
	if (page == MAP_FAILED || ioctl(vm.fd, KVM_SET_USER_MEMORY_REGION, &memory))
		die("a second page: %s", strerror(errno));
	for (i = 0; i < 2; i++)
		vm_add(&vm, i);
	for (i = 0; i < 2; i++)
		vm_set_offset(&vm, i, SCENE_OFFSET);
	vm_set_clock(&vm, 1000000000);
	if (!vm_set_hyperv_page(&vm, PAGE)) {
		check(false, "Hyper-V's MSRs cannot be set");
		goto out;
	}
	vm_run_once(&vm, 0);
	check_hyperv_page(page, &vm, "before");
	before = *page;
	err = restore(&vm, ID_SAVED, 0, &arg);
	check(!err, "%s: %s", errno_name(err), arg.message);
	vm_run_once(&vm, 0);
	check(page->offset != before.offset, "the page of the clock before is still there");
	check_hyperv_page(page, &vm, "restored");
out:
	vm_destroy(&vm);
	munmap(page, PAGE);
	check(becomes_dead(KCH_INCOMING, ID_SAVED), "closed, and live");
}

void test_pending(void)
{
	scene_begin();
	pend();
	mark("update");
	must_be_accepted(&update[0]);
	pend_no_more();

	pend();
	mark("adjust");
	conditions_run(adjust, 1);
	pend_no_more();

	pend();
	mark("backwards");
	conditions_run(backwards, 1);
	pend_no_more();

	/* KVM looks at it when a vCPU runs next, and here none has yet. */
	pend();
	vm_set_offset(&pending, 1, SCENE_OFFSET + 1);
	conditions_run(apart, 1);
	pend_no_more();

	pend();
	mark("update");
	fault_insert("clocksource=2", 0);
	conditions_run(no_tsc, 1);
	fault_remove();
	must_be_accepted(&update[0]);
	pend_no_more();

	hyperv_page_before_restore();
	frequency_out_of_reach();
	offset_after_clock();
	scene_end();
}

/* Kernels before 6.15 or so have no such guests. */
void test_protected(void)
{
	char parameters[32];
	int err;

	scene_begin();
	pend();
	snprintf(parameters, sizeof(parameters), "protect=%d", pending.fd);
	err = module_insert(FAULT_MODULE, parameters);
	if (err == EOPNOTSUPP)
		skip("KVM of this kernel has no guests whose TSC the CPU protects");
	else if (check(err == ECANCELED, "protect: %s", errno_name(err)))
		conditions_run(protect, 1);
	pend_no_more();
	scene_end();
}
