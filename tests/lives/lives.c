// SPDX-License-Identifier: GPL-2.0
/*
 * Random lives of a host, played over the code that keeps the record.
 *
 * The model has a machine with a region, guests whose last clock it knows, and kernels
 * that follow one another: with the module, without it, after a crash, after a reset.
 * VMs are preserved, restored exactly, restored by other means, reset and shut down;
 * seals are cut at any store, with stores lost and reordered by cache line.  After each
 * restore it asks: was this the clock that the guest had last?  One that was not is
 * stale, and a failure; and so it is if none was given, or none that was carried on, or
 * if the kernel after a seal may not restore as many as it was given.
 * What is between the model and KVM is here, all else is the module's own code.  The
 * region may be of another size, or elsewhere, in some of the kernels.
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

#include "model.h"
#include "kvm/common.h"
#include "preserve/outgoing.h"
#include "restore/incoming.h"
#include "watch/watch.h"

#define LINE		64U		/* bytes of a cache line */
#define REGION_SIZE	8192U
#define GUESTS		3

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

/* The region is all of it, its first half, or its second. */
static u8 memory[REGION_SIZE];
static u8 came[REGION_SIZE];		/* KHO: what came is in other memory */
static u8 settled[REGION_SIZE];		/* as of the last barrier */
static enum place { ALL, FIRST, SECOND } place;
static bool damaged;			/* some lines of the last seal were lost */
static struct guest guests[GUESTS];
static u64 clocks;			/* handed out so far */
static u64 outdated;			/* the record whose successor began to be sealed */
static u64 unread;			/* whose record was sealed last, and not seen since */
static u32 due;				/* VMs that the next kernel is to get from this one */
static pid_t pids;
static bool kho;
static bool module_here;
static int cut_at;			/* barriers until the machine stops; -1 never */
static u32 barriers;			/* since the seal began */
static bool gone_unread;		/* and VMs were lost sight of before */
static bool pinned, holding;		/* then: not all of what came was restored; one was held */
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
	ORDER,			/* the order in which stores reach memory */
	OWNER,			/* whose mark it is: another try that fails takes it away */
	KINDS
};

static const char *const names[KINDS] = { "nothing", "used", "superseded", "gap", "replaced",
					  "order", "owner" };
static enum without without;

static bool verbose;
static u64 steps, restores, retries, carried, stale, lost, refused, cuts, kexecs, sealed, held;

/*
 * Seals cut short while not all of what came was restored: by the slot of that, and the
 * barrier at which the machine stopped.  These are: the mark of what came, one for each
 * entry, the slot's marker taken back, the header, the marker, and what came taken back.
 */
#define SEAL_BARRIERS	(5 + GUESTS)
static u64 seals_cut[2][SEAL_BARRIERS], seals_cut_holding;

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

/* Stores between two barriers reach memory in any order, or not at all. */
void kch_barrier(void)
{
	size_t line;

	if (sealing && barriers < SEAL_BARRIERS)
		barriers++;
	if (cut_at > 0 && !--cut_at) {
		if (sealing && pinned) {
			seals_cut[outgoing.slots.came][barriers - 1]++;
			seals_cut_holding += holding;
		}
		for (line = 0; line < REGION_SIZE; line += LINE)
			if (one_in(2))
				memcpy(memory + line, settled + line, LINE);
		cuts++;
		longjmp(stopped, 1);
	}
	if (without != ORDER)
		memcpy(settled, memory, REGION_SIZE);
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
	guest->boot = boot;
	guest->saved = false;
	guest->held = false;
	return vm;
}

static void another_clock(struct guest *guest)
{
	guest->clock = ++clocks;
	say("  guest %td has clock %llu\n", guest - guests, (unsigned long long)guest->clock);
	if (guest->vm)
		guest->vm->clock = guest->clock;
}

/* VMs of the record that came which may be restored here, and were not. */
static u32 to_restore(void)
{
	struct kch_outcome unused;

	if (incoming.error || kch_incoming_usable(&incoming, 0, &unused, &why))
		return 0;
	return incoming.count - incoming.restored;
}

static void begin_module(bool finds_again)
{
	struct kch_slots_found found;

	memset(&region, 0, sizeof(region));
	region.backend = kho ? KCH_BACKEND_KHO : KCH_BACKEND_RANGE;
	region.size = place == ALL ? REGION_SIZE : REGION_SIZE / 2;
	region.memory = memory + (place == SECOND ? REGION_SIZE / 2 : 0);
	region.incoming = !kho ? region.memory : kho_came ? came : NULL;
	region.incoming_size = region.incoming ? region.size : 0;
	memcpy(settled, memory, REGION_SIZE);
	if (kch_incoming_init(&incoming, &region, &found) ||
	    kch_outgoing_init(&outgoing, &region, &found, incoming.vcpus_max))
		abort();
	if (outgoing.count && finds_again)
		kch_outgoing_find_again(&outgoing, true);
	/* What was held at the seal is to be given. */
	if (unread && incoming.restored &&
	    !memcmp(incoming.record.header.boot_id, &unread, sizeof(unread))) {
		stale++;
		say("  SPENT: %u VMs came as if they had been restored\n", incoming.restored);
	}
	unread = 0;
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

/* A mark that was there before is not ours to take away. */
static int use(struct guest *guest, bool used)
{
	int err = without == USED ? 0 : kch_incoming_use(&incoming, guest->uuid, used, &why);

	guest->marked = !err || without == OWNER;
	return err < 0 ? err : 0;
}

/* The VMM has not resumed it, and gave up. */
static void end_hold(struct guest *guest)
{
	if (!guest->held)
		return;
	guest->held = false;
	if (guest->marked)
		use(guest, false);
	kch_incoming_outcome(&incoming, guest->uuid, NULL, -ETIMEDOUT, 0);
	say("  the hold of guest %td ended\n", guest - guests);
}

static void end_holds(void)
{
	struct guest *guest;

	for (guest = guests; guest < guests + GUESTS; guest++)
		end_hold(guest);
}

static bool any_held(void)
{
	return guests[0].held || guests[1].held || guests[2].held;
}

/* As the reboot notifier does it. */
static void seal(void)
{
	struct kvm *vm;
	u32 going_on;

	holding = any_held();
	/* VMs that have gone are let go, but it is too late to look at them. */
	for (vm = vms; vm < vms + VMS && gone_unread; vm++)
		vm->looked = !vm->alive;
	/* One that does not come to its end is waited for in vain. */
	if (!one_in(4))
		end_holds();
	/* Of a VM that is in both records the old entry is not wanted. */
	going_on = max(to_restore(), outgoing.count);
	if (!outgoing.count && !kch_incoming_is_sealed_again(&incoming, &region)) {
		due = going_on;
		return;
	}
	barriers = 0;
	pinned = !incoming.error && !kho && incoming.count > incoming.restored;
	if (without != SUPERSEDED)
		kch_slots_seal_begins(&outgoing.slots);
	outdated = incoming.error || kho ? 0 : incoming.record.sequence;
	kch_outgoing_seal_begin(&outgoing);
	kch_incoming_carry_over(&incoming, &outgoing);
	if (!kch_outgoing_seal(&outgoing, KHZ)) {
		unread = boot;
		kch_slots_supersede(&outgoing.slots);
	}
	due = going_on;
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

/* It has its clock, and its guest runs on. */
static bool is_resumed(struct guest *guest)
{
	struct kvm *vm = make_vm(guest);

	if (!vm)
		return false;
	guest->clock = guest->given;
	vm->clock = guest->given;
	kch_incoming_outcome(&incoming, guest->uuid, &vm->file, 0, 0);
	return true;
}

/* What an earlier VM of its had is out of date. */
static void replaced(const struct guest *guest)
{
	if (without != REPLACED)
		kch_outgoing_replaced(&outgoing, guest->uuid, KHZ);
}

/* Everything of a restore but the writing of the clock.  With @flags it may be a stale one. */
static bool restore_exactly(struct guest *guest, u32 flags)
{
	struct kch_rec_vm *saved = NULL;
	struct kch_outcome outcome = { };
	struct kch_incoming_vm *in;
	struct file *live;
	u64 from;
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
	err = err ?: kch_incoming_saved(&in->vm, flags, &saved, &why) ?:
	      use(guest, true);
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
	guest->given = le64_to_cpu(saved->kvmclock_offset);
	retries += !guest->marked;
	/* By a kernel that had the record, but not the guest. */
	memcpy(&from, incoming.record.header.boot_id, sizeof(from));
	carried += from > guest->boot;
	if (guest->given != guest->clock && !flags) {
		stale++;
		say("  STALE: guest %td had clock %llu last, and was given %llu\n",
		    guest - guests, (unsigned long long)guest->clock,
		    (unsigned long long)guest->given);
	}
	say("  guest %td is restored with clock %llu\n", guest - guests,
	    (unsigned long long)guest->given);
	free(saved);
	replaced(guest);
	if (flags || one_in(3)) {
		guest->held = true;
		held++;
		say("  guest %td is held\n", guest - guests);
		return true;
	}
	return is_resumed(guest);
}

static void come_back(struct guest *guest)
{
	struct kvm *vm;

	if (guest->held) {
		if (one_in(2)) {
			is_resumed(guest);
			return;
		}
		/* Its VMM tries once more. */
		end_hold(guest);
	}
	/* Its VMM, or a kernel without the module, gives it a clock of its own. */
	if (!module_here || one_in(8) ||
	    !restore_exactly(guest, one_in(4) ? KCH_RESTORE_STALE : 0)) {
		if (!guest->saved)
			return;
		/* The library says so, if a record has it, before the guest can run. */
		if (module_here && without != REPLACED) {
			use(guest, true);
			replaced(guest);
		}
		vm = make_vm(guest);
		if (!vm)
			return;
		if (module_here && without != REPLACED)
			kch_incoming_outcome(&incoming, guest->uuid, &vm->file, 0, 0);
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
		/* What is preserved with KHO holds the module. */
		if (!module_here || any_held() || (kho && outgoing.count))
			break;
		end_module(true);
		if (one_in(2) && guest->vm)
			another_clock(guest);
		begin_module(true);
		say("  module loaded anew\n");
		break;
	case 10:
		if (module_here && !any_held() &&
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
		guest->held = false;
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
	damaged = true;
	/* A lost 0 may leave the mark of an earlier record: refused, which is safe. */
	unread = 0;
	due = 0;
	say("  lines are lost\n");
}

enum end { ORDERLY, CRASH, COLD };

/* The kernel's life, from its start to its end. */
static void live_kernel(const volatile bool with_module)
{
	volatile enum end end = one_in(6) ? CRASH : one_in(20) ? COLD : ORDERLY;
	const enum place was = place;
	volatile u32 left = 1 + chance(16);
	const u32 wanted = due;
	static u8 before[REGION_SIZE];

	sealing = false;
	due = 0;
	/* One misfortune at a time: damage is seen by who finds all of what is there. */
	if (!damaged)
		place = kho || !one_in(12) ? ALL : one_in(2) ? FIRST : SECOND;
	damaged = false;
	kch_kexec_seconds_max = without == GAP ? UINT_MAX : 60;
	boot = ++clocks;
	started_tsc = now_tsc;
	kexecs++;
	say("kernel %llu %s the module%s\n", (unsigned long long)boot,
	    with_module ? "with" : "without",
	    place == ALL ? "" : place == FIRST ? ", region shrunk" : ", region moved");
	cut_at = -1;
	if (setjmp(stopped)) {
		say("  stopped in the middle of a store\n");
		end = one_in(2) ? CRASH : COLD;
		goto ended;
	}
	if (with_module) {
		begin_module(true);
		if (wanted > to_restore() && place == was) {
			lost++;
			say("  LOST: of %u VMs %u may be restored\n", wanted, to_restore());
		}
	}
	while (left--)
		step();
	/* What is shorter than the gap allowed is not told from a kexec. */
	if (!with_module || place != was || one_in(4))
		now_tsc += 61 * NSEC_PER_SEC;
	if (end == CRASH && one_in(2) && module_here) {
		/* Anywhere in what follows. */
		cut_at = 1 + (int)chance(12);
		while (one_in(2))
			step();
	}
	if (module_here && end == ORDERLY) {
		if (one_in(8))
			cut_at = 1 + (int)chance(6 + GUESTS);
		gone_unread = one_in(4);
		/* Or the kexec is earlier than it has looked for VMs after it was loaded anew. */
		if (gone_unread && one_in(4) && !any_held() && !(kho && outgoing.count)) {
			end_module(true);
			begin_module(false);
		}
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
	unread = 0;
	due = 0;
	pids = 100;
	memset(memory, 0, sizeof(memory));
	memset(guests, 0, sizeof(guests));
	for (i = 0; i < GUESTS; i++)
		guests[i].uuid[0] = (u8)(i + 1);
	end_vms(false);
	place = ALL;
	damaged = false;
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

	lost = 0;
	steps = 0;
	kexecs = 0;
	sealed = 0;
	held = 0;
	cuts = 0;
	restores = 0;
	retries = 0;
	carried = 0;
	refused = 0;
	stale = 0;
	for (seed = 1; steps < wanted; seed++) {
		before = stale + lost;
		live(seed);
		if (without == NOTHING && stale + lost != before && shown++ < 5)
			printf("# life %llu gave a stale clock, or lost one: lives -v -s %llu\n",
			       (unsigned long long)seed, (unsigned long long)seed);
	}
	printf("# without %s: %llu steps, %llu kernels, %llu seals, %llu stopped in a store, %llu restores, %llu of a clock that was given before, %llu of one that was carried on, %llu held, %llu refused, %llu stale, %llu lost\n",
	       names[without], (unsigned long long)steps, (unsigned long long)kexecs,
	       (unsigned long long)sealed, (unsigned long long)cuts,
	       (unsigned long long)restores, (unsigned long long)retries,
	       (unsigned long long)carried, (unsigned long long)held,
	       (unsigned long long)refused, (unsigned long long)stale,
	       (unsigned long long)lost);
	return restores && retries && carried && cuts && !stale && !lost;
}

/* Was a seal cut at each of its stores, while there was more to restore, in both slots? */
static bool cut_everywhere(void)
{
	bool all = seals_cut_holding;
	unsigned int slot, i;

	printf("# seals cut while not all was restored: %llu with a VM held",
	       (unsigned long long)seals_cut_holding);
	for (slot = 0; slot < 2; slot++) {
		printf("; what came in slot %u", slot);
		for (i = 0; i < SEAL_BARRIERS; i++) {
			printf(" %llu", (unsigned long long)seals_cut[slot][i]);
			all &= seals_cut[slot][i] > 0;
		}
	}
	printf("\n");
	return all;
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
		return stale || lost;
	}
	printf("KTAP version 1\n1..%d\n", KINDS);
	for (i = 0; i < KINDS; i++) {
		bool good;

		without = i;
		good = play(i ? wanted / 10 : wanted);
		good = i ? stale : good & cut_everywhere();
		failed += !good;
		printf("%sok %u %s%s\n", good ? "" : "not ", i + 1,
		       i ? "stale clocks are seen without: " : "no stale clock, and none lost",
		       i ? names[i] : "");
	}
	printf("# %d passed, %d failed, 0 skipped\n", KINDS - failed, failed);
	return failed != 0;
}
