/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One condition under which an ioctl refuses.  Each starts from arguments that
 * would be accepted, spoils one thing, and checks that exactly the documented
 * errno comes back, that the message says why, and that nothing changed.
 */
#ifndef KCH_ERRNO_CONDITION_H
#define KCH_ERRNO_CONDITION_H

#include "device.h"

/**
 * struct attempt - one call about to be made
 * @arg: its arguments
 * @user: where the kernel is told that they are; not @arg for bad pointers
 * @cmd: what is called
 * @fd: on what; the device
 */
struct attempt {
	union kch_any arg;
	void *user;
	unsigned int cmd;
	int fd;
};

/**
 * struct condition - a row of the tables
 * @cmd: KCH_IOC_*
 * @name: what is wrong
 * @spoil: makes it so; may be NULL if the next three do
 * @offset: or: a member of the arguments ...
 * @bytes: ... of that size ...
 * @value: ... is set to this
 * @expected: the errno, 0 for arguments that must be accepted
 * @message: must be in the message; NULL where there can be none, because the
 *	structure could not be had, or is not copied back
 */
struct condition {
	unsigned int cmd;
	const char *name;
	void (*spoil)(struct attempt *attempt);
	size_t offset;
	size_t bytes;
	uint64_t value;
	int expected;
	const char *message;
};

#define SET(type, member, set_to)					\
	.offset = offsetof(struct type, member),			\
	.bytes = sizeof(((struct type *)0)->member),			\
	.value = (uint64_t)(set_to)

/* Fills in arguments of @cmd that are accepted in the present scene. */
extern void (*condition_base)(unsigned int cmd, union kch_any *arg);

void condition_run(const struct condition *condition);
void conditions_run(const struct condition *conditions, size_t count);

/* Makes an attempt of it without any check: for those made by hand. */
void attempt_init(struct attempt *attempt, unsigned int cmd);

/* What is made wrong in the test itself, to see that it is noticed. */
enum sabotage {
	SABOTAGE_NONE,
	SABOTAGE_ERRNO,
	SABOTAGE_MESSAGE,
	SABOTAGE_CLOCK,
	SABOTAGE_OFFSET,
	SABOTAGE_RECORD,
	SABOTAGE_OUTPUT,
};

extern enum sabotage sabotage;

/* Conditions run so far, of all groups. */
extern unsigned int conditions_done;

#endif /* KCH_ERRNO_CONDITION_H */
