// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The modes weaker than identical, by KVM's own ioctls: which of them can be reached,
 * and the search for a small error of kvmclock.
 *
 * KVM_SET_CLOCK sets kvmclock at an instant that only KVM knows, some time after the
 * caller computed the value.  That delay is nearly always the same.  It is measured,
 * by reading the clock back and evaluating the saved one at the same host TSC, and
 * allowed for the next time.  What remains is chance: it is tried again until the
 * error is small.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include "target.h"
#include "weaker.h"

/* The usual delay is the median of this many last ones. */
#define DELAYS_KEPT		63

/* The search for a small error. */
struct attempt {
	const struct kch_target *target;
	struct kch_reading now;		/* the last reading */
	int64_t error_ns;		/* of that, the largest of all vCPUs */
	/* The last times from computing a value until KVM's clock has it, ns. */
	int64_t delays[DELAYS_KEPT];
	uint32_t delay_count;		/* since the beginning */
};

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int64_t worse(int64_t a, int64_t b)
{
	return kch_magnitude(b) > kch_magnitude(a) ? b : a;
}

static uint64_t saved_ns(const struct kch_target *target, uint32_t index, uint64_t host_tsc)
{
	struct kch_clock clock;

	kch_vm_clock(target->saved, index, &clock);
	return kch_clock_ns(&clock, host_tsc);
}

/*
 * How far KVM's clock and the page's may be apart by rounding: a scaled TSC is rounded
 * down to whole cycles, in the page's reference and at each reading.
 */
static uint64_t rounding_ns(const struct attempt *a)
{
	const struct kch_target *target = a->target;
	uint64_t largest = 0;
	uint32_t i;

	for (i = 0; i < target->old.count; i++) {
		const struct kch_vcpu *vcpu = &target->vcpus[i];
		uint64_t ns;

		if (vcpu->ratio == 1ULL << target->old.frac_bits)
			continue;
		ns = kch_cycles_to_ns(2, vcpu->khz ? vcpu->khz : 1) + 1;
		largest = larger(largest, ns);
	}
	return largest;
}

/* Reads the clock back; the error is that of the vCPU that is off the most. */
static int measure(struct kch_handle *handle, struct attempt *a)
{
	uint32_t i;
	int err;

	err = kch_read_clock(handle, a->target->old.fd, a->target->old.host_khz, &a->now);
	if (err)
		return err;
	a->now.slack_ns += le32_to_cpu(a->target->saved->entry.kvmclock_slack_ns) +
			   rounding_ns(a);
	a->error_ns = 0;
	for (i = 0; i < a->target->old.count; i++) {
		a->error_ns = worse(a->error_ns, (int64_t)(a->now.clock_ns -
				    saved_ns(a->target, i, a->now.host_tsc)));
	}
	return 0;
}

static int compare_delays(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* The median, so that an occasional interrupt does not count. */
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

/* Sets the clock once, reads it back, and keeps the delay. */
static int one_round(struct kch_handle *handle, struct attempt *a)
{
	int64_t delay_ns = usual_delay(a);
	struct kvm_clock_data clock = {};
	int err;

	if (a->now.at_once) {
		/* KVM adds the time from the reading to the instant at which it sets. */
		clock.clock = saved_ns(a->target, 0, a->now.host_tsc);
		clock.flags = KVM_CLOCK_REALTIME;
		clock.realtime = a->now.realtime_ns;
	} else {
		clock.clock = saved_ns(a->target, 0, __builtin_ia32_rdtsc());
	}
	clock.clock -= (uint64_t)delay_ns;
	if (kch_call(a->target->old.fd, KVM_SET_CLOCK, &clock) < 0)
		return kch_fail(handle, -errno, "KVM_SET_CLOCK: %s", strerror(errno));
	err = measure(handle, a);
	if (err)
		return err;
	a->delays[a->delay_count++ % DELAYS_KEPT] = a->error_ns + delay_ns;
	return 0;
}

/*
 * Whether to stop at this error.  An earlier round's cannot be had again.  So the first
 * half of the rounds finds the smallest error there is, the next quarter stops at one
 * that is as small, and the last quarter at one that is at most twice as large.
 */
static bool settle(uint64_t error_ns, uint32_t round, uint32_t rounds_max, uint64_t *best_ns)
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
		error_ns = kch_magnitude(a->error_ns);
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
	struct kch_vcpu vcpu = a->target->vcpus[index];
	uint64_t khz = kch_scale_tsc(a->target->old.host_khz, vcpu.ratio, a->target->old.frac_bits);
	int err;

	clock->reference_cycles = a->now.host_tsc;
	clock->system_time_ns = a->now.clock_ns;
	clock->tsc_scaling_ratio = vcpu.ratio;
	clock->tsc_scaling_frac_bits = a->target->old.frac_bits;
	kch_pvclock_pair(khz, &clock->tsc_to_system_mul, &clock->tsc_shift);
	err = kch_read_vcpu(handle, &vcpu);
	clock->tsc_offset = vcpu.offset;
	return err;
}

/* The result: of what KVM has after the last write, the largest of all vCPUs. */
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
	for (i = 0; i < target->old.count; i++) {
		const struct kch_vcpu *vcpu = &target->vcpus[i];
		struct kch_clock saved, live;
		struct kch_clock_error error;
		int err;

		err = live_clock(handle, a, i, &live);
		if (err)
			return err;
		if (live.tsc_offset != vcpu->offset) {
			outcome->vcpu_id = (int32_t)vcpu->vcpu_id;
			outcome->found = live.tsc_offset;
			outcome->expected = vcpu->offset;
			return kch_fail(handle, -EOVERFLOW,
					"vCPU %u: TSC offset %lld was written, KVM has %lld",
					vcpu->vcpu_id, (long long)vcpu->offset,
					(long long)live.tsc_offset);
		}
		kch_vm_clock(target->saved, i, &saved);
		kch_clock_compare(&saved, &live, a->now.host_tsc, &error);
		outcome->error_ns = worse(outcome->error_ns, error.ns);
		outcome->error_cycles = worse(outcome->error_cycles, error.cycles);
		outcome->error_rate_ppb = worse(outcome->error_rate_ppb, error.rate_ppb);
		/* Rates are rounded toward zero. */
		rate_ppb = larger(rate_ppb, kch_magnitude(error.rate_ppb) + !!error.rate_ppb);
		rate_ppb = larger(rate_ppb, kch_host_clock_ppb(&saved, target->old.host_khz));
		result->tsc_rate_ppb = worse(result->tsc_rate_ppb,
					     kch_scaling_ppb(saved.tsc_scaling_ratio,
							     saved.tsc_scaling_frac_bits,
							     live.tsc_scaling_ratio,
							     live.tsc_scaling_frac_bits));
	}
	outcome->vcpu_id = -1;
	result->error_growth_ppb = rate_ppb + kch_host_clock_slack_ppb();
	return 0;
}

static int converge(struct kch_handle *handle, struct kch_target *target, uint32_t mode,
		    const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	struct attempt a = { .target = target };
	uint64_t error_ns;
	int err;

	result->outcome.mode = KCH_MODE_NONE;
	err = search(handle, &a, opts, &result->rounds);
	if (!err)
		err = report(handle, &a, result);
	if (err)
		return err;
	error_ns = kch_magnitude(result->outcome.error_ns) + result->error_slack_ns;
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

/* Whether a vCPU's ratio is the saved one, which may have other fraction bits. */
static bool same_ratio(const struct kch_target *target, uint32_t index)
{
	uint64_t saved = le64_to_cpu(target->saved->vcpus[index].tsc_scaling_ratio);
	uint8_t saved_bits = target->saved->entry.tsc_scaling_frac_bits;
	uint64_t ratio = target->vcpus[index].ratio;

	if (saved_bits == target->old.frac_bits)
		return ratio == saved;
	/* A CPU with scaling and one without write only the ratio 1 alike. */
	return saved == 1ULL << saved_bits && ratio == 1ULL << target->old.frac_bits;
}

/* For other ratios: the offsets with which no vCPU's TSC jumps, at one host TSC. */
static void rederive(struct kch_target *target)
{
	uint64_t now = __builtin_ia32_rdtsc();
	uint32_t i;

	for (i = 0; i < target->old.count; i++) {
		struct kch_vcpu *vcpu = &target->vcpus[i];
		struct kch_clock saved;

		kch_vm_clock(target->saved, i, &saved);
		vcpu->offset = kch_rederive_offset(&saved, vcpu->ratio, target->old.frac_bits, now);
	}
}

static int choose(struct kch_handle *handle, struct kch_target *target, uint32_t weakest,
		  uint32_t *mode, struct kch_restore_result *result)
{
	uint32_t i;

	*mode = KCH_MODE_CONVERGED;
	if (weakest > *mode)
		return kch_fail(handle, -ENOSYS, "mode %s cannot be reached without the module",
				kch_mode_name(weakest));
	for (i = 0; i < target->old.count && same_ratio(target, i); i++)
		;
	if (i == target->old.count)
		return 0;
	*mode = KCH_MODE_CONTINUOUS;
	if (weakest <= *mode) {
		rederive(target);
		return 0;
	}
	result->outcome.vcpu_id = (int32_t)target->vcpus[i].vcpu_id;
	result->outcome.found = target->vcpus[i].ratio;
	result->outcome.expected = le64_to_cpu(target->saved->vcpus[i].tsc_scaling_ratio);
	return kch_fail(handle, -ERANGE,
			"vCPU %u has TSC scaling ratio %#llx/2^%u, saved was %#llx/2^%u: its TSC would have another frequency, which only mode continuous allows",
			target->vcpus[i].vcpu_id, (unsigned long long)result->outcome.found,
			target->old.frac_bits, (unsigned long long)result->outcome.expected,
			target->saved->entry.tsc_scaling_frac_bits);
}

int kch_restore_weaker(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		       size_t count, const struct kch_vm *saved, bool own_khz, uint32_t weakest,
		       const struct kch_restore_opts *opts,
		       int (*given)(struct kch_handle *handle, int vm_fd,
				    const struct kch_vm *saved),
		       struct kch_restore_result *result)
{
	struct kch_target *target;
	uint32_t mode;
	int err;

	err = kch_target_new(handle, vm_fd, vcpus, count, saved, own_khz, &target);
	if (err)
		return err;
	err = choose(handle, target, weakest, &mode, result);
	if (err || opts->flags & KCH_RESTORE_CHECK)
		goto free;
	err = kch_target_write_vcpus(handle, target);
	if (!err)
		err = kch_target_write_clock(handle, target);
	if (!err)
		err = converge(handle, target, mode, opts, result);
	if (!err)
		err = given(handle, vm_fd, saved);
	if (err) {
		kch_target_put_back(handle, target);
		result->outcome.mode = KCH_MODE_NONE;
	}
free:
	kch_target_free(target);
	return err;
}
