// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What a restore demands of a VM, and whether what was written is what was saved. */
#include "check.h"

int kch_entry_exact(const struct kch_rec_vm *entry, struct kch_message *message)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	u32 i;

	for (i = 0; i < le32_to_cpu(entry->vcpu_count); i++, vcpu++) {
		if (!(le32_to_cpu(vcpu->flags) & KCH_VCPU_CATCHUP))
			continue;
		kch_say(message, "vCPU %u is in TSC catch-up: it was promised %u kHz, which this host does not run at and cannot scale to, so KVM moves its TSC offset itself",
			le32_to_cpu(vcpu->vcpu_id),
			le32_to_cpu(vcpu->virtual_tsc_khz));
		return -ENOTRECOVERABLE;
	}
	if (!(le32_to_cpu(entry->flags) & KCH_VM_MASTER_CLOCK)) {
		kch_say(message, "KVM has no master clock for this VM: its vCPUs' TSCs do not match, the host's clocksource is not the TSC, or its first KVM_RUN or KVM_SET_CLOCK is still to come");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int refuse_vcpu(struct kch_kvm_restore *r, s32 vcpu_id, u64 found, u64 expected, int err)
{
	r->outcome.vcpu_id = vcpu_id;
	r->outcome.found = found;
	r->outcome.expected = expected;
	return err;
}

/* Are its vCPUs those that were saved? */
static int check_members(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
			 struct kch_message *message)
{
	const struct kch_rec_vcpu *has = (const void *)(live + 1);
	const struct kch_rec_vcpu *saved = (const void *)(r->saved + 1);
	u32 count = le32_to_cpu(live->vcpu_count), i;
	unsigned long long expected;

	if (live->vcpu_count != r->saved->vcpu_count) {
		expected = le32_to_cpu(r->saved->vcpu_count);
		kch_say(message, "the VM has %u vCPUs, %llu were saved", count, expected);
		return refuse_vcpu(r, -1, count, expected, -ELNRNG);
	}
	for (i = 0; i < count; i++) {
		u32 id = le32_to_cpu(has[i].vcpu_id);

		if (has[i].vcpu_id == saved[i].vcpu_id)
			continue;
		expected = le32_to_cpu(saved[i].vcpu_id);
		kch_say(message, "the VM has a vCPU %u where vCPU %llu was saved", id, expected);
		return refuse_vcpu(r, id, id, expected, -ELNRNG);
	}
	return 0;
}

int kch_check_ratio(const struct kch_rec_vm *live, const struct kch_rec_vcpu *has,
		    const struct kch_rec_vcpu *want, struct kch_kvm_restore *r,
		    struct kch_message *message)
{
	unsigned long long found = le64_to_cpu(has->tsc_scaling_ratio);
	unsigned long long expected = le64_to_cpu(want->tsc_scaling_ratio);
	u32 id = le32_to_cpu(has->vcpu_id);

	if (found == expected && live->tsc_scaling_frac_bits == r->saved->tsc_scaling_frac_bits)
		return 0;
	kch_say(message, "vCPU %u has TSC scaling ratio %#llx/2^%u, saved was %#llx/2^%u: the host's frequency or its CPU changed",
		id, found, live->tsc_scaling_frac_bits, expected,
		r->saved->tsc_scaling_frac_bits);
	return refuse_vcpu(r, id, found, expected, -ERANGE);
}

/*
 * Those that are not as saved yet are to be set, one after the other: KVM makes a master
 * clock only of equal ones.
 */
static int check_saved_tscs(const struct kch_rec_vm *live, const struct kch_rec_vm *saved,
			    struct kch_message *message)
{
	const struct kch_rec_vcpu *has = (const void *)(live + 1);
	const struct kch_rec_vcpu *want = (const void *)(saved + 1);
	bool set = false, match = true;
	u32 i;

	for (i = 0; i < le32_to_cpu(live->vcpu_count); i++) {
		set |= has[i].tsc_offset != want[i].tsc_offset ||
		       has[i].virtual_tsc_khz != want[i].virtual_tsc_khz;
		match &= want[i].tsc_offset == want->tsc_offset &&
			 want[i].virtual_tsc_khz == want->virtual_tsc_khz;
	}
	if (!set || match)
		return 0;
	kch_say(message, "the vCPUs' saved TSCs do not match: KVM makes no master clock of them");
	return -EOPNOTSUPP;
}

/* Compares what the VMM has set up with what was saved. */
static int check_vcpus(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		       struct kch_message *message)
{
	const struct kch_rec_vcpu *has = (const void *)(live + 1);
	const struct kch_rec_vcpu *saved = (const void *)(r->saved + 1);
	u32 count = le32_to_cpu(live->vcpu_count), i;
	int err = check_members(live, r, message);
	unsigned long long found, expected;

	if (err)
		return err;
	for (i = 0; i < count && !r->sets_vcpus; i++) {
		u32 id = le32_to_cpu(has[i].vcpu_id);

		err = kch_check_ratio(live, &has[i], &saved[i], r, message);
		if (err)
			return err;
		found = le32_to_cpu(has[i].virtual_tsc_khz);
		expected = le32_to_cpu(saved[i].virtual_tsc_khz);
		if (found != expected) {
			kch_say(message, "vCPU %u was given %llu kHz, saved was %llu kHz: KVM_SET_TSC_KHZ has to be set on the VM before its first vCPU",
				id, found, expected);
			return refuse_vcpu(r, id, found, expected, -ERANGE);
		}
		found = le64_to_cpu(has[i].tsc_offset);
		expected = le64_to_cpu(saved[i].tsc_offset);
		if (found != expected) {
			kch_say(message, "vCPU %u has TSC offset %lld, saved was %lld: its VMM has not set KVM_VCPU_TSC_OFFSET yet, or has changed it since",
				id, (long long)found, (long long)expected);
			return refuse_vcpu(r, id, found, expected, -EL2NSYNC);
		}
	}
	return 0;
}

static bool is_worse(const struct kch_clock_error *a, const struct kch_clock_error *b)
{
	if (a->identical != b->identical)
		return b->identical;
	if (a->same_page != b->same_page)
		return b->same_page;
	if (a->ns != b->ns)
		return kch_magnitude(a->ns) > kch_magnitude(b->ns);
	if (a->cycles != b->cycles)
		return kch_magnitude(a->cycles) > kch_magnitude(b->cycles);
	return kch_magnitude(a->rate_ppb) > kch_magnitude(b->rate_ppb);
}

/* Of the same vCPUs. */
static bool is_identical(const struct kch_rec_vm *live, struct kch_kvm_restore *r)
{
	const struct kch_rec_vcpu *a = (const void *)(r->saved + 1);
	const struct kch_rec_vcpu *b = (const void *)(live + 1);
	struct kch_clock_error one, worst = { .identical = true, .same_page = true };
	struct kch_outcome *outcome = &r->outcome;
	struct kch_clock want, have;
	u32 i;

	outcome->host_tsc = le64_to_cpu(live->host_tsc);
	for (i = 0; i < le32_to_cpu(live->vcpu_count); i++) {
		kch_clock_of(r->saved, &a[i], &want);
		kch_clock_of(live, &b[i], &have);
		kch_clock_compare(&want, &have, outcome->host_tsc, &one);
		if (is_worse(&one, &worst)) {
			worst = one;
			outcome->vcpu_id = le32_to_cpu(b[i].vcpu_id);
		}
	}
	outcome->error_ns = worst.ns;
	outcome->error_cycles = worst.cycles;
	outcome->error_rate_ppb = worst.rate_ppb;
	outcome->page = worst.same_page ? KCH_PAGE_SAME_BYTES :
			worst.identical ? KCH_PAGE_SAME_FUNCTION : KCH_PAGE_NONE;
	return worst.identical;
}

int kch_check_written(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		      struct kch_message *message)
{
	const struct kch_outcome *outcome = &r->outcome;
	int err = check_members(live, r, message);

	if (err || is_identical(live, r))
		return err;
	kch_say(message, "vCPU %d reads back %lld ns, %lld cycles, %lld ppb from the saved clock",
		outcome->vcpu_id, outcome->error_ns, outcome->error_cycles,
		outcome->error_rate_ppb);
	return -EOVERFLOW;
}

int kch_check_added(const struct kch_rec_vm *entry, struct kch_adopt *a,
		    struct kch_message *message)
{
	const struct kch_rec_vcpu *vcpus = (const void *)(entry + 1);
	const struct kch_rec_vcpu *ran = NULL;
	u32 count = le32_to_cpu(entry->vcpu_count), i;

	for (i = 0; i < count && !ran; i++)
		if (le32_to_cpu(vcpus[i].flags) & KCH_VCPU_PAIR_VALID)
			ran = &vcpus[i];
	if (!ran) {
		kch_say(message, "none of the VM's %u vCPUs has run: there is no clock to adopt",
			count);
		return -ENODATA;
	}
	for (i = 0; i < count; i++) {
		a->vcpu_id = le32_to_cpu(vcpus[i].vcpu_id);
		if (le32_to_cpu(vcpus[i].flags) & KCH_VCPU_PAIR_VALID)
			continue;
		a->found = le64_to_cpu(vcpus[i].tsc_scaling_ratio);
		a->expected = le64_to_cpu(ran->tsc_scaling_ratio);
		if (a->found != a->expected) {
			kch_say(message, "vCPU %d has TSC scaling ratio %#llx, vCPU %u has %#llx",
				a->vcpu_id, a->found, le32_to_cpu(ran->vcpu_id),
				a->expected);
			return -ERANGE;
		}
		a->found = le64_to_cpu(vcpus[i].tsc_offset);
		a->expected = le64_to_cpu(ran->tsc_offset);
		if (a->found != a->expected) {
			kch_say(message, "vCPU %d has TSC offset %lld, vCPU %u has %lld",
				a->vcpu_id, (long long)a->found,
				le32_to_cpu(ran->vcpu_id), (long long)a->expected);
			return -EL2NSYNC;
		}
	}
	a->vcpu_id = -1;
	a->found = 0;
	a->expected = 0;
	return 0;
}

int kch_check_ready(const struct kch_rec_vm *live, struct kch_kvm_restore *r,
		    struct kch_message *message)
{
	int err = kch_entry_exact(live, message);

	if (err == -ENOTRECOVERABLE)
		return err;
	/* A wrong offset is also why there may be no master clock: say it first. */
	err = check_vcpus(live, r, message) ?:
	      (r->sets_vcpus ? check_saved_tscs(live, r->saved, message) : err);
	if (err)
		return err;
	if (is_identical(live, r)) {
		kch_say(message, "the VM's clock is the saved one already");
		return -EALREADY;
	}
	r->outcome.vcpu_id = -1;
	return 0;
}

void kch_entry_to_write(struct kch_rec_vm *entry, u32 kvm_khz, bool hyperv,
			const struct kch_instant *now)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	u32 n;

	if (!kch_entry_kvm_agrees(entry, kvm_khz))
		kch_entry_advance(entry, now->host_tsc, hyperv);
	kch_entry_set_offset(entry, now->host_tsc, now->kvm_ns);
	/* A vCPU that is added gets it: with one that no other has it matches nobody. */
	for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++)
		if (vcpu->virtual_tsc_khz == entry->default_tsc_khz)
			return;
	entry->default_tsc_khz = 0;
}

/*
 * Is each vCPU's pair of the frequency that the vCPU has now?  If not, by KVM_SET_TSC_KHZ
 * since it ran last, KVM computes another one when it runs next.
 */
static bool pairs_stay(const struct kch_rec_vm *entry, const struct kch_kvm_facts *facts)
{
	const struct kch_rec_vcpu *vcpu = (const void *)(entry + 1);
	u32 n;

	for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++)
		if (le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID &&
		    le32_to_cpu(vcpu->hw_tsc_khz) !=
		    kch_scale_tsc(facts->kvm_khz, le64_to_cpu(vcpu->tsc_scaling_ratio),
				  facts->frac_bits))
			return false;
	return true;
}

bool kch_entry_renew(struct kch_rec_vm *entry, const struct kch_kvm_keep *keep,
		     bool hyperv, const struct kch_instant *now)
{
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1);
	bool renew = false;
	s64 step_ns;
	u32 n;

	/* What KVM is about to make of the clock is not known yet. */
	if (!pairs_stay(entry, &keep->facts))
		return false;
	for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++) {
		if (!(le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID) ||
		    !keep->mul ||
		    le64_to_cpu(vcpu->tsc_scaling_ratio) != keep->ratio ||
		    (le32_to_cpu(vcpu->tsc_to_system_mul) == keep->mul &&
		     vcpu->tsc_shift == keep->shift))
			continue;
		vcpu->tsc_to_system_mul = cpu_to_le32(keep->mul);
		vcpu->tsc_shift = keep->shift;
		renew = true;
	}
	if (!kch_clock_fill_pairs(entry, keep->facts.kvm_khz))
		return false;
	step_ns = kch_entry_reference_step(entry, now->host_tsc, now->kvm_ns);
	if (step_ns <= -KCH_KEEP_NS || step_ns >= KCH_KEEP_NS)
		renew = true;
	if (!kch_entry_kvm_agrees(entry, keep->facts.kvm_khz) &&
	    kch_entry_advance(entry, now->host_tsc, hyperv))
		renew = true;
	if (renew)
		kch_entry_set_offset(entry, now->host_tsc, now->kvm_ns);
	return renew;
}
