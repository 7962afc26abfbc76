// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the clocks of the record in a range older:
 *
 *	kch-age-record ADDRESS SIZE DAYS
 *
 * Each VM's reference goes back by about DAYS, as if KVM had taken it then and
 * none since; its clock stays the same at every TSC.  So that nothing is lost
 * it goes back by a multiple of 2^(32 - shift) guest cycles, of which mul is the ns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "slots.h"

#define CYCLES_OF_A_DAY(khz)	(86400000ULL * (khz))
#define TRIES			100000

static void die(const char *what)
{
	fprintf(stderr, "kch-age-record: %s\n", what);
	exit(1);
}

/* The host's cycle at which a scaled TSC is @guest; 0: there is none. */
static u64 host_cycle_of(u64 guest, u64 ratio, unsigned int frac_bits)
{
	unsigned __int128 scaled = (unsigned __int128)guest << frac_bits;
	u64 host = (scaled + ratio - 1) / ratio;

	return (u64)((unsigned __int128)host * ratio >> frac_bits) == guest ?
	       host : 0;
}

static void age(struct kch_rec_vm *vm, u64 host_cycles)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(vm + 1);
	u64 ratio = le64_to_cpu(vcpu->tsc_scaling_ratio), host = 0, steps, guest;
	unsigned int frac_bits = vm->tsc_scaling_frac_bits, i;
	u64 reference = le64_to_cpu(vm->master_cycle_now);
	u32 mul = le32_to_cpu(vcpu->tsc_to_system_mul);
	unsigned int step_bits = 32 - vcpu->tsc_shift;

	for (i = 1; i < le32_to_cpu(vm->vcpu_count); i++)
		if (vcpu[i].tsc_scaling_ratio != vcpu->tsc_scaling_ratio ||
		    vcpu[i].tsc_to_system_mul != vcpu->tsc_to_system_mul ||
		    vcpu[i].tsc_shift != vcpu->tsc_shift)
			die("vCPUs of one VM have different clocks");
	if (host_cycles >= reference)
		die("the host's TSC does not go back that far");
	guest = (unsigned __int128)reference * ratio >> frac_bits;
	steps = (u64)((unsigned __int128)host_cycles * ratio >> frac_bits) >> step_bits;
	for (i = 0; i < TRIES && steps; i++, steps--) {
		host = host_cycle_of(guest - (steps << step_bits), ratio, frac_bits);
		if (host)
			break;
	}
	if (!host)
		die("no such reference");
	vm->master_cycle_now = cpu_to_le64(host);
	vm->master_kernel_ns =
		cpu_to_le64(le64_to_cpu(vm->master_kernel_ns) - steps * mul);
	printf("name=%s reference=%llu,%llu older_by_cycles=%llu steps=%llu\n",
	       vm->name, (unsigned long long)host,
	       (unsigned long long)(le64_to_cpu(vm->master_kernel_ns) +
				    le64_to_cpu(vm->kvmclock_offset)),
	       (unsigned long long)(reference - host),
	       (unsigned long long)steps);
	kch_rec_entry_close(vm);
}

int main(int argc, char **argv)
{
	size_t size, slot_size, used = 0, offset = 0;
	struct kch_message message = {};
	struct kch_record record;
	struct kch_record_vm vm;
	u8 *region, *copy, *entries;
	unsigned int slot;
	int fd, err;

	if (argc != 4)
		die("usage: kch-age-record ADDRESS SIZE DAYS");
	size = strtoul(argv[2], NULL, 0);
	fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/mem cannot be opened");
	region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)strtoull(argv[1], NULL, 0));
	if (region == MAP_FAILED)
		die("the range cannot be mapped");
	copy = malloc(size);
	entries = calloc(1, size);
	if (!copy || !entries)
		die("no memory");
	memcpy(copy, region, size);
	if (kch_region_open(copy, size, &record, &slot, &message))
		die(message.text[0] ? message.text : "no record in the range");

	while (!(err = kch_record_next(&record, &offset, &vm, &message))) {
		struct kch_rec_vm *entry = (struct kch_rec_vm *)(entries + used);

		kch_record_copy(&vm, entry);
		age(entry, strtoull(argv[3], NULL, 10) *
			   CYCLES_OF_A_DAY(le32_to_cpu(record.header.tsc_khz)));
		used += kch_rec_entry_size(vm.vcpu_count);
	}
	if (err != -ENODATA)
		die(message.text);
	slot_size = kch_slot_size(size);
	if (!used || kch_record_write(region + slot * slot_size, slot_size,
				      &record.header, entries, used,
				      record.vm_count))
		die("the record cannot be written");
	return 0;
}
