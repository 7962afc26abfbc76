// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "builder.h"
#include "reference.h"

#define LATER_VERSION	0xe7	/* fills what this version does not know */

struct plan plan_default(void)
{
	struct plan plan = {
		.header_size = 320,
		.vm_size = 192,
		.vcpu_size = 64,
		.vm_count = 3,
		.vcpus = { 1, 2, 4 },
		.sequence = 42,
		.seed = 1,
	};

	return plan;
}

size_t plan_entry_size(const struct plan *plan, u32 vm)
{
	return plan->vm_size + (size_t)plan->vcpus[vm] * plan->vcpu_size;
}

size_t plan_entry_offset(const struct plan *plan, u32 vm)
{
	size_t offset = plan->header_size;
	u32 i;

	for (i = 0; i < vm; i++)
		offset += plan_entry_size(plan, i);
	return offset;
}

size_t plan_size(const struct plan *plan)
{
	return plan_entry_offset(plan, plan->vm_count);
}

/* What the numbers are of: the header, a VM, or a vCPU of a VM. */
#define HEADER		0xffffffffU

static u32 of_vcpu(u32 vm, u32 vcpu)
{
	return vm << 16 | vcpu;
}

static u32 of_vm(u32 vm)
{
	return of_vcpu(vm, 0xffff);
}

/* The number a member has: by its byte offset, so that no two are alike. */
static u64 n64(const struct plan *plan, u32 of, u32 offset)
{
	return hash64(plan->seed << 48 ^ (u64)of << 16 ^ offset);
}

static u32 n32(const struct plan *plan, u32 of, u32 offset)
{
	return (u32)n64(plan, of, offset);
}

static void fill(const struct plan *plan, u32 of, u32 offset, void *to, size_t size)
{
	u8 *p = to;

	while (size--)
		*p++ = (u8)n64(plan, of, 5000 + offset++);
}

/* Numbers that a reader takes for a kernel's: some depend on others. */
static u32 n_khz(const struct plan *plan, u32 of, u32 offset)
{
	return 1000000 + n32(plan, of, offset) % 4000000;
}

static u64 n_generation(const struct plan *plan)
{
	return n64(plan, HEADER, 48) % (plan->sequence + 1);
}

static u64 n_sealed(const struct plan *plan)
{
	return 1ULL << 63 | n64(plan, HEADER, 72);
}

static u64 n_read(const struct plan *plan, u32 vm)
{
	return n64(plan, of_vm(vm), 120) >> 1;
}

static u64 n_reference(const struct plan *plan, u32 vm)
{
	return n64(plan, of_vm(vm), 96) % (n_read(plan, vm) + 1);
}

static u8 n_bits(const struct plan *plan, u32 vm)
{
	return (u8)(n32(plan, of_vm(vm), 136) % 64);
}

/* One to two. */
static u64 n_ratio(const struct plan *plan, u32 vm, u32 vcpu)
{
	u64 one = 1ULL << n_bits(plan, vm);

	return one + n64(plan, of_vcpu(vm, vcpu), 16) % one;
}

/* What KVM made the ratio of. */
static u32 n_virtual_khz(const struct plan *plan, u32 vm, u32 vcpu)
{
	struct wide product = wide_mul(wide_of(n_khz(plan, HEADER, 60)),
				       wide_of(n_ratio(plan, vm, vcpu)));

	return (u32)wide_low64(wide_shr(product, n_bits(plan, vm)));
}

static u32 n_mul(const struct plan *plan, u32 vm, u32 vcpu)
{
	return 1U << 31 | n32(plan, of_vcpu(vm, vcpu), 48);
}

static s8 n_shift(const struct plan *plan, u32 vm, u32 vcpu)
{
	return (s8)(n32(plan, of_vcpu(vm, vcpu), 52) % 33) - 12;
}

static u64 scaled(const struct plan *plan, u32 vm, u64 cycles)
{
	struct wide product = wide_mul(wide_of(cycles), wide_of(n_ratio(plan, vm, 0)));

	return wide_low64(wide_shr(product, n_bits(plan, vm)));
}

/* The formula in the document. */
static u64 n_ns(const struct plan *plan, u32 vm)
{
	u64 delta = scaled(plan, vm, n_read(plan, vm)) - scaled(plan, vm, n_reference(plan, vm));
	s8 shift = n_shift(plan, vm, 0);

	delta = shift < 0 ? delta >> -shift : delta << shift;
	return n64(plan, of_vm(vm), 104) + n64(plan, of_vm(vm), 112) +
	       wide_low64(wide_shr(wide_mul(wide_of(delta), wide_of(n_mul(plan, vm, 0))), 32));
}

void plan_header(const struct plan *plan, struct kch_rec_header *header)
{
	kch_rec_header_init(header);
	header->header_size = cpu_to_le32(plan->header_size);
	header->vm_size = cpu_to_le32(plan->vm_size);
	header->vcpu_size = cpu_to_le32(plan->vcpu_size);
	header->vm_count = cpu_to_le32(plan->vm_count);
	header->compat = cpu_to_le32(plan->compat);
	header->incompat = cpu_to_le32(plan->incompat);
	header->sequence = cpu_to_le64(plan->sequence);
	header->total_size = cpu_to_le64(plan_size(plan));
	header->generation = cpu_to_le64(n_generation(plan));
	header->flags = cpu_to_le32(KCH_REC_SEALED);
	header->tsc_khz = cpu_to_le32(n_khz(plan, HEADER, 60));
	header->kvm_tsc_khz = cpu_to_le32(n_khz(plan, HEADER, 64));
	header->tsc_source = cpu_to_le32(KCH_TSC_SETTLED);
	header->host_tsc = cpu_to_le64(n_sealed(plan));
	header->realtime_ns = cpu_to_le64(n64(plan, HEADER, 80));
	header->tai_ns = cpu_to_le64(n64(plan, HEADER, 88));
	header->boottime_ns = cpu_to_le64(n64(plan, HEADER, 96));
	header->raw_ns = cpu_to_le64(n64(plan, HEADER, 104));
	fill(plan, HEADER, 112, header->boot_id, sizeof(header->boot_id));
	fill(plan, HEADER, 128, header->machine_id, sizeof(header->machine_id));
	header->cpu_signature = cpu_to_le32(n32(plan, HEADER, 144));
	memcpy(header->cpu_vendor, "Auth", 4);
	strcpy(header->kernel_release, "6.12.0-test");
	strcpy(header->module_version, "1.0");
}

void plan_vm(const struct plan *plan, u32 vm, struct kch_rec_vm *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->size = cpu_to_le32((u32)plan_entry_size(plan, vm));
	fill(plan, of_vm(vm), 8, entry->uuid, sizeof(entry->uuid));
	snprintf(entry->name, sizeof(entry->name), "vm-%u", vm);
	entry->vcpu_count = cpu_to_le32(plan->vcpus[vm]);
	entry->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL);
	entry->master_cycle_now = cpu_to_le64(n_reference(plan, vm));
	entry->master_kernel_ns = cpu_to_le64(n64(plan, of_vm(vm), 104));
	entry->kvmclock_offset = cpu_to_le64(n64(plan, of_vm(vm), 112));
	entry->host_tsc = cpu_to_le64(n_read(plan, vm));
	entry->kvmclock_ns = cpu_to_le64(n_ns(plan, vm));
	entry->tsc_scaling_frac_bits = n_bits(plan, vm);
	entry->pid = cpu_to_le32(n32(plan, of_vm(vm), 140));
	entry->default_tsc_khz = cpu_to_le32(n32(plan, of_vm(vm), 144));
	entry->kvmclock_slack_ns = cpu_to_le32(n32(plan, of_vm(vm), 148));
}

void plan_vcpu(const struct plan *plan, u32 vm, u32 vcpu,
	       struct kch_rec_vcpu *entry)
{
	u32 of = of_vcpu(vm, vcpu);

	memset(entry, 0, sizeof(*entry));
	entry->vcpu_id = cpu_to_le32(3 * vcpu);
	entry->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID | KCH_VCPU_PVCLOCK_ON);
	entry->tsc_offset = cpu_to_le64(n64(plan, of, 8));
	entry->tsc_scaling_ratio = cpu_to_le64(n_ratio(plan, vm, vcpu));
	entry->ia32_tsc_adjust = cpu_to_le64(n64(plan, of, 24));
	entry->pvclock_gpa = cpu_to_le64(n64(plan, of, 32));
	entry->virtual_tsc_khz = cpu_to_le32(n_virtual_khz(plan, vm, vcpu));
	entry->hw_tsc_khz = cpu_to_le32(n32(plan, of, 44));
	entry->tsc_to_system_mul = cpu_to_le32(n_mul(plan, vm, vcpu));
	entry->tsc_shift = n_shift(plan, vm, vcpu);
	entry->pvclock_flags = (u8)n32(plan, of, 53);
}

void put32(u8 *at, u32 value)
{
	int i;

	for (i = 0; i < 4; i++)
		at[i] = (u8)(value >> 8 * i);
}

void put64(u8 *at, u64 value)
{
	put32(at, (u32)value);
	put32(at + 4, (u32)(value >> 32));
}

u32 get32(const u8 *at)
{
	return (u32)at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

u64 get64(const u8 *at)
{
	return get32(at) | (u64)get32(at + 4) << 32;
}

void seal_header(u8 *record)
{
	put32(record + 304, 0);
	put64(record + 312, 0);
	put32(record + 304, reference_crc32c(record, get32(record + 8)));
	put64(record + 312, 0x54494d4d4f434843ULL ^ get64(record + 32));
}

void seal_entry(u8 *entry, size_t size)
{
	put32(entry + 4, 0);
	put32(entry + 4, reference_crc32c(entry, size));
}

static void write_vcpu(const struct plan *plan, u32 vm, u32 vcpu, u8 *at)
{
	u32 of = of_vcpu(vm, vcpu);

	memset(at, 0, 64);
	put32(at, 3 * vcpu);
	put32(at + 4, 1 << 0 | 1 << 1);
	put64(at + 8, n64(plan, of, 8));
	put64(at + 16, n_ratio(plan, vm, vcpu));
	put64(at + 24, n64(plan, of, 24));
	put64(at + 32, n64(plan, of, 32));
	put32(at + 40, n_virtual_khz(plan, vm, vcpu));
	put32(at + 44, n32(plan, of, 44));
	put32(at + 48, n_mul(plan, vm, vcpu));
	at[52] = (u8)n_shift(plan, vm, vcpu);
	at[53] = (u8)n32(plan, of, 53);
}

static void write_vm(const struct plan *plan, u32 vm, u8 *at)
{
	memset(at, 0, 192);
	put32(at, (u32)plan_entry_size(plan, vm));
	fill(plan, of_vm(vm), 8, at + 8, 16);
	memcpy(at + 24, "vm-", 3);
	at[27] = (u8)('0' + vm);
	put32(at + 88, plan->vcpus[vm]);
	put32(at + 92, 1 << 0 | 1 << 2);
	put64(at + 96, n_reference(plan, vm));
	put64(at + 104, n64(plan, of_vm(vm), 104));
	put64(at + 112, n64(plan, of_vm(vm), 112));
	put64(at + 120, n_read(plan, vm));
	put64(at + 128, n_ns(plan, vm));
	at[136] = n_bits(plan, vm);
	put32(at + 140, n32(plan, of_vm(vm), 140));
	put32(at + 144, n32(plan, of_vm(vm), 144));
	put32(at + 148, n32(plan, of_vm(vm), 148));
}

static void write_header(const struct plan *plan, u8 *at)
{
	memset(at, 0, 320);
	memcpy(at, "KVMCLKHO", 8);
	put32(at + 8, plan->header_size);
	put32(at + 12, plan->vm_size);
	put32(at + 16, plan->vcpu_size);
	put32(at + 20, plan->vm_count);
	put32(at + 24, plan->compat);
	put32(at + 28, plan->incompat);
	put64(at + 32, plan->sequence);
	put64(at + 40, plan_size(plan));
	put64(at + 48, n_generation(plan));
	put32(at + 56, 1 << 0);
	put32(at + 60, n_khz(plan, HEADER, 60));
	put32(at + 64, n_khz(plan, HEADER, 64));
	put32(at + 68, 2);
	put64(at + 72, n_sealed(plan));
	put64(at + 80, n64(plan, HEADER, 80));
	put64(at + 88, n64(plan, HEADER, 88));
	put64(at + 96, n64(plan, HEADER, 96));
	put64(at + 104, n64(plan, HEADER, 104));
	fill(plan, HEADER, 112, at + 112, 16);
	fill(plan, HEADER, 128, at + 128, 16);
	put32(at + 144, n32(plan, HEADER, 144));
	memcpy(at + 148, "Auth", 4);
	memcpy(at + 152, "6.12.0-test", 11);
	memcpy(at + 216, "1.0", 3);
}

/* A checksum over what makes the entries this record's: theirs, its number, its boot. */
static void bind_entries(const struct plan *plan, u8 *record)
{
	size_t size = plan->vm_count * 4 + 24;
	u8 *bound = malloc(size), *at = bound;
	u32 vm;

	if (!bound)
		abort();
	for (vm = 0; vm < plan->vm_count; vm++, at += 4)
		memcpy(at, record + plan_entry_offset(plan, vm) + 4, 4);
	memcpy(at, record + 32, 8);
	memcpy(at + 8, record + 112, 16);
	put32(record + 240, reference_crc32c(bound, size));
	free(bound);
}

void plan_seal(const struct plan *plan, u8 *record)
{
	u32 vm;

	for (vm = 0; vm < plan->vm_count; vm++)
		seal_entry(record + plan_entry_offset(plan, vm), plan_entry_size(plan, vm));
	if (plan->compat & 1)
		bind_entries(plan, record);
	seal_header(record);
}

void plan_write_bytes(const struct plan *plan, u8 *to)
{
	u32 vm, vcpu;

	memset(to, LATER_VERSION, plan_size(plan));
	for (vm = 0; vm < plan->vm_count; vm++) {
		u8 *entry = to + plan_entry_offset(plan, vm);

		write_vm(plan, vm, entry);
		for (vcpu = 0; vcpu < plan->vcpus[vm]; vcpu++)
			write_vcpu(plan, vm, vcpu, entry + plan->vm_size +
				   (size_t)vcpu * plan->vcpu_size);
	}
	write_header(plan, to);
	plan_seal(plan, to);
}

static int write_with(const struct plan *plan, u32 kept, bool extend, void *slot,
		      size_t slot_size)
{
	size_t size = plan_size(plan) - plan->header_size;
	size_t kept_size = plan_entry_offset(plan, kept) - plan->header_size;
	struct kch_rec_header header;
	u32 vm, vcpu;
	u8 *entries, *at;
	u32 sum = KCH_REC_UNBOUND;
	int err;

	/* malloc(0) may be NULL, which memcpy() must not be given. */
	entries = malloc(size + 1);
	if (!entries)
		abort();
	at = entries;
	for (vm = 0; vm < plan->vm_count; vm++) {
		struct kch_rec_vm *entry = (struct kch_rec_vm *)at;
		struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(entry + 1);

		plan_vm(plan, vm, entry);
		entry->size = 0;
		for (vcpu = 0; vcpu < plan->vcpus[vm]; vcpu++)
			plan_vcpu(plan, vm, vcpu, &vcpus[vcpu]);
		kch_rec_entry_close(entry);
		sum = kch_rec_bind(sum, entry);
		at += kch_rec_entry_size(plan->vcpus[vm]);
	}
	plan_header(plan, &header);
	/* These are the writer's to fill in. */
	header.vm_count = cpu_to_le32(99);
	header.total_size = 0;
	header.crc32c = cpu_to_le32(0x12345678);
	header.commit = cpu_to_le64(1);
	if (extend)
		err = kch_record_extend(slot, slot_size, &header, kept_size,
					entries + kept_size, size - kept_size,
					plan->vm_count, sum);
	else
		err = kch_record_write(slot, slot_size, &header, entries, size,
				       plan->vm_count);
	free(entries);
	return err;
}

int plan_write(const struct plan *plan, void *slot, size_t slot_size)
{
	return write_with(plan, 0, false, slot, slot_size);
}

int plan_extend(const struct plan *plan, u32 kept, void *slot, size_t slot_size)
{
	return write_with(plan, kept, true, slot, slot_size);
}

static size_t mapped_size(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page + page;
}

u8 *guarded_alloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), all = mapped_size(size);
	u8 *map = mmap(NULL, all, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + all - page, page, PROT_NONE))
		abort();
	return map + all - page - size;
}

u8 *guarded_copy(const void *data, size_t size)
{
	return memcpy(guarded_alloc(size), data, size);
}

void guarded_free(u8 *data, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), all = mapped_size(size);

	munmap(data + size + page - all, all);
}
