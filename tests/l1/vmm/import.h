/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other host.  It is the same machine after a kexec, so that what its TSC says of the time
 * between is known; but the exported bytes are made those of a host with another TSC, and its
 * wall clock is set, a known time wrong.
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
 * @foreign_cycles: how much further the TSC of the other host was
 * @slack_ns: out: how exactly the wall clock was set
 * @set: out: at which host TSC
 * @then: out: at which the clock was exported
 * @khz: out: of the host of the export
 */
struct import {
	bool used;
	uint32_t maxerror_us;
	int64_t error_ns;
	int tai;
	uint64_t foreign_cycles;
	uint64_t slack_ns;
	uint64_t set;
	uint64_t then;
	uint32_t khz;
};

/* Before the export: the wall clock is what it is, and said to be good. */
void import_prepare_source(const struct import *im);

/* Before the import: the bytes become another host's, and the wall clock is set. */
void import_prepare(struct import *im, struct saved_vm *saved);

/* Of a stopped VM: is its clock the saved one, but for the wall clock's error? */
void import_check(const struct import *im, const struct vm *vm, const struct baseline *base,
		  const struct kch_restore_result *result, uint64_t restored);

#endif /* KCH_VMM_IMPORT_H */
