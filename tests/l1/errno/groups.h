/* SPDX-License-Identifier: GPL-2.0 */
/* The groups of tests; each leaves the module unloaded and the region empty. */
#ifndef KCH_ERRNO_GROUPS_H
#define KCH_ERRNO_GROUPS_H

#include <stdbool.h>

/* group-arguments.c: what is common to all ioctls */
void test_arguments(void);
void test_capabilities(void);

/* group-hostile.c: those who may not, with what they find or were left */
void test_hostile_open(void);
void test_hostile_calls(void);
void test_hostile_files(void);

/* group-caller.c: the root, memory and threads of who has a clock's descriptor */
void test_hostile_root(void);
void test_hostile_memory(void);

/* group-vm.c: what a VM can be that PRESERVE, READ and RESTORE want */
void test_vm(void);
void test_no_region(void);

/* group-nth.c: the Nth allocation, copy or page fault fails */
void test_fail_nth(void);
void test_fail_ask(void);
void test_fail_thread(void);

/* group-outgoing.c: PRESERVE, UNPRESERVE, LIST, GET */
void test_outgoing(void);
void test_full(void);
void test_slots(void);
void test_broken_memory(void);

/* group-restore.c: RESTORE and FINISH with a good record */
void test_restore(void);
void test_settled(void);
void test_tsc_back(void);
void test_finish(void);

/* group-hold.c: KCH_RESTORE_HOLD and WAIT */
void test_hold(void);
void test_hold_ends(void);

/* group-clock-fd.c: the descriptor of one clock, in a jail */
void test_clock_fd(void);

/* group-pending.c: what KVM has still to do */
void test_pending(void);
void test_protected(void);

/* group-keep.c: restored VMs that run on */
void test_keep(void);

/* group-locks.c: nobody waits for somebody else's memory or vCPU */
void test_locks(void);
bool done_at_once(int (*fn)(void));

/* group-incoming.c: RESTORE and FINISH with records of all kinds */
void test_incoming(void);
void test_two_records(void);

/* group-used.c: RESTORE of what was restored, or is of an earlier kernel */
void test_used(void);
void test_old(void);

/* group-fault.c: KVM gone, or gone wrong; needs the module kch_fault */
void test_no_kvm(void);
void test_dead_vm(void);
void test_misread(void);
void test_lost_write(void);
void test_sealed(void);

/*
 * group-asking.c: questions to KVM that come to nothing; EINTR and ENOMEM.  The errors
 * and memory need kch_fault, the last one a host with tsc=unstable.
 */
void test_ask_signals(void);
void test_ask_threads(void);
void test_ask_errors(void);
void test_ask_memory(void);
void test_ask_unstable(void);

/* group-adopt.c: vCPUs added to a VM */
void test_adopt(void);

/* group-load.c: parameters of the module */
void test_load(void);
void test_reload(void);
void test_untouched(void);

/* group-lifetime.c: VMs that come and go */
void test_lifetime(void);
void test_references(void);

/* group-last.c: what a VM had last is what is kept */
void test_last(void);
void test_no_memory(void);
void test_found_again(void);
void test_anew(void);
void test_known(void);

/* group-large.c: 64 MiB; needs that region */
void test_large(void);

/* group-debugfs.c */
void test_debugfs(void);

#endif /* KCH_ERRNO_GROUPS_H */
