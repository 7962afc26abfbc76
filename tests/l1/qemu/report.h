/* SPDX-License-Identifier: GPL-2.0 */
/* What both programs of the Linux guest begin with: the serial port, and lines to it. */
#ifndef KCH_QEMU_REPORT_H
#define KCH_QEMU_REPORT_H

#include <stdint.h>

#define LOG_RECORD_SIZE	1024

/* Mounts what there has to be, opens the port, and tells the guest's kernel and clocksource. */
int report_begin(void);

/* A line, in one write: lines of several threads and processes stay whole. */
__attribute__((format(printf, 1, 2)))
void line(const char *format, ...);

/* "G key", and the first line of that file. */
void tell(const char *key, const char *file);

/* The kernel's log from now on. */
int log_open(void);

/* Waits for its next record; returns the text of that, which is in @record. */
const char *log_next(int fd, char record[LOG_RECORD_SIZE]);

/* The TSC, between what is before and behind it. */
uint64_t tsc(void);

#endif /* KCH_QEMU_REPORT_H */
