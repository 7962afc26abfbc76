// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Whether this is the machine that a record is from, and its TSC ran on since. */
#include "clock.h"
#include "machine.h"

#define NS_PER_S	1000000000ULL
#define NS_PER_MS	1000000ULL

/*
 * A new kernel's wall clock starts from a battery clock of whole seconds, read
 * at an unknown point in its second, and may run unsynchronised for a while.  A reset
 * puts it apart from the TSC by what that had at the seal, and by the time the reset took.
 * That is more than the largest bound, and does not become less later.
 */
#define WALL_SLACK_NS	(2 * NS_PER_S)
#define WALL_SLACK_PPM	1000
#define WALL_SLACK_NS_MAX (10 * NS_PER_S)

#define TEXT_SIZE	40

/* For messages, the kernel prints no floats: seconds as "12.345". */
static const char *seconds(u64 ns, char text[TEXT_SIZE])
{
	snprintf(text, TEXT_SIZE, "%llu.%03u", (unsigned long long)(ns / NS_PER_S),
		 (u32)(ns % NS_PER_S / NS_PER_MS));
	return text;
}

/* A UUID's text form; user space has no %pUb. */
static const char *uuid_text(const u8 id[16], char text[TEXT_SIZE])
{
	snprintf(text, TEXT_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8],
		 id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
	return text;
}

/* How far they may be apart after so long. */
static u64 wall_slack_ns(u64 passed_ns)
{
	const u64 slack_ns = WALL_SLACK_NS + passed_ns / (1000000 / WALL_SLACK_PPM);

	return slack_ns < WALL_SLACK_NS_MAX ? slack_ns : WALL_SLACK_NS_MAX;
}

bool kch_machine_known(const u8 id[16])
{
	static const u8 none[16];

	return memcmp(id, none, sizeof(none));
}

int kch_machine_same(const struct kch_rec_header *header,
		     const struct kch_machine *now, bool any_wall,
		     struct kch_outcome *outcome, struct kch_message *message)
{
	u32 khz = le32_to_cpu(header->tsc_khz);
	u64 then = le64_to_cpu(header->host_tsc);
	char found_s[TEXT_SIZE], expected_s[TEXT_SIZE];
	u64 by_tsc_ns, wall_ns, apart_ns;
	bool wall_back;

	/* An id that is not known is not another one, nor the same: the rest has to tell. */
	if (kch_machine_known(now->id) && kch_machine_known(header->machine_id) &&
	    memcmp(now->id, header->machine_id, sizeof(now->id))) {
		kch_say(message, "the record is from machine %s, this is %s",
			uuid_text(header->machine_id, expected_s), uuid_text(now->id, found_s));
		return -EREMCHG;
	}
	if (le32_to_cpu(header->cpu_signature) != now->cpu_signature ||
	    memcmp(header->cpu_vendor, now->cpu_vendor, sizeof(header->cpu_vendor))) {
		outcome->found = now->cpu_signature;
		outcome->expected = le32_to_cpu(header->cpu_signature);
		kch_say(message, "the record is from a CPU %.4s %#x, this is %.4s %#x",
			header->cpu_vendor, le32_to_cpu(header->cpu_signature),
			now->cpu_vendor, now->cpu_signature);
		return -EREMCHG;
	}

	outcome->found = now->host_tsc;
	outcome->expected = then;
	if (!khz) {
		kch_say(message, "the record does not say the host TSC frequency: what passed since cannot be told");
		return -ETIME;
	}
	if (now->host_tsc < then) {
		kch_say(message, "host TSC is behind the saved one (%s s < %s s): the machine was reset",
			seconds(kch_cycles_to_ns(now->host_tsc, khz), found_s),
			seconds(kch_cycles_to_ns(then, khz), expected_s));
		return -ETIME;
	}
	by_tsc_ns = kch_cycles_to_ns(now->host_tsc - then, khz);
	outcome->blackout_ns = by_tsc_ns;
	wall_back = now->realtime_ns < le64_to_cpu(header->realtime_ns);
	wall_ns = wall_back ? le64_to_cpu(header->realtime_ns) - now->realtime_ns :
			      now->realtime_ns - le64_to_cpu(header->realtime_ns);
	if (wall_back)
		apart_ns = by_tsc_ns > U64_MAX - wall_ns ? U64_MAX :
							   by_tsc_ns + wall_ns;
	else
		apart_ns = by_tsc_ns > wall_ns ? by_tsc_ns - wall_ns :
						 wall_ns - by_tsc_ns;
	if (!any_wall && apart_ns > wall_slack_ns(by_tsc_ns)) {
		kch_say(message, "since the seal %s s passed by the host TSC, but %s%s s by the wall clock: the TSC was reset or stopped, or the wall clock was set",
			seconds(by_tsc_ns, found_s), wall_back ? "-" : "",
			seconds(wall_ns, expected_s));
		return -ETIME;
	}
	outcome->found = 0;
	outcome->expected = 0;
	return 0;
}

int kch_blackout_allowed(struct kch_outcome *outcome, u32 ms_max,
			 struct kch_message *message)
{
	if (!ms_max || outcome->blackout_ns <= ms_max * NS_PER_MS)
		return 0;
	outcome->found = outcome->blackout_ns;
	outcome->expected = ms_max * NS_PER_MS;
	kch_say(message, "a blackout of %llu ms, at most %u ms are allowed",
		(unsigned long long)(outcome->blackout_ns / NS_PER_MS), ms_max);
	return -EKEYEXPIRED;
}
