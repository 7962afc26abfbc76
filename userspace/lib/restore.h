/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a refusal of the module leaves. */
#ifndef KCH_LIB_RESTORE_H
#define KCH_LIB_RESTORE_H

#include "vm.h"

/*
 * Whether a weaker mode is possible although the module refused: there is no master
 * clock, the frequency is not settled, the ratio is another, the module does not
 * understand this KVM.  All other refusals hold for every mode: they are about what
 * was saved, or about the new VM.
 */
bool kch_leaves_weaker_modes(int err);

/*
 * For kch_restore_weaker(), of a clock that the caller carried: what the module has of that
 * guest, if it is there and has, is out of date.
 */
int kch_note_given(struct kch_handle *handle, int vm_fd, const struct kch_vm *saved);

/* A weaker mode was reached: @result and the message say that, and why the module refused. */
void kch_went_weaker(struct kch_handle *handle, const struct kch_restore_opts *opts, int refusal,
		     const char *why, struct kch_restore_result *result);

#endif /* KCH_LIB_RESTORE_H */
