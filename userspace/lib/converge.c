// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * KVM_SET_CLOCK sets kvmclock at an instant that only KVM knows, some time after
 * the caller computed the value.  That time is nearly always the same: it is
 * measured, by reading the clock back and evaluating the saved one at the same
 * host TSC, and taken off the next time.  What is left is chance, and is tried
 * again until it is small.
 */
#include <linux/kvm.h>
#include <math.h>
#include <stdlib.h>
#include "converge.h"

/* How many of the last delays the usual one is found from. */
#define DELAYS_KEPT		63

/*
 * When vCPUs run for the first time KVM takes new references by its host clock,
 * CLOCK_MONOTONIC_RAW.  Its multiplier is rounded, by up to half of its last bit, and
 * has 23 bits, or 22 where the TSC has more than 3.66 GHz: clocks_calc_mult_shift()
 * leaves room for 600 s of cycles.
 */
#define HOST_CLOCK_PPB		239

/* The kernel throws a refined frequency away that is further off than this. */
#define REFINEMENT_PPB		10000000

/**
 * struct attempt - the search for a small error
 * @target: the VM
 * @host_khz: the frequency KVM computes clocks from, kHz
 * @now: the last reading
 * @error_ns: what it was off, the largest of all vCPUs
 * @delays: from computing a value until KVM's clock has it, ns; the last ones
 * @delay_count: how many there were
 */
struct attempt {
	const struct kch_target *target;
	uint32_t host_khz;
	struct kch_reading now;
	int64_t error_ns;
	int64_t delays[DELAYS_KEPT];
	uint32_t delay_count;
};

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t saved_ns(const struct kch_target *target, uint32_t index,
			 uint64_t host_tsc)
{
	struct kch_clock clock;

	kch_vm_clock(target->saved, index, &clock);
	return kch_clock_ns(&clock, host_tsc);
}

/*
 * A scaled TSC is rounded down to whole cycles, in the page's reference and at
 * each reading: KVM's clock and the page's may be so far apart.
 */
static uint64_t rounding_ns(const struct attempt *a)
{
	const struct kch_target *target = a->target;
	uint64_t largest = 0;
	uint32_t i;

	for (i = 0; i < target->count; i++) {
		const struct kch_target_vcpu *vcpu = &target->vcpus[i];
		uint64_t ns;

		if (vcpu->ratio == 1ULL << target->frac_bits)
			continue;
		ns = kch_cycles_to_ns(2, vcpu->khz ? vcpu->khz : 1) + 1;
		largest = larger(largest, ns);
	}
	return largest;
}

/* Reads the clock back; the error is of the vCPU that is off the farthest. */
static int measure(struct kch_handle *handle, struct attempt *a)
{
	uint32_t i;
	int err;

	err = kch_read_clock(handle, a->target->fd, a->host_khz, &a->now);
	if (err)
		return err;
	a->now.slack_ns += le32_to_cpu(a->target->saved->entry.kvmclock_slack_ns) +
			   rounding_ns(a);
	a->error_ns = 0;
	for (i = 0; i < a->target->count; i++) {
		int64_t error = (int64_t)(a->now.clock_ns -
					  saved_ns(a->target, i, a->now.host_tsc));

		if (magnitude(error) > magnitude(a->error_ns))
			a->error_ns = error;
	}
	return 0;
}

static int compare_delays(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The median: an interrupt now and then does not count. */
static int64_t usual_delay(const struct attempt *a)
{
	int64_t sorted[DELAYS_KEPT];
	uint32_t count = a->delay_count;

	if (!count)
		return 0;
	if (count > DELAYS_KEPT)
		count = DELAYS_KEPT;
	memcpy(sorted, a->delays, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_delays);
	return sorted[count / 2];
}

/* Sets the clock once, reads it back, and learns from that. */
static int one_round(struct kch_handle *handle, struct attempt *a)
{
	int64_t delay_ns = usual_delay(a);
	struct kvm_clock_data clock = {};
	int err;

	if (a->now.at_once) {
		/* KVM adds what passes between that instant and its own. */
		clock.clock = saved_ns(a->target, 0, a->now.host_tsc);
		clock.flags = KVM_CLOCK_REALTIME;
		clock.realtime = a->now.realtime_ns;
	} else {
		clock.clock = saved_ns(a->target, 0, __builtin_ia32_rdtsc());
	}
	clock.clock -= (uint64_t)delay_ns;
	if (kch_call(a->target->fd, KVM_SET_CLOCK, &clock) < 0)
		return kch_fail(handle, -errno, "KVM_SET_CLOCK: %s",
				strerror(errno));
	err = measure(handle, a);
	if (err)
		return err;
	a->delays[a->delay_count++ % DELAYS_KEPT] = a->error_ns + delay_ns;
	return 0;
}

/*
 * Is this as good as it gets?  What was written cannot be had again, so the
 * first half of the rounds is for finding out what is good, and the rest for
 * stopping at the next that is as good; in the end, at half as good.
 */
static bool settle(uint64_t error_ns, uint32_t round, uint32_t rounds_max,
		   uint64_t *best_ns)
{
	if (round < rounds_max / 2) {
		if (error_ns < *best_ns)
			*best_ns = error_ns;
		return error_ns == 0;
	}
	if (round < rounds_max - rounds_max / 4)
		return error_ns <= *best_ns;
	return error_ns <= 2 * *best_ns;
}

static int search(struct kch_handle *handle, struct attempt *a,
		  const struct kch_restore_opts *opts, uint32_t *rounds)
{
	uint32_t rounds_max = opts->rounds_max ? opts->rounds_max :
						 KCH_ROUNDS_DEFAULT;
	bool best_will_do = !opts->bound_ns ||
			    opts->flags & KCH_RESTORE_BEST_EFFORT;
	uint64_t best_ns = UINT64_MAX / 2;
	uint32_t round;
	int err;

	err = measure(handle, a);
	for (round = 0; !err && round < rounds_max; round++) {
		uint64_t error_ns;

		err = one_round(handle, a);
		if (err)
			break;
		*rounds = round + 1;
		error_ns = magnitude(a->error_ns);
		if (error_ns + a->now.slack_ns <= opts->bound_ns)
			break;
		if (best_will_do && settle(error_ns, round, rounds_max, &best_ns))
			break;
	}
	return err;
}

/*
 * What vCPU @index has now, as a function: KVM's clock at the last reading, and
 * the mul and shift that KVM computes for the vCPU.
 */
static int live_clock(struct kch_handle *handle, const struct attempt *a,
		      uint32_t index, struct kch_clock *clock)
{
	const struct kch_target_vcpu *vcpu = &a->target->vcpus[index];
	uint64_t khz = kch_scale_tsc(a->host_khz, vcpu->ratio,
				     a->target->frac_bits);

	clock->reference_cycles = a->now.host_tsc;
	clock->system_time_ns = a->now.clock_ns;
	clock->tsc_scaling_ratio = vcpu->ratio;
	clock->tsc_scaling_frac_bits = a->target->frac_bits;
	kch_pvclock_pair(khz, &clock->tsc_to_system_mul, &clock->tsc_shift);
	return kch_read_tsc_offset(handle, vcpu->fd, vcpu->vcpu_id,
				   &clock->tsc_offset);
}

/*
 * How much faster KVM's host clock runs than @clock.  That is not the rate of a
 * scaled guest's page: KVM makes that from whole kHz of the guest's.
 */
static uint64_t host_clock_ppb(const struct kch_clock *clock, uint32_t host_khz)
{
	/* ns per host cycle; a ratio may be anything, so rates cannot be added. */
	long double host_ns = 1e6L / host_khz;
	long double clock_ns = ldexpl(clock->tsc_to_system_mul,
				      clock->tsc_shift - 32) *
			       ldexpl(clock->tsc_scaling_ratio,
				      -clock->tsc_scaling_frac_bits);
	long double ppb = fabsl((host_ns / clock_ns - 1) * 1e9L);

	/* Up: what is promised must not be less than it is. */
	return ppb < INT32_MAX ? (uint64_t)ppb + (ppb > (uint64_t)ppb) : INT32_MAX;
}

static uint64_t host_clock_slack_ppb(void)
{
	return HOST_CLOCK_PPB + (kch_tsc_settled() ? 0 : REFINEMENT_PPB);
}

uint64_t kch_drift_ppb(const struct kch_clock *clock, uint32_t host_khz)
{
	return host_clock_ppb(clock, host_khz) + host_clock_slack_ppb();
}

static int64_t worse(int64_t a, int64_t b)
{
	return magnitude(b) > magnitude(a) ? b : a;
}

/* The result, of what KVM has after the last write: the largest of all vCPUs. */
static int report(struct kch_handle *handle, const struct attempt *a,
		  struct kch_restore_result *result)
{
	const struct kch_target *target = a->target;
	struct kch_outcome *outcome = &result->outcome;
	uint64_t rate_ppb = 0;
	uint32_t i;

	outcome->host_tsc = a->now.host_tsc;
	outcome->error_ns = 0;
	outcome->error_cycles = 0;
	outcome->error_rate_ppb = 0;
	result->tsc_rate_ppb = 0;
	result->error_slack_ns = a->now.slack_ns;
	for (i = 0; i < target->count; i++) {
		const struct kch_target_vcpu *vcpu = &target->vcpus[i];
		struct kch_clock saved, live;
		struct kch_clock_error error;
		int err;

		err = live_clock(handle, a, i, &live);
		if (err)
			return err;
		if (live.tsc_offset != vcpu->new_offset) {
			outcome->vcpu_id = (int32_t)vcpu->vcpu_id;
			outcome->found = live.tsc_offset;
			outcome->expected = vcpu->new_offset;
			return kch_fail(handle, -EOVERFLOW,
					"vCPU %u: TSC offset %lld was written, KVM has %lld",
					vcpu->vcpu_id, (long long)vcpu->new_offset,
					(long long)live.tsc_offset);
		}
		kch_vm_clock(target->saved, i, &saved);
		kch_clock_compare(&saved, &live, a->now.host_tsc, &error);
		outcome->error_ns = worse(outcome->error_ns, error.ns);
		outcome->error_cycles = worse(outcome->error_cycles, error.cycles);
		outcome->error_rate_ppb = worse(outcome->error_rate_ppb,
						error.rate_ppb);
		/* Reported rates are rounded toward zero. */
		rate_ppb = larger(rate_ppb, magnitude(error.rate_ppb) +
					    !!error.rate_ppb);
		rate_ppb = larger(rate_ppb, host_clock_ppb(&saved, a->host_khz));
		result->tsc_rate_ppb =
			worse(result->tsc_rate_ppb,
			      kch_scaling_ppb(saved.tsc_scaling_ratio,
					      saved.tsc_scaling_frac_bits,
					      live.tsc_scaling_ratio,
					      live.tsc_scaling_frac_bits));
	}
	outcome->vcpu_id = -1;
	result->error_growth_ppb = rate_ppb + host_clock_slack_ppb();
	return 0;
}

int kch_converge(struct kch_handle *handle, struct kch_target *target,
		 uint32_t host_khz, uint32_t mode,
		 const struct kch_restore_opts *opts,
		 struct kch_restore_result *result)
{
	struct attempt a = { .target = target, .host_khz = host_khz };
	uint64_t error_ns;
	int err;

	target->clock_written = true;
	result->outcome.mode = KCH_MODE_NONE;
	err = search(handle, &a, opts, &result->rounds);
	if (!err)
		err = report(handle, &a, result);
	if (err)
		return err;
	error_ns = magnitude(result->outcome.error_ns) + result->error_slack_ns;
	if (opts->bound_ns && error_ns > opts->bound_ns &&
	    !(opts->flags & KCH_RESTORE_BEST_EFFORT)) {
		result->outcome.found = error_ns;
		result->outcome.expected = opts->bound_ns;
		return kch_fail(handle, -EDOM,
				"kvmclock is off by %lld ns (give or take %llu) after %u rounds, accepted are %llu ns",
				(long long)result->outcome.error_ns,
				(unsigned long long)result->error_slack_ns,
				result->rounds,
				(unsigned long long)opts->bound_ns);
	}
	result->outcome.mode = mode;
	return 0;
}
