/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all restores have in common: their options. */
#ifndef KCH_LIB_RESTORE_H
#define KCH_LIB_RESTORE_H

#include "handle.h"

/*
 * Reads the caller's options, and checks that @result, if not NULL, is long enough for
 * kch_restore_output(), which then cannot fail.
 */
int kch_restore_opts_read(struct kch_handle *handle, const struct kch_restore_opts *opts,
			  const struct kch_restore_result *result, struct kch_restore_opts *to);

/* Fills in the caller's result, if it is not NULL; returns @err, with errno set. */
int kch_restore_output(struct kch_restore_result *result,
		       const struct kch_restore_result *from, int err);

#endif /* KCH_LIB_RESTORE_H */
