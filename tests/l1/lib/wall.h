/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The wall clock of an emulated host, as an NTP daemon would have it.
 */
#ifndef KCH_TESTS_WALL_H
#define KCH_TESTS_WALL_H

#include <stdint.h>

/* Off by so much at most, 0: not synchronised; TAI offset in seconds, 0: not set. */
void wall_say_synchronised(uint32_t maxerror_us, int tai_s);

/*
 * To what a clock that was at @then_ns when this host's TSC was at @then is now, by that
 * frequency, and @error_ns more.  Returns how far off that may be, ns.
 */
uint64_t wall_set(uint64_t then, uint64_t then_ns, uint32_t khz, int64_t error_ns);

/* Its time, and this host's TSC of about the same moment. */
uint64_t wall_read(uint64_t *tsc);

#endif /* KCH_TESTS_WALL_H */
