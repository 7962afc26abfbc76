/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What no kernel writes, though every checksum is right: whoever can write to the
 * region can make those, too.  Each rule has a reason of its own; all are in
 * Documentation/region-abi.rst.
 */
#ifndef KCH_FORGED_H
#define KCH_FORGED_H

#include "record.h"

/*
 * How many bytes of text there are before its end or its first control character, at
 * most @size.
 */
size_t kch_printable(const char *text, size_t size);

/* -EBADMSG: of a header whose incompatible features are all known. */
int kch_header_forged(const struct kch_rec_header *header, struct kch_message *message);

/* -EBADMSG: of an entry that fits into its record, which is open. */
int kch_entry_forged(const struct kch_record_vm *vm, struct kch_message *message);

/* Of an entry in this version's layout: clears what a later version may have put there. */
void kch_entry_forget_newer(struct kch_rec_vm *entry);

#endif /* KCH_FORGED_H */
