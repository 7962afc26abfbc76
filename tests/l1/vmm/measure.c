// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "function.h"
#include "handover.h"
#include "measure.h"
#include "pagegap.h"
#include "report.h"

#define SECONDS_PER_HOUR	3600ULL

/* Asked of each vCPU in a stretch of running, of which there are two at most. */
#define BRACKETS		(BRACKETS_MAX / 2)

void measure_start(struct vm *vm, struct baseline *base)
{
	const struct saved_vm *saved = vm->mem->saved;
	struct guest_shared *shared = vm->mem->shared;
	uint32_t i;

	memset(base, 0, sizeof(*base));
	handover_scaling(vm, base->now);
	base->vcpu_count = vm->vcpu_count;
	base->tsc_khz = saved->tsc_khz;
	for (i = 0; i < vm->vcpu_count; i++) {
		struct guest_vcpu *guest = &shared->vcpu[i];

		base->count[i] = guest->count;
		base->last[i] = guest->last;
		base->saved[i] = saved->vcpu[i].clock;
		base->origin[i] = saved->vcpu[i].origin;
		base->now[i].tsc_offset = vcpu_tsc_offset(&vm->vcpu[i]);
		base->brackets[i] = vm->vcpu[i].bracket_count;
		memset(&guest->max, 0, sizeof(guest->max));
		guest->tsc_adjust = 0;
		guest->brackets = BRACKETS;
		guest->arm++;
	}
}

void measure_forget_changes(const struct vm *vm, struct baseline *base)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		base->count[i].page_changes =
			vm->mem->shared->vcpu[i].count.page_changes;
}

bool measure_all_observed(const struct vm *vm)
{
	const struct guest_shared *shared = vm->mem->shared;
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (__atomic_load_n(&shared->vcpu[i].armed, __ATOMIC_ACQUIRE) !=
		    shared->vcpu[i].arm)
			return false;
	return true;
}

/* The counts may grow meanwhile. */
static uint64_t since(const __u64 *now, __u64 before)
{
	return __atomic_load_n(now, __ATOMIC_RELAXED) - before;
}

/* They may grow, too. */
static uint32_t bracket_count(const struct vm *vm, uint32_t i)
{
	return __atomic_load_n(&vm->vcpu[i].bracket_count, __ATOMIC_ACQUIRE);
}

bool measure_enough(const struct vm *vm, const struct baseline *base,
		    uint64_t iterations)
{
	uint32_t i;

	for (i = 0; i < vm->vcpu_count; i++) {
		const struct guest_counts *now = &vm->mem->shared->vcpu[i].count;
		const struct guest_counts *before = &base->count[i];

		if (since(&now->iterations, before->iterations) < iterations ||
		    !since(&now->global_checks, before->global_checks) ||
		    (i < base->vcpu_count &&
		     bracket_count(vm, i) == base->brackets[i]))
			return false;
		if (vm->vcpu_count > 1 &&
		    !since(&now->peer_checks, before->peer_checks))
			return false;
	}
	return true;
}

/* Counts are sums over the vCPUs unless they are worth a list. */
#define SUM(vm, base, member) ({					\
	uint64_t sum_ = 0;						\
	for (uint32_t i_ = 0; i_ < (vm)->vcpu_count; i_++)		\
		sum_ += (vm)->mem->shared->vcpu[i_].count.member -	\
			(base)->count[i_].member;			\
	sum_; })

/* Since the guest was made, in all its lives. */
#define LIFE(vm, member) ({						\
	uint64_t life_ = 0;						\
	for (uint32_t i_ = 0; i_ < (vm)->vcpu_count; i_++)		\
		life_ += (vm)->mem->shared->vcpu[i_].count.member;	\
	life_; })

#define LIST(vm, base, member) ({					\
	report_list_start(#member);					\
	for (uint32_t i_ = 0; i_ < (vm)->vcpu_count; i_++)		\
		report_list_u64((vm)->mem->shared->vcpu[i_].count.member - \
				(base)->count[i_].member);		\
	report_list_end(); })

#define MAX_OF(vm, member) ({						\
	uint64_t max_ = 0;						\
	for (uint32_t i_ = 0; i_ < (vm)->vcpu_count; i_++)		\
		if ((vm)->mem->shared->vcpu[i_].max.member > max_)	\
			max_ = (vm)->mem->shared->vcpu[i_].max.member;	\
	max_; })

static void report_u64(const char *key, uint64_t value)
{
	report(key, "%llu", (unsigned long long)value);
}

static void report_s64(const char *key, int64_t value)
{
	report(key, "%lld", (long long)value);
}

/* The host's TSC at which the guest's was that, rounded down. */
static uint64_t host_tsc_at(const struct saved_clock *clock, uint64_t guest)
{
	unsigned __int128 scaled = guest - clock->tsc_offset;

	return (scaled << clock->tsc_scaling_frac_bits) /
	       clock->tsc_scaling_ratio;
}

/*
 * What the guest read of its TSC is what its function gives for the host's, of
 * now and of before; within two readings of the host's, one in front of it and
 * one after it.  The largest error that this would not show is the smallest
 * room left on either side.
 */
static void check_brackets(const struct vm *vm, const struct baseline *base)
{
	int64_t below = INT64_MAX, above = INT64_MAX;
	uint64_t count = 0;
	uint32_t i, n;

	for (i = 0; i < base->vcpu_count; i++) {
		const struct saved_clock *clock = base->tsc_khz ?
			&base->saved[i] : &base->now[i];

		for (n = base->brackets[i]; n < bracket_count(vm, i); n++) {
			const struct bracket *b = &vm->vcpu[i].bracket[n];
			int64_t low = b->guest - function_tsc(clock, b->before);
			int64_t high = function_tsc(clock, b->after) - b->guest;

			below = low < below ? low : below;
			above = high < above ? high : above;
			count++;
		}
	}
	report_u64("tsc_brackets", count);
	if (!count)
		return;
	report_s64("tsc_bracket_below_cycles", below);
	report_s64("tsc_bracket_above_cycles", above);
	report_check(below >= 0 && above >= 0, "tsc_bracket");
}

uint64_t measure_faults(const struct vm *vm)
{
	return LIFE(vm, tsc_back) + LIFE(vm, clock_back) + LIFE(vm, global_tsc_back) +
	       LIFE(vm, global_clock_back) + LIFE(vm, peer_disagreements);
}

void measure_guest(const struct vm *vm, const struct baseline *base)
{
	uint64_t tsc_back = SUM(vm, base, tsc_back);
	uint64_t clock_back = SUM(vm, base, clock_back);
	uint64_t global_tsc_back = SUM(vm, base, global_tsc_back);
	uint64_t global_clock_back = SUM(vm, base, global_clock_back);
	uint32_t i;

	LIST(vm, base, iterations);
	LIST(vm, base, global_checks);
	LIST(vm, base, lock_misses);
	LIST(vm, base, peer_checks);
	report_u64("tsc_back", tsc_back);
	report_u64("clock_back", clock_back);
	report_u64("global_back", global_tsc_back + global_clock_back);
	report_u64("global_tsc_back", global_tsc_back);
	report_u64("global_clock_back", global_clock_back);
	report_u64("tsc_back_max_cycles", MAX_OF(vm, tsc_back));
	report_u64("clock_back_max_ns", MAX_OF(vm, clock_back_ns));
	report_u64("peer_disagreements", SUM(vm, base, peer_disagreements));
	report_u64("peer_disagreement_max_ns", MAX_OF(vm, peer_ns));
	report_u64("page_changes", SUM(vm, base, page_changes));
	report_u64("life_checks", LIFE(vm, iterations) + LIFE(vm, global_checks) +
				  LIFE(vm, peer_checks));
	report_u64("life_faults", measure_faults(vm) - vm->mem->saved->faults);
	report_u64("guest_step_max_ns", MAX_OF(vm, step_ns));
	report_u64("guest_hour_max_ns", MAX_OF(vm, hour_ns));
	report_u64("guest_rate_max_ppb", MAX_OF(vm, rate_ppb));

	for (i = 0; i < vm->vcpu_count; i++) {
		const struct guest_counts *now = &vm->mem->shared->vcpu[i].count;
		const struct guest_counts *before = &base->count[i];

		report_check(since(&now->iterations, before->iterations),
			     "no_iterations");
		report_check(since(&now->global_checks, before->global_checks),
			     "no_global_checks");
		report_check(vm->vcpu_count == 1 ||
			     since(&now->peer_checks, before->peer_checks),
			     "no_peer_checks");
		report_check(bracket_count(vm, i) > base->brackets[i],
			     "no_brackets");
		if (vm->vcpu[i].exit_reason >= 0) {
			report("vcpu_exit", "%u:%d", i,
			       vm->vcpu[i].exit_reason);
			report_check(false, "vcpu_exit");
		}
	}
	check_brackets(vm, base);
	report_check(!tsc_back, "tsc_back");
	/* Of TSCs that differ nothing else is to be expected. */
	if (vm_is_unmatched(vm))
		return;
	report_check(!clock_back, "clock_back");
	report_check(!(global_tsc_back + global_clock_back), "global_back");
}

/* All bytes but the version. */
static bool same_bytes(const struct guest_pvclock *a,
		       const struct guest_pvclock *b)
{
	struct guest_pvclock copy = *a;

	copy.version = b->version;
	return !memcmp(&copy, b, sizeof(copy));
}

/* All bytes but the version and the reference, and the same function of the TSC. */
static bool same_function(const struct guest_pvclock *a,
			  const struct guest_pvclock *b)
{
	struct guest_pvclock copy = *a;

	copy.tsc_timestamp = b->tsc_timestamp;
	copy.system_time = b->system_time;
	return same_bytes(&copy, b) && function_same(a, b);
}

static void keep_larger(int64_t *largest, int64_t value)
{
	if (imaxabs(value) > imaxabs(*largest))
		*largest = value;
}

/**
 * struct outcome - the largest deviations of any vCPU, signed
 * @now_ns: kvmclock at the first observation after the resume
 * @end_ns: kvmclock when the guest stopped again
 * @hour_ns: kvmclock an hour after that, if nothing changes again
 * @rate_ppb: kvmclock's rate
 * @cycles: TSC when the guest stopped again
 * @same_ratio: all scaling ratios are as they were
 * @total_ns: as @end_ns, against the clock when it was first saved
 * @total_hour_ns: as @hour_ns, likewise
 * @total_cycles: as @cycles, likewise
 * @blackout_ns: from the last observation before to the first one after, by the
 *	host's TSC
 * @guest_blackout_ns: the same by the guest's kvmclock
 * @over_bound_ns: by how much an error was larger than the restore promised
 * @gap_ns: how far pages may be from KVM's clock now
 * @bound_ns: what it promised for when the guest stopped again
 * @last: last observation before, of all vCPUs the last, host TSC, cycles
 * @first: first observation after, of all vCPUs the first, host TSC, cycles
 * @tsc_as_told: the TSC is what the restore said it would be
 * @identical: all pages are as they were, at the first observation and now,
 *	and the guest has not seen any other in between
 * @function: all pages are the functions they were, likewise
 * @must_be_identical: this host's frequency gives the pairs they had
 * @same_rate: all pairs of mul and shift are as they were
 */
struct outcome {
	int64_t now_ns;
	int64_t end_ns;
	int64_t hour_ns;
	int64_t rate_ppb;
	int64_t cycles;
	bool same_ratio;
	int64_t total_ns;
	int64_t total_hour_ns;
	int64_t total_cycles;
	int64_t blackout_ns;
	int64_t guest_blackout_ns;
	int64_t over_bound_ns;
	int64_t gap_ns;
	int64_t bound_ns;
	uint64_t last;
	uint64_t first;
	bool tsc_as_told;
	bool identical;
	bool function;
	bool must_be_identical;
	bool same_rate;
};

static void compare_at(const struct saved_clock *before,
		       const struct saved_clock *after, uint64_t host,
		       int64_t *ns)
{
	keep_larger(ns, function_ns(after, host) - function_ns(before, host));
}

/* kvmclock-handover-stock.h has the promise. */
static int64_t bound_at(const struct kch_restore_result *result,
			const struct saved_clock *clock, uint64_t host,
			uint32_t khz)
{
	uint64_t passed_ns =
		kch_cycles_to_ns(function_tsc(clock, host) -
				 function_tsc(clock, result->outcome.host_tsc), khz);

	return imaxabs(result->outcome.error_ns) + result->error_slack_ns +
	       KCH_ROUNDING_NS +
	       (unsigned __int128)passed_ns * result->error_growth_ppb /
	       1000000000;
}

static void compare_bound(const struct kch_restore_result *result,
			  const struct saved_clock *before,
			  const struct saved_clock *after, uint64_t host,
			  uint32_t khz, int64_t gap_ns, int64_t *over_ns)
{
	int64_t ns = 0, over;

	compare_at(before, after, host, &ns);
	over = imaxabs(ns) - bound_at(result, after, host, khz) - gap_ns;
	if (over > *over_ns)
		*over_ns = over;
}

/*
 * The TSC of mode continuous is another one by what the restore said, at the rate
 * it said, which is whole parts per 1e9; that of all others is the same.  Each
 * guest TSC is rounded down, so that a difference may be a cycle off: the one the
 * restore measured, and the one here.  Together that is less than two cycles, of
 * which whole ones show: one, with the growth rounded up.
 */
static bool tsc_as_told(const struct kch_restore_result *result,
			const struct saved_clock *before,
			const struct saved_clock *after, uint64_t host)
{
	int64_t cycles = function_tsc(after, host) - function_tsc(before, host);
	uint64_t passed = function_tsc(after, host) -
			  function_tsc(after, result->outcome.host_tsc);
	__int128 growth;

	if (result->outcome.mode != KCH_MODE_CONTINUOUS)
		return !cycles;
	growth = (__int128)passed * (imaxabs(result->tsc_rate_ppb) + 1);
	return imaxabs(cycles) <= imaxabs(result->outcome.error_cycles) + 1 +
				  (growth + 999999999) / 1000000000;
}

static void measure_vcpu(const struct vm *vm, const struct baseline *base,
			 const struct kch_restore_result *result,
			 uint32_t host_khz, uint32_t i, struct outcome *o)
{
	const struct guest_vcpu *guest = &vm->mem->shared->vcpu[i];
	const struct saved_clock *saved = &base->saved[i];
	const struct saved_clock *origin = &base->origin[i];
	struct saved_clock first = base->now[i], end = base->now[i];
	/* Of the saved page that is in what the restore promised. */
	int64_t gap_ns = vcpu_page_gap(&vm->vcpu[i]);
	uint64_t first_host, last_host, end_host, hour;

	first.page = guest->first.page;
	end.page = guestmem_read_page(vm->mem, i);
	end.tsc_offset = vcpu_tsc_offset(&vm->vcpu[i]);
	last_host = host_tsc_at(saved, base->last[i].tsc);
	first_host = host_tsc_at(&first, guest->first.tsc);
	end_host = host_tsc_at(&end, guest->last.tsc);
	hour = host_tsc_at(&end, guest->last.tsc + base->tsc_khz * 1000ULL *
						   SECONDS_PER_HOUR);

	compare_at(saved, &first, first_host, &o->now_ns);
	compare_at(saved, &end, end_host, &o->end_ns);
	compare_at(saved, &end, hour, &o->hour_ns);
	/* What a page that is gone by now was off can no longer be measured. */
	if (!gap_ns)
		compare_bound(result, saved, &first, first_host, base->tsc_khz,
			      0, &o->over_bound_ns);
	compare_bound(result, saved, &end, end_host, base->tsc_khz, gap_ns,
		      &o->over_bound_ns);
	compare_bound(result, saved, &end, hour, base->tsc_khz, gap_ns,
		      &o->over_bound_ns);
	keep_larger(&o->gap_ns, gap_ns);
	if (!tsc_as_told(result, saved, &first, first_host) ||
	    !tsc_as_told(result, saved, &end, end_host) ||
	    !tsc_as_told(result, saved, &end, hour))
		o->tsc_as_told = false;
	keep_larger(&o->bound_ns,
		    bound_at(result, &end, end_host, base->tsc_khz));
	compare_at(origin, &end, end_host, &o->total_ns);
	compare_at(origin, &end, hour, &o->total_hour_ns);
	keep_larger(&o->rate_ppb,
		    kch_pair_ppb(saved->page.tsc_to_system_mul,
				 saved->page.tsc_shift,
				 end.page.tsc_to_system_mul,
				 end.page.tsc_shift));
	keep_larger(&o->cycles, function_tsc(&end, end_host) -
				function_tsc(saved, end_host));
	keep_larger(&o->cycles, function_tsc(&end, hour) -
				function_tsc(saved, hour));
	keep_larger(&o->total_cycles, function_tsc(&end, hour) -
				      function_tsc(origin, hour));
	keep_larger(&o->blackout_ns,
		    kch_cycles_to_ns(function_tsc(&end, first_host) -
				     function_tsc(&end, last_host),
				     base->tsc_khz));
	if (!i || last_host > o->last)
		o->last = last_host;
	if (!i || first_host < o->first)
		o->first = first_host;
	keep_larger(&o->guest_blackout_ns,
		    guest->first.clock_ns - base->last[i].clock_ns);
	if (!same_bytes(&saved->page, &guest->first.page) ||
	    !same_bytes(&saved->page, &end.page) ||
	    guest->count.page_changes != base->count[i].page_changes)
		o->identical = false;
	/* What the guest has seen in between it has compared itself. */
	if (!same_function(&saved->page, &guest->first.page) ||
	    !same_function(&saved->page, &end.page) ||
	    guest->max.step_ns || guest->max.hour_ns || guest->max.rate_ppb)
		o->function = false;
	if (!function_pair_is_kvms(saved, host_khz))
		o->must_be_identical = false;
	if (saved->page.tsc_to_system_mul != end.page.tsc_to_system_mul ||
	    saved->page.tsc_shift != end.page.tsc_shift)
		o->same_rate = false;
	if (saved->tsc_scaling_ratio != end.tsc_scaling_ratio ||
	    saved->tsc_scaling_frac_bits != end.tsc_scaling_frac_bits)
		o->same_ratio = false;
}

static void report_offsets(const struct vm *vm, const struct baseline *base)
{
	uint32_t i;

	report_list_start("tsc_offset_diff");
	for (i = 0; i < base->vcpu_count; i++)
		report_list_s64(vcpu_tsc_offset(&vm->vcpu[i]) -
				base->saved[i].tsc_offset);
	report_list_end();
}

void measure_restored(const struct vm *vm, const struct baseline *base,
		      const struct kch_restore_result *result)
{
	bool weaker = result->outcome.mode != KCH_MODE_NONE &&
		      result->outcome.mode != KCH_MODE_IDENTICAL;
	struct outcome o = {
		.identical = true, .function = true, .must_be_identical = true,
		.same_rate = true, .same_ratio = true, .tsc_as_told = true,
	};
	uint64_t disagreements = SUM(vm, base, peer_disagreements);
	uint32_t host_khz = vm_host_khz(vm), i;

	/* Without an observation there is nothing to compare with. */
	if (!measure_all_observed(vm)) {
		report_check(false, "no_iterations");
		return;
	}
	for (i = 0; i < base->vcpu_count; i++)
		measure_vcpu(vm, base, result, host_khz, i, &o);

	report("page_identical", "%d", o.identical);
	report("page_function", "%d", o.function);
	report("frequency_same", "%d", o.must_be_identical);
	report_s64("error_now_ns", o.now_ns);
	report_s64("error_end_ns", o.end_ns);
	report_s64("error_hour_ns", o.hour_ns);
	report_s64("rate_ppb", o.rate_ppb);
	report_s64("tsc_error_cycles", o.cycles);
	report_offsets(vm, base);
	report_s64("total_error_ns", o.total_ns);
	report_s64("total_error_hour_ns", o.total_hour_ns);
	report_s64("total_error_cycles", o.total_cycles);
	report_s64("blackout_ns", o.blackout_ns);
	report_s64("guest_blackout_ns", o.guest_blackout_ns);
	report_u64("at_guest_last", o.last);
	report_u64("at_guest_first", o.first);

	if (weaker) {
		report_s64("over_bound_ns", o.over_bound_ns);
		report_s64("bound_ns", o.bound_ns);
		report_s64("page_gap_ns", o.gap_ns);
		report_check(!o.over_bound_ns, "bound");
		/* Of the page alone; the other part is the TSC's. */
		report_check(o.rate_ppb == result->outcome.error_rate_ppb -
					   result->tsc_rate_ppb, "rate_told");
		report_check(o.tsc_as_told, "tsc_offset");
		/* Until KVM writes a vCPU's page it is the old one, which is right. */
		report_check(vm_is_unmatched(vm) ||
			     MAX_OF(vm, peer_ns) <= (uint64_t)o.bound_ns,
			     "peer_disagreement");
		return;
	}
	/* One of the two, so that it is seen which was asked for. */
	if (o.must_be_identical)
		report_check(o.identical, "page_identical");
	else
		report_check(o.function, "page_function");
	report_check(!o.now_ns && !o.end_ns, "error_ns");
	report_check(!o.hour_ns, "error_hour_ns");
	report_check(o.same_rate, "rate");
	report_check(!o.cycles, "tsc_offset");
	report_check(o.same_ratio, "tsc_ratio");
	report_check(!o.total_ns && !o.total_hour_ns && !o.total_cycles,
		     "total_error");
	report_check(!disagreements, "peer_disagreement");
}

void measure_hot_add(const struct vm *vm, const struct baseline *base)
{
	uint64_t disagreements = SUM(vm, base, peer_disagreements);
	uint64_t back = SUM(vm, base, tsc_back) + SUM(vm, base, clock_back) +
			SUM(vm, base, global_tsc_back) +
			SUM(vm, base, global_clock_back);
	uint64_t changes = 0, step = 0, hour = 0, rate = 0;
	struct guest_pvclock old_page = guestmem_read_page(vm->mem, 0);
	int64_t offset = 0, new_rate = 0;
	bool observed = true;
	uint32_t i;

	/* Only of those that were there: a new vCPU has no page to change. */
	for (i = 0; i < base->vcpu_count; i++) {
		const struct guest_vcpu *guest = &vm->mem->shared->vcpu[i];

		changes += guest->count.page_changes -
			   base->count[i].page_changes;
		step = guest->max.step_ns > step ? guest->max.step_ns : step;
		hour = guest->max.hour_ns > hour ? guest->max.hour_ns : hour;
		rate = guest->max.rate_ppb > rate ? guest->max.rate_ppb : rate;
	}
	for (; i < vm->vcpu_count; i++) {
		struct guest_pvclock page = guestmem_read_page(vm->mem, i);

		keep_larger(&new_rate,
			    kch_pair_ppb(old_page.tsc_to_system_mul,
					 old_page.tsc_shift,
					 page.tsc_to_system_mul,
					 page.tsc_shift));
		keep_larger(&offset, vcpu_tsc_offset(&vm->vcpu[i]) -
				     vcpu_tsc_offset(&vm->vcpu[0]));
		observed &= vm->mem->shared->vcpu[i].count.peer_checks > 0;
	}
	report("hot_added", "%u", vm->vcpu_count - base->vcpu_count);
	report_u64("hot_add_page_changes", changes);
	report_u64("hot_add_step_max_ns", step);
	report_u64("hot_add_hour_max_ns", hour);
	report_u64("hot_add_rate_max_ppb", rate);
	report_s64("hot_add_new_rate_ppb", new_rate);
	report_s64("hot_add_tsc_offset_diff", offset);
	report_u64("hot_add_peer_disagreements", disagreements);
	report_u64("hot_add_peer_disagreement_max_ns", MAX_OF(vm, peer_ns));
	report_u64("hot_add_back", back);

	report_check(observed, "no_iterations");
	report_check(!step && !hour, "hot_add_step");
	report_check(!rate && !new_rate, "hot_add_rate");
	report_check(!offset, "hot_add_tsc_offset");
	report_check(!disagreements, "hot_add_peer_disagreement");
	report_check(!back, "hot_add_back");
}
