// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the sample records of the current version, those with all its feature bits:
 *
 *	mk-samples DIRECTORY
 *
 * For a new version of the record only; see samples.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "samples.h"
#include "slots.h"

static void put_entry(const struct sample_vm *from, u8 *at)
{
	struct kch_rec_vm *vm = (struct kch_rec_vm *)at;
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(vm + 1);
	u32 i;

	memcpy(vm->uuid, from->uuid, sizeof(vm->uuid));
	memcpy(vm->name, from->name, strlen(from->name));
	vm->vcpu_count = cpu_to_le32(from->vcpu_count);
	vm->flags = cpu_to_le32(from->flags);
	vm->master_cycle_now = cpu_to_le64(from->master_cycle_now);
	vm->master_kernel_ns = cpu_to_le64(from->master_kernel_ns);
	vm->kvmclock_offset = cpu_to_le64(from->kvmclock_offset);
	vm->host_tsc = cpu_to_le64(from->host_tsc);
	vm->kvmclock_ns = cpu_to_le64(from->kvmclock_ns);
	vm->kvmclock_slack_ns = cpu_to_le32(from->kvmclock_slack_ns);
	vm->used = cpu_to_le64(from->used);
	vm->tsc_scaling_frac_bits = from->tsc_scaling_frac_bits;
	vm->pid = cpu_to_le32(from->pid);
	vm->default_tsc_khz = cpu_to_le32(from->default_tsc_khz);
	for (i = 0; i < from->vcpu_count; i++, vcpu++) {
		vcpu->vcpu_id = cpu_to_le32(from->vcpus[i].vcpu_id);
		vcpu->flags = cpu_to_le32(from->vcpus[i].flags);
		vcpu->tsc_offset = cpu_to_le64(from->vcpus[i].tsc_offset);
		vcpu->tsc_scaling_ratio = cpu_to_le64(from->vcpus[i].tsc_scaling_ratio);
		vcpu->ia32_tsc_adjust = cpu_to_le64(from->vcpus[i].ia32_tsc_adjust);
		vcpu->pvclock_gpa = cpu_to_le64(from->vcpus[i].pvclock_gpa);
		vcpu->virtual_tsc_khz = cpu_to_le32(from->vcpus[i].virtual_tsc_khz);
		vcpu->hw_tsc_khz = cpu_to_le32(from->vcpus[i].hw_tsc_khz);
		vcpu->tsc_to_system_mul = cpu_to_le32(from->vcpus[i].tsc_to_system_mul);
		vcpu->tsc_shift = from->vcpus[i].tsc_shift;
		vcpu->pvclock_flags = from->vcpus[i].pvclock_flags;
	}
	kch_rec_entry_close(vm);
}

static size_t put_record(const struct sample *from, u8 *slot, size_t slot_size)
{
	static u8 entries[4096] __attribute__((aligned(64)));
	struct kch_rec_header header;
	size_t size = 0;
	u32 i;

	memset(entries, 0, sizeof(entries));
	for (i = 0; i < from->vm_count; i++) {
		put_entry(&from->vms[i], entries + size);
		size += kch_rec_entry_size(from->vms[i].vcpu_count);
	}
	kch_rec_header_init(&header);
	header.sequence = cpu_to_le64(from->sequence);
	header.generation = cpu_to_le64(from->generation);
	header.compat = cpu_to_le32(from->compat);
	header.wall_maxerror_us = cpu_to_le32(from->wall_maxerror_us);
	header.wall_flags = cpu_to_le32(from->wall_flags);
	header.flags = cpu_to_le32(from->flags);
	header.tsc_khz = cpu_to_le32(from->tsc_khz);
	header.kvm_tsc_khz = cpu_to_le32(from->kvm_tsc_khz);
	header.tsc_source = cpu_to_le32(from->tsc_source);
	header.host_tsc = cpu_to_le64(from->host_tsc);
	header.realtime_ns = cpu_to_le64(from->realtime_ns);
	header.tai_ns = cpu_to_le64(from->tai_ns);
	header.boottime_ns = cpu_to_le64(from->boottime_ns);
	header.raw_ns = cpu_to_le64(from->raw_ns);
	memcpy(header.boot_id, from->boot_id, sizeof(header.boot_id));
	memcpy(header.machine_id, from->machine_id, sizeof(header.machine_id));
	header.cpu_signature = cpu_to_le32(from->cpu_signature);
	memcpy(header.cpu_vendor, from->cpu_vendor, sizeof(header.cpu_vendor));
	strcpy(header.kernel_release, from->kernel_release);
	strcpy(header.module_version, from->module_version);
	if (kch_record_write(slot, slot_size, &header, entries, size, from->vm_count)) {
		fprintf(stderr, "%s: does not fit\n", from->file);
		exit(1);
	}
	/* Written later than the record. */
	((struct kch_rec_header *)slot)->superseded = cpu_to_le64(from->superseded);
	return sizeof(header) + size;
}

static void save(const char *directory, const char *file, const void *data,
		 size_t size)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static u8 region[SAMPLE_REGION_SIZE] __attribute__((aligned(64)));
	static u8 slot[SAMPLE_REGION_SIZE] __attribute__((aligned(64)));
	struct sample next;
	size_t i, size;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	for (i = 0; i < SAMPLE_COUNT; i++) {
		if (samples[i].compat != KCH_COMPAT_KNOWN)
			continue;
		size = put_record(&samples[i], slot, sizeof(slot));
		save(argv[1], samples[i].file, slot, size);
	}
	put_record(&samples[4], region, SAMPLE_REGION_SIZE / 2);
	next = samples[4];
	next.sequence++;
	put_record(&next, region + SAMPLE_REGION_SIZE / 2, SAMPLE_REGION_SIZE / 2);
	kch_record_revoke(region + SAMPLE_REGION_SIZE / 2);
	save(argv[1], SAMPLE_REGION_CUT, region, sizeof(region));
	return 0;
}
