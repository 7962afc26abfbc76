// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A VM's clock at another place on a host's TSC.
 *
 * The guest reads its kvmclock by three numbers of its page besides mul and shift: the
 * reference's TSC and time.  They stay, or grow by whole steps, with which every later value
 * stays (kch_clock_advance() says why).  Then the reference is at another host TSC, and each
 * vCPU's offset is what makes its TSC there the one that the reference has.
 */
#include "place.h"

static struct kch_rec_vcpu *vcpu_of(const struct kch_rec_vm *entry, u32 i)
{
	return (struct kch_rec_vcpu *)(entry + 1) + i;
}

static u64 scaled(const struct kch_rec_vm *entry, u32 i, u64 host_cycles)
{
	return kch_scale_tsc(host_cycles, le64_to_cpu(vcpu_of(entry, i)->tsc_scaling_ratio),
			     entry->tsc_scaling_frac_bits);
}

/*
 * The reference is at @reference_cycles, @steps later than it was, and vCPUs are scaled as
 * those of @here are, which may be @entry itself.
 */
static void set_reference(struct kch_rec_vm *entry, const struct kch_rec_vm *here,
			  u64 reference_cycles, u64 steps)
{
	u64 was_cycles = le64_to_cpu(entry->master_cycle_now), tsc;
	struct kch_clock clock;
	u32 i;

	for (i = 0; i < le32_to_cpu(entry->vcpu_count); i++) {
		struct kch_rec_vcpu *vcpu = vcpu_of(entry, i);

		kch_clock_of(entry, vcpu, &clock);
		tsc = kch_clock_tsc(&clock, was_cycles) + steps * kch_clock_step_cycles(&clock);
		vcpu->tsc_scaling_ratio = vcpu_of(here, i)->tsc_scaling_ratio;
		vcpu->tsc_offset = cpu_to_le64(tsc - scaled(here, i, reference_cycles));
		/* A step has as many ns as mul says. */
		if (!i)
			entry->master_kernel_ns =
				cpu_to_le64(le64_to_cpu(entry->master_kernel_ns) +
					    steps * clock.tsc_to_system_mul);
	}
	entry->tsc_scaling_frac_bits = here->tsc_scaling_frac_bits;
	entry->master_cycle_now = cpu_to_le64(reference_cycles);
}

/* What was read of the entry is that of @host_cycles. */
static void set_reading(struct kch_rec_vm *entry, u64 host_cycles)
{
	struct kch_clock clock;

	kch_clock_of(entry, vcpu_of(entry, 0), &clock);
	entry->host_tsc = cpu_to_le64(host_cycles);
	entry->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, host_cycles));
}

void kch_entry_hide(struct kch_rec_vm *entry, u64 cycles)
{
	/* Without a vCPU there is no clock. */
	if (!cycles || !entry->vcpu_count)
		return;
	set_reference(entry, entry, le64_to_cpu(entry->master_cycle_now) + cycles, 0);
	set_reading(entry, le64_to_cpu(entry->host_tsc) + cycles);
}

/* The fewest guest cycles that are @ns; false: there is no such number. */
static bool cycles_of(const struct kch_clock *clock, u64 ns, u64 *cycles)
{
	u64 product;
	int shift = clock->tsc_shift;

	/* kch_mul_div() must not overflow; a pair's mul is half of 2^32 at least. */
	if (clock->tsc_to_system_mul < KCH_MUL_MIN || ns > S64_MAX / 2)
		return false;
	product = kch_mul_div(ns, 1ULL << 32, clock->tsc_to_system_mul);
	product += (u64)(((unsigned __int128)product * clock->tsc_to_system_mul) >> 32) < ns;
	if (shift > 0)
		*cycles = (product >> shift) + !!(product & ((1ULL << shift) - 1));
	else
		*cycles = product << -shift;
	return shift > 0 || *cycles >> -shift == product;
}

/* Has the VM one kind of clock, before and here?  @pairs: all have the same mul and shift. */
static int check_alike(const struct kch_rec_vm *entry, const struct kch_rec_vm *here, bool *pairs,
		       struct kch_message *message)
{
	const struct kch_rec_vcpu *was, *is, *first = vcpu_of(entry, 0);
	u32 i;

	*pairs = true;
	if (!entry->vcpu_count || entry->vcpu_count != here->vcpu_count) {
		kch_say(message, "the VM has %u vCPUs, %u were saved",
			le32_to_cpu(here->vcpu_count), le32_to_cpu(entry->vcpu_count));
		return -ELNRNG;
	}
	for (i = 0; i < le32_to_cpu(entry->vcpu_count); i++) {
		was = vcpu_of(entry, i);
		is = vcpu_of(here, i);
		if (was->vcpu_id != is->vcpu_id) {
			kch_say(message, "the VM has a vCPU %u where vCPU %u was saved",
				le32_to_cpu(is->vcpu_id), le32_to_cpu(was->vcpu_id));
			return -ELNRNG;
		}
		if (was->tsc_scaling_ratio != first->tsc_scaling_ratio || !is->tsc_scaling_ratio ||
		    is->tsc_scaling_ratio != vcpu_of(here, 0)->tsc_scaling_ratio) {
			kch_say(message, "vCPU %u has another TSC frequency than vCPU %u: of several, one clock cannot be moved to another host",
				le32_to_cpu(was->vcpu_id), le32_to_cpu(first->vcpu_id));
			return -ERANGE;
		}
		*pairs &= was->tsc_to_system_mul == first->tsc_to_system_mul &&
			  was->tsc_shift == first->tsc_shift;
	}
	return 0;
}

/*
 * How many steps later the reference is to be, so that it is not before this host's TSC began.
 * @cycles: of the guest, from the reference to now; out: what is left of them.  False: there is
 * no such number.
 */
static bool choose_steps(const struct kch_rec_vm *entry, const struct kch_place *place, bool pairs,
			 u64 *cycles, u64 *steps)
{
	u64 most = scaled(place->here, 0, place->host_tsc), step;
	struct kch_clock clock;

	kch_clock_of(entry, vcpu_of(entry, 0), &clock);
	step = kch_clock_step_cycles(&clock);
	*steps = *cycles > most ? (*cycles - most - 1) / step + 1 : 0;
	if (*steps > *cycles / step || (*steps && !pairs))
		return false;
	*cycles -= *steps * step;
	return true;
}

int kch_entry_place(struct kch_rec_vm *entry, u64 then_cycles, const struct kch_place *place,
		    s64 *error_ns, struct kch_message *message)
{
	u64 cycles, elapsed_cycles, steps, expected_ns;
	const struct kch_rec_vm *here = place->here;
	struct kch_clock clock;
	bool pairs;
	int err = check_alike(entry, here, &pairs, message);

	if (err)
		return err;
	kch_clock_of(entry, vcpu_of(entry, 0), &clock);
	expected_ns = kch_clock_ns(&clock, then_cycles) + place->elapsed_ns;
	cycles = kch_clock_tsc(&clock, then_cycles) - kch_clock_tsc(&clock, clock.reference_cycles);
	if (then_cycles < clock.reference_cycles ||
	    !cycles_of(&clock, place->elapsed_ns, &elapsed_cycles) ||
	    __builtin_add_overflow(cycles, elapsed_cycles, &cycles)) {
		kch_say(message, "%llu ns after the saved instant, which is %llu cycles after the reference of the clock, there is no time of it",
			(unsigned long long)place->elapsed_ns, (unsigned long long)cycles);
		return -ERANGE;
	}
	if (!choose_steps(entry, place, pairs, &cycles, &steps)) {
		kch_say(message, "this host's TSC is %llu cycles since it was reset: too few for a reference of the clock",
			(unsigned long long)place->host_tsc);
		return -EAGAIN;
	}
	cycles = kch_unscale_tsc(cycles, le64_to_cpu(vcpu_of(here, 0)->tsc_scaling_ratio),
				 here->tsc_scaling_frac_bits);
	set_reference(entry, here, place->host_tsc - cycles, steps);
	set_reading(entry, place->host_tsc);
	*error_ns = (s64)(le64_to_cpu(entry->kvmclock_ns) - expected_ns);
	return 0;
}
