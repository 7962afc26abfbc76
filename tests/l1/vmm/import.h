/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other host.  By how much the TSC of the first was ahead of its own is known, so what
 * passed between the two is; its wall clock is set, a known time wrong.
 */
#ifndef KCH_VMM_IMPORT_H
#define KCH_VMM_IMPORT_H

#include "measure.h"

/**
 * struct import - what there is to be
 * @used: any of it
 * @maxerror_us: the wall clock is synchronised, and off by this at most; 0: it is not
 * @error_ns: it is off by this
 * @tai: TAI offset, seconds; 0: not set
 * @further_cycles: how far the TSC of the host of the export is ahead of this one's,
 * @further_slack_cycles: and how far off that may be
 * @slack_ns: out: how exactly the wall clock was set
 * @set: out: at which host TSC
 * @then: out: at which the clock was exported
 * @then_there: out: the same by the TSC of the host of the export
 * @khz: out: of the host of the export
 */
struct import {
	bool used;
	uint32_t maxerror_us;
	int64_t error_ns;
	int tai;
	int64_t further_cycles;
	uint64_t further_slack_cycles;
	uint64_t slack_ns;
	uint64_t set;
	uint64_t then;
	uint64_t then_there;
	uint32_t khz;
};

/* Before the export: the wall clock is what it is, and said to be good. */
void import_prepare_source(const struct import *im);

/* Before the import: the wall clock is set. */
void import_prepare(struct import *im, struct saved_vm *saved);

/* Of a stopped VM: is its clock the saved one, but for the wall clock's error? */
void import_check(const struct import *im, const struct vm *vm, const struct baseline *base,
		  const struct kch_restore_result *result, uint64_t restored);

#endif /* KCH_VMM_IMPORT_H */
