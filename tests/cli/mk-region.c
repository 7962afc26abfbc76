// SPDX-License-Identifier: GPL-2.0
/*
 * Makes regions for the tests of the tool, and damages them.
 *
 *	mk-region FILE SIZE SLOT SEQUENCE [VM...]
 *		writes a record into a slot of a file that is made if need be;
 *		a VM is NAME:VCPUS[:CYCLES[:MUL[:NS[:FLAGS]]]], CYCLES added to the
 *		TSC offset and MUL to the multiplier; with NS it has no master
 *		clock, and KVM's clock of it is so far ahead, give or take 7 ns;
 *		FLAGS instead of those of a VM that was read at the seal
 *	mk-region FILE revoke SIZE SLOT
 *	mk-region FILE incompat SIZE SLOT
 *		sets a feature bit nobody knows
 *	mk-region FILE flip BYTE BIT

 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "slots.h"

#define HOST_TSC	0x123456789abcULL
#define TSC_KHZ		2596124

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* The id of a VM ends with the first byte of its name. */
static void vm_uuid(const char *name, u8 uuid[KCH_UUID_SIZE])
{
	memset(uuid, 0x11, KCH_UUID_SIZE);
	uuid[KCH_UUID_SIZE - 1] = (u8)name[0];
}

static void make_vcpu(struct kch_rec_vcpu *vcpu, u32 id, u64 cycles, u32 mul)
{
	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->vcpu_id = cpu_to_le32(id);
	vcpu->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID | KCH_VCPU_PVCLOCK_ON);
	vcpu->tsc_offset = cpu_to_le64(0xfffffff000000000ULL + cycles);
	vcpu->tsc_scaling_ratio = cpu_to_le64(1);
	vcpu->ia32_tsc_adjust = cpu_to_le64((u64)-5);
	vcpu->pvclock_gpa = cpu_to_le64(0x1000 + 64 * id);
	vcpu->virtual_tsc_khz = cpu_to_le32(TSC_KHZ);
	vcpu->hw_tsc_khz = cpu_to_le32(TSC_KHZ);
	vcpu->tsc_to_system_mul = cpu_to_le32(3308671547U + mul);
	vcpu->tsc_shift = -1;
	vcpu->pvclock_flags = 1;
}

static struct kch_rec_vm *add_vm(u8 **entries, size_t *size, const char *spec)
{
	char *copy = strdup(spec), *rest = copy;
	char *name = strsep(&rest, ":");
	char *vcpus = strsep(&rest, ":");
	char *cycles = rest ? strsep(&rest, ":") : NULL;
	u32 count = vcpus ? (u32)strtoul(vcpus, NULL, 0) : 1, i;
	u64 extra_cycles = cycles ? strtoull(cycles, NULL, 0) : 0;
	char *mul = rest ? strsep(&rest, ":") : NULL;
	u32 extra_mul = mul ? (u32)strtoul(mul, NULL, 0) : 0;
	char *ns = rest ? strsep(&rest, ":") : NULL;
	u32 flags = rest ? (u32)strtoul(rest, NULL, 0) :
			   KCH_VM_MASTER_CLOCK | KCH_VM_AT_SEAL;
	struct kch_clock clock;
	struct kch_rec_vm *vm;

	*entries = realloc(*entries, *size + kch_rec_entry_size(count));
	vm = (struct kch_rec_vm *)(*entries + *size);
	memset(vm, 0, sizeof(*vm));
	vm_uuid(name, vm->uuid);
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->vcpu_count = cpu_to_le32(count);
	vm->flags = cpu_to_le32(flags);
	vm->master_cycle_now = cpu_to_le64(HOST_TSC - 1000000);
	vm->master_kernel_ns = cpu_to_le64(7000000000ULL);
	vm->kvmclock_offset = cpu_to_le64((u64)-3000000000LL);
	vm->host_tsc = cpu_to_le64(HOST_TSC);
	vm->pid = cpu_to_le32(4242);
	vm->default_tsc_khz = cpu_to_le32(TSC_KHZ);
	for (i = 0; i < count; i++)
		make_vcpu((struct kch_rec_vcpu *)(vm + 1) + i, i, extra_cycles,
			  extra_mul);
	kch_clock_of(vm, (struct kch_rec_vcpu *)(vm + 1), &clock);
	vm->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, HOST_TSC));
	if (ns && *ns) {
		vm->flags = 0;
		vm->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, HOST_TSC) +
					      strtoull(ns, NULL, 0));
		vm->kvmclock_slack_ns = cpu_to_le32(7);
	}
	kch_rec_entry_close(vm);
	*size += kch_rec_entry_size(count);
	free(copy);
	return vm;
}

static u8 *map_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct stat st;
	u8 *data;

	if (fd < 0 || (*size && ftruncate(fd, (off_t)*size)) || fstat(fd, &st))
		die(path);
	*size = (size_t)st.st_size;
	data = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		die(path);
	close(fd);
	return data;
}

static void write_record(const char *path, size_t size, unsigned long slot,
			 u64 sequence, char **vms, int count)
{
	u8 *region = map_file(path, &size);
	struct kch_rec_header header;
	size_t entries_size = 0;
	u8 *entries = NULL;
	int i;

	for (i = 0; i < count; i++)
		add_vm(&entries, &entries_size, vms[i]);
	kch_rec_header_init(&header);
	header.sequence = cpu_to_le64(sequence);
	header.generation = cpu_to_le64(3);
	header.flags = cpu_to_le32(KCH_REC_SEALED);
	header.tsc_khz = cpu_to_le32(TSC_KHZ);
	header.kvm_tsc_khz = cpu_to_le32(TSC_KHZ);
	header.tsc_source = cpu_to_le32(KCH_TSC_SETTLED);
	header.host_tsc = cpu_to_le64(HOST_TSC);
	header.realtime_ns = cpu_to_le64(1700000000123456789ULL);
	header.tai_ns = cpu_to_le64(1700000037123456789ULL);
	header.boottime_ns = cpu_to_le64(7000000000ULL);
	header.raw_ns = cpu_to_le64(7000000001ULL);
	memset(header.boot_id, 0xb0, sizeof(header.boot_id));
	memcpy(header.cpu_vendor, "Auth", sizeof(header.cpu_vendor));
	header.cpu_signature = cpu_to_le32(0x800f12);
	memcpy(header.kernel_release, "6.12.0-test", 12);
	memcpy(header.module_version, "0.1.0", 6);
	if (kch_record_write(region + slot * kch_slot_size(size),
			     kch_slot_size(size), &header, entries,
			     entries_size, (u32)count)) {
		fprintf(stderr, "mk-region: the record does not fit\n");
		exit(1);
	}
	free(entries);
	munmap(region, size);
}

static void set_incompat(u8 *slot, size_t slot_size)
{
	struct kch_record record;
	u8 *entries;
	size_t size;

	if (kch_record_open(slot, slot_size, &record, NULL))
		die("no record");
	record.header.incompat = cpu_to_le32(1U << 31);
	size = record.total_size - record.header_size;
	entries = malloc(size);
	memcpy(entries, slot + record.header_size, size);
	kch_record_write(slot, slot_size, &record.header, entries, size,
			 record.vm_count);
	free(entries);
}

int main(int argc, char **argv)
{
	size_t size = 0, at;
	u8 *region;

	if (argc < 5) {
		fprintf(stderr, "mk-region: too few arguments\n");
		return 2;
	}
	if (argv[2][0] >= '0' && argv[2][0] <= '9') {
		write_record(argv[1], strtoul(argv[2], NULL, 0),
			     strtoul(argv[3], NULL, 0),
			     strtoull(argv[4], NULL, 0), argv + 5, argc - 5);
		return 0;
	}
	region = map_file(argv[1], &size);
	at = strtoul(argv[3], NULL, 0);
	if (!strcmp(argv[2], "revoke")) {
		kch_record_revoke(region + strtoul(argv[4], NULL, 0) *
				  kch_slot_size(at));
	} else if (!strcmp(argv[2], "incompat")) {
		set_incompat(region + strtoul(argv[4], NULL, 0) *
			     kch_slot_size(at), kch_slot_size(at));
	} else if (!strcmp(argv[2], "flip") && at < size) {
		region[at] ^= (u8)(1U << strtoul(argv[4], NULL, 0));
	} else {
		fprintf(stderr, "mk-region: bad arguments\n");
		return 2;
	}
	munmap(region, size);
	return 0;
}
