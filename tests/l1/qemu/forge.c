// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the record in the region what it would be if the host's TSC had been
 * reset since it was written, or if that had been at another time:
 *
 *	kch-qemu-forge ADDRESS SIZE SECONDS
 *	kch-qemu-forge ADDRESS SIZE TSC SECONDS
 *
 * The emulated CPU ignores writes to its TSC.  But a TSC that ran on, seen from
 * a record in which it was SECONDS later, is the same as one that was set back by
 * SECONDS: whatever counts the host's TSC is moved, and the TSC offsets
 * the other way, so that the guest's TSC and clock are what they were.
 *
 * With TSC it is moved so that when it says that the host's TSC had this value was SECONDS
 * ago, by the TSC and by the wall clock, and to be written when the first clock in it was
 * saved, which is now at the latest.  It then says this value, the first vCPU's offset, and the
 * TSC's value when the clock was saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include "slots.h"

static void die(const char *what)
{
	fprintf(stderr, "kch-qemu-forge: %s\n", what);
	exit(1);
}

static __le64 add(__le64 value, u64 cycles)
{
	return cpu_to_le64(le64_to_cpu(value) + cycles);
}

/* Copies VM @vm to @entry, moved by @cycles; the size of that. */
static size_t move_vm(const struct kch_record_vm *vm, struct kch_rec_vm *entry,
		      u64 cycles)
{
	struct kch_rec_vcpu *vcpus = (struct kch_rec_vcpu *)(entry + 1);
	u32 i;

	kch_record_copy(vm, entry);
	entry->host_tsc = add(entry->host_tsc, cycles);
	entry->master_cycle_now = add(entry->master_cycle_now, cycles);
	for (i = 0; i < vm->vcpu_count; i++)
		vcpus[i].tsc_offset = add(vcpus[i].tsc_offset, -cycles);
	kch_rec_entry_close(entry);
	return kch_rec_entry_size(vm->vcpu_count);
}

/*
 * By how many cycles the record is to be moved for @tsc to be @seconds ago; its header then
 * says that it was written when the first clock in it was saved.
 */
static u64 write_ago(struct kch_record *record, u64 tsc, double seconds)
{
	struct kch_rec_header *header = &record->header;
	double khz = le32_to_cpu(header->tsc_khz);
	u64 since, cycles, shift_ns, now_tsc;
	struct kch_message message;
	struct kch_record_vm vm;
	struct timespec now;
	size_t offset = 0;

	if (kch_record_next(record, &offset, &vm, &message))
		die("no VM in the record");
	header->host_tsc = vm.vm.host_tsc;
	clock_gettime(CLOCK_REALTIME, &now);
	now_tsc = __rdtsc();
	since = now_tsc - le64_to_cpu(header->host_tsc);
	cycles = now_tsc - (u64)(seconds * 1000 * khz) - tsc;
	if ((s64)(since - cycles) < 0)
		cycles = since;
	shift_ns = (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec -
		   (u64)((double)(since - cycles) / khz * 1e6) -
		   le64_to_cpu(header->realtime_ns);
	header->realtime_ns = add(header->realtime_ns, shift_ns);
	header->tai_ns = add(header->tai_ns, shift_ns);
	return cycles;
}

int main(int argc, char **argv)
{
	struct kch_message message = {};
	struct kch_record record;
	struct kch_record_vm vm;
	size_t size, slot_size, used = 0, offset = 0;
	u8 *region, *copy, *entries;
	unsigned int slot;
	const struct kch_rec_vm *first;
	u64 cycles;
	bool ago = argc == 5;
	int fd, err;

	if (argc != 4 && !ago)
		die("usage: kch-qemu-forge ADDRESS SIZE [TSC] SECONDS");
	size = strtoul(argv[2], NULL, 0);
	fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/mem cannot be opened");
	region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)strtoull(argv[1], NULL, 0));
	if (region == MAP_FAILED)
		die("the region cannot be mapped");
	copy = malloc(size);
	entries = calloc(1, size);
	if (!copy || !entries)
		die("no memory");
	memcpy(copy, region, size);
	if (kch_region_open(copy, size, &record, &slot, &message))
		die(message.text[0] ? message.text : "no record in the region");

	if (ago)
		cycles = write_ago(&record, strtoull(argv[3], NULL, 10), strtod(argv[4], NULL));
	else
		cycles = (u64)(strtoll(argv[3], NULL, 10) * 1000) *
			 le32_to_cpu(record.header.tsc_khz);
	while (!(err = kch_record_next(&record, &offset, &vm, &message)))
		used += move_vm(&vm, (struct kch_rec_vm *)(entries + used), cycles);
	if (err != -ENODATA)
		die(message.text);
	record.header.host_tsc = add(record.header.host_tsc, cycles);
	first = (const struct kch_rec_vm *)entries;
	if (ago)
		printf("%llu %lld %llu\n", strtoull(argv[3], NULL, 10) + cycles,
		       (long long)le64_to_cpu(((struct kch_rec_vcpu *)(first + 1))->tsc_offset),
		       (unsigned long long)le64_to_cpu(first->host_tsc));
	slot_size = kch_slot_size(size);
	if (kch_record_write(region + slot * slot_size, slot_size,
			     &record.header, entries, used, record.vm_count))
		die("the record does not fit");
	return 0;
}
