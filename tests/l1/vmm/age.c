// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <x86intrin.h>

#include "age.h"
#include "function.h"
#include "measure.h"
#include "report.h"
#include "state.h"

#define NS_PER_S		1000000000LL
#define NS_PER_MS		1000000LL
#define TRIES			16

/* KVM's rounding and the page's. */
#define ROUNDING_NS		2

/*
 * The module looks once a second, and may have to wait for its turn: it promises
 * what two seconds make, and 1 us.
 */
#define LOOK_NS			(2 * NS_PER_S)
#define KEPT_NS			1000
#define RAW_CLOCK_PPB		120	/* the host's clock against its TSC */
#define SAME_SECONDS		15

#define MSR_KVM_WALL_CLOCK_NEW		0x4b564d00
#define HV_X64_MSR_TIME_REF_COUNT	0x40000020
#define XEN_HYPERCALL_MSR		0x40000200

/* In the page of ordinary memory, behind the vCPUs' structures. */
#define WALL_CLOCK_AT		0x800
#define RUNSTATE_AT		0xc00

_Static_assert(GUEST_VCPUS_MAX * GUEST_PVCLOCK_SLOT <= WALL_CLOCK_AT,
	       "it is free");

/**
 * struct age - one look at it
 * @vm: the VM
 * @clock: what its guest's clock is
 * @ppb: how much faster that is than KVM's evaluation
 * @steps_apart: see function_steps_apart()
 * @since: host TSC when the vCPUs stopped, cycles
 * @when: in the names
 */
struct age {
	struct vm *vm;
	struct saved_clock clock;
	double ppb;
	unsigned int steps_apart;
	uint64_t since;
	const char *when;
};

static void report_ns(const struct age *age, const char *what, int64_t ns)
{
	char key[64];

	snprintf(key, sizeof(key), "age_%s_ns_%s", what, age->when);
	report(key, "%lld", (long long)ns);
}

static void check(const struct age *age, bool holds, const char *what)
{
	static char names[32][32];
	static unsigned int used;

	/* The report keeps the names. */
	snprintf(names[used % 32], sizeof(names[0]), "age_%s_%s", what, age->when);
	report_check(holds, names[used++ % 32]);
}

static uint64_t late_ns;

void age_was_late(uint64_t ns)
{
	if (ns > late_ns)
		late_ns = ns;
}

/*
 * An answer of KVM's is off by what the age of the reference makes: that is at
 * most 2^(32 - shift) guest cycles, of which mul is the ns, when the module
 * looks, and more where not every such step of a scaled TSC can be one.  A
 * reference that KVM takes itself is off by what came since the last look.  It
 * waits for its turn twice: when it looks, and for the VM.
 */
static int64_t bound_ns(const struct age *age, uint64_t clock_ns)
{
	uint64_t stopped_ns = clock_ns - function_ns(&age->clock, age->since);
	double looked_ns = LOOK_NS + 2 * (double)late_ns + (double)stopped_ns;
	double answer, reference;

	answer = ((double)age->steps_apart * age->clock.page.tsc_to_system_mul +
		  looked_ns) * fabs(age->ppb) / NS_PER_S;
	reference = KEPT_NS + looked_ns * (fabs(age->ppb) + RAW_CLOCK_PPB) / NS_PER_S;
	return ceil(answer > reference ? answer : reference) + ROUNDING_NS;
}

/* How far @ns is out of the range from @low to @high; 0: it is in it. */
static int64_t outside(int64_t ns, int64_t low, int64_t high)
{
	return ns < low ? ns - low : ns > high ? ns - high : 0;
}

/* Off by @ns when the guest's clock was @clock_ns. */
static void judge(const struct age *age, const char *what, int64_t ns,
		  uint64_t clock_ns)
{
	int64_t bound = bound_ns(age, clock_ns);
	char key[64];

	snprintf(key, sizeof(key), "age_%s_ns_%s", what, age->when);
	report(key, "%lld of %lld", (long long)ns, (long long)bound);
	check(age, imaxabs(ns) <= bound, what);
}

static bool get_clock(const struct age *age, struct kvm_clock_data *data)
{
	*data = vm_clock(age->vm);
	return data->flags & KVM_CLOCK_HOST_TSC &&
	       data->flags & KVM_CLOCK_REALTIME;
}

static void ask_clock(const struct age *age)
{
	struct kvm_clock_data data;
	uint64_t now;

	if (!get_clock(age, &data)) {
		check(age, false, "clock");
		return;
	}
	now = function_ns(&age->clock, data.host_tsc);
	judge(age, "clock", data.clock - now, now);
}

/* When the guest's clock was 0, by the wall clock; with the host TSC of that. */
static int64_t epoch(const struct age *age, uint64_t *host)
{
	struct kvm_clock_data data;

	if (!get_clock(age, &data))
		return 0;
	*host = data.host_tsc;
	return data.realtime - function_ns(&age->clock, data.host_tsc);
}

/*
 * KVM of 6.1 reads the two clocks one after the other: the epoch it makes is early
 * by what passed in between, which is less than it took altogether.
 */
static void ask_wall_clock(const struct age *age)
{
	const struct {
		uint32_t version;
		uint32_t sec;
		uint32_t nsec;
	} *wall = (const void *)(age->vm->mem->pvclock + WALL_CLOCK_AT);
	int64_t best = INT64_MAX, error = INT64_MAX, a, b, ns, took;
	uint64_t before = 0, after = 0;
	int i;

	for (i = 0; i < TRIES; i++) {
		a = epoch(age, &before);
		vcpu_set_msr(&age->vm->vcpu[0], MSR_KVM_WALL_CLOCK_NEW,
			     GUEST_PVCLOCK + WALL_CLOCK_AT);
		b = epoch(age, &after);
		ns = wall->sec * NS_PER_S + wall->nsec;
		took = function_ns(&age->clock, after) -
		       function_ns(&age->clock, before);
		if (took >= best)
			continue;
		best = took;
		error = outside(ns, (a < b ? a : b) - took, a > b ? a : b);
	}
	report_ns(age, "wall_took", best);
	judge(age, "wall", error, function_ns(&age->clock, after));
}

/* What KVM said at some moment between two readings of the host's TSC. */
static void judge_between(const struct age *age, const char *what, int64_t ns,
			  int64_t resolution_ns, uint64_t before, uint64_t after)
{
	uint64_t low = function_ns(&age->clock, before);
	uint64_t high = function_ns(&age->clock, after);

	judge(age, what, outside(ns, low - resolution_ns, high + resolution_ns),
	      high);
}

static void ask_hyperv(const struct age *age)
{
	uint64_t before, after, count;

	before = __rdtsc();
	count = vcpu_msr(&age->vm->vcpu[0], HV_X64_MSR_TIME_REF_COUNT);
	after = __rdtsc();
	judge_between(age, "hyperv", count * 100, 100, before, after);
}

/* The time of a vCPU's last change of state is KVM's clock at that moment. */
static void ask_xen(const struct age *age)
{
	int cap = ioctl(age->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XEN_HVM);
	struct kvm_xen_hvm_config config = {
		.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL,
		.msr = XEN_HYPERCALL_MSR,
	};
	struct kvm_xen_vcpu_attr attr = {
		.type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR,
		.u.gpa = GUEST_PVCLOCK + RUNSTATE_AT,
	};
	int fd = age->vm->vcpu[0].fd;
	uint64_t before, after;

	if (cap < 0 || !(cap & KVM_XEN_HVM_CONFIG_RUNSTATE)) {
		report("age_xen", "no Xen run state in this kernel");
		return;
	}
	if (ioctl(age->vm->fd, KVM_XEN_HVM_CONFIG, &config) ||
	    ioctl(fd, KVM_XEN_VCPU_SET_ATTR, &attr))
		die("Xen run state: %s", strerror(errno));
	attr.type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT;
	attr.u.runstate.state = 1; /* runnable */
	before = __rdtsc();
	if (ioctl(fd, KVM_XEN_VCPU_SET_ATTR, &attr))
		die("Xen run state: %s", strerror(errno));
	after = __rdtsc();
	attr.type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA;
	if (ioctl(fd, KVM_XEN_VCPU_GET_ATTR, &attr))
		die("Xen run state: %s", strerror(errno));
	judge_between(age, "xen", attr.u.runstate.state_entry_time, 0, before,
		      after);
	/* KVM is to write none while the vCPU runs. */
	attr.type = KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR;
	attr.u.gpa = ~0ULL;
	if (ioctl(fd, KVM_XEN_VCPU_SET_ATTR, &attr))
		die("Xen run state: %s", strerror(errno));
}

/* Until every vCPU, also one that was added, has seen its page. */
static void let_see(struct vm *vm)
{
	uint32_t i;
	int tries = 1500;

	for (i = 0; i < vm->vcpu_count; i++)
		vm->mem->shared->vcpu[i].arm++;
	vm_start(vm);
	while (!measure_all_observed(vm) && tries--)
		usleep(20000);
	check(&(struct age){ .when = "seen" }, measure_all_observed(vm), "pages");
}

/*
 * KVM set the clock to the value at some moment between the two readings: there
 * the new clock has it, which is the old clock's of when it was asked for.
 */
static void set_again(const struct age *age)
{
	struct saved_clock now = age->clock;
	struct kvm_clock_data data;
	uint64_t before, after, got;
	int64_t expected;

	if (!get_clock(age, &data)) {
		check(age, false, "set");
		return;
	}
	got = data.host_tsc;
	data.flags = 0;
	before = __rdtsc();
	if (ioctl(age->vm->fd, KVM_SET_CLOCK, &data))
		die("KVM_SET_CLOCK: %s", strerror(errno));
	after = __rdtsc();
	let_see(age->vm);
	vm_stop(age->vm);
	now.page = guestmem_read_page(age->vm->mem, 0);
	expected = function_ns(&age->clock, got);
	report_ns(age, "set_took", function_ns(&age->clock, after) - expected);
	/* In the tree KVM keeps to a restored clock until the guest runs. */
	if (function_same(&now.page, &age->clock.page))
		judge(age, "set", 0, expected);
	else
		judge(age, "set", -outside(expected, function_ns(&now, before),
					   function_ns(&now, after)),
		      expected);
}

/* The others' clock, when the module has looked; that is late on a busy machine. */
static bool wait_same(const struct vm *vm, uint32_t id)
{
	struct guest_pvclock old, added;
	int tries = SAME_SECONDS * 10;

	do {
		usleep(100000);
		old = guestmem_read_page(vm->mem, 0);
		added = guestmem_read_page(vm->mem, id);
		if (function_same(&added, &old))
			return true;
	} while (tries--);
	return false;
}

/* What its guest sees first, and that it is the others' clock soon. */
static void add_one(const struct age *age)
{
	struct vcpu *vcpu = vm_add_vcpu(age->vm);
	struct guest_vcpu *guest = &age->vm->mem->shared->vcpu[vcpu->id];
	struct guest_pvclock first, old;
	uint64_t tsc, expected;
	bool same;

	__atomic_store_n(&age->vm->mem->shared->vcpu_count, age->vm->vcpu_count,
			 __ATOMIC_SEQ_CST);
	vcpu_set_entry(vcpu);
	let_see(age->vm);
	tsc = guest->first.tsc;
	first = guest->first.page;
	old = age->vm->mem->shared->vcpu[0].first.page;
	report_ns(age, "added_to_vcpu0", function_page_ns(&first, tsc) -
					  function_page_ns(&old, tsc));
	expected = function_page_ns(&age->clock.page, tsc);
	judge(age, "added", function_page_ns(&first, tsc) - expected, expected);
	same = wait_same(age->vm, vcpu->id);
	vm_stop(age->vm);
	check(age, same, "added_same");
	check(age, vcpu_tsc_offset(vcpu) == age->clock.tsc_offset, "added_offset");
}

void age_check(struct vm *vm, const struct saved_clock *expected,
	       uint32_t kinds, const char *when)
{
	struct age age = {
		.vm = vm,
		.clock = *expected,
		.ppb = function_ppb(expected, vm_host_khz(vm)),
		.steps_apart = function_steps_apart(expected),
		.since = __rdtsc(),
		.when = when,
	};

	report("age_ppb", "%.3f", age.ppb);
	report("age_steps_apart", "%u", age.steps_apart);
	report_ns(&age, "late", late_ns);
	if (kinds & AGE_ASK) {
		ask_clock(&age);
		ask_wall_clock(&age);
		ask_hyperv(&age);
		ask_xen(&age);
	}
	if (kinds & AGE_SET)
		set_again(&age);
	if (kinds & AGE_ADD)
		add_one(&age);
}

void age_saved(struct guestmem *mem, uint64_t reference, uint64_t system_time)
{
	struct saved_vm *saved = mem->saved;
	struct guest_pvclock *page;
	struct saved_clock *clock;
	uint32_t i;

	for (i = 0; i < saved->vcpu_count; i++) {
		clock = &saved->vcpu[i].clock;
		page = (void *)(saved->pvclock + i * GUEST_PVCLOCK_SLOT);
		clock->page.tsc_timestamp = function_tsc(clock, reference);
		clock->page.system_time = system_time;
		page->tsc_timestamp = clock->page.tsc_timestamp;
		page->system_time = system_time;
	}
}
