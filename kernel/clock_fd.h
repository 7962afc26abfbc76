/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM's clock as a file descriptor: good for one clock, and for whoever has it.
 * A privileged process opens it and passes it on; LUO carries it to the next kernel.
 */
#ifndef KCH_CLOCK_FD_H
#define KCH_CLOCK_FD_H

#include "restore/incoming.h"
#include "restore/restore.h"

struct file;

/* What the descriptor stands for; under kch_lock. */
struct kch_clock_file {
	/*
	 * The VM it is the clock of.  With a reference: who preserves the descriptor may
	 * be a service manager whose service has ended by then.  NULL: it came from
	 * before the kexec and was not restored yet.
	 */
	struct file *vm_file;
	u8 uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
	u64 generation;			/* kexecs it has passed through */
	struct kch_incoming *record;	/* it is restored from: @incoming, or the module's */
	struct kch_incoming incoming;	/* that LUO carried; without one, its error says so */
	struct kch_holder holder;
};

/* Of one VM, or one entry of the module's record: KCH_IOC_CLOCK_FD. */
int kch_clock_fd(void *context, void *arg, struct kch_message *message);

/* Its end: installs the descriptor if the answer was @given, and closes the clock if not. */
void kch_clock_fd_end(void *arg, bool given);

/* With a record of its own that is still empty; NULL: no memory. */
struct kch_clock_file *kch_clock_file_new(void);
void kch_clock_file_free(struct kch_clock_file *clock);

/* With kch_lock: its VM's entry in the record of its own; NULL: it has none. */
struct kch_incoming_vm *kch_clock_file_entry(struct kch_clock_file *clock);

/*
 * With kch_lock: the VM that has the clock, with a reference; NULL: none has.  It need not be
 * @vm_file: nobody may have waited for the end of a hold, and of the module's record none is.
 */
struct file *kch_clock_file_vm(struct kch_clock_file *clock);

/* The file of a descriptor, to which @clock belongs from then on; or an error. */
struct file *kch_clock_file_open(struct kch_clock_file *clock);

/* NULL: @file is something else. */
struct kch_clock_file *kch_clock_file_of(const struct file *file);

#endif /* KCH_CLOCK_FD_H */
