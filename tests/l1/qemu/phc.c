// SPDX-License-Identifier: GPL-2.0
/*
 * In the Linux guest that keeps time by chrony: its PTP clock, wall clock and raw clock, all
 * three of one instant (PTP_SYS_OFFSET_PRECISE), ten times a second.  Lines:
 *
 *	P raw_ns reference_ns wall_ns ntp_ppb	each second
 *	B blackout_ns drift_ns raw_ns		when there was no reading for a second
 *
 * raw_ns: CLOCK_MONOTONIC_RAW, which NTP does not steer.  reference_ns, wall_ns: by how much
 * the PTP clock and CLOCK_REALTIME have gone ahead of it since the first reading.  ntp_ppb:
 * by which rate the latter is to, as chronyd has told the kernel.  drift_ns: by how much it
 * has gone ahead of that over the blackout; raw_ns is that of the first reading after it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ptp_clock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <unistd.h>

#define NS_PER_S	1000000000LL
#define PERIOD_US	100000

struct reading {
	int64_t raw_ns, reference_ns, wall_ns;
	double ntp_ppb;
};

static int64_t ns_of(const struct ptp_clock_time *time)
{
	return time->sec * NS_PER_S + time->nsec;
}

static void take(int clock, struct reading *reading)
{
	struct ptp_sys_offset_precise precise = { .rsv = { 0 } };
	struct timex timex = { .modes = 0 };

	if (adjtimex(&timex) < 0 || ioctl(clock, PTP_SYS_OFFSET_PRECISE, &precise)) {
		perror("P PTP_SYS_OFFSET_PRECISE");
		exit(1);
	}
	reading->raw_ns = ns_of(&precise.sys_monoraw);
	reading->reference_ns = ns_of(&precise.device) - reading->raw_ns;
	reading->wall_ns = ns_of(&precise.sys_realtime) - reading->raw_ns;
	/* A tick is of 10000 us; the frequency is in ppm, with 16 bits behind the point. */
	reading->ntp_ppb = (timex.tick - 10000) * 1e5 + timex.freq / 65.536;
}

int main(void)
{
	int clock = open("/dev/ptp0", O_RDONLY), count;
	struct reading first, last, now;
	int64_t passed_ns;

	setvbuf(stdout, NULL, _IOLBF, 0);
	take(clock, &first);
	last = first;
	for (count = 0;; count++) {
		take(clock, &now);
		passed_ns = now.raw_ns - last.raw_ns;
		if (passed_ns > NS_PER_S)
			printf("B %" PRId64 " %.0f %" PRId64 "\n", passed_ns,
			       (double)(now.wall_ns - last.wall_ns) -
			       last.ntp_ppb * passed_ns / NS_PER_S, now.raw_ns);
		if (count % 10 == 0)
			printf("P %" PRId64 " %" PRId64 " %" PRId64 " %.3f\n", now.raw_ns,
			       now.reference_ns - first.reference_ns,
			       now.wall_ns - first.wall_ns, now.ntp_ppb);
		last = now;
		usleep(PERIOD_US);
	}
}
