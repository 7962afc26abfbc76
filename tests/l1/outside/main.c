// SPDX-License-Identifier: GPL-2.0
/*
 * kch-jail: a VMM that knows nothing of kvmclock-handover, and could not call it if it
 * did.  Its guest's memory and state are in a file; it comes back from that in the
 * order of calls of a VMM that people run.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "clock.h"
#include "handover.h"
#include "measure.h"
#include "report.h"
#include "sandbox.h"
#include "state.h"
#include "wait.h"

#define MEMORY_SIZE		(SAVED_SIZE + GUEST_MEMORY_MIN + 0x10000)
#define MEMORY_FILE		"memory"
#define NOBODY			65534
#define MS_PER_S		1000
#define NS_PER_MS		1000000LL
#define OBSERVE_MS		30000	/* an emulated host may be slow */
#define POLL_MS			20
#define INTERRUPTS		200
#define INTERVAL_MS		1500	/* of the guest that lies in wait */
#define ARMED_MS		200	/* the last one, before the guest is stopped */

/*
 * enum order - when KVM_SET_CLOCK is called, with what it was when the guest stopped.  In
 * all, the vCPUs' TSCs are loaded by value before that.
 * @ORDER_LOAD: when the state is loaded, after KVM_KVMCLOCK_CTRL: Firecracker
 * @ORDER_RESUME: when told to resume, before the vCPUs run: Cloud Hypervisor, QEMU
 * @ORDER_TWICE: both
 * @ORDER_NEVER: not at all
 * @ORDER_OFFSET: at resume, by a VMM that knows its offsets and sets them itself, but does
 *	not arm a deadline again: a control
 * @ORDER_KHZ: at resume, with another frequency of the guest's TSC
 */
enum order {
	ORDER_LOAD,
	ORDER_RESUME,
	ORDER_TWICE,
	ORDER_NEVER,
	ORDER_OFFSET,
	ORDER_KHZ,
};

static const char *const orders[] = {
	[ORDER_LOAD] = "load", [ORDER_RESUME] = "resume",
	[ORDER_TWICE] = "twice", [ORDER_NEVER] = "never",
	[ORDER_OFFSET] = "offset", [ORDER_KHZ] = "khz",
};

#define KHZ_MORE		1000

struct options {
	bool is_resume;
	const char *dir;
	uint32_t vcpus;
	uint32_t run_ms;
	bool waiter;
	bool spin;
	enum order order;
	bool left;
	bool namespaces;
};

static const char usage_text[] =
"Usage: kch-jail run    DIR [--vcpus N] [--seconds S] [--waiter | --spinner] [--no-namespaces]\n"
"       kch-jail resume DIR ORDER [--seconds S] [--waiter] [--no-namespaces] [--left]\n"
"\n"
"run makes a guest, lets it run, stops it, and leaves it in DIR/memory.  resume loads it\n"
"from there, prints loaded=1, waits for a line, lets it run and judges its clock.\n"
"ORDER is load, resume, twice, never, offset or khz.  Both wait for another line then,\n"
"with the VM stopped, and end.  Both are confined; DIR is their root directory.\n"
"\n"
"  --waiter   the guest lies in wait with a TSC deadline that falls due when it is away\n"
"  --spinner  the same, and it does not halt (to resume: --waiter)\n"
"  --left     the clock is to be what this VMM made of it, not what it was\n"
"  --no-namespaces   for a kernel that is built without them\n"
"\n"
"Exit status: 0 all checks hold, 1 some failed (failed=CHECK), 2 usage.\n";

/* This VMM knows of no scaling, and asks for none. */
void handover_scaling(const struct vm *vm, struct saved_clock *clock)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		clock[i].tsc_scaling_ratio = 1;
		clock[i].tsc_scaling_frac_bits = 0;
	}
}

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * (uint64_t)MS_PER_S + time.tv_nsec / NS_PER_MS;
}

/* A line from who controls this VMM; the end of its input is one, too. */
static void wait_line(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
		;
}

static void sleep_ms(uint32_t ms)
{
	struct timespec time = {
		.tv_sec = ms / MS_PER_S,
		.tv_nsec = ms % MS_PER_S * NS_PER_MS,
	};

	nanosleep(&time, NULL);
}

static bool seen_enough(const struct options *o, const struct vm *vm,
			const struct baseline *base, uint64_t fired)
{
	if (o->waiter)
		return wait_count(vm) - fired >= 2;
	return measure_all_observed(vm) && measure_enough(vm, base, 1);
}

/* As a VMM does that has something to say to its vCPUs: they leave KVM_RUN, and come again. */
static void interrupt(const struct vm *vm)
{
	uint32_t i;
	int n;

	for (n = 0; n < INTERRUPTS; n++) {
		for (i = 0; i < vm->vcpu_count; i++)
			pthread_kill(vm->vcpu[i].thread, SIGUSR1);
		sleep_ms(1);
	}
}

/* For its time, and until everything has been checked once. */
static void let_run(const struct options *o, struct vm *vm,
		    const struct baseline *base, uint64_t fired)
{
	uint64_t end = now_ms() + o->run_ms;
	uint64_t last = end + OBSERVE_MS;

	vm_start(vm);
	if (o->is_resume)
		interrupt(vm);
	/* From here on a vCPU is in KVM_RUN whenever one looks. */
	report("runs", "1");
	report_flush();
	do
		sleep_ms(POLL_MS);
	while (now_ms() < end ||
	       (now_ms() < last && !seen_enough(o, vm, base, fired)));
	/* The next deadline is armed, and not due before the guest is stopped. */
	if (o->waiter) {
		fired = wait_count(vm);
		while (now_ms() < last && wait_count(vm) == fired)
			sleep_ms(1);
		sleep_ms(ARMED_MS);
	}
	vm_stop(vm);
}

static void make_vm(const struct options *o, struct vm *vm, struct guestmem *mem)
{
	uint32_t i, count = o->is_resume ? mem->saved->vcpu_count : o->vcpus;

	vm_create(vm, mem);
	sandbox_filter(o->order == ORDER_OFFSET);
	if (o->waiter)
		wait_prepare_vm(vm);
	for (i = 0; i < count; i++)
		vm_add_vcpu(vm);
}

/* Between these two host TSCs, the last time. */
static uint64_t set_after, set_before;

static void set_clock(const struct vm *vm)
{
	struct kvm_clock_data data = { .clock = vm->mem->saved->clock.clock };

	set_after = __rdtsc();
	if (ioctl(vm->fd, KVM_SET_CLOCK, &data))
		die("KVM_SET_CLOCK: %s", strerror(errno));
	set_before = __rdtsc();
}

/* As Firecracker tells each vCPU's guest that it was stopped. */
static void tell_stopped(const struct vm *vm)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (ioctl(vm->vcpu[i].fd, KVM_KVMCLOCK_CTRL, 0))
			die("KVM_KVMCLOCK_CTRL: %s", strerror(errno));
}

/* A bit in the page that this guest never clears: seen before, it is no change later. */
static void stop_once(struct vm *vm)
{
	struct baseline base;
	uint32_t n;
	int i;

	for (i = 0; i < 2; i++) {
		measure_start(vm, &base);
		/* They are for later. */
		for (n = 0; n < vm->vcpu_count; n++)
			vm->mem->shared->vcpu[n].brackets = 0;
		vm_start(vm);
		while (!measure_all_observed(vm))
			sleep_ms(POLL_MS);
		vm_stop(vm);
		tell_stopped(vm);
	}
}

static void load(const struct options *o, struct vm *vm)
{
	const struct saved_vm *saved = vm->mem->saved;
	uint32_t i;

	state_load(vm);
	for (i = 0; i < vm->vcpu_count; i++)
		vcpu_set_msr(&vm->vcpu[i], MSR_IA32_TSC, saved->vcpu[i].tsc);
	if (o->waiter)
		wait_load(vm);
	if (o->order == ORDER_LOAD || o->order == ORDER_TWICE) {
		tell_stopped(vm);
		set_clock(vm);
	}
}

static void before_running(const struct options *o, struct vm *vm)
{
	uint32_t i;

	if (o->order == ORDER_OFFSET)
		for (i = 0; i < vm->vcpu_count; i++)
			vcpu_set_tsc_offset(&vm->vcpu[i],
					    vm->mem->saved->vcpu[i].clock.tsc_offset);
	if (o->order == ORDER_KHZ)
		for (i = 0; i < vm->vcpu_count; i++)
			vcpu_set_tsc_khz(&vm->vcpu[i], vm_tsc_khz(vm) + KHZ_MORE);
	if (o->order != ORDER_LOAD && o->order != ORDER_NEVER)
		set_clock(vm);
}

/* What the VMM has set, and nobody else: its TSCs as they were loaded, its clock as it set it. */
static void judge_left(struct vm *vm, const uint64_t *loaded)
{
	const struct saved_vm *saved = vm->mem->saved;
	const struct guest_observation *first = &vm->mem->shared->vcpu[0].first;
	int64_t passed_ns, least_ns, most_ns;
	uint64_t host;
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		report_check(vcpu_tsc_offset(&vm->vcpu[i]) == loaded[i], "left_offset");
	if (!measure_all_observed(vm)) {
		report_check(false, "no_iterations");
		return;
	}
	/* Within a per mille for the frequency, which KVM may have otherwise. */
	host = first->tsc - loaded[0];
	passed_ns = first->clock_ns - saved->clock.clock;
	least_ns = kch_cycles_to_ns(host - set_before, vm_tsc_khz(vm));
	most_ns = kch_cycles_to_ns(host - set_after, vm_tsc_khz(vm));
	report("left_clock_ns", "%lld", (long long)passed_ns);
	report("left_least_ns", "%lld", (long long)least_ns);
	report("left_most_ns", "%lld", (long long)most_ns);
	report_check(passed_ns >= least_ns - least_ns / 1000 - NS_PER_MS &&
		     passed_ns <= most_ns + most_ns / 1000 + NS_PER_MS, "left_clock");
}

static void report_page(const char *key, const struct guest_pvclock *page)
{
	report(key, "tsc %llu time %llu mul %u shift %d flags %u",
	       (unsigned long long)page->tsc_timestamp,
	       (unsigned long long)page->system_time, page->tsc_to_system_mul,
	       page->tsc_shift, page->flags);
}

/* What differs, for people. */
static void report_pages(const struct vm *vm)
{
	struct guest_pvclock now;
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		now = guestmem_read_page(vm->mem, i);
		report_page("page_saved", &vm->mem->saved->vcpu[i].clock.page);
		report_page("page_first", &vm->mem->shared->vcpu[i].first.page);
		report_page("page_end", &now);
	}
}

static void end_of(struct vm *vm)
{
	int status = report_any_failed() ? EXIT_CHECKS_FAILED : EXIT_CHECKS_HOLD;

	report("saved", "1");
	report_flush();
	wait_line();
	vm_destroy(vm);
	exit(status);
}

static void run(const struct options *o, struct guestmem *mem)
{
	static const uint8_t no_uuid[16];
	struct baseline base;
	uint64_t fired = 0;
	struct vm vm;
	uint32_t i;

	guestmem_load_guest(mem, o->vcpus);
	if (o->waiter)
		wait_load_guest(mem);
	state_init(mem, no_uuid, "jail");
	make_vm(o, &vm, mem);
	for (i = 0; i < vm.vcpu_count; i++)
		vcpu_set_entry(&vm.vcpu[i]);
	mem->shared->hour_cycles = 3600ULL * MS_PER_S * vm_tsc_khz(&vm);
	if (o->waiter)
		wait_set(&vm, INTERVAL_MS, o->spin);
	else
		stop_once(&vm);
	measure_start(&vm, &base);
	let_run(o, &vm, &base, fired);
	if (o->waiter)
		wait_judge(&vm, fired, 0);
	else
		measure_guest(&vm, &base);
	state_save(&vm, true);
	if (o->waiter)
		wait_save(&vm);
	end_of(&vm);
}

static void resume(const struct options *o, struct guestmem *mem)
{
	struct kch_restore_result none = { 0 };
	uint64_t loaded[GUEST_VCPUS_MAX], fired, go;
	struct baseline base;
	struct vm vm;
	uint32_t i;

	guestmem_check_saved(mem);
	make_vm(o, &vm, mem);
	load(o, &vm);
	for (i = 0; i < vm.vcpu_count; i++)
		loaded[i] = vcpu_tsc_offset(&vm.vcpu[i]);
	report("order", "%s", orders[o->order]);
	report("loaded", "1");
	report_flush();
	wait_line();

	before_running(o, &vm);
	measure_start(&vm, &base);
	fired = o->waiter ? wait_count(&vm) : 0;
	go = __rdtsc();
	let_run(o, &vm, &base, fired);
	if (o->left)
		judge_left(&vm, loaded);
	else if (o->waiter)
		wait_judge(&vm, fired, go);
	else
		measure_guest(&vm, &base);
	if (!o->left && !o->waiter)
		measure_restored(&vm, &base, &none);
	if (report_any_failed())
		report_pages(&vm);
	end_of(&vm);
}

static void __attribute__((__noreturn__)) usage(const char *wrong)
{
	fprintf(stderr, "kch-jail: %s\n%s", wrong, usage_text);
	exit(EXIT_USAGE);
}

static enum order order_of(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (!strcmp(orders[i], name))
			return (enum order)i;
	usage("no such order");
}

static uint32_t parse_number(const char *text, uint32_t max)
{
	char *end;
	unsigned long value = text ? strtoul(text, &end, 10) : 0;

	if (!text || *end || !value || value > max)
		usage("not the number that is wanted, or none");
	return (uint32_t)value;
}

static void parse(struct options *o, int argc, char **argv)
{
	int i = 3;

	if (argc < 3)
		usage("too few arguments");
	o->is_resume = !strcmp(argv[1], "resume");
	if (!o->is_resume && strcmp(argv[1], "run"))
		usage("neither run nor resume");
	o->dir = argv[2];
	if (o->is_resume)
		o->order = argc > 3 ? order_of(argv[i++]) : (usage("which order?"), 0);
	for (; i < argc; i++) {
		if (!strcmp(argv[i], "--vcpus"))
			o->vcpus = parse_number(argv[++i], GUEST_VCPUS_MAX);
		else if (!strcmp(argv[i], "--seconds"))
			o->run_ms = parse_number(argv[++i], 3600) * MS_PER_S;
		else if (!strcmp(argv[i], "--waiter"))
			o->waiter = true;
		else if (!strcmp(argv[i], "--spinner"))
			o->spin = true;
		else if (!strcmp(argv[i], "--no-namespaces"))
			o->namespaces = false;
		else if (!strcmp(argv[i], "--left"))
			o->left = true;
		else
			usage("unknown option");
	}
	o->waiter |= o->spin;
	if (o->waiter && o->vcpus != 1)
		usage("the guest that lies in wait has one vCPU");
}

static void make_file(const char *dir)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/" MEMORY_FILE, dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, MEMORY_SIZE) || fchown(fd, NOBODY, NOBODY))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

int main(int argc, char **argv)
{
	struct options o = { .vcpus = 1, .run_ms = 2 * MS_PER_S,
			     .namespaces = true };
	struct guestmem mem;
	char where[64];

	parse(&o, argc, argv);
	if (mkdir(o.dir, 0755) && errno != EEXIST)
		die("%s: %s", o.dir, strerror(errno));
	make_file(o.dir);
	sandbox_enter(o.dir, o.namespaces);
	report_open(NULL);
	snprintf(where, sizeof(where), "/" MEMORY_FILE "@0,%d", MEMORY_SIZE);
	guestmem_map(&mem, where);
	if (o.is_resume)
		resume(&o, &mem);
	else
		run(&o, &mem);
	return EXIT_CHECKS_FAILED;
}
