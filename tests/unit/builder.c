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

	while (vm--)
		offset += plan_entry_size(plan, vm);
	return offset;
}

size_t plan_size(const struct plan *plan)
{
	return plan_entry_offset(plan, plan->vm_count);
}

/* The number a member has: by its byte offset, so that no two are alike. */
static u64 number(const struct plan *plan, u32 vm, u32 vcpu, u32 offset)
{
	return hash64(plan->seed << 48 ^ (u64)vm << 32 ^ (u64)vcpu << 16 ^ offset);
}

#define HEADER		1000, 0
#define VM(i)		(i), 1000
#define N32(at, ...)	((u32)number(plan, __VA_ARGS__, at))
#define N64(at, ...)	number(plan, __VA_ARGS__, at)

static void fill(const struct plan *plan, u32 vm, u32 vcpu, u32 offset, void *to,
		 size_t size)
{
	u8 *p = to;

	while (size--)
		*p++ = (u8)number(plan, vm, vcpu, 5000 + offset++);
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
	header->generation = cpu_to_le64(N64(48, HEADER));
	header->flags = cpu_to_le32(KCH_REC_SEALED);
	header->tsc_khz = cpu_to_le32(N32(60, HEADER));
	header->kvm_tsc_khz = cpu_to_le32(N32(64, HEADER));
	header->tsc_source = cpu_to_le32(KCH_TSC_SETTLED);
	header->host_tsc = cpu_to_le64(N64(72, HEADER));
	header->realtime_ns = cpu_to_le64(N64(80, HEADER));
	header->tai_ns = cpu_to_le64(N64(88, HEADER));
	header->boottime_ns = cpu_to_le64(N64(96, HEADER));
	header->raw_ns = cpu_to_le64(N64(104, HEADER));
	fill(plan, HEADER, 112, header->boot_id, sizeof(header->boot_id));
	fill(plan, HEADER, 128, header->machine_id, sizeof(header->machine_id));
	header->cpu_signature = cpu_to_le32(N32(144, HEADER));
	memcpy(header->cpu_vendor, "Auth", 4);
	strcpy(header->kernel_release, "6.12.0-test");
	strcpy(header->module_version, "1.0");
}

void plan_vm(const struct plan *plan, u32 vm, struct kch_rec_vm *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->size = cpu_to_le32((u32)plan_entry_size(plan, vm));
	fill(plan, VM(vm), 8, entry->uuid, sizeof(entry->uuid));
	snprintf(entry->name, sizeof(entry->name), "vm-%u", vm);
	entry->vcpu_count = cpu_to_le32(plan->vcpus[vm]);
	entry->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL);
	entry->master_cycle_now = cpu_to_le64(N64(96, VM(vm)));
	entry->master_kernel_ns = cpu_to_le64(N64(104, VM(vm)));
	entry->kvmclock_offset = cpu_to_le64(N64(112, VM(vm)));
	entry->host_tsc = cpu_to_le64(N64(120, VM(vm)));
	entry->kvmclock_ns = cpu_to_le64(N64(128, VM(vm)));
	entry->tsc_scaling_frac_bits = (u8)(N32(136, VM(vm)) % 64);
	entry->pid = cpu_to_le32(N32(140, VM(vm)));
	entry->default_tsc_khz = cpu_to_le32(N32(144, VM(vm)));
}

void plan_vcpu(const struct plan *plan, u32 vm, u32 vcpu,
	       struct kch_rec_vcpu *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->vcpu_id = cpu_to_le32(3 * vcpu);
	entry->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID | KCH_VCPU_PVCLOCK_ON);
	entry->tsc_offset = cpu_to_le64(N64(8, vm, vcpu));
	entry->tsc_scaling_ratio = cpu_to_le64(N64(16, vm, vcpu));
	entry->ia32_tsc_adjust = cpu_to_le64(N64(24, vm, vcpu));
	entry->pvclock_gpa = cpu_to_le64(N64(32, vm, vcpu));
	entry->virtual_tsc_khz = cpu_to_le32(N32(40, vm, vcpu));
	entry->hw_tsc_khz = cpu_to_le32(N32(44, vm, vcpu));
	entry->tsc_to_system_mul = cpu_to_le32(N32(48, vm, vcpu));
	entry->tsc_shift = (s8)(N32(52, vm, vcpu) % 63 - 31);
	entry->pvclock_flags = (u8)N32(53, vm, vcpu);
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
	memset(at, 0, 64);
	put32(at, 3 * vcpu);
	put32(at + 4, 1 << 0 | 1 << 1);
	put64(at + 8, N64(8, vm, vcpu));
	put64(at + 16, N64(16, vm, vcpu));
	put64(at + 24, N64(24, vm, vcpu));
	put64(at + 32, N64(32, vm, vcpu));
	put32(at + 40, N32(40, vm, vcpu));
	put32(at + 44, N32(44, vm, vcpu));
	put32(at + 48, N32(48, vm, vcpu));
	at[52] = (u8)(N32(52, vm, vcpu) % 63 - 31);
	at[53] = (u8)N32(53, vm, vcpu);
}

static void write_vm(const struct plan *plan, u32 vm, u8 *at)
{
	memset(at, 0, 192);
	put32(at, (u32)plan_entry_size(plan, vm));
	fill(plan, VM(vm), 8, at + 8, 16);
	memcpy(at + 24, "vm-", 3);
	at[27] = (u8)('0' + vm);
	put32(at + 88, plan->vcpus[vm]);
	put32(at + 92, 1 << 0 | 1 << 2);
	put64(at + 96, N64(96, VM(vm)));
	put64(at + 104, N64(104, VM(vm)));
	put64(at + 112, N64(112, VM(vm)));
	put64(at + 120, N64(120, VM(vm)));
	put64(at + 128, N64(128, VM(vm)));
	at[136] = (u8)(N32(136, VM(vm)) % 64);
	put32(at + 140, N32(140, VM(vm)));
	put32(at + 144, N32(144, VM(vm)));
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
	put64(at + 48, N64(48, HEADER));
	put32(at + 56, 1 << 0);
	put32(at + 60, N32(60, HEADER));
	put32(at + 64, N32(64, HEADER));
	put32(at + 68, 2);
	put64(at + 72, N64(72, HEADER));
	put64(at + 80, N64(80, HEADER));
	put64(at + 88, N64(88, HEADER));
	put64(at + 96, N64(96, HEADER));
	put64(at + 104, N64(104, HEADER));
	fill(plan, HEADER, 112, at + 112, 16);
	fill(plan, HEADER, 128, at + 128, 16);
	put32(at + 144, N32(144, HEADER));
	memcpy(at + 148, "Auth", 4);
	memcpy(at + 152, "6.12.0-test", 11);
	memcpy(at + 216, "1.0", 3);
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
		seal_entry(entry, plan_entry_size(plan, vm));
	}
	write_header(plan, to);
	seal_header(to);
}

int plan_write(const struct plan *plan, void *slot, size_t slot_size)
{
	size_t size = plan_size(plan) - plan->header_size;
	struct kch_rec_header header;
	u32 vm, vcpu;
	u8 *entries, *at;
	int err;

	/* malloc(0) may be NULL, which memcpy() must not be given. */
	entries = at = malloc(size + 1);
	if (!entries)
		abort();
	for (vm = 0; vm < plan->vm_count; vm++) {
		struct kch_rec_vm *entry = (struct kch_rec_vm *)at;
		struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(entry + 1);

		plan_vm(plan, vm, entry);
		entry->size = 0;
		for (vcpu = 0; vcpu < plan->vcpus[vm]; vcpu++)
			plan_vcpu(plan, vm, vcpu, &vcpus[vcpu]);
		kch_rec_entry_close(entry);
		at += kch_rec_entry_size(plan->vcpus[vm]);
	}
	plan_header(plan, &header);
	/* These are the writer's to fill in. */
	header.vm_count = cpu_to_le32(99);
	header.total_size = 0;
	header.crc32c = cpu_to_le32(0x12345678);
	header.commit = cpu_to_le64(1);
	err = kch_record_write(slot, slot_size, &header, entries, size,
			       plan->vm_count);
	free(entries);
	return err;
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
