// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "check.h"
#include "condition.h"
#include "scene.h"
#include "snapshot.h"

/* What is in all members that only the kernel writes, before the call. */
#define POISON		0x5a

void (*condition_base)(unsigned int cmd, union kch_any *arg);
enum sabotage sabotage;
unsigned int conditions_done;

/* Where each structure's outputs are, besides the message, which is at its end. */
static const struct output {
	unsigned int cmd;
	const char *name;
	size_t offset;
	size_t bytes;
} outputs[] = {
#define OUTPUT(NAME, type, member) {					\
	KCH_IOC_##NAME, #type "." #member,				\
	offsetof(struct type, member), sizeof(((struct type *)0)->member) }
	OUTPUT(INFO, kch_info, abi_version),
	OUTPUT(INFO, kch_info, modes),
	OUTPUT(INFO, kch_info, backend),
	OUTPUT(INFO, kch_info, tsc_source),
	OUTPUT(INFO, kch_info, tsc_khz),
	OUTPUT(INFO, kch_info, kvm_tsc_khz),
	OUTPUT(INFO, kch_info, region_start),
	OUTPUT(INFO, kch_info, region_size),
	OUTPUT(INFO, kch_info, outgoing_capacity),
	OUTPUT(INFO, kch_info, outgoing_used),
	OUTPUT(INFO, kch_info, generation),
	OUTPUT(INFO, kch_info, outgoing_vms),
	OUTPUT(INFO, kch_info, incoming_vms),
	OUTPUT(INFO, kch_info, restored_vms),
	OUTPUT(INFO, kch_info, incoming_error),
	OUTPUT(INFO, kch_info, selfcheck_error),
	OUTPUT(INFO, kch_info, rec_vm_size),
	OUTPUT(INFO, kch_info, rec_vcpu_size),
	OUTPUT(PRESERVE, kch_preserve, needed),
	OUTPUT(PRESERVE, kch_preserve, capacity),
	OUTPUT(READ, kch_read, host_tsc),
	OUTPUT(READ, kch_read, rebase_step_ns),
	OUTPUT(READ, kch_read, rebase_bound_ns),
	OUTPUT(READ, kch_read, pid),
	OUTPUT(READ, kch_read, kvm_tsc_khz),
	OUTPUT(RESTORE, kch_restore, outcome.mode),
	OUTPUT(RESTORE, kch_restore, outcome.host_tsc),
	OUTPUT(RESTORE, kch_restore, outcome.error_ns),
	OUTPUT(RESTORE, kch_restore, outcome.error_cycles),
	OUTPUT(RESTORE, kch_restore, outcome.error_rate_ppb),
	OUTPUT(RESTORE, kch_restore, outcome.rebase_bound_ns),
	OUTPUT(RESTORE, kch_restore, outcome.blackout_ns),
	OUTPUT(RESTORE, kch_restore, outcome.vcpu_id),
	OUTPUT(RESTORE, kch_restore, outcome.found),
	OUTPUT(RESTORE, kch_restore, outcome.expected),
	OUTPUT(CLOCK_FD, kch_clock_fd, fd),
	OUTPUT(WAIT, kch_restore, flags),
	OUTPUT(WAIT, kch_restore, vm_fd),
	OUTPUT(WAIT, kch_restore, mode),
	OUTPUT(WAIT, kch_restore, outcome.mode),
	OUTPUT(WAIT, kch_restore, outcome.host_tsc),
	OUTPUT(WAIT, kch_restore, outcome.error_ns),
	OUTPUT(WAIT, kch_restore, outcome.error_cycles),
	OUTPUT(WAIT, kch_restore, outcome.error_rate_ppb),
	OUTPUT(WAIT, kch_restore, outcome.rebase_bound_ns),
	OUTPUT(WAIT, kch_restore, outcome.blackout_ns),
	OUTPUT(WAIT, kch_restore, outcome.vcpu_id),
	OUTPUT(WAIT, kch_restore, hold_ms),
	OUTPUT(WAIT, kch_restore, outcome.found),
	OUTPUT(WAIT, kch_restore, outcome.expected),
	OUTPUT(WAIT, kch_restore, outcome.page),
	OUTPUT(WAIT, kch_restore, outcome.reserved),
	OUTPUT(FINISH, kch_finish, restored),
	OUTPUT(FINISH, kch_finish, left),
	OUTPUT(ADOPT, kch_adopt, vcpu_id),
	OUTPUT(ADOPT, kch_adopt, found),
	OUTPUT(ADOPT, kch_adopt, expected),
};

#define OUTPUTS	(sizeof(outputs) / sizeof(outputs[0]))

void attempt_init(struct attempt *attempt, unsigned int cmd)
{
	const struct kch_call *call = kch_call_of(cmd);
	size_t i;

	memset(attempt, 0, sizeof(*attempt));
	for (i = 0; i < OUTPUTS; i++)
		if (outputs[i].cmd == cmd)
			memset(attempt->arg.bytes + outputs[i].offset, POISON,
			       outputs[i].bytes);
	memset(attempt->arg.bytes + call->message, POISON, KCH_MESSAGE_SIZE);
	attempt->arg.size = call->size;
	attempt->cmd = cmd;
	attempt->fd = device;
	attempt->user = &attempt->arg;
	condition_base(cmd, &attempt->arg);
}

/* The text, or NULL if it is not one the kernel wrote. */
static const char *message_of(const struct attempt *attempt, unsigned int cmd)
{
	const char *text = attempt->arg.bytes + kch_call_of(cmd)->message;

	return memchr(text, '\0', KCH_MESSAGE_SIZE) ? text : NULL;
}

static void check_outputs(const struct condition *c, const struct attempt *attempt)
{
	uint8_t poison[16];
	size_t i;

	memset(poison, POISON, sizeof(poison));
	for (i = 0; i < OUTPUTS; i++) {
		if (outputs[i].cmd != c->cmd)
			continue;
		check(memcmp(attempt->arg.bytes + outputs[i].offset, poison,
			     outputs[i].bytes),
		      "%s: %s: %s is what the caller had there",
		      kch_call_of(c->cmd)->name, c->name, outputs[i].name);
	}
}

static void check_message(const struct condition *c, const struct attempt *attempt)
{
	const char *name = kch_call_of(c->cmd)->name;
	const char *text = message_of(attempt, c->cmd);
	const char *wanted = c->message;

	if (sabotage == SABOTAGE_MESSAGE)
		wanted = "words that no message has";
	if (!check(text, "%s: %s: no message came back", name, c->name))
		return;
	if (c->expected)
		check(text[0], "%s: %s: the message is empty", name, c->name);
	check(strstr(text, wanted), "%s: %s: message \"%s\" lacks \"%s\"",
	      name, c->name, text, wanted);
}

/* As if the call had changed something. */
static void sabotage_between(void)
{
	switch (sabotage) {
	case SABOTAGE_CLOCK:
		vm_set_clock(&scene.vm, 123);
		break;
	case SABOTAGE_OFFSET:
		vm_set_offset(&scene.vm, 0, vm_offset(&scene.vm, 0) + 1);
		break;
	case SABOTAGE_RECORD:
		must_preserve(&scene.spare, 0x5a);
		must_unpreserve(0x5a);
		break;
	default:
		break;
	}
}

void condition_run(const struct condition *c)
{
	const char *name = kch_call_of(c->cmd)->name;
	struct snapshot *before, *after;
	struct attempt attempt;
	const char *difference;
	int expected = c->expected, found;

	attempt_init(&attempt, c->cmd);
	if (c->spoil)
		c->spoil(&attempt);
	if (c->bytes)
		memcpy(attempt.arg.bytes + c->offset, &c->value, c->bytes);
	before = snapshot_take();
	found = ioctl(attempt.fd, attempt.cmd, attempt.user) ? errno : 0;
	sabotage_between();
	after = snapshot_take();
	conditions_done++;

	if (sabotage == SABOTAGE_ERRNO)
		expected = EXDEV;
	check(found == expected, "%s: %s: %s instead of %s (%s)", name,
	      c->name, errno_name(found), errno_name(expected),
	      message_of(&attempt, c->cmd) ?: "no message");
	difference = snapshot_difference(before, after);
	check(!difference, "%s: %s: changed: %s", name, c->name, difference);
	if (c->message) {
		check_message(c, &attempt);
		if (sabotage == SABOTAGE_OUTPUT)
			memset(attempt.arg.bytes + outputs[0].offset, POISON, 300);
		check_outputs(c, &attempt);
	}
	snapshot_free(before);
	snapshot_free(after);
}

void conditions_run(const struct condition *conditions, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		condition_run(&conditions[i]);
}
