// SPDX-License-Identifier: GPL-2.0
/*
 * The library without the module, with a real KVM: what it promises of VMs without
 * a master clock, which vCPUs it accepts, an armed timer, and signals.  There is no kexec:
 * the old VM and the new one exist at the same time, so that only the restore can make a
 * difference.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <x86intrin.h>
#include <kvmclock-handover-stock.h>
#include "clock.h"
#include "ktap.h"

#define MSR_KVM_SYSTEM_TIME_NEW	0x4b564d01
#define MSR_IA32_TSC_DEADLINE	0x6e0
#define APIC_SPURIOUS		0xf0
#define APIC_ENABLED		0x1ff
#define APIC_IRR		0x200
#define APIC_TIMER		0x320
#define APIC_TSC_DEADLINE	(2 << 17)
#define VECTOR			0x40
#define CPUID_ENTRIES		256
#define CPUID_TSC_DEADLINE	(1U << 24)
#define VCPUS			2
#define MEMORY_BYTES		0x10000
#define CODE			0x1000
#define PAGES			0x8000
#define PAGE_STRIDE		64
/* KVM accepts it without scaling, but then the vCPUs' TSCs do not match. */
#define OTHER_KHZ		100
#define REST_US			10000
#define MAPPINGS		10000
#define TIMER_US		1000

struct page {
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
	uint8_t pad[2];
};

struct vm {
	int fd;
	int vcpus[VCPUS];
	struct kvm_run *run[VCPUS];
	uint8_t *memory;
};

static int kvm_fd, run_size;
static bool apics;		/* VMs have them */
static uint32_t host_khz;
static struct kch_handle *handle;
static const uint8_t uuid[KCH_UUID_SIZE] = { 1 };

#define must(condition) \
	do { \
		if (!(condition)) { \
			printf("# %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
			       strerror(errno)); \
			exit(1); \
		} \
	} while (0)

static void *map(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	must(at != MAP_FAILED);
	return at;
}

static void set_msr(const struct vm *vm, unsigned int i, uint32_t index, uint64_t value)
{
	union {
		struct kvm_msrs head;
		char room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msr = { .room = {} };

	msr.head.nmsrs = 1;
	msr.head.entries[0].index = index;
	msr.head.entries[0].data = value;
	must(ioctl(vm->vcpus[i], KVM_SET_MSRS, &msr) == 1);
}

static void add_vcpu(struct vm *vm, unsigned int i)
{
	struct kvm_mp_state runs = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs sregs;

	vm->vcpus[i] = ioctl(vm->fd, KVM_CREATE_VCPU, i);
	must(vm->vcpus[i] >= 0);
	vm->run[i] = map(vm->vcpus[i], (size_t)run_size);
	must(!ioctl(vm->vcpus[i], KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	must(!ioctl(vm->vcpus[i], KVM_SET_SREGS, &sregs));
	must(!ioctl(vm->vcpus[i], KVM_SET_REGS, &regs));
	set_msr(vm, i, MSR_KVM_SYSTEM_TIME_NEW, (PAGES + i * PAGE_STRIDE) | 1);
	must(!apics || !ioctl(vm->vcpus[i], KVM_SET_MP_STATE, &runs));
}

static void create(struct vm *vm)
{
	/* cpuid, after which KVM looks at timers; out %al, $0x10; again */
	static const uint8_t code[] = { 0x0f, 0xa2, 0xe6, 0x10, 0xeb, 0xfa };
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES };
	unsigned int i;

	vm->fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	must(vm->fd >= 0);
	must(!apics || !ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	vm->memory = map(-1, MEMORY_BYTES);
	region.userspace_addr = (uintptr_t)vm->memory;
	must(!ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region));
	memcpy(vm->memory + CODE, code, sizeof(code));
	for (i = 0; i < VCPUS; i++)
		add_vcpu(vm, i);
}

static void destroy(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++) {
		munmap(vm->run[i], (size_t)run_size);
		close(vm->vcpus[i]);
	}
	close(vm->fd);
	munmap(vm->memory, MEMORY_BYTES);
}

/* Runs each vCPU for a moment, on another CPU than before, so that KVM writes its page. */
static void run(struct vm *vm)
{
	static unsigned int turn;
	cpu_set_t cpu;
	unsigned int i;

	CPU_ZERO(&cpu);
	CPU_SET(turn++ % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	for (i = 0; i < VCPUS; i++) {
		must(!ioctl(vm->vcpus[i], KVM_RUN, NULL));
		must(vm->run[i]->exit_reason == KVM_EXIT_IO);
	}
}

static struct page page_of(const struct vm *vm, unsigned int i)
{
	struct page page;

	memcpy(&page, vm->memory + PAGES + i * PAGE_STRIDE, sizeof(page));
	return page;
}

static uint64_t offset_of(const struct vm *vm, unsigned int i)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	must(!ioctl(vm->vcpus[i], KVM_GET_DEVICE_ATTR, &attr));
	return offset;
}

/* What the guest of vCPU @i reads when the host's TSC is @host_tsc. */
static uint64_t guest_ns(const struct vm *vm, unsigned int i, uint64_t host_tsc)
{
	struct page page = page_of(vm, i);

	return kch_pvclock_ns(page.tsc_timestamp, page.system_time, page.mul,
			      page.shift, host_tsc + offset_of(vm, i));
}

#define BUFFER_SIZE	1024

static int save_some(const struct vm *vm, unsigned int count, uint8_t *buffer,
		     size_t *size)
{
	struct kch_stock_vcpu vcpus[VCPUS];
	unsigned int i;

	for (i = 0; i < count; i++)
		vcpus[i] = (struct kch_stock_vcpu){
			.vcpu_id = i,
			.fd = vm->vcpus[i],
			.pvclock = vm->memory + PAGES + i * PAGE_STRIDE,
		};
	*size = BUFFER_SIZE;
	return kch_stock_save(handle, vm->fd, vcpus, count, uuid, NULL, buffer, size);
}

static int restore_some(const struct vm *vm, unsigned int count,
			const uint8_t *buffer, size_t size,
			struct kch_restore_result *result)
{
	struct kch_vcpu_fd vcpus[VCPUS];
	unsigned int i;

	for (i = 0; i < count; i++)
		vcpus[i] = (struct kch_vcpu_fd){ .vcpu_id = i, .fd = vm->vcpus[i] };
	return kch_stock_restore(handle, vm->fd, vcpus, count, buffer, size, NULL,
				 result);
}

/* How far what was saved may be from KVM's clock, and from the pages. */
static uint64_t saved_slack_ns(const uint8_t *buffer, size_t size)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *clock = NULL;

	must(!kch_stock_vm(handle, buffer, size, &clock));
	kch_vm_info(clock, &info);
	kch_vm_free(clock);
	ktap_check(!(info.flags & KCH_VM_INFO_MASTER_CLOCK), "it has a master clock");
	return info.kvmclock_slack_ns;
}

/* How far its pages are from KVM's clock now. */
static uint64_t lag_ns(const struct vm *vm)
{
	uint8_t buffer[BUFFER_SIZE];
	size_t size;
	int err = save_some(vm, VCPUS, buffer, &size);

	ktap_check(!err, "%s", kch_last_message(handle));
	return err ? 0 : saved_slack_ns(buffer, size);
}

static void set_offset(const struct vm *vm, unsigned int i, uint64_t offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	must(!ioctl(vm->vcpus[i], KVM_SET_DEVICE_ATTR, &attr));
}

/* Gives a vCPU another TSC than the others: KVM then has no master clock. */
static void unmatch(const struct vm *vm)
{
	uint64_t offset = offset_of(vm, 1) + 1000;

	must(!ioctl(vm->vcpus[1], KVM_SET_TSC_KHZ,
		    (unsigned long)host_khz + OTHER_KHZ));
	set_offset(vm, 1, offset);
}

static uint64_t promised_ns(const struct kch_restore_result *result,
			    uint64_t host_tsc)
{
	uint64_t passed_ns = kch_cycles_to_ns(host_tsc - result->outcome.host_tsc, host_khz);

	return kch_magnitude(result->outcome.error_ns) + result->error_slack_ns +
	       KCH_ROUNDING_NS +
	       (uint64_t)((unsigned __int128)passed_ns *
			  result->error_growth_ppb / 1000000000);
}

/* By how much KVM's clock is off the guest's old page, at least. */
static uint64_t kvm_off_ns(const struct vm *old, const struct vm *new,
			   uint64_t *host_tsc)
{
	struct kvm_clock_data clock = {};
	uint64_t before, after, ns = 0;
	unsigned int i;

	_mm_lfence();
	before = __rdtsc();
	must(!ioctl(new->fd, KVM_GET_CLOCK, &clock));
	_mm_lfence();
	after = __rdtsc();
	for (i = 0; i < VCPUS; i++) {
		uint64_t low = guest_ns(old, i, before), high = guest_ns(old, i, after);
		uint64_t off = clock.clock < low ? low - clock.clock :
			       clock.clock > high ? clock.clock - high : 0;

		ns = off > ns ? off : ns;
	}
	*host_tsc = after;
	return ns;
}

static void test_promise(void)
{
	const char *text = getenv("STOCK_READINGS");
	unsigned long wanted = text ? strtoul(text, NULL, 10) : 4000;
	unsigned long readings = 0, beyond = 0, beyond_without = 0;
	uint64_t largest_ns = 0, largest_lag_ns = 0;
	unsigned int i, turn;

	/* How late KVM is with a page varies by chance: the control may need more rounds. */
	while (readings < wanted || (!beyond_without && readings < 4 * wanted)) {
		struct kch_restore_result result = { .sz = sizeof(result) };
		uint64_t now, off_ns, slack_ns, pages_ns;
		uint8_t buffer[BUFFER_SIZE];
		size_t size;
		struct vm old, new;
		int err;

		create(&old);
		create(&new);
		unmatch(&old);
		run(&old);
		err = save_some(&old, VCPUS, buffer, &size);
		if (!err)
			err = restore_some(&new, VCPUS, buffer, size, &result);
		ktap_check(!err, "%s", kch_last_message(handle));
		if (err)
			exit(1);
		/*
		 * The control: the bound without the pages.  The reading at the save is
		 * taken to have been as wide as that at the restore.
		 */
		slack_ns = saved_slack_ns(buffer, size);
		pages_ns = 2 * slack_ns - result.error_slack_ns;
		for (turn = 0; turn < 8; turn++) {
			uint64_t lag;

			/* After a rest KVM takes longer to write a page. */
			usleep(REST_US);
			run(&new);
			lag = lag_ns(&new);
			off_ns = kvm_off_ns(&old, &new, &now);
			beyond += off_ns > promised_ns(&result, now);
			for (i = 0; i < VCPUS; i++) {
				now = __rdtsc();
				off_ns = kch_magnitude((int64_t)(guest_ns(&new, i, now) -
							     guest_ns(&old, i, now)));
				readings++;
				beyond += off_ns > promised_ns(&result, now) + lag;
				beyond_without += off_ns + pages_ns >
						  promised_ns(&result, now);
				largest_ns = off_ns > largest_ns ? off_ns : largest_ns;
			}
			largest_lag_ns = lag > largest_lag_ns ? lag : largest_lag_ns;
		}
		destroy(&old);
		destroy(&new);
	}
	printf("# %lu readings, %lu beyond, %lu without the pages; at most %llu ns, pages at most %llu\n",
	       readings, beyond, beyond_without, (unsigned long long)largest_ns,
	       (unsigned long long)largest_lag_ns);
	ktap_check(!beyond, "%lu of %lu beyond what was promised", beyond, readings);
	/* On a shared machine this may not happen; the emulated host shows it. */
	if (!beyond_without && getenv("STOCK_CONTROL_IS_ELSEWHERE"))
		printf("# the control was not provoked here: see the case stock-kvm\n");
	else
		ktap_check(beyond_without, "the pages do not matter here: nothing was shown");
}

static void *keep_running(void *data)
{
	struct vm *vm = data;

	/* Runs on after each exit, until the test says to end. */
	while (!__atomic_load_n(&vm->memory[0], __ATOMIC_RELAXED))
		ioctl(vm->vcpus[0], KVM_RUN, NULL);
	return NULL;
}

#define check_err(call, expected) \
	do { \
		int err_ = (call); \
		ktap_check(err_ == -(expected), "%d, expected %d: %s", err_, -(expected), \
			   kch_last_message(handle)); \
	} while (0)

static void test_members(void)
{
	/* jmp: without an exit */
	static const uint8_t loop[] = { 0xeb, 0xfe };
	struct vm a, b, running, mixed;
	uint64_t offset;
	uint8_t buffer[BUFFER_SIZE], two[BUFFER_SIZE];
	size_t size, two_size;
	pthread_t thread;

	create(&a);
	create(&b);
	create(&running);
	memcpy(running.memory + CODE, loop, sizeof(loop));
	must(!pthread_create(&thread, NULL, keep_running, &running));
	run(&a);
	/* KVM took another reference when vCPU 1 ran. */
	run(&a);
	offset = offset_of(&b, 1);
	check_err(save_some(&a, 2, two, &two_size), 0);
	check_err(save_some(&a, 1, buffer, &size), EMLINK);
	mixed = a;
	mixed.vcpus[1] = b.vcpus[1];
	check_err(save_some(&mixed, 2, buffer, &size), EXDEV);
	mixed = a;
	mixed.vcpus[0] = b.vcpus[0];
	check_err(save_some(&mixed, 2, buffer, &size), EXDEV);
	mixed.vcpus[1] = b.vcpus[1];
	check_err(save_some(&mixed, 2, buffer, &size), EXDEV);

	mixed = b;
	mixed.vcpus[1] = running.vcpus[1];
	check_err(restore_some(&mixed, 2, two, two_size, NULL), EXDEV);
	mixed = b;
	mixed.fd = a.fd;
	check_err(restore_some(&mixed, 2, two, two_size, NULL), EXDEV);
	ktap_check(offset_of(&b, 1) == offset, "a refused restore wrote an offset");
	check_err(restore_some(&b, 2, two, two_size, NULL), 0);
	/* What was saved of one vCPU, when the other was not open. */
	close(a.vcpus[1]);
	check_err(save_some(&a, 1, buffer, &size), 0);
	check_err(restore_some(&b, 1, buffer, size, NULL), EMLINK);
	a.vcpus[1] = dup(a.vcpus[0]);
	check_err(save_some(&a, 1, buffer, &size), 0);

	running.memory[0] = 1;
	/* Makes it exit. */
	memcpy(running.memory + CODE, "\xe6\x10", 2);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	destroy(&a);
	destroy(&b);
	destroy(&running);
}

static unsigned int signals;

static void on_alarm(int signal)
{
	(void)signal;
	signals++;
}

static void set_timer(unsigned int us)
{
	struct itimerval timer = { .it_interval.tv_usec = us, .it_value.tv_usec = us };

	must(!setitimer(ITIMER_REAL, &timer, NULL));
}

/* KVM_CREATE_VM walks every mapping, which takes longer than the timer's period. */
static void test_signals(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct vm old, new;
	uint8_t buffer[BUFFER_SIZE];
	size_t size;
	unsigned int tries, made = 0, i;
	void *at;

	create(&old);
	create(&new);
	run(&old);
	for (i = 0; i < MAPPINGS; i++) {
		at = mmap(NULL, 4096, PROT_READ | (i % 2 ? PROT_WRITE : 0),
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(at != MAP_FAILED);
		if (i % 2)
			*(volatile uint8_t *)at = 1;
	}
	sigaction(SIGALRM, &action, NULL);
	set_timer(TIMER_US);
	/* The control: a plain ioctl() does not make one. */
	for (tries = 0; tries < 20; tries++) {
		int fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);

		made += fd >= 0;
		if (fd >= 0)
			close(fd);
	}
	signals = 0;
	check_err(save_some(&old, VCPUS, buffer, &size), 0);
	check_err(restore_some(&new, VCPUS, buffer, size, NULL), 0);
	set_timer(0);
	printf("# %u of %u VMs made under the timer; %u signals meanwhile\n", made,
	       tries, signals);
	ktap_check(signals, "no signal came");
	destroy(&old);
	destroy(&new);
}

/* A guest that waits for its TSC to be @deadline; its interrupts are off. */
static void arm(const struct vm *vm, unsigned int i, uint64_t deadline)
{
	static union {
		struct kvm_cpuid2 head;
		char room[sizeof(struct kvm_cpuid2) +
			  CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
	} cpuid;
	const uint32_t enabled = APIC_ENABLED, timer = APIC_TSC_DEADLINE | VECTOR;
	struct kvm_lapic_state apic;
	uint32_t n;

	cpuid.head.nent = CPUID_ENTRIES;
	must(!ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid));
	/* Which KVM leaves out, as it needs an APIC of KVM's own. */
	for (n = 0; n < cpuid.head.nent; n++)
		if (cpuid.head.entries[n].function == 1)
			cpuid.head.entries[n].ecx |= CPUID_TSC_DEADLINE;
	must(!ioctl(vm->vcpus[i], KVM_SET_CPUID2, &cpuid));
	must(!ioctl(vm->vcpus[i], KVM_GET_LAPIC, &apic));
	memcpy(apic.regs + APIC_SPURIOUS, &enabled, sizeof(enabled));
	memcpy(apic.regs + APIC_TIMER, &timer, sizeof(timer));
	must(!ioctl(vm->vcpus[i], KVM_SET_LAPIC, &apic));
	set_msr(vm, i, MSR_IA32_TSC_DEADLINE, deadline);
}

static bool has_fired(struct vm *vm, unsigned int i)
{
	struct kvm_lapic_state apic;
	uint32_t irr;

	run(vm);
	must(!ioctl(vm->vcpus[i], KVM_GET_LAPIC, &apic));
	memcpy(&irr, apic.regs + APIC_IRR + VECTOR / 32 * 16, sizeof(irr));
	return irr & 1U << VECTOR % 32;
}

/* By a new VM's TSC, which begins at 0, what is due is due after the host's uptime. */
static void test_deadline(void)
{
	struct vm old, new;
	uint8_t buffer[BUFFER_SIZE];
	unsigned int i;
	size_t size;

	apics = true;
	create(&old);
	create(&new);
	for (i = 0; i < VCPUS; i++)
		set_offset(&old, i, 0);
	run(&old);
	check_err(save_some(&old, VCPUS, buffer, &size), 0);
	arm(&new, 1, __rdtsc());
	ktap_check(!has_fired(&new, 1), "it is due already");
	check_err(restore_some(&new, VCPUS, buffer, size, NULL), 0);
	ktap_check(has_fired(&new, 1), "it goes by the TSC that the vCPU had");
	destroy(&old);
	destroy(&new);
	apics = false;
}

static void on_kick(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "promise", test_promise },
		{ "members", test_members },
		{ "deadline", test_deadline },
		{ "signals", test_signals },
	};
	struct sigaction kick = { .sa_handler = on_kick };
	int vm;

	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm = kvm_fd < 0 ? -1 : ioctl(kvm_fd, KVM_CREATE_VM, 0);
	must(vm >= 0);
	run_size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	must(run_size > 0);
	host_khz = (uint32_t)ioctl(vm, KVM_GET_TSC_KHZ, 0);
	close(vm);
	handle = kch_open_stock();
	must(handle);
	sigaction(SIGUSR1, &kick, NULL);
	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
