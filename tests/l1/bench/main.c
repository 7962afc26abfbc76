// SPDX-License-Identifier: GPL-2.0
/*
 * kch-bench: what preserving and restoring a VM's clock costs, in the emulated
 * host, as ratios to KVM's own ioctls that a VMM calls for the same purpose.
 *
 *	kch-bench START SIZE preserve|restore|fleet...
 *
 * START and SIZE are those of the reserved range.  Output is lines of
 * key=value ...; times are in cycles of the emulated host's TSC, and mean
 * nothing but next to each other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet.h"
#include "forge.h"
#include "pairs.h"
#include "units.h"

#define PRESERVE_ROUNDS	200
#define RESTORE_ROUNDS	200
#define FLEET_VMS	200
#define FLEET_ROUNDS	5

static const uint32_t vcpu_counts[] = { 1, 2, 4, 8 };
#define VCPU_COUNTS	(sizeof(vcpu_counts) / sizeof(vcpu_counts[0]))

static struct forged forged;

static void print_pairs(const char *what, const char *unit, uint32_t number,
			const struct pairs *pairs, uint32_t first, uint32_t last)
{
	struct spread base = pairs_base(pairs, first, last);
	struct spread ours = pairs_ours(pairs, first, last);
	struct spread ratio = pairs_ratio(pairs, first, last);

	printf("%s %s=%u pairs=%u kvm=%.0f ours=%.0f ratio=%.3f ratio_low=%.3f ratio_high=%.3f\n",
	       what, unit, number, last - first, base.median, ours.median,
	       ratio.median, ratio.low, ratio.high);
	fflush(stdout);
}

/* Preserve, next to reading the clock and the offsets. */
static void bench_preserve(void)
{
	static struct pairs whole, refused, read;
	struct vm vm;
	size_t n;
	uint32_t i;

	region_clear();
	module_load();
	for (n = 0; n < VCPU_COUNTS; n++) {
		vm_create_ready(&vm, vcpu_counts[n], BENCH_OFFSET);
		whole.count = 0;
		refused.count = 0;
		read.count = 0;
		for (i = 0; i < PRESERVE_ROUNDS; i++) {
			double base, ours;

			if (i & 1) {
				ours = unit_preserve(&vm, 1);
				base = unit_kvm_save(&vm);
			} else {
				base = unit_kvm_save(&vm);
				ours = unit_preserve(&vm, 1);
			}
			must_unpreserve(1);
			pairs_add(&whole, base, ours);
			pairs_add(&refused, base, unit_refused(&vm));
			pairs_add(&read, base, unit_read(&vm));
		}
		print_pairs("preserve", "vcpus", vcpu_counts[n], &whole, 0, i);
		print_pairs("preserve-entry", "vcpus", vcpu_counts[n], &refused, 0, i);
		print_pairs("preserve-read", "vcpus", vcpu_counts[n], &read, 0, i);
		vm_destroy(&vm);
	}
	module_unload();
}

/*
 * One VM can be restored again and again if the record has it many times over,
 * each time with another clock.
 */
static void forge_many(const struct vm *vm, uint32_t count)
{
	struct kch_rec_vm *entry;
	uint32_t i;

	region_clear();
	module_load();
	forge_begin(&forged);
	for (i = 0; i < count; i++) {
		entry = forge_add(&forged, vm, i + 1);
		entry->kvmclock_offset =
			cpu_to_le64(le64_to_cpu(entry->kvmclock_offset) + i);
		entry->kvmclock_ns = cpu_to_le64(le64_to_cpu(entry->kvmclock_ns) + i);
		kch_rec_entry_close(entry);
	}
	module_unload();
	region_clear();
	forge_write(&forged, 0);
	module_load();
}

/* Restore, next to writing the offsets and the clock. */
static void bench_restore(void)
{
	static struct pairs module, check, names, whole;
	struct vm vm;
	size_t n;
	uint32_t i;

	for (n = 0; n < VCPU_COUNTS; n++) {
		vm_create_ready(&vm, vcpu_counts[n], BENCH_OFFSET);
		forge_many(&vm, 2 * RESTORE_ROUNDS);
		units_open();
		module.count = 0;
		check.count = 0;
		names.count = 0;
		whole.count = 0;
		for (i = 0; i < RESTORE_ROUNDS; i++) {
			double base = unit_kvm_restore(&vm);

			pairs_add(&check, base, unit_restore_check(&vm, 2 * i + 1));
			pairs_add(&module, base, unit_restore(&vm, 2 * i + 1));
			pairs_add(&names, base, unit_names(&vm));
			base = unit_kvm_restore(&vm);
			pairs_add(&whole, base, unit_library_restore(&vm, 2 * i + 2));
		}
		print_pairs("restore", "vcpus", vcpu_counts[n], &module, 0, i);
		print_pairs("restore-check", "vcpus", vcpu_counts[n], &check, 0, i);
		print_pairs("restore-names", "vcpus", vcpu_counts[n], &names, 0, i);
		print_pairs("restore-library", "vcpus", vcpu_counts[n], &whole, 0, i);
		units_close();
		module_unload();
		vm_destroy(&vm);
	}
}

/* The N VMs' pairs of each round, one round after the other, by VM. */
static void print_fleet(const char *what, const struct pairs *pairs, uint32_t vms)
{
	static const uint32_t edges[] = { 0, 10, 50, 100, 150, 190, 200 };
	static struct pairs some;
	size_t e;
	uint32_t i;

	for (e = 0; e + 1 < sizeof(edges) / sizeof(edges[0]); e++) {
		some.count = 0;
		for (i = 0; i < pairs->count; i++)
			if (i % vms >= edges[e] && i % vms < edges[e + 1])
				pairs_add(&some, pairs->base[i], pairs->ours[i]);
		if (some.count)
			print_pairs(what, "up_to_vm", edges[e + 1], &some, 0,
				    some.count);
	}
}

static void fleet_preserve(void)
{
	static struct pairs pairs;
	struct fleet_answer answer;
	uint32_t round, i;

	region_clear();
	module_load();
	for (round = 0; round < FLEET_ROUNDS; round++) {
		for (i = 0; i < FLEET_VMS; i++) {
			fleet_order(i, FLEET_SAVE, i + 1, &answer);
			pairs_add(&pairs, answer.base, answer.ours);
		}
		for (i = 0; i < FLEET_VMS; i++)
			must_unpreserve(i + 1);
	}
	print_fleet("preserve-fleet", &pairs, FLEET_VMS);
	module_unload();
}

static void forge_fleet(uint32_t vms)
{
	struct fleet_answer answer;
	uint32_t i;

	region_clear();
	module_load();
	forge_begin(&forged);
	for (i = 0; i < vms; i++) {
		fleet_order(i, FLEET_ENTRY, 0, &answer);
		forge_add_entry(&forged, (void *)answer.entry, i + 1);
	}
	module_unload();
	region_clear();
	forge_write(&forged, 0);
	module_load();
}

static void fleet_restore(uint32_t vms)
{
	static struct pairs pairs;
	struct fleet_answer answer;
	uint32_t rounds = FLEET_ROUNDS * FLEET_VMS / vms, round, i;

	/* Of few VMs as many pairs, but not as many loads of the module. */
	rounds = rounds > 20 ? 20 : rounds;
	pairs.count = 0;
	for (round = 0; round < rounds; round++) {
		forge_fleet(vms);
		for (i = 0; i < vms; i++) {
			fleet_order(i, FLEET_RESTORE, i + 1, &answer);
			pairs_add(&pairs, answer.base, answer.ours);
		}
		module_unload();
	}
	print_pairs("restore-fleet", "vms", vms, &pairs, 0, pairs.count);
	if (vms == FLEET_VMS)
		print_fleet("restore-fleet", &pairs, vms);
}

static void bench_fleet(void)
{
	fleet_start(FLEET_VMS);
	fleet_preserve();
	fleet_restore(10);
	fleet_restore(50);
	fleet_restore(FLEET_VMS);
	fleet_end();
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 4)
		die("usage: kch-bench START SIZE preserve|restore|fleet...");
	region_start = strtoull(argv[1], NULL, 0);
	region_size = strtoull(argv[2], NULL, 0);
	for (i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "preserve"))
			bench_preserve();
		else if (!strcmp(argv[i], "restore"))
			bench_restore();
		else if (!strcmp(argv[i], "fleet"))
			bench_fleet();
		else
			die("no such part: %s", argv[i]);
	}
	return 0;
}
