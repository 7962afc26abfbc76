/* SPDX-License-Identifier: GPL-2.0 */
/* What came of the calls: how often each succeeded, and with which errno it did not. */
#ifndef KCH_FUZZ_TALLY_H
#define KCH_FUZZ_TALLY_H

#include <stdbool.h>

/* A call of the ioctl, on the device or on a clock's descriptor. */
void tally(unsigned int cmd, bool on_clock, int err);

/* Something else that was done, and worked or did not. */
void tally_act(const char *name, bool worked);

/* Is that errno documented of that ioctl? */
bool tally_is_documented(unsigned int cmd, bool on_clock, int err);

/* Something is wrong, and the run has failed. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

unsigned int wrong_so_far(void);

/* A line for each; how many things were wrong, among them each ioctl that never succeeded. */
unsigned int tally_print(void);

#endif /* KCH_FUZZ_TALLY_H */
