// SPDX-License-Identifier: GPL-2.0
/*
 * How much work are a load, a carrying on and a seal of a region that is as large and as
 * full as one can be?  Counted in steps, not in seconds: the compiler calls us in
 * every basic block of the module's code, of which a checksum takes one a byte, and what
 * is copied and compared counts by eight bytes.  Twice the VMs must not be much more
 * than twice the work, a region must not take more than some steps a byte, and the
 * kernel's log a few lines, whatever is in the region.
 *
 *	work		KTAP; make -C tests/lives run
 */
#include <stdarg.h>

#include "shim.h"
#include "core/check.h"
#include "core/machine.h"
#include "host/host.h"
#include "kvm/kvm.h"
#include "preserve/outgoing.h"
#include "restore/incoming.h"
#include "watch/watch.h"

#define REGION_SIZE	((size_t)KCH_REGION_MAX)
#define KHZ		1000000U
#define VMS		65000U
#define STEPS_PER_BYTE	6
#define LINES_MAX	3

u32 tsc_khz = KHZ;

static u8 *memory;
static struct kch_region region;
static struct kch_incoming incoming;
static struct kch_outgoing outgoing;
static u64 steps, lines;
static u32 vcpus;
static bool slow;			/* control: a watch looks at all VMs */

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	steps++;
}

void *__real_memcpy(void *to, const void *from, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size)
{
	steps += size / 8;
	return __real_memcpy(to, from, size);
}

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	steps += n / 8;
	return __real_memcmp(a, b, n);
}

/* ---- what the code asks of the kernel and of KVM ---- */

void kch_log(const char *format, ...)
{
	lines++;
}

void *kch_alloc(size_t size)
{
	return calloc(1, size ?: 1);
}

u64 rdtsc_ordered(void)
{
	return 1000;
}

void kch_barrier(void)
{
}

void kch_host_instant(struct kch_instant *now)
{
	memset(now, 0, sizeof(*now));
	now->host_tsc = 1000;
}

void kch_host_boot_id(u8 id[16])
{
	memset(id, 2, 16);
}

void kch_host_describe(struct kch_rec_header *header, u32 kvm_khz)
{
	header->tsc_khz = cpu_to_le32(KHZ);
	kch_host_boot_id(header->boot_id);
}

int kch_host_same_machine(const struct kch_rec_header *header, bool any_wall,
			  struct kch_outcome *outcome, struct kch_message *message)
{
	return 0;
}

u64 kch_host_started_tsc(void)
{
	return 0;
}

void kch_region_hold(const struct kch_region *r, bool needed)
{
}

void kch_region_finish_incoming(struct kch_region *r)
{
}

/* What is read of VMs is always the same. */
static struct file files[VMS];

struct kvm *kch_kvm_of(const struct file *file)
{
	return NULL;
}

pid_t kch_kvm_pid(const struct kvm *kvm)
{
	return 1;
}

u32 kch_kvm_vcpus_max(void)
{
	return 1024;
}

int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 room,
		    struct kch_message *message)
{
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(to + 1);
	u32 i;

	memset(to, 0, kch_rec_entry_size(vcpus));
	to->vcpu_count = cpu_to_le32(vcpus);
	to->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	for (i = 0; i < vcpus; i++) {
		vcpu[i].vcpu_id = cpu_to_le32(i);
		vcpu[i].flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(1);
		vcpu[i].virtual_tsc_khz = cpu_to_le32(KHZ);
		vcpu[i].tsc_to_system_mul = cpu_to_le32(KCH_MUL_MIN);
	}
	return 0;
}

int kch_kvm_read_exact_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 room,
			  struct kch_message *message)
{
	return kch_kvm_read_to(kvm, frac_bits, to, room, message);
}

int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message)
{
	*entry = kch_alloc(kch_rec_entry_size(vcpus));
	return kch_kvm_read_to(kvm, frac_bits, *entry, vcpus, message);
}

struct kch_watch *kch_watch_start(struct file *file)
{
	return kch_alloc(1);
}

void kch_watch_stop(struct kch_watch *watch)
{
	free(watch);
}

void kch_watch_call(struct kch_watch *watch, const struct kch_rec_vm *entry)
{
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	return NULL;
}

struct file *kch_watch_get_last(struct kch_watch *watch)
{
	if (slow)
		steps += outgoing.count;
	return watch ? files : NULL;
}

bool kch_watch_gone(const struct kch_watch *watch)
{
	return false;
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *file)
{
	return false;
}

struct file *kch_watch_next_vm(pid_t pid, unsigned int *fd)
{
	return NULL;
}

/* ---- what is done ---- */

static void die(const char *what)
{
	printf("# %s\n", what);
	exit(1);
}

/* What a kernel before has sealed; @spoil: one thing wrong in each entry, or NULL. */
static void came(u32 count, void (*spoil)(struct kch_rec_vm *vm, u32 i))
{
	size_t size = kch_rec_entry_size(vcpus);
	u8 *entries = kch_alloc(count * size);
	struct kch_rec_header header;
	struct kch_rec_vm *vm;
	u32 i;

	memset(memory, 0, REGION_SIZE);
	for (i = 0; i < count; i++) {
		vm = (struct kch_rec_vm *)(entries + i * size);
		kch_kvm_read_to(NULL, 32, vm, vcpus, NULL);
		memcpy(vm->uuid, &i, sizeof(i));
		vm->uuid[15] = 1;
		kch_rec_entry_close(vm);
		if (spoil)
			spoil(vm, i);
	}
	kch_rec_header_init(&header);
	header.sequence = cpu_to_le64(1);
	header.flags = cpu_to_le32(KCH_REC_SEALED);
	header.tsc_khz = cpu_to_le32(KHZ);
	memset(header.boot_id, 1, sizeof(header.boot_id));
	if (kch_record_write(memory, kch_slot_size(REGION_SIZE), &header, entries,
			     count * size, count))
		die("too much for a slot");
	free(entries);
}

static void load(void)
{
	struct kch_slots_found found;

	memset(&region, 0, sizeof(region));
	region.backend = KCH_BACKEND_RANGE;
	region.size = REGION_SIZE;
	region.memory = memory;
	region.incoming = memory;
	region.incoming_size = REGION_SIZE;
	if (kch_incoming_init(&incoming, &region, &found) ||
	    kch_outgoing_init(&outgoing, &region, &found, incoming.vcpus_max))
		die("no memory");
}

/* As kch_seal() does it. */
static void seal(u32 expected)
{
	kch_slots_seal_begins(&outgoing.slots);
	kch_outgoing_seal_begin(&outgoing);
	kch_incoming_carry_over(&incoming, &outgoing);
	if (kch_outgoing_seal(&outgoing, KHZ) || outgoing.sealed_count != expected)
		die("not sealed as expected");
}

static void wrong_checksum(struct kch_rec_vm *vm, u32 i)
{
	vm->crc32c ^= cpu_to_le32(5);
}

static void one_id(struct kch_rec_vm *vm, u32 i)
{
	memset(vm->uuid, 7, sizeof(vm->uuid));
	kch_rec_entry_close(vm);
}

/* Nobody can tell what its clock was: it is lost. */
static void no_rate(struct kch_rec_vm *vm, u32 i)
{
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(vm + 1);

	for (i = 0; i < vcpus; i++) {
		vcpu[i].flags = 0;
		vcpu[i].tsc_to_system_mul = 0;
	}
	kch_rec_entry_close(vm);
}

static void load_all(u32 n)
{
	came(n, NULL);
	steps = 0;
	load();
	if (incoming.count != n)
		die("not all is loaded");
}

static void load_damaged(u32 n)
{
	came(n, wrong_checksum);
	steps = 0;
	load();
	if (incoming.damaged != n)
		die("not all is found damaged");
}

static void carry(u32 n)
{
	came(n, NULL);
	load();
	steps = 0;
	seal(n);
}

static void carry_one_id(u32 n)
{
	came(n, one_id);
	load();
	steps = 0;
	seal(0);
}

static void carry_no_rate(u32 n)
{
	came(n, no_rate);
	load();
	steps = 0;
	seal(0);
}

static void seal_live(u32 n)
{
	struct kch_message message;
	struct kch_rec_vm *entry;
	u32 i;

	memset(memory, 0, REGION_SIZE);
	load();
	for (i = 0; i < n; i++) {
		kch_kvm_read_exact(NULL, 32, &entry, NULL);
		memcpy(entry->uuid, &i, sizeof(i));
		entry->uuid[15] = 1;
		if (kch_outgoing_add(&outgoing, &region, entry, &files[i], KHZ, &message))
			die("not preserved");
	}
	steps = 0;
	seal(n);
}

static void seal_slow(u32 n)
{
	slow = true;
	seal_live(n);
	slow = false;
}

static const struct work {
	const char *name;
	void (*fn)(u32 vm_count);
	bool square;
} works[] = {
	{ "load", load_all, false },
	{ "load of damaged entries", load_damaged, false },
	{ "carry on and seal", carry, false },
	{ "carry on entries of one id", carry_one_id, false },
	{ "carry on entries without a rate", carry_no_rate, false },
	{ "seal of live VMs", seal_live, false },
	{ "control: a watch that looks at all", seal_slow, true },
};

static u64 count(const struct work *work, u32 n)
{
	u64 counted;

	lines = 0;
	work->fn(n);
	counted = steps;
	kch_incoming_exit(&incoming);
	kch_outgoing_exit(&outgoing);
	return counted;
}

int main(void)
{
	const unsigned int number = sizeof(works) / sizeof(works[0]);
	unsigned int i, failed = 0;

	memory = kch_alloc(REGION_SIZE);
	printf("KTAP version 1\n1..%u\n", number);
	for (i = 0; i < number; i++) {
		const struct work *work = &works[i];
		u64 once, twice, full;
		bool ok;

		vcpus = 1;
		once = count(work, VMS / 2);
		twice = count(work, VMS);
		vcpus = 5;
		full = count(work, VMS);
		ok = twice * 10 < once * 22 && full < STEPS_PER_BYTE * REGION_SIZE &&
		     lines <= LINES_MAX;
		if (work->square)
			ok = twice * 10 > once * 22;
		failed += !ok;
		printf("# %llu steps, twice the VMs %llu; a full region %llu, %llu.%02llu a byte, %llu lines in the log\n",
		       (unsigned long long)once, (unsigned long long)twice,
		       (unsigned long long)full, (unsigned long long)(full / REGION_SIZE),
		       (unsigned long long)(full * 100 / REGION_SIZE % 100),
		       (unsigned long long)lines);
		printf("%sok %u %s\n", ok ? "" : "not ", i + 1, work->name);
	}
	printf("# %u passed, %u failed, 0 skipped\n", number - failed, failed);
	return failed != 0;
}
