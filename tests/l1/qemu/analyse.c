// SPDX-License-Identifier: GPL-2.0
/*
 * What a Linux guest saw of its clocks before and after: guest.c wrote it.
 *
 *	kch-qemu-analyse BEFORE AFTER OFFSET_BEFORE OFFSET_AFTER STOPPED [--points]
 *
 * STOPPED: host TSC when the guest had stopped: what it saw before that, and
 * wrote after it had come back, belongs to what was before.
 * OFFSET_*: TSC offset of the guest's vCPUs, guest minus host, cycles, as KVM's
 * debugfs has it.  Only the host's axis needs it: the guest's own TSC is the
 * axis of all *_offset_ns.  Prints lines key=value; with --points the error
 * over time as well.  failed= has the checks that do not hold.
 *
 * No tolerance: a clock was read at some instant between two readings of the
 * TSC, which gives two bounds for the clock minus the pvclock function.  The
 * function is that of the page the guest had before.  All bounds of a stretch
 * together leave an interval; the change of the clock's offset lies between the
 * differences of the two intervals' ends.  It is 0 if 0 lies there, and the
 * width of that is the resolution.  In the same way for the rate.
 */
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCKS		3
#define LINE_SIZE	512
#define CPUS_MAX	64
#define SLEEPERS_MAX	64
#define NS_PER_S	1e9

/* Rounding of the function and of the guest's timekeeping, each below 1 ns. */
#define ROUNDING_NS	2

/*
 * Later than this is a timer that does not work, also on a busy machine.  For
 * those that were due while nothing ran: all wake at once, by nested emulation.
 */
#define LATE_MAX_NS	(3 * NS_PER_S)
#define CATCH_UP_MAX_NS	(10 * NS_PER_S)

static const char *const clock_names[CLOCKS] = { "raw", "boottime", "realtime" };

struct page {
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int shift;
	unsigned int flags;
};

struct sample {
	unsigned int cpu;
	uint64_t tsc[CLOCKS];
	uint64_t width[CLOCKS];
	int64_t ns[CLOCKS];
};

/* A timer or sleeper that woke. */
struct wake {
	char kind;
	unsigned int number;
	int64_t due_ns;
	uint64_t tsc;
};

struct stretch {
	struct sample *samples;
	size_t sample_count;
	struct wake *wakes;
	size_t wake_count;
	struct page first_page, last_page;
	size_t page_count;
	bool page_changed, function_changed;
	uint64_t back[CPUS_MAX], back_max_ns;
	uint64_t checks;
	unsigned int complaints;
	char complaint[LINE_SIZE];
};

struct interval {
	double low, high;
};

static char failed[512];

/*
 * What is taken off each clock before anything is computed: the wall clock in ns
 * is too large a number for a double.
 */
static int64_t base[CLOCKS];

static void fail(const char *check)
{
	strncat(failed, failed[0] ? " " : "", sizeof(failed) - strlen(failed) - 1);
	strncat(failed, check, sizeof(failed) - strlen(failed) - 1);
}

static void *grow(void *array, size_t count, size_t size)
{
	/* By doubling, from 64 on. */
	if (count >= 64 && (count & (count - 1)))
		return array;
	if (count && count < 64)
		return array;
	array = realloc(array, (count < 64 ? 64 : 2 * count) * size);
	if (!array)
		abort();
	return array;
}

static bool complains(const char *text)
{
	static const char *const words[] = {
		"unstable", "skewed", "lockup", "LOCKUP", "stall", "hung",
		"blocked for more", "BUG", "WARNING", "Oops", "backward",
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

static bool same_page(const struct page *a, const struct page *b)
{
	return a->tsc_timestamp == b->tsc_timestamp &&
	       a->system_time == b->system_time && a->mul == b->mul &&
	       a->shift == b->shift;
}

/*
 * The same clock at every TSC: the references are a multiple of 2^(32 - shift)
 * cycles apart, of which mul is the ns.
 */
static bool same_function(const struct page *a, const struct page *b)
{
	int64_t cycles = (int64_t)(b->tsc_timestamp - a->tsc_timestamp);
	int bits = 32 - a->shift;
	int64_t steps = cycles >> bits;

	return a->mul == b->mul && a->shift == b->shift &&
	       (int64_t)((uint64_t)steps << bits) == cycles &&
	       b->system_time - a->system_time == (uint64_t)steps * a->mul;
}

/* As KVM has it in kvm_get_time_scale(). */
static bool has_kvms_pair(const struct page *page, uint64_t khz)
{
	const uint64_t ns_per_s = 1000000000;
	uint64_t hz = khz * 1000;
	int shift = 0;

	for (; hz > 2 * ns_per_s; hz >>= 1)
		shift--;
	for (; hz <= ns_per_s; hz <<= 1)
		shift++;
	return page->shift == shift && page->mul == (ns_per_s << 32) / hz;
}

static void read_page(struct stretch *stretch, const char *text)
{
	struct page page;

	if (sscanf(text, "V %lu %lu %u %d %u", &page.tsc_timestamp,
		   &page.system_time, &page.mul, &page.shift, &page.flags) != 5)
		return;
	if (!stretch->page_count++)
		stretch->first_page = page;
	else if (!same_page(&page, &stretch->last_page))
		stretch->page_changed = true;
	if (!same_function(&page, &stretch->first_page))
		stretch->function_changed = true;
	stretch->last_page = page;
}

/* Of the file of after: what comes in time before @stopped belongs to @before. */
static void read_line(struct stretch *stretch, struct stretch *before,
		      uint64_t stopped, const char *text)
{
	unsigned long checks, back, back_ns;
	struct sample sample;
	struct wake wake;
	unsigned int cpu;

	switch (text[0]) {
	case 'S':
		if (sscanf(text, "S %u %lu %lu %ld %lu %lu %ld %lu %lu %ld",
			   &sample.cpu, &sample.tsc[0], &sample.width[0],
			   &sample.ns[0], &sample.tsc[1], &sample.width[1],
			   &sample.ns[1], &sample.tsc[2], &sample.width[2],
			   &sample.ns[2]) != 10)
			return;
		if (sample.tsc[CLOCKS - 1] < stopped)
			stretch = before;
		else if (sample.tsc[0] < stopped)
			return;
		stretch->samples = grow(stretch->samples, stretch->sample_count,
					sizeof(sample));
		stretch->samples[stretch->sample_count++] = sample;
		break;
	case 'V':
		read_page(stretch, text);
		break;
	case 'B':
		if (sscanf(text, "B %u %lu %lu %lu", &cpu, &checks, &back,
			   &back_ns) != 4 || cpu >= CPUS_MAX)
			return;
		stretch->back[cpu] = back;
		stretch->checks += checks > 0;
		if (back_ns > stretch->back_max_ns)
			stretch->back_max_ns = back_ns;
		break;
	case 'W':
	case 'T':
	case 'P':
		wake.kind = text[0];
		if (sscanf(text + 1, "%u %ld %lu", &wake.number, &wake.due_ns,
			   &wake.tsc) != 3)
			return;
		if (wake.tsc < stopped)
			stretch = before;
		stretch->wakes = grow(stretch->wakes, stretch->wake_count,
				      sizeof(wake));
		stretch->wakes[stretch->wake_count++] = wake;
		break;
	case 'K':
		if (!complains(text))
			return;
		if (!stretch->complaints++)
			snprintf(stretch->complaint, LINE_SIZE, "%s", text + 2);
		break;
	}
}

/*
 * The guest may be stopped in the middle of a line, which then goes on in the
 * file of after.
 */
static void read_file(const char *path, struct stretch *stretch,
		      struct stretch *before, uint64_t stopped)
{
	static char text[LINE_SIZE];
	FILE *file = fopen(path, "re");
	size_t used = strlen(text);

	if (!file) {
		perror(path);
		exit(2);
	}
	while (fgets(text + used, (int)(sizeof(text) - used), file)) {
		used = strlen(text);
		if (text[used - 1] != '\n' && used < sizeof(text) - 1)
			continue;
		text[strcspn(text, "\r\n")] = '\0';
		read_line(stretch, before, stopped, text);
		text[0] = '\0';
		used = 0;
	}
	fclose(file);
}

/* kvmclock as the page says, ns; also for a TSC before the page's. */
static int64_t kvmclock(const struct page *page, uint64_t tsc)
{
	__int128 delta = (int64_t)(tsc - page->tsc_timestamp);

	delta = page->shift < 0 ? delta >> -page->shift : delta << page->shift;
	return (int64_t)page->system_time + (int64_t)((delta * page->mul) >> 32);
}

/* Bounds of clock @c minus kvmclock that one sample gives. */
static struct interval bounds(const struct page *page,
			      const struct sample *sample, int c)
{
	uint64_t tsc = sample->tsc[c];

	return (struct interval){
		.low = (double)(sample->ns[c] - base[c] -
				kvmclock(page, tsc + sample->width[c])) - ROUNDING_NS,
		.high = (double)(sample->ns[c] - base[c] - kvmclock(page, tsc)) +
			ROUNDING_NS,
	};
}

/* What all samples of a stretch together leave; empty: no one offset fits. */
static struct interval offset_of(const struct page *page,
				 const struct stretch *stretch, int c)
{
	struct interval all = { -INFINITY, INFINITY }, one;
	size_t i;

	for (i = 0; i < stretch->sample_count; i++) {
		one = bounds(page, &stretch->samples[i], c);
		all.low = fmax(all.low, one.low);
		all.high = fmin(all.high, one.high);
	}
	return all;
}

/* How far the samples are from lying on one line of that slope; 0 or less: do. */
static double misfit(const struct page *page, const struct stretch *stretch,
		     int c, double slope)
{
	struct interval all = { -INFINITY, INFINITY }, one;
	uint64_t start = stretch->samples[0].tsc[c];
	size_t i;

	for (i = 0; i < stretch->sample_count; i++) {
		double x = (double)(int64_t)(stretch->samples[i].tsc[c] - start);

		one = bounds(page, &stretch->samples[i], c);
		all.low = fmax(all.low, one.low - slope * x);
		all.high = fmin(all.high, one.high - slope * x);
	}
	return all.low - all.high;
}

/*
 * The slopes, ns per cycle, with which a line fits: misfit() is convex.  Empty
 * (low above high) if none does.
 */
static struct interval slope_of(const struct page *page,
				const struct stretch *stretch, int c)
{
	double low = -0.01, high = 0.01, best, inside, outside;
	struct interval result;
	int i;

	for (i = 0; i < 200; i++) {
		double a = low + (high - low) / 3, b = high - (high - low) / 3;

		if (misfit(page, stretch, c, a) < misfit(page, stretch, c, b))
			high = b;
		else
			low = a;
	}
	best = (low + high) / 2;
	if (misfit(page, stretch, c, best) > 0)
		return (struct interval){ INFINITY, -INFINITY };
	for (inside = best, outside = -0.01, i = 0; i < 100; i++) {
		double middle = (inside + outside) / 2;

		if (misfit(page, stretch, c, middle) > 0)
			outside = middle;
		else
			inside = middle;
	}
	result.low = inside;
	for (inside = best, outside = 0.01, i = 0; i < 100; i++) {
		double middle = (inside + outside) / 2;

		if (misfit(page, stretch, c, middle) > 0)
			outside = middle;
		else
			inside = middle;
	}
	result.high = inside;
	return result;
}

__attribute__((format(printf, 2, 3)))
static void check(bool holds, const char *name, ...)
{
	char text[64];
	va_list args;

	va_start(args, name);
	vsnprintf(text, sizeof(text), name, args);
	va_end(args);
	if (!holds)
		fail(text);
}

static double middle(struct interval interval)
{
	return (interval.low + interval.high) / 2;
}

/* Offset and rate of one clock, by the guest's TSC. */
static void judge_clock(const struct page *page, const struct stretch *before,
			const struct stretch *after, int c)
{
	struct interval old = offset_of(page, before, c);
	struct interval new = offset_of(page, after, c);
	struct interval old_slope = slope_of(page, before, c);
	struct interval new_slope = slope_of(page, after, c);
	/* ns per cycle to parts per 1e9 */
	double scale = 1e9 / ldexp(page->mul, page->shift - 32);
	double low, high, rate_low, rate_high;

	/* No one offset fits when the rate is another one: then the middle. */
	low = new.low <= new.high && old.low <= old.high ? new.low - old.high :
							   middle(new) - middle(old);
	high = new.low <= new.high && old.low <= old.high ? new.high - old.low : low;
	rate_low = (new_slope.low - old_slope.high) * scale;
	rate_high = (new_slope.high - old_slope.low) * scale;
	printf("%s_offset_ns=%.0f\n", clock_names[c],
	       low <= 0 && high >= 0 ? 0 : (low + high) / 2);
	printf("%s_resolution_ns=%.0f\n", clock_names[c], (high - low) / 2);
	if (rate_low > rate_high)
		printf("%s_rate_ppb=none fits\n", clock_names[c]);
	else
		printf("%s_rate_ppb=%.1f\n", clock_names[c],
		       rate_low <= 0 && rate_high >= 0 ? 0 : (rate_low + rate_high) / 2);
	printf("%s_rate_resolution_ppb=%.1f\n", clock_names[c],
	       (rate_high - rate_low) / 2);
	check(old.low <= old.high, "%s_before", clock_names[c]);
	check(low <= 0 && high >= 0 && new.low <= new.high, "%s_offset",
	      clock_names[c]);
	check(rate_low <= 0 && rate_high >= 0, "%s_rate", clock_names[c]);
}

/*
 * Timers, by the old clock on the host's axis: none early, none late.  What was
 * due while nothing ran is due when the guest runs again.
 */
static void judge_wakes(const struct page *page, const struct stretch *before,
			const struct stretch *after, uint64_t shift,
			double boottime)
{
	double resumed = INFINITY, at, early_max = 0;
	double late_max = 0, catch_up_max = 0;
	bool woke[2][SLEEPERS_MAX] = {};
	unsigned int count = 0, during = 0, missing = 0, kind, number;
	const struct wake *wake;
	size_t i;

	/* From the first reading on; what woke before that was not late. */
	for (i = 0; i < after->sample_count; i++)
		resumed = fmin(resumed, (double)kvmclock(page, after->samples[i].tsc[0] +
						       shift) + boottime);
	for (i = 0; i < before->wake_count + after->wake_count; i++) {
		wake = i < before->wake_count ? &before->wakes[i] :
						&after->wakes[i - before->wake_count];
		if (wake->kind != 'P' && wake->number < SLEEPERS_MAX)
			woke[wake->kind == 'W'][wake->number] = true;
	}
	for (i = 0; i < after->wake_count; i++) {
		wake = &after->wakes[i];
		at = (double)kvmclock(page, wake->tsc + shift) + boottime;
		count++;
		early_max = fmax(early_max, (double)wake->due_ns - at);
		if ((double)wake->due_ns >= resumed)
			continue;
		during++;
		catch_up_max = fmax(catch_up_max, at - resumed);
	}
	/* What becomes due while those wake is behind them. */
	for (i = 0; i < after->wake_count; i++) {
		wake = &after->wakes[i];
		at = (double)kvmclock(page, wake->tsc + shift) + boottime;
		late_max = fmax(late_max, at - fmax((double)wake->due_ns, resumed + catch_up_max));
	}
	/* They are due in the order of their numbers. */
	for (kind = 0; kind < 2; kind++)
		for (number = 1; number < SLEEPERS_MAX; number++)
			if (!woke[kind][number] && number + 1 < SLEEPERS_MAX &&
			    woke[kind][number + 1]) {
				missing++;
				printf("timer_missing=%s %u\n",
				       kind ? "sleeper" : "timerfd", number);
			}
	printf("timers=%u\ntimers_due_while_away=%u\ntimers_missing=%u\n", count,
	       during, missing);
	printf("timer_late_max_ns=%.0f\ntimer_early_max_ns=%.0f\n", late_max,
	       early_max);
	printf("timer_catch_up_max_ns=%.0f\n", catch_up_max);
	check(count && during, "timers");
	check(!missing, "timers_missing");
	/* The resolution of the old clock on this axis is one reading. */
	check(early_max <= 1000, "timer_early");
	check(late_max <= LATE_MAX_NS && catch_up_max <= CATCH_UP_MAX_NS,
	      "timer_late");
}

static void print_points(const struct page *page, const struct stretch *stretch,
			 uint64_t shift, const double *offsets, int64_t zero)
{
	size_t i;
	int c;

	for (i = 0; i < stretch->sample_count; i++) {
		const struct sample *sample = &stretch->samples[i];

		if (sample->cpu)
			continue;
		printf("point=%.3f", (double)(kvmclock(page, sample->tsc[0] + shift) -
					      zero) / NS_PER_S);
		for (c = 0; c < CLOCKS; c++)
			printf(" %.9f", ((double)(sample->ns[c] - base[c] -
					 kvmclock(page, sample->tsc[c] + shift)) -
					offsets[c]) / NS_PER_S);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static struct stretch before, after;
	uint64_t offset_before, offset_after, stopped, shift, back = 0;
	double offsets[CLOCKS];
	struct page page;
	uint64_t kvm_khz = 0;
	bool same, points = false;
	int64_t zero, start, error;
	int c, cpu;

	for (c = 6; c < argc; c++)
		if (!strcmp(argv[c], "--points"))
			points = true;
		else
			kvm_khz = strtoull(argv[c], NULL, 10);
	if (argc < 6 || argc > 8) {
		fprintf(stderr, "usage: %s BEFORE AFTER OFFSET_BEFORE OFFSET_AFTER STOPPED [--points] [KVM_KHZ]\n",
			argv[0]);
		return 2;
	}
	offset_before = (uint64_t)strtoll(argv[3], NULL, 10);
	stopped = (uint64_t)strtoll(argv[5], NULL, 10) + offset_before;
	read_file(argv[1], &before, &before, 0);
	read_file(argv[2], &after, &before, stopped);
	offset_after = (uint64_t)strtoll(argv[4], NULL, 10);
	/* From the guest's TSC after to what it would be with the old offset. */
	shift = offset_before - offset_after;
	printf("samples_before=%zu\nsamples_after=%zu\n", before.sample_count,
	       after.sample_count);
	if (before.sample_count < 4 || after.sample_count < 4 ||
	    !before.page_count || !after.page_count) {
		printf("failed=samples\n");
		return 1;
	}
	page = before.last_page;
	zero = kvmclock(&page, before.samples[before.sample_count - 1].tsc[0]);
	for (c = 0; c < CLOCKS; c++)
		base[c] = before.samples[0].ns[c] -
			  kvmclock(&page, before.samples[0].tsc[c]);
	start = kvmclock(&page, after.samples[0].tsc[0] + shift);
	printf("away_ns=%ld\n", start - zero);
	/* The guest's own kvmclock, by the page it then had. */
	printf("kvmclock_last_ns=%ld\nkvmclock_first_ns=%ld\n", zero,
	       kvmclock(&after.last_page, after.samples[0].tsc[0]));
	same = same_page(&page, &after.first_page) && !after.page_changed;
	printf("page_identical=%d\n", same);
	/* The host's frequency gives another pair: then the reference is moved. */
	if (kvm_khz && !has_kvms_pair(&page, kvm_khz)) {
		same = same_function(&page, &after.first_page) &&
		       !before.function_changed && !after.function_changed;
		printf("page_function=%d\n", same);
		check(same, "page_function");
	} else {
		check(!before.page_changed && same, "page_identical");
	}
	printf("tsc_offset_change_cycles=%ld\n",
	       (int64_t)(offset_after - offset_before));
	printf("tsc_error_ns=%ld\n", kvmclock(&page, page.tsc_timestamp +
					      (offset_after - offset_before)) -
				     (int64_t)page.system_time);
	check(offset_after == offset_before, "tsc_offset");
	for (c = 0; c < CLOCKS; c++) {
		judge_clock(&page, &before, &after, c);
		offsets[c] = middle(offset_of(&page, &before, c));
		/* Against the host's time: the first reading, unlike the above. */
		error = after.samples[0].ns[c] - base[c] -
			kvmclock(&page, after.samples[0].tsc[c] + shift);
		printf("%s_error_ns=%.0f\n", clock_names[c],
		       (double)error - offsets[c]);
	}
	for (cpu = 0; cpu < CPUS_MAX; cpu++)
		back += after.back[cpu];
	printf("backward_steps=%lu\nbackward_max_ns=%lu\n", back, after.back_max_ns);
	check(after.checks && !back, "backward");
	printf("complaints=%u\n", after.complaints);
	if (after.complaints)
		printf("complaint=%s\n", after.complaint);
	check(!after.complaints, "log");
	judge_wakes(&page, &before, &after, shift,
		    offsets[1] + (double)base[1]);
	if (points) {
		print_points(&page, &before, 0, offsets, zero);
		print_points(&page, &after, shift, offsets, zero);
	}
	printf("failed=%s\n", failed);
	return failed[0] != '\0';
}
