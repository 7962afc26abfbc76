/* SPDX-License-Identifier: GPL-2.0 */
/* ktap.h for a test of several files: it keeps its state in one. */
#ifndef KCH_ERRNO_CHECK_H
#define KCH_ERRNO_CHECK_H

#include <stdbool.h>

bool check_at(bool condition, const char *file, int line, const char *expression,
	      const char *format, ...) __attribute__((format(printf, 5, 6)));

#define check(condition, ...) \
	check_at((condition), __FILE__, __LINE__, #condition, __VA_ARGS__)

/* See ktap_skip(). */
void skip(const char *reason);

#endif /* KCH_ERRNO_CHECK_H */
