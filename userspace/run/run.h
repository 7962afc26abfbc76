/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvmclock-run.so: preloaded to a VMM, it keeps the clock of the VMM's
 * guest over a kexec.  kvmclock-run(8) starts a VMM with it.
 *
 * intercept.c stands before the C library's ioctl() and close(); machine.c
 * knows what state the VM is in; clock.c saves and restores.
 */
#ifndef KCH_RUN_H
#define KCH_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <kvmclock-handover.h>

/* How kvmclock-run passes its options on. */
#define RUN_ENV_ID		"KVMCLOCK_RUN_ID"
#define RUN_ENV_NAME		"KVMCLOCK_RUN_NAME"
#define RUN_ENV_REQUIRE		"KVMCLOCK_RUN_REQUIRE"
#define RUN_ENV_INCOMING	"KVMCLOCK_RUN_INCOMING"
#define RUN_ENV_WAIT		"KVMCLOCK_RUN_WAIT"
#define RUN_ENV_FLAGS		"KVMCLOCK_RUN_FLAGS"
#define RUN_ENV_LOG		"KVMCLOCK_RUN_LOG"
#define RUN_ENV_VERBOSE		"KVMCLOCK_RUN_VERBOSE"

/* Exit status of a VMM whose guest must not start without its clock. */
#define RUN_EXIT_REFUSED	4

#define RUN_WAIT_DEFAULT_S	10

/* Is the VM that is about to run one that comes back?  */
enum run_incoming {
	RUN_INCOMING_AUTO,	/* if the VMM gave it a time */
	RUN_INCOMING_YES,
	RUN_INCOMING_NO,
};

/**
 * struct run_options - from the environment; constant after the start
 * @active: there is a valid id
 * @id: the VM's id
 * @id_text: the same as text
 * @name: its name in the record
 * @require: a guest that comes back must not run without its clock
 * @incoming: whether the guest comes back
 * @wait_s: how long to wait for the host's TSC frequency to settle, s
 * @flags: KCH_RESTORE_*
 * @verbose: say also what went right
 * @log: file for messages besides the standard error, or NULL
 */
struct run_options {
	bool active;
	uint8_t id[KCH_UUID_SIZE];
	char id_text[KCH_UUID_TEXT_SIZE];
	const char *name;
	bool require;
	enum run_incoming incoming;
	unsigned int wait_s;
	uint32_t flags;
	bool verbose;
	const char *log;
};

extern struct run_options run_options;

/**
 * struct run_vcpu - a vCPU of the VM
 * @fd: as KVM_CREATE_VCPU returned it
 * @id: as given to that
 * @tsc: what the VMM last wrote to MSR_IA32_TSC, cycles
 * @tsc_read: the largest value it has read from there, cycles
 * @tsc_deadline: what it last wrote to MSR_IA32_TSC_DEADLINE, cycles
 */
struct run_vcpu {
	int fd;
	uint32_t id;
	uint64_t tsc;
	uint64_t tsc_read;
	uint64_t tsc_deadline;
};

enum run_state {
	RUN_NONE,	/* no VM yet, or it is gone */
	RUN_NEW,	/* no vCPU has run */
	RUN_RUNNING,
	RUN_STOPPED,	/* its clock was saved, no vCPU has run since */
};

/**
 * struct run_machine - the VM
 * @state: what it is doing
 * @vm_fd: as KVM_CREATE_VM returned it
 * @vcpu_count: vCPUs made before the first ran; later ones are not in @vcpus
 * @vcpus: these vCPUs, in the order in which they were made
 * @clock_set_ns: what the VMM last set with KVM_SET_CLOCK, ns; 0 nothing
 * @clock_read_ns: the largest value KVM_GET_CLOCK has told it, ns
 * @saved_by_others: kvmclockctl has put it into the record, too: there it stays
 *	when the guest goes on
 * @prepare_errno: 0, or why the saved TSC frequency could not be set
 * @prepare_message: the same in words
 */
struct run_machine {
	enum run_state state;
	int vm_fd;
	uint32_t vcpu_count;
	struct run_vcpu *vcpus;
	uint64_t clock_set_ns;
	uint64_t clock_read_ns;
	bool saved_by_others;
	int prepare_errno;
	char prepare_message[2 * KCH_MESSAGE_SIZE];
};

/* intercept.c: the C library's, or whoever else stands before it. */
extern int (*run_real_ioctl)(int fd, unsigned long request, ...);
/* From now on ioctls on @fd go by run_ioctl(), or do not any more. */
void run_watch(int fd, bool on);
void run_watch_none(void);

/* machine.c */
int run_ioctl(int fd, unsigned long request, void *arg);
void run_close(int fd);

/* clock.c: each says on its own what went wrong. */
void run_clock_prepare(struct run_machine *machine);
/* False: the guest must not run. */
bool run_clock_restore(struct run_machine *machine);
bool run_clock_save(struct run_machine *machine);
void run_clock_unsave(const struct run_machine *machine);
/* The device's descriptor is another process's. */
void run_clock_forget(void);

/* options.c */
void run_options_read(void);

/* One line, to the standard error and the log file. */
__attribute__((format(printf, 1, 2)))
void run_say(const char *format, ...);

#endif /* KCH_RUN_H */
