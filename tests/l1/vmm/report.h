/* SPDX-License-Identifier: GPL-2.0 */
/* The report: lines of key=value, and the checks that failed. */
#ifndef KCH_VMM_REPORT_H
#define KCH_VMM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* The conventions' exit codes. */
enum {
	EXIT_CHECKS_HOLD	= 0,
	EXIT_CHECKS_FAILED	= 1,
	EXIT_USAGE		= 2,
	EXIT_REFUSED		= 4,
};

/* @path NULL: standard output. */
void report_open(const char *path);

void report(const char *key, const char *format, ...)
	__attribute__((__format__(printf, 2, 3)));

/* Many values of one key, one for each vCPU: key=a,b,c */
void report_list_start(const char *key);
void report_list_s64(int64_t value);
void report_list_u64(uint64_t value);
void report_list_end(void);

/* Adds failed=@check unless @holds; once for each check. */
void report_check(bool holds, const char *check);
bool report_any_failed(void);

/* Writes what was reported since report_open() or the last flush. */
void report_flush(void);

/* The VMM itself cannot go on: error=..., failed=vmm, and exit. */
void die(const char *format, ...)
	__attribute__((__format__(printf, 1, 2), __noreturn__));

/* Called by die() before it exits; for who waits for the exit code. */
void report_at_exit(void (*hook)(int status));

#endif /* KCH_VMM_REPORT_H */
