// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "clock.h"
#include "function.h"
#include "import.h"
#include "report.h"
#include "slots.h"

#define NS_PER_S	1000000000ULL
#define SETS		20

/* As an NTP daemon does it. */
static void say_synchronised(const struct import *im)
{
	struct timex timex = { .modes = ADJ_STATUS | ADJ_MAXERROR, .maxerror = im->maxerror_us,
			       .status = im->maxerror_us ? 0 : STA_UNSYNC };

	if (adjtimex(&timex) < 0)
		die("adjtimex: %s", strerror(errno));
	timex = (struct timex){ .modes = ADJ_TAI, .constant = im->tai };
	if (adjtimex(&timex) < 0)
		die("adjtimex: %s", strerror(errno));
}

void import_prepare_source(const struct import *im)
{
	if (im->used)
		say_synchronised(im);
}

/* The record of a host whose TSC was that much further: the guest's clocks are the same. */
static void make_foreign(struct saved_vm *saved, uint64_t cycles)
{
	struct kch_record record;
	struct kch_record_vm vm;
	struct kch_rec_vm *entry;
	struct kch_rec_vcpu *vcpus;
	struct kch_clock clock;
	size_t offset = 0;
	uint64_t tsc;
	uint32_t i;

	if (kch_record_open(saved->stock, saved->stock_size, &record, NULL) ||
	    kch_record_next(&record, &offset, &vm, NULL))
		die("the exported bytes are no record");
	entry = calloc(1, kch_rec_entry_size(vm.vcpu_count));
	if (!entry)
		die("no memory");
	kch_record_copy(&vm, entry);
	vcpus = (struct kch_rec_vcpu *)(entry + 1);
	for (i = 0; i < vm.vcpu_count; i++) {
		kch_clock_of(entry, &vcpus[i], &clock);
		tsc = kch_clock_tsc(&clock, clock.reference_cycles);
		vcpus[i].tsc_offset = tsc - kch_scale_tsc(clock.reference_cycles + cycles,
							  clock.tsc_scaling_ratio,
							  clock.tsc_scaling_frac_bits);
	}
	entry->master_cycle_now += cycles;
	entry->host_tsc += cycles;
	kch_clock_of(entry, vcpus, &clock);
	entry->kvmclock_ns = kch_clock_ns(&clock, entry->host_tsc);
	kch_rec_entry_close(entry);
	record.header.host_tsc += cycles;
	/* Nothing of the machine is asked for. */
	memset(record.header.machine_id, 0x77, sizeof(record.header.machine_id));
	record.header.cpu_signature ^= 0x10;
	if (kch_record_write(saved->stock, saved->stock_size, &record.header, entry,
			     kch_rec_entry_size(vm.vcpu_count), 1))
		die("the exported bytes cannot be written");
	free(entry);
}

static uint64_t realtime_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/* To what it was at the export, and what passed since by the TSC, and the error. */
static void set_wall(struct import *im, uint64_t then_tsc, uint64_t then_ns, uint32_t khz)
{
	struct timespec time;
	uint64_t tsc, after, ns;
	int64_t off_ns;
	int i;

	im->slack_ns = UINT64_MAX;
	/* Until an interrupt does not come between. */
	for (i = 0; i < SETS; i++) {
		tsc = __builtin_ia32_rdtsc();
		ns = then_ns + kch_cycles_to_ns(tsc - then_tsc, khz) + im->error_ns;
		time.tv_sec = ns / NS_PER_S;
		time.tv_nsec = ns % NS_PER_S;
		if (clock_settime(CLOCK_REALTIME, &time))
			die("clock_settime: %s", strerror(errno));
		tsc = __builtin_ia32_rdtsc();
		ns = realtime_ns();
		after = __builtin_ia32_rdtsc();
		off_ns = ns - (then_ns + kch_cycles_to_ns(tsc - then_tsc, khz) + im->error_ns);
		im->slack_ns = imaxabs(off_ns) + kch_cycles_to_ns(after - tsc, khz) + 1;
		if (im->slack_ns < 100000)
			return;
	}
}

void import_prepare(struct import *im, struct saved_vm *saved)
{
	struct kch_record record;

	if (kch_record_open(saved->stock, saved->stock_size, &record, NULL))
		die("the exported bytes are no record");
	im->khz = record.header.tsc_khz;
	im->then = record.header.host_tsc;
	set_wall(im, im->then, record.header.realtime_ns, im->khz);
	im->set = __builtin_ia32_rdtsc();
	say_synchronised(im);
	make_foreign(saved, im->foreign_cycles);
	report("wall_slack_ns", "%llu", (unsigned long long)im->slack_ns);
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
			    drift_ns(im, vm_host_khz(vm), restored);
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
		error_ns = function_ns(&now, restored) - function_ns(saved, im->then) - passed_ns;
		tsc_ns = function_page_ns(&saved->page, function_tsc(&now, restored)) -
			 function_ns(saved, im->then) - passed_ns;
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
