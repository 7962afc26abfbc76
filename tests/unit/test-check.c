// SPDX-License-Identifier: GPL-2.0
/*
 * What is read back after a restore: of the same vCPUs, and the same clocks.  And what the
 * keeper makes of a clock.  The entries end where memory does, so that nothing is read behind
 * them.
 */
#include "../l1/lib/ktap.h"
#include "builder.h"
#include "check.h"
#include "reference.h"

/* So many vCPUs of one clock. */
static struct kch_rec_vm *entry_of(u32 vcpus)
{
	struct kch_rec_vm *entry = (void *)guarded_alloc(kch_rec_entry_size(vcpus));
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1);
	u32 i;

	memset(entry, 0, kch_rec_entry_size(vcpus));
	entry->vcpu_count = cpu_to_le32(vcpus);
	entry->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	entry->master_cycle_now = cpu_to_le64(1ULL << 40);
	entry->master_kernel_ns = cpu_to_le64(1000000000);
	entry->host_tsc = cpu_to_le64(1ULL << 41);
	for (i = 0; i < vcpus; i++) {
		vcpu[i].vcpu_id = cpu_to_le32(i);
		vcpu[i].flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
		vcpu[i].virtual_tsc_khz = cpu_to_le32(2000000);
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(1);
		vcpu[i].tsc_to_system_mul = cpu_to_le32(1U << 31);
	}
	return entry;
}

static void entry_free(struct kch_rec_vm *entry)
{
	guarded_free((u8 *)entry, kch_rec_entry_size(le32_to_cpu(entry->vcpu_count)));
}

/* Whose message says @words; the entries are freed. */
static void check_verdict(struct kch_rec_vm *saved, struct kch_rec_vm *live,
			  struct kch_kvm_restore *r, int expected, const char *words)
{
	struct kch_message message = { "" };
	int err;

	memset(r, 0, sizeof(*r));
	r->saved = saved;
	r->outcome.vcpu_id = -1;
	err = kch_check_written(live, r, &message);
	ktap_check(err == expected && strstr(message.text, words), "%d (%s), expected %d (%s)",
		   err, message.text, expected, words);
	entry_free(saved);
	entry_free(live);
}

/* KVM_CREATE_VCPU while the clock was restored, or the record's entry is of another VM. */
static void test_written_other_vcpus(void)
{
	struct kch_rec_vm *saved, *live;
	struct kch_kvm_restore r;
	u32 n;

	for (n = 1; n < 70; n++) {
		check_verdict(entry_of(n), entry_of(n + 1), &r, -ELNRNG, "were saved");
		ktap_check(r.outcome.vcpu_id == -1 && r.outcome.found == n + 1 &&
			   r.outcome.expected == n, "%u vCPUs: vCPU %d, found %llu", n,
			   r.outcome.vcpu_id, (unsigned long long)r.outcome.found);
		ktap_check(!r.outcome.error_ns && !r.outcome.error_cycles &&
			   !r.outcome.error_rate_ppb, "%u vCPUs: an error of nothing", n);
		check_verdict(entry_of(n + 1), entry_of(n), &r, -ELNRNG, "were saved");
	}
	saved = entry_of(3);
	live = entry_of(3);
	((struct kch_rec_vcpu *)(live + 1))[2].vcpu_id = cpu_to_le32(7);
	check_verdict(saved, live, &r, -ELNRNG, "has a vCPU 7 where vCPU 2 was saved");
}

static void test_written(void)
{
	struct kch_rec_vm *saved, *live;
	struct kch_kvm_restore r;

	check_verdict(entry_of(3), entry_of(3), &r, 0, "");
	ktap_check(r.outcome.page == KCH_PAGE_SAME_BYTES &&
		   r.outcome.host_tsc == 1ULL << 41, "page %u", r.outcome.page);

	/* A younger reference of the same function: 2^32 cycles of half a ns each. */
	saved = entry_of(3);
	live = entry_of(3);
	live->master_cycle_now = cpu_to_le64((1ULL << 40) + (1ULL << 32));
	live->master_kernel_ns = cpu_to_le64(1000000000 + (1ULL << 31));
	check_verdict(saved, live, &r, 0, "");
	ktap_check(r.outcome.page == KCH_PAGE_SAME_FUNCTION, "page %u", r.outcome.page);

	saved = entry_of(3);
	live = entry_of(3);
	live->kvmclock_offset = cpu_to_le64(1);
	check_verdict(saved, live, &r, -EOVERFLOW, "reads back 1 ns, 0 cycles, 0 ppb");
	ktap_check(r.outcome.error_ns == 1 && r.outcome.page == KCH_PAGE_NONE, "%lld ns, page %u",
		   (long long)r.outcome.error_ns, r.outcome.page);

	saved = entry_of(3);
	live = entry_of(3);
	((struct kch_rec_vcpu *)(live + 1))[2].tsc_offset = cpu_to_le64(5);
	check_verdict(saved, live, &r, -EOVERFLOW, "vCPU 2 reads back");
	ktap_check(r.outcome.vcpu_id == 2 && r.outcome.error_cycles == 5, "vCPU %d, %lld cycles",
		   r.outcome.vcpu_id, (long long)r.outcome.error_cycles);
}

/*
 * Of TSCs that differ KVM makes no master clock once one of them is set; that is said
 * before it is.
 */
static void test_ready_other_tscs(void)
{
	struct kch_rec_vm *saved = entry_of(3), *live = entry_of(3);
	struct kch_rec_vcpu *is = (struct kch_rec_vcpu *)(live + 1);
	struct kch_rec_vcpu *was = (struct kch_rec_vcpu *)(saved + 1);
	struct kch_kvm_restore r = { .saved = saved, .check_only = true, .sets_vcpus = true };
	struct kch_message message = { "" };
	u32 i;

	live->flags = 0;
	for (i = 0; i < 3; i++)
		was[i].tsc_offset = cpu_to_le64(7);
	ktap_check(!kch_check_ready(live, &r, &message), "%s", message.text);
	for (i = 0; i < 3; i++) {
		was[i].tsc_offset = cpu_to_le64(8);
		ktap_check(kch_check_ready(live, &r, &message) == -EOPNOTSUPP &&
			   strstr(message.text, "saved TSCs do not match"), "%u: %s", i,
			   message.text);
		was[i].tsc_offset = cpu_to_le64(7);
		was[i].virtual_tsc_khz = cpu_to_le32(2000001);
		ktap_check(kch_check_ready(live, &r, &message) == -EOPNOTSUPP, "%u: %s", i,
			   message.text);
		was[i].virtual_tsc_khz = cpu_to_le32(2000000);
	}
	/* The VMM has set them so that KVM is content, and they are not set again. */
	for (i = 0; i < 3; i++) {
		was[i].tsc_offset = cpu_to_le64(i);
		is[i].tsc_offset = cpu_to_le64(i);
	}
	live->kvmclock_offset = cpu_to_le64(1);
	ktap_check(!kch_check_ready(live, &r, &message), "%s", message.text);
	entry_free(saved);
	entry_free(live);
}

/* The frequency for a vCPU that is added is one that a saved one has, or is not written. */
static void test_write_default_khz(void)
{
	static const u32 khz[][2] = { { 2000000, 2000000 }, { 2100000, 2100000 },
				      { 2000001, 0 }, { ~0U, 0 }, { 0, 0 } };
	const struct kch_instant now = { .host_tsc = 1ULL << 41, .kvm_ns = 1ULL << 41 };
	struct kch_rec_vm *entry = entry_of(3);
	u32 i;

	((struct kch_rec_vcpu *)(entry + 1))[2].virtual_tsc_khz = cpu_to_le32(2100000);
	for (i = 0; i < 5; i++) {
		entry->default_tsc_khz = cpu_to_le32(khz[i][0]);
		kch_entry_to_write(entry, 2000000, false, &now);
		ktap_check(le32_to_cpu(entry->default_tsc_khz) == khz[i][1], "%u of %u", i,
			   le32_to_cpu(entry->default_tsc_khz));
	}
	entry_free(entry);
}

#define KHZ	2000000

/*
 * KVM_SET_TSC_KHZ while the VM is paused: its vCPU computes another pair when it runs next.
 * Until then there is nothing to keep; or KVM would not compute it.
 */
static void test_renew_other_khz(void)
{
	static const struct kch_kvm_keep keep = {
		.facts = { .kvm_khz = KHZ, .frac_bits = 32 },
		.mul = 1U << 31,
		.ratio = 1ULL << 32,
	};
	const struct kch_instant now = { .host_tsc = 1ULL << 41, .kvm_ns = 1ULL << 41 };
	struct kch_rec_vm *entry = entry_of(3);
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1);
	u32 i;

	entry->tsc_scaling_frac_bits = 32;
	for (i = 0; i < 3; i++) {
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(1ULL << 32);
		vcpu[i].hw_tsc_khz = cpu_to_le32(KHZ);
	}
	ktap_check(kch_entry_renew(entry, &keep, false, &now), "a step is left as it is");
	ktap_check(!kch_entry_renew(entry, &keep, false, &now), "it is renewed twice");
	for (i = 0; i < 3; i++) {
		/* A step, that there is something to do. */
		entry->master_kernel_ns = cpu_to_le64(5000 * (i + 1));
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(2ULL << 32);
		ktap_check(!kch_entry_renew(entry, &keep, false, &now),
			   "vCPU %u has the pair of another frequency", i);
		vcpu[i].tsc_scaling_ratio = cpu_to_le64(1ULL << 32);
		/* One that never ran has none. */
		vcpu[i].flags = 0;
		vcpu[i].hw_tsc_khz = 0;
		ktap_check(kch_entry_renew(entry, &keep, false, &now), "vCPU %u has not run", i);
		vcpu[i].hw_tsc_khz = cpu_to_le32(KHZ);
	}
	entry_free(entry);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "written_other_vcpus", test_written_other_vcpus },
		{ "written", test_written },
		{ "ready_other_tscs", test_ready_other_tscs },
		{ "write_default_khz", test_write_default_khz },
		{ "renew_other_khz", test_renew_other_khz },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
