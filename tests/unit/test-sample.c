// SPDX-License-Identifier: GPL-2.0
/*
 * Every sample record ever published is read, with exactly what it holds.
 * DATA is the directory with the samples.
 */
#include "../l1/lib/ktap.h"
#include "clock.h"
#include "builder.h"
#include "samples.h"

static u8 *load(const char *file, size_t *size)
{
	static u8 data[SAMPLE_REGION_SIZE + 1];
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", DATA, file);
	f = fopen(path, "rb");
	if (!ktap_check(f, "%s: cannot be read", path))
		return NULL;
	*size = fread(data, 1, sizeof(data), f);
	fclose(f);
	if (!ktap_check(*size > 0 && *size < sizeof(data), "%s: %zu bytes", path, *size))
		return NULL;
	return guarded_copy(data, *size);
}

#define check_number(found, expected) \
	ktap_check((found) == (expected), "%#llx, expected %#llx", \
		   (unsigned long long)(found), (unsigned long long)(expected))

static void check_vcpu(const struct sample *sample, const struct kch_record_vm *vm,
		       u32 index, const struct sample_vcpu *want)
{
	struct kch_rec_vcpu got;
	struct kch_clock clock;

	kch_record_vcpu(vm, index, &got);
	check_number(le32_to_cpu(got.vcpu_id), want->vcpu_id);
	check_number(le32_to_cpu(got.flags), want->flags);
	check_number(le64_to_cpu(got.tsc_offset), want->tsc_offset);
	check_number(le64_to_cpu(got.tsc_scaling_ratio), want->tsc_scaling_ratio);
	check_number(le64_to_cpu(got.ia32_tsc_adjust), want->ia32_tsc_adjust);
	check_number(le64_to_cpu(got.pvclock_gpa), want->pvclock_gpa);
	check_number(le32_to_cpu(got.virtual_tsc_khz), want->virtual_tsc_khz);
	check_number(le32_to_cpu(got.hw_tsc_khz), want->hw_tsc_khz);
	check_number(le32_to_cpu(got.tsc_to_system_mul), want->tsc_to_system_mul);
	check_number(got.tsc_shift, want->tsc_shift);
	check_number(got.pvclock_flags, want->pvclock_flags);

	/* The numbers also mean what they meant. */
	kch_clock_of(&vm->vm, &got, &clock);
	check_number(kch_clock_tsc(&clock, sample->host_tsc), want->tsc_then);
	check_number(kch_clock_ns(&clock, sample->host_tsc), want->ns_then);
}

static void check_sample(const struct sample *sample, const struct kch_record *record)
{
	const struct kch_rec_header *h = &record->header;
	struct kch_message message = { "" };
	struct kch_record_vm vm;
	size_t offset = 0;
	u32 i, j;
	int err;

	check_number(record->sequence, sample->sequence);
	check_number(record->vm_count, sample->vm_count);
	check_number(le64_to_cpu(h->generation), sample->generation);
	check_number(le32_to_cpu(h->flags), sample->flags);
	check_number(le32_to_cpu(h->compat), sample->compat);
	check_number(le64_to_cpu(h->superseded), sample->superseded);
	check_number(le32_to_cpu(h->wall_maxerror_us), sample->wall_maxerror_us);
	check_number(le32_to_cpu(h->wall_flags), sample->wall_flags);
	check_number(le32_to_cpu(h->tsc_khz), sample->tsc_khz);
	check_number(le32_to_cpu(h->kvm_tsc_khz), sample->kvm_tsc_khz);
	check_number(le32_to_cpu(h->tsc_source), sample->tsc_source);
	check_number(le64_to_cpu(h->host_tsc), sample->host_tsc);
	check_number(le64_to_cpu(h->realtime_ns), sample->realtime_ns);
	check_number(le64_to_cpu(h->tai_ns), sample->tai_ns);
	check_number(le64_to_cpu(h->boottime_ns), sample->boottime_ns);
	check_number(le64_to_cpu(h->raw_ns), sample->raw_ns);
	ktap_check(!memcmp(h->boot_id, sample->boot_id, 16), "boot id");
	ktap_check(!memcmp(h->machine_id, sample->machine_id, 16), "machine id");
	check_number(le32_to_cpu(h->cpu_signature), sample->cpu_signature);
	ktap_check(!memcmp(h->cpu_vendor, sample->cpu_vendor, 4), "CPU vendor");
	ktap_check(!strcmp(h->kernel_release, sample->kernel_release), "%s",
		   h->kernel_release);
	ktap_check(!strcmp(h->module_version, sample->module_version), "%s",
		   h->module_version);
	for (i = 0; i < sample->vm_count; i++) {
		const struct sample_vm *want = &sample->vms[i];

		err = kch_record_next(record, &offset, &vm, &message);
		if (!ktap_check(err == 0, "VM %u: %d: %s", i, err, message.text))
			return;
		ktap_check(!memcmp(vm.vm.uuid, want->uuid, 16), "uuid of VM %u", i);
		ktap_check(!strcmp(vm.vm.name, want->name), "%s", vm.vm.name);
		check_number(le32_to_cpu(vm.vm.flags), want->flags);
		check_number(le64_to_cpu(vm.vm.master_cycle_now), want->master_cycle_now);
		check_number(le64_to_cpu(vm.vm.master_kernel_ns), want->master_kernel_ns);
		check_number(le64_to_cpu(vm.vm.kvmclock_offset), want->kvmclock_offset);
		check_number(le64_to_cpu(vm.vm.host_tsc), want->host_tsc);
		check_number(le64_to_cpu(vm.vm.kvmclock_ns), want->kvmclock_ns);
		check_number(le32_to_cpu(vm.vm.kvmclock_slack_ns), want->kvmclock_slack_ns);
		check_number(le64_to_cpu(vm.vm.used), want->used);
		check_number(vm.vm.tsc_scaling_frac_bits, want->tsc_scaling_frac_bits);
		check_number(le32_to_cpu(vm.vm.pid), want->pid);
		check_number(le32_to_cpu(vm.vm.default_tsc_khz), want->default_tsc_khz);
		check_number(vm.vcpu_count, want->vcpu_count);
		for (j = 0; j < vm.vcpu_count; j++)
			check_vcpu(sample, &vm, j, &want->vcpus[j]);
	}
	err = kch_record_next(record, &offset, &vm, &message);
	ktap_check(err == -ENODATA, "behind the last VM: %d", err);
}

static void check_file(const struct sample *sample)
{
	struct kch_message message = { "" };
	struct kch_record record;
	size_t size;
	u8 *data = load(sample->file, &size);
	int err;

	if (!data)
		return;
	err = kch_record_open(data, size, &record, &message);
	if (ktap_check(err == 0, "%d: %s", err, message.text))
		check_sample(sample, &record);
	guarded_free(data, size);
}

static void test_empty(void)
{
	check_file(&samples[0]);
}

static void test_amd(void)
{
	check_file(&samples[1]);
}

static void test_intel(void)
{
	check_file(&samples[2]);
}

static void test_last(void)
{
	check_file(&samples[3]);
}

static void test_life(void)
{
	check_file(&samples[4]);
}

/* The record after it was never whole: there is only the one that is out of date. */
static void test_region_cut(void)
{
	struct kch_message message = { "" };
	struct kch_record record;
	unsigned int slot = 99;
	size_t size;
	u8 *data = load(SAMPLE_REGION_CUT, &size);
	int err;

	if (!data)
		return;
	err = kch_region_open(data, size, &record, &slot, &message);
	if (ktap_check(err == 0 && slot == 0, "%d: slot %u: %s", err, slot, message.text))
		check_sample(&samples[4], &record);
	guarded_free(data, size);
}

static void test_region(void)
{
	struct kch_message message = { "" };
	struct kch_record record;
	unsigned int slot = 99;
	size_t size;
	u8 *data = load(SAMPLE_REGION, &size);
	int err;

	if (!data)
		return;
	check_number(size, (size_t)SAMPLE_REGION_SIZE);
	err = kch_region_open(data, size, &record, &slot, &message);
	if (ktap_check(err == 0 && slot == 1, "%d: slot %u: %s", err, slot, message.text))
		check_sample(&samples[2], &record);
	kch_record_revoke(data + SAMPLE_REGION_SIZE / 2);
	err = kch_region_open(data, size, &record, &slot, &message);
	if (ktap_check(err == 0 && slot == 0, "%d: slot %u: %s", err, slot, message.text))
		check_sample(&samples[1], &record);
	guarded_free(data, size);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "empty", test_empty },
		{ "amd", test_amd },
		{ "intel", test_intel },
		{ "last", test_last },
		{ "life", test_life },
		{ "region", test_region },
		{ "region_cut", test_region_cut },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
