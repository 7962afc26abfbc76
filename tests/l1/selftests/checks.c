// SPDX-License-Identifier: GPL-2.0
#include <stdarg.h>
#include <stdlib.h>

#include "checks.h"

void check_that(struct checks *checks, bool holds, const char *name,
		const char *format, ...)
{
	va_list args;

	checks->made++;
	if (holds)
		return;
	checks->failed++;
	printf("# check %s failed: ", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

const char *spoil(void)
{
	return getenv("KCH_SPOIL") ?: "";
}

/* No tolerance: the guest read its clock between two reads of the host's TSC. */
static void check_between(struct checks *checks, const char *name, u32 index,
			  u64 seen, u64 low, u64 high)
{
	check_that(checks, low <= seen && seen <= high, name,
		   "vCPU %u: %llu is not in %llu..%llu", index, (unsigned long long)seen,
		   (unsigned long long)low, (unsigned long long)high);
}

static void check_equal(struct checks *checks, const char *name, u32 index,
			const char *what, u64 seen, u64 expected)
{
	check_that(checks, seen == expected, name, "vCPU %u: %s %#llx is not %#llx", index,
		   what, (unsigned long long)seen, (unsigned long long)expected);
}

static void check_look(struct checks *checks, const char *prefix, u32 index,
		       const struct turn *turn, const struct guest_look *look,
		       const struct captured *captured, u8 more_flags, u32 host_khz)
{
	struct captured_page page, seen = {
		.tsc_timestamp = look->page.tsc_timestamp,
		.system_time = look->page.system_time,
		.mul = look->page.tsc_to_system_mul,
		.shift = look->page.tsc_shift,
	};
	char name[32];

#define NAME(what) (snprintf(name, sizeof(name), "%s_" what, prefix), name)
	captured_page(captured, index, &page);
	check_between(checks, NAME("between"), index, look->ns,
		      captured_ns(captured, index, turn->before),
		      captured_ns(captured, index, turn->after));
	check_equal(checks, NAME("at_tsc"), index, "ns", look->ns,
		    captured_ns_at(captured, index, look->tsc));
	check_that(checks, captured_is_page(captured, index, &seen, host_khz), NAME("page"),
		   "vCPU %u: %llu ns at %llu, mul %u shift %d; captured %llu ns at %llu, mul %u shift %d",
		   index, (unsigned long long)seen.system_time,
		   (unsigned long long)seen.tsc_timestamp, seen.mul, seen.shift,
		   (unsigned long long)page.system_time,
		   (unsigned long long)page.tsc_timestamp, page.mul, page.shift);
	check_equal(checks, NAME("flags"), index, "flags", look->page.flags,
		    page.flags | more_flags);
	check_that(checks, !look->changed, NAME("changed"), "vCPU %u: the page changed", index);
	check_that(checks, !look->back, NAME("back"), "vCPU %u: the clock went back", index);
#undef NAME
}

static void check_hyperv(struct checks *checks, u32 index, const struct guest *guest,
			 const struct captured *captured)
{
	u64 scale;
	s64 offset;

	captured_hyperv(captured, 0, &scale, &offset);
	check_that(checks, guest->hyperv_page.sequence, "hyperv_page",
		   "vCPU %u: KVM has invalidated it", index);
	check_equal(checks, "hyperv_page", index, "scale", guest->hyperv_page.scale, scale);
	check_equal(checks, "hyperv_page", index, "offset", guest->hyperv_page.offset,
		    offset);
	check_that(checks, !guest->hyperv_changed, "hyperv_changed",
		   "vCPU %u: the page changed", index);
	check_that(checks, !guest->hyperv_back, "hyperv_back", "vCPU %u: the clock went back",
		   index);
}

void check_turn(struct checks *checks, const struct machine *machine, u32 index,
		const struct turn *turn, const struct captured *captured)
{
	const struct guest *guest = &turn->guest;
	u8 stopped = machine->was_stopped ? PVCLOCK_GUEST_STOPPED : 0;

	check_between(checks, "tsc_between", index, guest->tsc,
		      captured_tsc(captured, index, turn->before),
		      captured_tsc(captured, index, turn->after));
	check_that(checks, !guest->tsc_back, "tsc_back", "vCPU %u: the TSC went back", index);
	check_equal(checks, "adjust", index, "TSC_ADJUST", guest->adjust,
		    captured_adjust(captured, index));
	if (guest->does & GUEST_HAS_PVCLOCK)
		check_look(checks, "pvclock", index, turn, &guest->kvmclock, captured,
			   stopped, machine->host_khz);
	if (guest->does & GUEST_XEN) {
		check_look(checks, "xen_vcpu", index, turn, &guest->xen_vcpu, captured, 0,
			   machine->host_khz);
		check_look(checks, "xen_time", index, turn, &guest->xen_time, captured, 0,
			   machine->host_khz);
	}
	if (guest->does & GUEST_HYPERV)
		check_hyperv(checks, index, guest, captured);
}

void check_offsets(struct checks *checks, const struct machine *machine,
		   const struct captured *captured)
{
	u32 i;

	check_that(checks, captured_vcpus(captured) == machine->scenario->vcpus, "vcpus",
		   "%u vCPUs captured, %u there", captured_vcpus(captured),
		   machine->scenario->vcpus);
	for (i = 0; i < machine->scenario->vcpus; i++)
		check_equal(checks, "offset", i, "TSC offset", captured_offset(captured, i),
			    machine_offset(machine, i));
}
