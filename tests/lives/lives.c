// SPDX-License-Identifier: GPL-2.0
/*
 * Random lives of a host, played over the code that keeps the record.
 *
 * The model has a machine with a region, guests whose last clock it knows, and kernels
 * that follow one another: with the module, without it, after a crash, after a reset.
 * VMs are preserved, restored exactly, restored by other means, reset and shut down;
 * seals are cut at any store, with stores lost and reordered by cache line.  After each
 * restore it asks: was this the clock that the guest had last?  One that was not is
 * stale, and a failure.  What is between the model and KVM is here, all else is the
 * module's own code.
 *
 * Then the same with one of the protections taken away, each in turn: now stale clocks
 * must be found.
 *
 *   lives [-v] [-s SEED [-w WITHOUT]] [STEPS]
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include "shim.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/machine.h"
#include "host/host.h"
#include "kvm/kvm.h"
#include "preserve/outgoing.h"
#include "restore/incoming.h"
#include "watch/watch.h"

#define LINE		64U		/* bytes of a cache line */
#define REGION_SIZE	8192U
#define GUESTS		3
#define VMS		16
#define VCPUS_MAX	2
#define KHZ		1000000U	/* a cycle is a ns */

u32 tsc_khz = KHZ;

/* ---- chance ---- */

static u64 chance_state;

static u32 chance(u32 below)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (u32)((chance_state >> 11) % below);
}

static bool one_in(u32 n)
{
	return !chance(n);
}

/* ---- the machine ---- */

/* A guest: @clock names the function it has, or had when it ran last. */
struct guest {
	u8 uuid[KCH_UUID_SIZE];
	u64 clock;
	bool exists;
	bool saved;		/* by its VMM, and not back yet */
	struct kvm *vm;
};

struct kvm {
	struct file file;
	struct guest *guest;
	u64 clock;
	pid_t pid;
	bool alive;
	bool looked;		/* it has gone, and the last look is over */
	u32 vcpus;
};

struct kch_watch {
	struct kvm *vm;
	pid_t pid;		/* of the VM: another one may have taken its place */
};

static u8 memory[REGION_SIZE];		/* the region's */
static u8 came[REGION_SIZE];		/* KHO: what came is in other memory */
static u8 settled[REGION_SIZE];		/* as of the last barrier */
static struct guest guests[GUESTS];
static struct kvm vms[VMS];
static u64 now_tsc;
static u64 wall_ns;			/* when the TSC was 0 */
static u64 clocks;			/* handed out so far */
static u64 boot, started_tsc;
static u64 outdated;			/* the record whose successor began to be sealed */
static pid_t pids;
static bool kho, kho_came;
static bool module_here;
static volatile bool sealing;		/* VMMs have saved their guests */
static int cut_at;			/* barriers until the machine stops; -1 never */
static jmp_buf stopped;

static struct kch_region region;
static struct kch_incoming incoming;
static struct kch_outgoing outgoing;

/* What a life does without. */
enum without {
	NOTHING,
	USED,			/* the mark of a clock that was given back */
	SUPERSEDED,		/* the mark of a record whose successor is being sealed */
	GAP,			/* the look at the time since the seal */
	REPLACED,		/* being told of a guest that is back by other means */
	KINDS
};

static const char *const names[KINDS] = { "nothing", "used", "superseded", "gap", "replaced" };
static enum without without;

static bool verbose;
static u64 steps, restores, stale, refused, cuts, kexecs, sealed;

void kch_log(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

#define say(...) kch_log(__VA_ARGS__)

void *kch_alloc(size_t size)
{
	/* The reboot path has to do without. */
	if (sealing) {
		puts("# memory was asked for in a seal");
		exit(1);
	}
	return calloc(1, size ?: 1);
}

u64 rdtsc_ordered(void)
{
	return now_tsc;
}

/* Stores between two barriers reach memory in any order, or not at all. */
void kch_barrier(void)
{
	size_t line;

	if (cut_at > 0 && !--cut_at) {
		for (line = 0; line < REGION_SIZE; line += LINE)
			if (one_in(2))
				memcpy(memory + line, settled + line, LINE);
		cuts++;
		longjmp(stopped, 1);
	}
	memcpy(settled, memory, REGION_SIZE);
}

/* ---- what the code asks of the kernel and of KVM ---- */

void kch_host_instant(struct kch_instant *now)
{
	memset(now, 0, sizeof(*now));
	now->host_tsc = now_tsc;
	now->realtime_ns = wall_ns + now_tsc;
	now->kvm_ns = now_tsc;
}

void kch_host_boot_id(u8 id[16])
{
	memset(id, 0, 16);
	memcpy(id, &boot, sizeof(boot));
}

void kch_host_describe(struct kch_rec_header *header, u32 kvm_khz)
{
	header->tsc_khz = cpu_to_le32(KHZ);
	header->kvm_tsc_khz = cpu_to_le32(kvm_khz);
	header->host_tsc = cpu_to_le64(now_tsc);
	header->realtime_ns = cpu_to_le64(wall_ns + now_tsc);
	kch_host_boot_id(header->boot_id);
}

int kch_host_same_machine(const struct kch_rec_header *header, bool any_wall,
			  struct kch_outcome *outcome, struct kch_message *message)
{
	const struct kch_machine now = {
		.host_tsc = now_tsc,
		.realtime_ns = wall_ns + now_tsc,
	};

	return kch_machine_same(header, &now, any_wall, outcome, message);
}

u64 kch_host_started_tsc(void)
{
	return started_tsc;
}

int kch_host_tsc_settled(struct kch_message *message)
{
	return 0;
}

void kch_region_hold(const struct kch_region *r, bool needed)
{
}

void kch_region_finish_incoming(struct kch_region *r)
{
	r->incoming = NULL;
	r->incoming_size = 0;
	kho_came = false;
}

struct kvm *kch_kvm_of(const struct file *vm_file)
{
	return container_of(vm_file, struct kvm, file);
}

pid_t kch_kvm_pid(const struct kvm *kvm)
{
	return kvm->pid;
}

/* A clock's number is in every number that makes the function. */
int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
		    struct kch_message *message)
{
	struct kch_rec_vcpu *vcpu;
	u32 i;

	memset(to, 0, kch_rec_entry_size(kvm->vcpus));
	to->vcpu_count = cpu_to_le32(kvm->vcpus);
	to->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	to->master_cycle_now = cpu_to_le64(kvm->clock);
	to->master_kernel_ns = cpu_to_le64(kvm->clock);
	to->kvmclock_offset = cpu_to_le64(kvm->clock);
	to->host_tsc = cpu_to_le64(now_tsc);
	to->tsc_scaling_frac_bits = 32;
	to->pid = cpu_to_le32(kvm->pid);
	vcpu = (struct kch_rec_vcpu *)(to + 1);
	for (i = 0; i < kvm->vcpus; i++, vcpu++) {
		vcpu->vcpu_id = cpu_to_le32(i);
		vcpu->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
		vcpu->tsc_offset = cpu_to_le64(kvm->clock);
		vcpu->tsc_scaling_ratio = cpu_to_le64(1ULL << 32);
		vcpu->virtual_tsc_khz = cpu_to_le32(KHZ);
		vcpu->hw_tsc_khz = cpu_to_le32(KHZ);
		vcpu->tsc_to_system_mul = cpu_to_le32(0x80000000);
		vcpu->tsc_shift = 1;
	}
	return 0;
}

int kch_kvm_read_exact_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
			  struct kch_message *message)
{
	return kch_kvm_read_to(kvm, frac_bits, to, vcpus, message);
}

u32 kch_kvm_vcpus_max(void)
{
	return VCPUS_MAX;
}

int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message)
{
	*entry = kch_alloc(kch_rec_entry_size(kvm->vcpus));
	return kch_kvm_read_to(kvm, frac_bits, *entry, kvm->vcpus, message);
}

struct kch_watch *kch_watch_start(struct file *vm_file)
{
	struct kch_watch *watch = kch_alloc(sizeof(*watch));

	watch->vm = kch_kvm_of(vm_file);
	watch->pid = watch->vm->pid;
	return watch;
}

void kch_watch_stop(struct kch_watch *watch)
{
	free(watch);
}

void kch_watch_call(struct kch_watch *watch, const struct kch_rec_vm *entry)
{
}

/* NULL once it was let go. */
static struct kvm *watched(const struct kch_watch *watch)
{
	if (!watch || watch->vm->pid != watch->pid || watch->vm->looked)
		return NULL;
	return watch->vm;
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm && vm->alive ? get_file(&vm->file) : NULL;
}

struct file *kch_watch_get_last(struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm ? get_file(&vm->file) : NULL;
}

bool kch_watch_gone(const struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm && !vm->alive;
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file)
{
	struct kvm *vm = watched(watch);

	return vm && vm->alive && &vm->file == vm_file;
}

struct file *kch_watch_next_vm(pid_t pid, unsigned int *fd)
{
	for (; *fd < VMS; (*fd)++)
		if (vms[*fd].alive && vms[*fd].pid == pid)
			return get_file(&vms[(*fd)++].file);
	return NULL;
}

/* ---- what happens ---- */

static struct kch_message why;

static struct kvm *make_vm(struct guest *guest)
{
	struct kvm *vm = vms;

	while (vm < vms + VMS && (vm->alive || !vm->looked))
		vm++;
	if (vm == vms + VMS)
		return NULL;
	memset(vm, 0, sizeof(*vm));
	vm->alive = true;
	vm->vcpus = 1 + chance(VCPUS_MAX);
	vm->pid = pids++;
	vm->guest = guest;
	vm->clock = guest->clock;
	guest->vm = vm;
	guest->saved = false;
	return vm;
}

static void another_clock(struct guest *guest)
{
	guest->clock = ++clocks;
	say("  guest %td has clock %llu\n", guest - guests, (unsigned long long)guest->clock);
	if (guest->vm)
		guest->vm->clock = guest->clock;
}

static void begin_module(void)
{
	struct kch_slots_found found;

	memset(&region, 0, sizeof(region));
	region.backend = kho ? KCH_BACKEND_KHO : KCH_BACKEND_RANGE;
	region.size = REGION_SIZE;
	region.memory = memory;
	region.incoming = !kho ? memory : kho_came ? came : NULL;
	region.incoming_size = region.incoming ? REGION_SIZE : 0;
	memcpy(settled, memory, REGION_SIZE);
	if (kch_incoming_init(&incoming, &region, &found) ||
	    kch_outgoing_init(&outgoing, &region, &found, incoming.vcpus_max))
		abort();
	if (outgoing.count)
		kch_outgoing_find_again(&outgoing, true);
	module_here = true;
}

static void last_look(void)
{
	struct kvm *vm;

	if (module_here)
		kch_outgoing_last_look(&outgoing, KHZ);
	for (vm = vms; vm < vms + VMS; vm++)
		vm->looked = !vm->alive;
}

static void end_module(bool orderly)
{
	if (!module_here)
		return;
	if (orderly)
		last_look();
	kch_incoming_exit(&incoming);
	kch_outgoing_exit(&outgoing);
	module_here = false;
}

/* As the reboot notifier does it. */
static void seal(void)
{
	if (!outgoing.count && !incoming.restored &&
	    !(incoming.count && !kch_region_shared(&region)))
		return;
	if (without != SUPERSEDED)
		kch_slots_seal_begins(&outgoing.slots);
	outdated = incoming.error || kho ? 0 : incoming.record.sequence;
	kch_outgoing_seal_begin(&outgoing);
	kch_incoming_carry_over(&incoming, &outgoing);
	if (!kch_outgoing_seal(&outgoing, KHZ))
		kch_slots_supersede(&outgoing.slots);
	sealed++;
}

static void preserve(struct guest *guest)
{
	struct kch_rec_vm *entry;

	if (!guest->vm || !module_here)
		return;
	kch_kvm_read_exact(guest->vm, 32, &entry, &why);
	memcpy(entry->uuid, guest->uuid, sizeof(entry->uuid));
	if (kch_outgoing_add(&outgoing, &region, entry, &guest->vm->file, KHZ, &why))
		free(entry);
	else
		say("  guest %td is preserved with clock %llu\n", guest - guests,
		    (unsigned long long)guest->clock);
}

static int use(const struct guest *guest)
{
	return without == USED ? 0 :
	       kch_incoming_use(&incoming, guest->uuid, true, &why);
}

/* Everything of a restore but the writing of the clock. */
static bool restore_exactly(struct guest *guest)
{
	struct kch_rec_vm *saved = NULL;
	struct kch_outcome outcome = { };
	struct kch_incoming_vm *in;
	struct file *live;
	struct kvm *vm;
	int err;

	err = kch_incoming_find(&incoming, guest->uuid, &in, &why) ?:
	      kch_incoming_usable(&incoming, 0, &outcome, &why);
	if (!err) {
		live = kch_watch_get(in->watch);
		if (live) {
			fput(live);
			err = -EALREADY;
		}
	}
	err = err ?: kch_incoming_saved(&in->vm, 0, &saved, &why) ?:
	      use(guest);
	if (err) {
		refused++;
		say("  restore of guest %td refused (%d): %s\n", guest - guests, err,
		    why.text);
		free(saved);
		return false;
	}
	restores++;
	if (outdated && incoming.record.sequence == outdated) {
		stale++;
		say("  STALE: record %llu is out of date\n", (unsigned long long)outdated);
	}
	if (le64_to_cpu(saved->kvmclock_offset) != guest->clock) {
		stale++;
		say("  STALE: guest %td had clock %llu last, and was given %llu\n",
		    guest - guests, (unsigned long long)guest->clock,
		    (unsigned long long)le64_to_cpu(saved->kvmclock_offset));
		guest->clock = le64_to_cpu(saved->kvmclock_offset);
	}
	say("  guest %td is restored with clock %llu\n", guest - guests,
	    (unsigned long long)guest->clock);
	free(saved);
	vm = make_vm(guest);
	if (!vm)
		return false;
	kch_incoming_outcome(&incoming, guest->uuid, &vm->file, 0);
	return true;
}

static void come_back(struct guest *guest)
{
	/* Its VMM, or a kernel without the module, gives it a clock of its own. */
	if (!module_here || one_in(8) || !restore_exactly(guest)) {
		if (!guest->saved || !make_vm(guest))
			return;
		/* The library says so, if a record has it. */
		if (module_here && without != REPLACED) {
			use(guest);
			kch_outgoing_replaced(&outgoing, guest->uuid, KHZ);
		}
		another_clock(guest);
		say("  guest %td is back with a clock of its own, %llu\n", guest - guests,
		    (unsigned long long)guest->clock);
	}
}

static void close_vm(struct kvm *vm)
{
	vm->alive = false;
	if (vm->guest) {
		vm->guest->vm = NULL;
		vm->guest = NULL;
	}
	/* Within a second; maybe the kexec is earlier. */
	if (!one_in(4))
		last_look();
}

static void step(void)
{
	struct guest *guest = &guests[chance(GUESTS)];

	steps++;
	last_look();
	now_tsc += 1000000ULL * (1 + chance(1000));
	switch (chance(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (guest->saved) {
			come_back(guest);
		} else if (!guest->exists) {
			/* Another guest has another id. */
			guest->exists = true;
			guest->uuid[1]++;
			guest->clock = ++clocks;
			make_vm(guest);
		}
		break;
	case 4:
	case 5:
	case 6:
		preserve(guest);
		break;
	case 7:		/* KVM_SET_CLOCK, a reset */
		if (guest->vm)
			another_clock(guest);
		break;
	case 8:		/* shut down, or saved to disc by its VMM */
		if (!guest->vm)
			break;
		close_vm(guest->vm);
		guest->saved = one_in(2);
		guest->exists = guest->saved;
		break;
	case 9:		/* the module is loaded anew */
		if (!module_here)
			break;
		end_module(true);
		if (one_in(2) && guest->vm)
			another_clock(guest);
		begin_module();
		say("  module loaded anew\n");
		break;
	case 10:
		if (module_here &&
		    !kch_incoming_finish(&incoming, &outgoing.slots, &region, one_in(4), &why))
			say("  finished\n");
		break;
	case 11:	/* a restored VM dies, and its VMM comes back for its clock */
		if (!guest->vm || !module_here)
			break;
		another_clock(guest);
		close_vm(guest->vm);
		guest->saved = true;
		break;
	}
}

/* What the kernel's end leaves of VMs: those whose VMM saved them come back. */
static void end_vms(bool can_save)
{
	struct guest *guest;

	for (guest = guests; guest < guests + GUESTS; guest++) {
		if (!guest->vm)
			continue;
		guest->vm = NULL;
		guest->saved = can_save;
		guest->exists = can_save;
		/* From a file of before, with a clock of its own. */
		if (!can_save && one_in(2)) {
			guest->saved = true;
			guest->exists = true;
			guest->clock = ++clocks;
		}
	}
	memset(vms, 0, sizeof(vms));
	for (struct kvm *vm = vms; vm < vms + VMS; vm++)
		vm->looked = true;
}

/* Memory that has not kept some lines of a seal: they are as they were before. */
static void lose_lines(const u8 *before)
{
	size_t line = chance(REGION_SIZE / LINE), count = 1 + chance(8);

	for (; count-- && line < REGION_SIZE / LINE; line++)
		memcpy(memory + line * LINE, before + line * LINE, LINE);
	say("  lines are lost\n");
}

enum end { ORDERLY, CRASH, COLD };

/* The kernel's life, from its start to its end. */
static void live_kernel(const volatile bool with_module)
{
	volatile enum end end = one_in(6) ? CRASH : one_in(20) ? COLD : ORDERLY;
	u32 left = 1 + chance(16);
	static u8 before[REGION_SIZE];

	sealing = false;
	kch_kexec_seconds_max = without == GAP ? UINT_MAX : 60;
	boot = ++clocks;
	started_tsc = now_tsc;
	kexecs++;
	say("kernel %llu %s the module\n", (unsigned long long)boot,
	    with_module ? "with" : "without");
	cut_at = -1;
	if (setjmp(stopped)) {
		say("  stopped in the middle of a store\n");
		end = one_in(2) ? CRASH : COLD;
		goto ended;
	}
	if (with_module)
		begin_module();
	while (left--)
		step();
	if (end == CRASH && one_in(2) && module_here) {
		/* Anywhere in what follows. */
		cut_at = 1 + (int)chance(12);
		while (one_in(2))
			step();
	}
	/* What is shorter than the gap allowed is not told from a kexec. */
	if (!with_module)
		now_tsc += 61 * NSEC_PER_SEC;
	if (module_here && end == ORDERLY) {
		if (one_in(8))
			cut_at = 1 + (int)chance(6 + GUESTS);
		sealing = true;
		memcpy(before, memory, REGION_SIZE);
		seal();
		if (one_in(20))
			lose_lines(before);
	}
ended:
	cut_at = -1;
	/* Without the freeing of what a kernel that stopped has left. */
	if (module_here)
		end_module(false);
	say("  %s\n", end == ORDERLY ? "kexec" : end == CRASH ? "crash" : "cold reset");
	end_vms(end == ORDERLY || sealing);
	kho_came = kho && with_module && end == ORDERLY;
	if (kho) {
		memcpy(came, memory, REGION_SIZE);
		memset(memory, 0, REGION_SIZE);
	}
	now_tsc += 1000000000ULL * (1 + chance(10));
	if (end == COLD) {
		wall_ns += now_tsc + 100000000000ULL;
		now_tsc = 1000000000ULL;
	}
}

static void live(u64 seed)
{
	u32 kernels, i;

	chance_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (i = 0; i < 4; i++)
		chance(2);
	say("life %llu\n", (unsigned long long)seed);
	clocks = 0;
	outdated = 0;
	pids = 100;
	memset(memory, 0, sizeof(memory));
	memset(guests, 0, sizeof(guests));
	for (i = 0; i < GUESTS; i++)
		guests[i].uuid[0] = (u8)(i + 1);
	end_vms(false);
	kho = one_in(4);
	kho_came = false;
	now_tsc = 1000000000ULL;
	kernels = 2 + chance(8);
	for (i = 0; i < kernels; i++)
		live_kernel(!one_in(6));
}

/* As many lives as make @wanted steps; false: a clock was stale, or nothing happened. */
static bool play(u64 wanted)
{
	u64 seed, before;
	int shown = 0;

	steps = 0;
	kexecs = 0;
	sealed = 0;
	cuts = 0;
	restores = 0;
	refused = 0;
	stale = 0;
	for (seed = 1; steps < wanted; seed++) {
		before = stale;
		live(seed);
		if (without == NOTHING && stale != before && shown++ < 5)
			printf("# life %llu gave a stale clock: lives -v -s %llu\n",
			       (unsigned long long)seed, (unsigned long long)seed);
	}
	printf("# without %s: %llu steps, %llu kernels, %llu seals, %llu stopped in a store, %llu restores, %llu refused, %llu stale\n",
	       names[without], (unsigned long long)steps, (unsigned long long)kexecs,
	       (unsigned long long)sealed, (unsigned long long)cuts,
	       (unsigned long long)restores, (unsigned long long)refused,
	       (unsigned long long)stale);
	return restores && cuts && !stale;
}

int main(int argc, char **argv)
{
	u64 seed = 0, wanted = 5000000;
	int option, failed = 0;
	unsigned int i;

	while ((option = getopt(argc, argv, "vs:w:")) != -1) {
		switch (option) {
		case 'v':
			verbose = true;
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			for (i = 0; i < KINDS; i++)
				if (!strcmp(names[i], optarg))
					without = i;
			break;
		default:
			return 2;
		}
	}
	if (optind < argc)
		wanted = strtoull(argv[optind], NULL, 0);
	if (seed) {
		live(seed);
		return stale != 0;
	}
	printf("KTAP version 1\n1..%d\n", KINDS);
	for (i = 0; i < KINDS; i++) {
		bool good;

		without = i;
		good = play(i ? wanted / 10 : wanted);
		if (i)
			good = stale;
		failed += !good;
		printf("%sok %u %s%s\n", good ? "" : "not ", i + 1,
		       i ? "stale clocks are seen without: " : "no stale clock", i ? names[i] : "");
	}
	printf("# %d passed, %d failed, 0 skipped\n", KINDS - failed, failed);
	return failed != 0;
}
