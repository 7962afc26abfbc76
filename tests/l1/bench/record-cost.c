// SPDX-License-Identifier: GPL-2.0
/*
 * record-cost: what the record code costs on this machine, for a region of
 * 1 MiB whose record is as large as it can be; next to what the same bytes cost
 * to copy and to take the checksum of, which nothing can beat.
 *
 * sealed: the entries are written to a slot one by one, and read back.
 * loaded: the region is copied, both slots' headers are checked, and the
 * newer record's entries are walked twice.  Both as outgoing.c and incoming.c
 * have it.  One pair of lines for each number of vCPUs per VM; times are
 * medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "slots.h"

#define REGION_SIZE	(1 << 20)
#define ROUNDS		101
#define HOST_KHZ	2500000
#define HOST_TSC	(30ULL * 86400 * HOST_KHZ * 1000)	/* 30 days */

_Static_assert(sizeof(struct kch_rec_vcpu) <= 64, "bytes per vCPU");
_Static_assert(sizeof(struct kch_rec_vm) <= 192, "bytes per VM");

static uint8_t region[REGION_SIZE] __attribute__((aligned(4096)));
static uint8_t copy[REGION_SIZE] __attribute__((aligned(4096)));
static uint8_t entries[REGION_SIZE / 2] __attribute__((aligned(8)));
static struct kch_slots slots;
static struct kch_record_vm index_of[KCH_REC_VMS_MAX];
static struct kch_rec_header header;
static size_t entries_size;
static uint32_t vms, vcpus_each, bound, crc;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "record-cost: %s\n", what);
	exit(1);
}

/* A VM that a kernel may have written, of a clock as old as the host. */
static void make_entry(struct kch_rec_vm *entry, uint32_t number)
{
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1);
	struct kch_clock clock;
	uint32_t i;

	entry->vcpu_count = cpu_to_le32(vcpus_each);
	entry->tsc_scaling_frac_bits = 48;
	entry->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	entry->host_tsc = cpu_to_le64(HOST_TSC);
	memcpy(entry->uuid, &number, sizeof(number));
	for (i = 0; i < vcpus_each; i++) {
		vcpu[i].vcpu_id = cpu_to_le32(i);
		vcpu[i].flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
		vcpu[i].tsc_offset = cpu_to_le64(-(uint64_t)number * 1000);
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(1ULL << 48);
		vcpu[i].virtual_tsc_khz = cpu_to_le32(HOST_KHZ);
		vcpu[i].hw_tsc_khz = cpu_to_le32(HOST_KHZ);
		vcpu[i].tsc_to_system_mul = cpu_to_le32(0xcccccccd);
		vcpu[i].tsc_shift = -1;
	}
	kch_clock_of(entry, vcpu, &clock);
	entry->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, HOST_TSC));
	kch_rec_entry_close(entry);
	bound = kch_rec_bind(bound, entry);
}

/* As many VMs as a slot has room for. */
static void make_entries(void)
{
	size_t size = kch_rec_entry_size(vcpus_each), i;

	vms = (kch_slot_size(REGION_SIZE) - sizeof(header)) / size;
	entries_size = vms * size;
	memset(entries, 0, sizeof(entries));
	bound = KCH_REC_UNBOUND;
	for (i = 0; i < vms; i++)
		make_entry((struct kch_rec_vm *)(entries + i * size), i + 1);
}

/* One entry after the other into the slot, each read back; as outgoing.c has it. */
static void sealed(void)
{
	size_t size = kch_rec_entry_size(vcpus_each), at;

	kch_slots_changed(&slots, 0);
	for (at = 0; at < entries_size; at += size)
		if (kch_slots_put(&slots, at, (const struct kch_rec_vm *)(entries + at), NULL))
			fail("an entry was not written");
	kch_rec_header_init(&header);
	header.tsc_khz = cpu_to_le32(HOST_KHZ);
	header.host_tsc = cpu_to_le64(HOST_TSC);
	if (kch_slots_write(&slots, &header, vms, bound, NULL))
		fail("a record was not written");
}

/* A region of two records. */
static void make_region(void)
{
	struct kch_slots_found found;

	make_entries();
	memset(region, 0, sizeof(region));
	kch_slots_look(region, sizeof(region), NULL, &found);
	kch_slots_begin(&slots, region, 0, sizeof(region), &found, false);
	sealed();
	sealed();
}

static void loaded(void)
{
	struct kch_record record;
	unsigned int slot, pass;
	size_t offset;
	uint32_t n = 0;

	memcpy(copy, region, sizeof(copy));
	if (kch_region_open(copy, sizeof(copy), &record, &slot, NULL))
		fail("a record was not read");
	for (pass = 0; pass < 2; pass++) {
		offset = 0;
		n = 0;
		while (!kch_record_next(&record, &offset, &index_of[n], NULL))
			n++;
	}
	if (n != vms)
		fail("a record has lost VMs");
}

static void copied_slot(void)
{
	memcpy(region, entries, entries_size);
	__asm__ volatile("" ::: "memory");
}

static void copied_region(void)
{
	memcpy(copy, region, sizeof(copy));
	__asm__ volatile("" ::: "memory");
}

static void summed(void)
{
	crc += kch_crc32c(~0U, entries, entries_size);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_ns(void (*what)(void))
{
	struct timespec start, end;
	double ns[ROUNDS];
	int i;

	what();
	for (i = 0; i < ROUNDS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		what();
		clock_gettime(CLOCK_MONOTONIC, &end);
		ns[i] = (double)(end.tv_sec - start.tv_sec) * 1e9 +
			(double)(end.tv_nsec - start.tv_nsec);
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	return ns[ROUNDS / 2];
}

static void print(const char *what, double ns, double limit_ns)
{
	printf("%s vms=%u vcpus=%u bytes=%zu us=%.1f ns_per_vcpu=%.1f limit_us=%.1f ratio=%.2f\n",
	       what, vms, vms * vcpus_each, entries_size, ns / 1e3,
	       ns / (vms * vcpus_each), limit_ns / 1e3, ns / limit_ns);
}

int main(void)
{
	static const uint32_t each[] = { 1, 2, 8, 64 };
	double slot_ns, region_ns, crc_ns;
	size_t i;

	printf("sizes bytes_per_vm=%zu bytes_per_vcpu=%zu bytes_of_header=%zu\n",
	       sizeof(struct kch_rec_vm), sizeof(struct kch_rec_vcpu), sizeof(header));
	for (i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		vcpus_each = each[i];
		make_region();
		slot_ns = median_ns(copied_slot);
		make_region();
		region_ns = median_ns(copied_region);
		crc_ns = median_ns(summed);
		/* Sealing copies and reads; loading sums three times, and looks at each member. */
		print("sealed", median_ns(sealed), slot_ns);
		print("loaded", median_ns(loaded), region_ns + crc_ns);
	}
	return crc == 0x12345678;
}
