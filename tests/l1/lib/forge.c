// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "calls.h"
#include "clock.h"
#include "forge.h"

/* What a header says of this host and this moment is what the module says. */
static void host_header(struct kch_rec_header *header)
{
	uint32_t size = sizeof(*header);
	struct vm vm;

	vm_create_ready(&vm, 1, 0);
	must_preserve(&vm, 0xee);
	if (get(KCH_OUTGOING, 0, header, &size))
		die("the outgoing record's header cannot be had");
	must_unpreserve(0xee);
	vm_destroy(&vm);
}

/* What is behind its end is zero. */
static void set_text(char *to, size_t size, const char *text)
{
	memset(to, 0, size);
	strcpy(to, text);
}

void forge_begin(struct forged *forged)
{
	static struct kch_rec_header host;

	/* The oldest will do: the TSC runs on. */
	if (!host.sequence)
		host_header(&host);
	memset(forged, 0, sizeof(*forged));
	forged->header = host;
	forged->header.sequence = cpu_to_le64(1000);
	forged->header.generation = cpu_to_le64(7);
	forged->header.flags = cpu_to_le32(KCH_REC_SEALED);
	forged->header.boot_id[3] ^= 0xff;
	set_text(forged->header.kernel_release, sizeof(forged->header.kernel_release),
		 "0.0-forged");
}

/* No record is older than what is in it. */
static void seal_after(struct kch_rec_header *header, uint64_t host_tsc)
{
	uint64_t sealed = le64_to_cpu(header->host_tsc), ns;

	if (host_tsc <= sealed)
		return;
	ns = kch_cycles_to_ns(host_tsc - sealed, le32_to_cpu(header->tsc_khz));
	header->host_tsc = cpu_to_le64(host_tsc);
	header->realtime_ns = cpu_to_le64(le64_to_cpu(header->realtime_ns) + ns);
	header->boottime_ns = cpu_to_le64(le64_to_cpu(header->boottime_ns) + ns);
}

/* With the value of the function that its numbers make. */
static void close_entry(struct kch_rec_vm *entry)
{
	struct kch_clock clock;

	kch_clock_of(entry, (const struct kch_rec_vcpu *)(entry + 1), &clock);
	if (clock.tsc_scaling_frac_bits < 64)
		entry->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock,
							      le64_to_cpu(entry->host_tsc)));
	kch_rec_entry_close(entry);
}

struct kch_rec_vm *forge_add_entry(struct forged *forged,
				   const struct kch_rec_vm *read, uint32_t id)
{
	struct kch_rec_vm *entry = (void *)(forged->entries + forged->size);
	size_t size = kch_rec_entry_size(le32_to_cpu(read->vcpu_count));

	if (size > FORGED_SIZE_MAX - forged->size)
		die("a forged record has no room for another %zu bytes", size);
	memcpy(entry, read, size);
	entry->kvmclock_offset = cpu_to_le64(le64_to_cpu(entry->kvmclock_offset) +
					     FORGED_AHEAD_NS);
	set_uuid(entry->uuid, id);
	set_text(entry->name, sizeof(entry->name), "forged");
	seal_after(&forged->header, le64_to_cpu(entry->host_tsc));
	close_entry(entry);
	forged->size += size;
	forged->count++;
	return entry;
}

struct kch_rec_vm *forge_add(struct forged *forged, const struct vm *vm,
			     uint32_t id)
{
	static uint8_t bytes[sizeof(struct kch_rec_vm) +
			     VM_VCPUS_MAX * sizeof(struct kch_rec_vcpu)]
		__attribute__((aligned(8)));
	struct kch_rec_vm *read = (void *)bytes;
	int err = read_entry(vm, read, sizeof(bytes));

	if (err)
		die("reading a VM's clock: %s", errno_name(err));
	return forge_add_entry(forged, read, id);
}

struct kch_rec_vm *forge_entry(struct forged *forged)
{
	return (void *)forged->entries;
}

struct kch_rec_vcpu *forge_vcpu(struct forged *forged, uint32_t index)
{
	return (struct kch_rec_vcpu *)(forge_entry(forged) + 1) + index;
}

void forge_close(struct forged *forged)
{
	close_entry(forge_entry(forged));
}

void forge_make(struct forged *forged)
{
	if (kch_record_write(forged->image, sizeof(forged->image),
			     &forged->header, forged->entries, forged->size,
			     forged->count))
		die("a forged record is too large");
}

/* Written out here, and not taken from record.c, which would not do it. */
void forge_seal_header(struct kch_rec_header *header)
{
	/* As of the published version: what binds the entries is not made anew. */
	header->compat &= cpu_to_le32(~KCH_COMPAT_BOUND);
	header->crc32c = 0;
	header->commit = 0;
	header->crc32c = cpu_to_le32(~kch_crc32c(~0U, header, sizeof(*header)));
	header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^
				     le64_to_cpu(header->sequence));
}

void forge_seal(struct forged *forged)
{
	forge_seal_header((struct kch_rec_header *)forged->image);
}

void forge_put(const struct forged *forged, unsigned int slot)
{
	size_t slot_size = kch_slot_size(region_size);
	size_t size = sizeof(forged->header) + forged->size;

	if (size > slot_size)
		die("a forged record has %zu bytes, a slot %zu", size, slot_size);
	region_write(forged->image, size, slot * slot_size);
}

void forge_write(struct forged *forged, unsigned int slot)
{
	forge_make(forged);
	forge_put(forged, slot);
}
