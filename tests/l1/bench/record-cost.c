// SPDX-License-Identifier: GPL-2.0
/*
 * record-cost: what the record code costs on this machine, for a region of
 * 1 MiB whose record is as large as it can be; next to what the same bytes cost
 * to copy and to take the checksum of, which nothing can beat.
 *
 * sealed: the entries are gathered, written to a slot, and read back.
 * loaded: the region is copied, both slots' headers are checked, and the
 * newer record's entries are walked twice.  Both as outgoing.c and incoming.c
 * have it.  One pair of lines for each number of vCPUs per VM; times are
 * medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "slots.h"

#define REGION_SIZE	(1 << 20)
#define ROUNDS		101

_Static_assert(sizeof(struct kch_rec_vcpu) <= 64, "bytes per vCPU");
_Static_assert(sizeof(struct kch_rec_vm) <= 192, "bytes per VM");

static uint8_t region[REGION_SIZE] __attribute__((aligned(4096)));
static uint8_t copy[REGION_SIZE] __attribute__((aligned(4096)));
static uint8_t entries[REGION_SIZE / 2];
static uint8_t gathered[REGION_SIZE / 2];
static struct kch_record_vm index_of[KCH_REC_VMS_MAX];
static struct kch_rec_header header;
static size_t entries_size;
static uint32_t vms, vcpus_each, crc;

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "record-cost: %s\n", what);
	exit(1);
}

/* As many VMs as a slot has room for. */
static void make_entries(void)
{
	size_t size = kch_rec_entry_size(vcpus_each), i;
	struct kch_rec_vm *entry;

	vms = (kch_slot_size(REGION_SIZE) - sizeof(header)) / size;
	entries_size = vms * size;
	for (i = 0; i < entries_size; i++)
		entries[i] = (uint8_t)(i * 2654435761U >> 13);
	for (i = 0; i < vms; i++) {
		entry = (struct kch_rec_vm *)(entries + i * size);
		entry->vcpu_count = cpu_to_le32(vcpus_each);
		entry->tsc_scaling_frac_bits = 48;
		kch_rec_entry_close(entry);
	}
}

static void seal_into(uint8_t *slot, uint64_t sequence)
{
	size_t size = kch_rec_entry_size(vcpus_each), at;

	for (at = 0; at < entries_size; at += size)
		memcpy(gathered + at, entries + at, size);
	kch_rec_header_init(&header);
	header.sequence = cpu_to_le64(sequence);
	if (kch_record_write(slot, kch_slot_size(REGION_SIZE), &header, gathered,
			     entries_size, vms) ||
	    memcmp(slot, &header, sizeof(header)) ||
	    memcmp(slot + sizeof(header), gathered, entries_size))
		fail("a record was not written");
}

static void sealed(void)
{
	static uint64_t sequence = 2;

	seal_into(region, ++sequence);
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
	memcpy(region, gathered, entries_size);
	__asm__ volatile("" ::: "memory");
}

static void copied_region(void)
{
	memcpy(copy, region, sizeof(copy));
	__asm__ volatile("" ::: "memory");
}

static void summed(void)
{
	crc += kch_crc32c(~0U, gathered, entries_size);
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
		make_entries();
		seal_into(region + kch_slot_size(REGION_SIZE), 1);
		sealed();
		slot_ns = median_ns(copied_slot);
		sealed();
		region_ns = median_ns(copied_region);
		crc_ns = median_ns(summed);
		/* Sealing copies twice and reads once; loading sums twice. */
		print("sealed", median_ns(sealed), slot_ns);
		print("loaded", median_ns(loaded), region_ns + crc_ns);
	}
	return crc == 0x12345678;
}
