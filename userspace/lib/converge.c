// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * KVM_SET_CLOCK sets kvmclock at an instant that only KVM knows, some time after
 * the caller computed the value.  That time is nearly always the same: it is
 * measured, by reading the clock back and evaluating the saved one at the same
 * host TSC, and taken off the next time.  What is left is chance, and is tried
 * again until it is small.
 */
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include "converge.h"

/* How many of the last delays the usual one is found from. */
#define DELAYS_KEPT		63

/*
 * When vCPUs run for the first time KVM takes new references by its host clock,
 * CLOCK_MONOTONIC_RAW, whose multiplier has 22 bits or more: it is off by up to
 * half of the last of them.
 */
#define HOST_CLOCK_PPB		120

/* What KVM_SET_CLOCK_GUEST promises: it rounds twice. */
#define KVM_GUEST_ERROR_NS	2

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

static uint64_t saved_ns(const struct kch_target *target, uint32_t index,
			 uint64_t host_tsc)
{
	struct kch_clock clock;

	kch_vm_clock(target->saved, index, &clock);
	return kch_clock_ns(&clock, host_tsc);
}

/* Reads the clock back; the error is of the vCPU that is off the farthest. */
static int measure(struct kch_handle *handle, struct attempt *a)
{
	uint32_t i;
	int err;

	err = kch_read_clock(handle, a->target->fd, a->host_khz, &a->now);
	if (err)
		return err;
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
	if (ioctl(a->target->fd, KVM_SET_CLOCK, &clock) < 0)
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

/* How much faster the clocks run now than they did; the farthest off. */
static int64_t rate_error_ppb(const struct kch_target *target, uint32_t host_khz)
{
	int64_t worst = 0;
	uint32_t i;

	for (i = 0; i < target->count; i++) {
		struct kch_clock saved;
		uint64_t khz;
		uint32_t mul;
		int8_t shift;
		int64_t rate;

		kch_vm_clock(target->saved, i, &saved);
		khz = kch_scale_tsc(host_khz, saved.tsc_scaling_ratio,
				    saved.tsc_scaling_frac_bits);
		kch_pvclock_pair(khz && khz <= UINT32_MAX ? (uint32_t)khz : 1,
				 &mul, &shift);
		rate = kch_pair_ppb(saved.tsc_to_system_mul, saved.tsc_shift,
				    mul, shift);
		if (magnitude(rate) > magnitude(worst))
			worst = rate;
	}
	return worst;
}

/* The offsets as KVM has them now, against those that were saved. */
static int measure_offsets(struct kch_handle *handle,
			   const struct kch_target *target,
			   struct kch_restore_result *result)
{
	uint32_t i;

	result->error_cycles = 0;
	for (i = 0; i < target->count; i++) {
		const struct kch_target_vcpu *vcpu = &target->vcpus[i];
		uint64_t offset;
		int64_t error;
		int err;

		err = kch_read_tsc_offset(handle, vcpu->fd, vcpu->vcpu_id, &offset);
		if (err)
			return err;
		error = (int64_t)(offset - vcpu->new_offset);
		if (!error)
			continue;
		result->vcpu_id = (int32_t)vcpu->vcpu_id;
		result->found = offset;
		result->expected = vcpu->new_offset;
		return kch_fail(handle, -EOVERFLOW,
				"vCPU %u: TSC offset %lld was written, KVM has %lld",
				vcpu->vcpu_id, (long long)vcpu->new_offset,
				(long long)offset);
	}
	return 0;
}

/*
 * Returns 0 also if something weaker has to be tried, with @result->mode as it
 * is.  An error that is larger than promised is no reason to stop here.
 */
static int try_kvm_guest(struct kch_handle *handle, struct attempt *a,
			 uint32_t weakest, const struct kch_restore_opts *opts,
			 struct kch_restore_result *result)
{
	uint64_t limit_ns = opts->bound_ns ? opts->bound_ns : KVM_GUEST_ERROR_NS;
	int err;

	err = kch_kvm_guest(handle, a->target);
	if (err)
		return weakest == KCH_MODE_KVM_GUEST ? err : 0;
	err = measure(handle, a);
	if (!err && (weakest == KCH_MODE_KVM_GUEST ||
		     magnitude(a->error_ns) + a->now.slack_ns <= limit_ns))
		result->mode = KCH_MODE_KVM_GUEST;
	return err;
}

int kch_converge(struct kch_handle *handle, struct kch_target *target,
		 uint32_t weakest, const struct kch_restore_opts *opts,
		 struct kch_restore_result *result)
{
	struct attempt a = { .target = target };
	uint64_t error_ns;
	int err;

	result->mode = KCH_MODE_NONE;
	if (weakest > KCH_MODE_KVM_GUEST)
		return kch_fail(handle, -ENOSYS,
				"mode %s is not to be had without the module",
				kch_mode_name(weakest));
	err = kch_kvm_khz(handle, &a.host_khz);
	if (err)
		return err;
	target->clock_written = true;
	err = try_kvm_guest(handle, &a, weakest, opts, result);
	if (!err && !result->mode) {
		err = search(handle, &a, opts, &result->rounds);
		result->mode = KCH_MODE_CONVERGED;
	}
	if (!err)
		err = measure_offsets(handle, target, result);
	if (err) {
		result->mode = KCH_MODE_NONE;
		return err;
	}
	result->vcpu_id = -1;
	result->host_tsc = a.now.host_tsc;
	result->error_ns = a.error_ns;
	result->error_slack_ns = a.now.slack_ns;
	result->error_rate_ppb = rate_error_ppb(target, a.host_khz);
	result->error_growth_ppb = magnitude(result->error_rate_ppb) +
				   HOST_CLOCK_PPB;
	error_ns = magnitude(a.error_ns) + a.now.slack_ns;
	if (opts->bound_ns && error_ns > opts->bound_ns &&
	    !(opts->flags & KCH_RESTORE_BEST_EFFORT)) {
		result->mode = KCH_MODE_NONE;
		result->found = error_ns;
		result->expected = opts->bound_ns;
		return kch_fail(handle, -EDOM,
				"kvmclock is off by %lld ns (give or take %llu) after %u rounds, accepted are %llu ns",
				(long long)a.error_ns,
				(unsigned long long)a.now.slack_ns, result->rounds,
				(unsigned long long)opts->bound_ns);
	}
	kch_start(handle);
	return 0;
}
