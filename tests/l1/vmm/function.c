// SPDX-License-Identifier: GPL-2.0
#include <math.h>

#include "../../unit/reference.h"
#include "function.h"

#define NS_PER_S	1000000000ULL
#define SAME_NS		(200 * 86400 * NS_PER_S)
#define SAME_POINTS	512

uint64_t function_tsc(const struct saved_clock *clock, uint64_t host)
{
	struct wide scaled = wide_mul(wide_of(host),
				      wide_of(clock->tsc_scaling_ratio));

	return wide_low64(wide_shr(scaled, clock->tsc_scaling_frac_bits)) +
	       clock->tsc_offset;
}

/* Rounded up: what is taken off is then rounded down. */
static struct wide shift_up(struct wide a, unsigned int bits)
{
	struct wide ones = wide_sub(wide_shl(wide_of(1), bits), wide_of(1));

	return wide_shr(wide_add(a, ones), bits);
}

uint64_t function_page_ns(const struct guest_pvclock *page, uint64_t tsc)
{
	uint64_t delta = tsc - page->tsc_timestamp;
	struct wide mul = wide_of(page->tsc_to_system_mul);
	int shift = page->tsc_shift;
	struct wide n;

	if ((int64_t)delta < 0) {
		n = wide_of(-delta);
		n = shift < 0 ? shift_up(n, -shift) : wide_shl(n, shift);
		return page->system_time -
		       wide_low64(shift_up(wide_mul(n, mul), 32));
	}
	/* The guest's own shift is one of 64 bits. */
	n = wide_of(shift < 0 ? delta >> -shift : delta << shift);
	return page->system_time + wide_low64(wide_shr(wide_mul(n, mul), 32));
}

uint64_t function_ns(const struct saved_clock *clock, uint64_t host)
{
	return function_page_ns(&clock->page, function_tsc(clock, host));
}

bool function_same(const struct guest_pvclock *a, const struct guest_pvclock *b)
{
	const struct guest_pvclock *first = a, *later = b;
	uint64_t apart = later->tsc_timestamp - first->tsc_timestamp;
	unsigned int step_bits = 32 - a->tsc_shift, i;
	uint64_t cycles, tsc, steps;

	if (a->tsc_to_system_mul != b->tsc_to_system_mul ||
	    a->tsc_shift != b->tsc_shift || !a->tsc_to_system_mul ||
	    step_bits > 63)
		return false;
	if ((int64_t)apart < 0) {
		first = b;
		later = a;
		apart = -apart;
	}
	steps = apart >> step_bits;
	if (steps << step_bits != apart ||
	    later->system_time - first->system_time !=
		    wide_low64(wide_mul(wide_of(steps),
					wide_of(a->tsc_to_system_mul))))
		return false;
	cycles = wide_low64(wide_div(wide_shl(wide_of(SAME_NS), 32),
				     wide_of(a->tsc_to_system_mul)));
	cycles = a->tsc_shift < 0 ? cycles << -a->tsc_shift :
				    cycles >> a->tsc_shift;
	for (i = 0; i < SAME_POINTS; i++) {
		/* As often soon as late. */
		tsc = later->tsc_timestamp + (random64() % cycles >> random64() % 48);
		if (function_page_ns(first, tsc) != function_page_ns(later, tsc))
			return false;
	}
	return true;
}

#define STEPS_TRIED	20000

unsigned int function_steps_apart(const struct saved_clock *clock)
{
	unsigned __int128 ratio = clock->tsc_scaling_ratio, target, host;
	unsigned int bits = clock->tsc_scaling_frac_bits, i, gap = 0, largest = 1;
	uint64_t step = 1ULL << (32 - clock->page.tsc_shift);

	target = clock->page.tsc_timestamp - clock->tsc_offset;
	for (i = 0; i < STEPS_TRIED; i++) {
		target += step;
		gap++;
		host = ((target << bits) + ratio - 1) / ratio;
		if ((host * ratio) >> bits != target)
			continue;
		if (gap > largest)
			largest = gap;
		gap = 0;
	}
	return largest;
}

void function_kvm_pair(uint64_t khz, uint32_t *mul, int8_t *shift)
{
	uint64_t scaled = NS_PER_S, tps = khz * 1000;
	uint32_t tps32;
	int n = 0;

	while (tps > scaled * 2 || tps >> 32) {
		tps >>= 1;
		n--;
	}
	tps32 = tps;
	while (tps32 <= scaled) {
		tps32 <<= 1;
		n++;
	}
	*mul = wide_low64(wide_div(wide_shl(wide_of(scaled), 32), wide_of(tps32)));
	*shift = n;
}

bool function_pair_is_kvms(const struct saved_clock *clock, uint32_t host_khz)
{
	struct wide scaled = wide_mul(wide_of(host_khz),
				      wide_of(clock->tsc_scaling_ratio));
	uint32_t mul;
	int8_t shift;

	function_kvm_pair(wide_low64(wide_shr(scaled,
					      clock->tsc_scaling_frac_bits)),
			  &mul, &shift);
	return clock->page.tsc_to_system_mul == mul &&
	       clock->page.tsc_shift == shift &&
	       function_ppb(clock, host_khz) == 0;
}

double function_ppb(const struct saved_clock *clock, uint32_t host_khz)
{
	long double page, kvm;
	uint32_t mul;
	int8_t shift;

	function_kvm_pair(host_khz, &mul, &shift);
	kvm = ldexpl(mul, shift);
	page = ldexpl(clock->page.tsc_to_system_mul, clock->page.tsc_shift) *
	       ldexpl(clock->tsc_scaling_ratio, -(int)clock->tsc_scaling_frac_bits);
	return (page / kvm - 1) * NS_PER_S;
}
