// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "function.h"
#include "import.h"
#include "report.h"
#include "slots.h"
#include "wall.h"

void import_prepare_source(const struct import *im)
{
	if (im->used)
		wall_say_synchronised(im->maxerror_us, im->tai);
}

void import_prepare(struct import *im, struct saved_vm *saved)
{
	struct kch_record record;

	if (kch_record_open(saved->stock, saved->stock_size, &record, NULL))
		die("the exported bytes are no record");
	im->khz = record.header.tsc_khz;
	im->then_there = record.header.host_tsc;
	im->then = im->then_there - im->further_cycles;
	im->slack_ns = wall_set(im->then, record.header.realtime_ns, im->khz, im->error_ns);
	im->set = __builtin_ia32_rdtsc();
	wall_say_synchronised(im->maxerror_us, im->tai);
	report("wall_slack_ns", "%llu", (unsigned long long)im->slack_ns);
	report("further_cycles", "%lld", (long long)im->further_cycles);
	report("further_slack_cycles", "%llu", (unsigned long long)im->further_slack_cycles);
}

/* What two hosts' clocks drift apart until @restored, of which KVM's tolerance is 250 ppm. */
static uint64_t drift_ns(const struct import *im, uint32_t khz, uint64_t restored)
{
	uint64_t apart = khz > im->khz ? khz - im->khz : im->khz - khz;

	return !apart ? 0 : kch_cycles_to_ns(restored - im->set, im->khz) *
			    (apart * 1000000 / im->khz + 251) / 1000000 + 1;
}

void import_check(const struct import *im, const struct vm *vm, const struct baseline *base,
		  const struct kch_restore_result *result, uint64_t restored)
{
	bool exact = result->outcome.mode == KCH_MODE_IDENTICAL, tsc_ok = true, same = true;
	bool is_known = true, apart = true;
	/* What is known of it, and what KVM's own ioctls leave besides. */
	uint64_t slack_ns = im->slack_ns + 2000 + imaxabs(result->outcome.error_ns) +
			    result->error_slack_ns + KCH_ROUNDING_NS +
			    drift_ns(im, vm_host_khz(vm), restored) +
			    kch_cycles_to_ns(im->further_slack_cycles, im->khz);
	const uint64_t passed_ns = kch_cycles_to_ns(restored - im->then, im->khz);
	int64_t error_ns = 0, tsc_ns, largest_ns = 0;
	struct baseline here = *base;
	uint32_t i;

	/* What the guest itself found, by the TSC that it has here. */
	memcpy(here.saved, base->now, sizeof(here.saved));
	measure_guest(vm, &here);
	for (i = 0; i < base->vcpu_count; i++) {
		struct saved_clock now = base->now[i], first = base->now[0];
		const struct saved_clock *saved = &base->saved[i];

		now.page = guestmem_read_page(vm->mem, i);
		now.tsc_offset = vcpu_tsc_offset(&vm->vcpu[i]);
		first.tsc_offset = vcpu_tsc_offset(&vm->vcpu[0]);
		/* The guest's clock may have another rate: so much passed by its host's. */
		error_ns = function_ns(&now, restored) - function_ns(saved, im->then_there) -
			   passed_ns;
		tsc_ns = function_page_ns(&saved->page, function_tsc(&now, restored)) -
			 function_ns(saved, im->then_there) - passed_ns;
		if (imaxabs(error_ns) > imaxabs(largest_ns))
			largest_ns = error_ns;
		is_known &= (uint64_t)imaxabs(error_ns - im->error_ns) <= slack_ns;
		same &= function_same(&saved->page, &now.page);
		tsc_ok &= (uint64_t)imaxabs(tsc_ns - im->error_ns) <= slack_ns;
		apart &= function_tsc(&now, restored) - function_tsc(&first, restored) ==
			 function_tsc(saved, restored) - function_tsc(&base->saved[0], restored);
	}
	report("import_error_ns", "%" PRId64, largest_ns);
	report("import_slack_ns", "%" PRIu64, slack_ns);
	report("import_wall_error_ns", "%" PRId64, im->error_ns);
	report("import_bound_ns", "%" PRIu64, result->wall_bound_ns);
	report("import_elapsed_ns", "%" PRIu64, result->elapsed_ns);
	report("import_by_tai", "%u", result->by_tai);
	report("page_function", "%d", same);
	/* The error is the wall clock's, and nothing else. */
	report_check(is_known, "import_error");
	report_check(tsc_ok, "import_tsc");
	report_check(apart, "tsc_offset");
	report_check(!exact || same, "page_function");
	report_check(result->by_tai == !!im->tai, "import_tai");
	/* And it is what was promised. */
	report_check((uint64_t)imaxabs(largest_ns) <= result->wall_bound_ns +
		     imaxabs(result->outcome.error_ns) + result->error_slack_ns + KCH_ROUNDING_NS,
		     "import_bound");
	/* That says something: the bound is not larger than what the hosts were told. */
	report_check(result->wall_bound_ns <= 2 * (im->maxerror_us * 1000ULL + 1000000) ||
		     !im->maxerror_us, "import_bound_small");
}
