/* SPDX-License-Identifier: GPL-2.0 */
/* True checksums for records that are none. */
#ifndef KCH_TESTS_SEAL_H
#define KCH_TESTS_SEAL_H

#include "record.h"

/* Those that @take, an enum take, says, in a slot of @size bytes. */
void fuzz_seal(u8 *slot, size_t size, u8 take);

#endif /* KCH_TESTS_SEAL_H */
