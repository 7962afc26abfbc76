// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "call.h"
#include "calls.h"
#include "tally.h"
#include "things.h"

/* Of any worker: two may be in calls on one open file. */
static _Atomic int last_device = -1;

uint32_t call_vcpus_of(uint32_t id)
{
	return 1 + id % 2;
}

uint32_t call_id_for(struct random *r, const struct vm *vm)
{
	uint32_t id = 1 + random_below(r, FUZZ_IDS);

	return call_vcpus_of(id) == vm->vcpus ? id : 1 + id % FUZZ_IDS;
}

static void fill_restore(struct caller *c, const struct vm *vm, struct kch_restore *arg)
{
	static const uint32_t more[] = {
		KCH_RESTORE_CHECK, KCH_RESTORE_ANY_WALL, KCH_RESTORE_OLD, 0,
	};
	struct random *r = &c->random;

	arg->vm_fd = vm->fd;
	arg->mode = KCH_MODE_REALTIME + random_below(r, KCH_MODE_IDENTICAL);
	set_uuid(arg->uuid, call_id_for(r, vm));
	arg->flags = KCH_RESTORE_STALE | more[random_below(r, 4)] | more[random_below(r, 4)];
	if (random_one_in(r, 8)) {
		arg->flags = KCH_RESTORE_ELSEWHERE;
		return;
	}
	if (random_one_in(r, 8)) {
		arg->flags |= KCH_RESTORE_HOLD;
		arg->hold_ms = 1 + random_below(r, 20);
	}
	if (random_one_in(r, 4))
		arg->policy = random_below(r, KCH_POLICY_LIMIT + 1);
	if (arg->policy == KCH_POLICY_LIMIT)
		arg->limit_ms = 1 + random_below(r, 10000);
}

static void fill_clock_fd(struct caller *c, const struct vm *vm, struct kch_clock_fd *arg)
{
	arg->vm_fd = random_one_in(&c->random, 2) ? vm->fd : -1;
	if (arg->vm_fd >= 0) {
		strcpy(arg->name, "clock");
	} else if (random_one_in(&c->random, 2)) {
		arg->record = (uintptr_t)c->record;
		arg->record_bytes = c->record_bytes;
	}
	set_uuid(arg->uuid, arg->vm_fd < 0 ? call_id_for(&c->random, vm) :
					     1 + random_below(&c->random, FUZZ_IDS));
}

/* What would be accepted, but for the state that all others have made. */
static void fill(struct caller *c, unsigned int cmd, union kch_any *arg)
{
	const struct vm *vm = &c->vms[random_below(&c->random, CALLER_VMS)];
	uint32_t id = 1 + random_below(&c->random, FUZZ_IDS);

	switch (cmd) {
	case KCH_IOC_PRESERVE:
		arg->preserve.vm_fd = vm->fd;
		set_uuid(arg->preserve.uuid, id);
		strcpy(arg->preserve.name, "fuzz");
		break;
	case KCH_IOC_UNPRESERVE:
		set_uuid(arg->unpreserve.uuid, id);
		break;
	case KCH_IOC_LIST:
		arg->list.which = random_below(&c->random, 2);
		arg->list.entry_size = sizeof(struct kch_entry);
		arg->list.entries = (uintptr_t)c->buffer;
		arg->list.count = CALLER_BUFFER / sizeof(struct kch_entry);
		break;
	case KCH_IOC_GET:
		arg->get.which = random_below(&c->random, 2);
		arg->get.buffer = (uintptr_t)c->buffer;
		arg->get.buffer_size = CALLER_BUFFER;
		set_uuid(arg->get.uuid, random_one_in(&c->random, 4) ? 0 : id);
		break;
	case KCH_IOC_READ:
		arg->read.vm_fd = vm->fd;
		arg->read.buffer = (uintptr_t)c->buffer;
		arg->read.buffer_size = CALLER_BUFFER;
		break;
	case KCH_IOC_RESTORE:
		fill_restore(c, vm, &arg->restore);
		break;
	case KCH_IOC_CLOCK_FD:
		fill_clock_fd(c, vm, &arg->clock_fd);
		break;
	case KCH_IOC_ADOPT:
		arg->adopt.vm_fd = vm->fd;
		break;
	case KCH_IOC_FINISH:
		arg->finish.flags = c->late ? KCH_FINISH_DISCARD : 0;
		break;
	}
}

static void fill_for_clock(const struct caller_clock *clock, unsigned int cmd, union kch_any *arg)
{
	if (cmd == KCH_IOC_GET) {
		arg->get.which = clock->of_entry ? KCH_INCOMING : KCH_OUTGOING;
		set_uuid(arg->get.uuid, clock->id);
	} else if (cmd == KCH_IOC_RESTORE) {
		set_uuid(arg->restore.uuid, clock->id);
	}
}

/* One thing, of which the caller then knows nothing. */
static void spoil(struct caller *c, const struct kch_call *call, union kch_any *arg)
{
	struct random *r = &c->random;
	uint32_t *words = (uint32_t *)arg->bytes;
	uint32_t word = random_below(r, call->message / sizeof(*words));

	switch (random_below(r, 8)) {
	case 0:
		arg->size = call->size + random_below(r, sizeof(*arg) - call->size);
		if (random_one_in(r, 2))
			random_damage(r, arg->bytes + call->size, sizeof(*arg) - call->size);
		break;
	case 1:
		arg->size = call->size - 1 - random_below(r, call->size);
		break;
	case 2:
	case 3:
		random_damage(r, arg->bytes, call->message);
		break;
	case 4:
	case 5:
		/* The second or third word of most is a descriptor. */
		words[2 + random_below(r, 2)] = thing_any(r);
		break;
	default:
		words[word] = random_number(r, words[word]);
	}
}

static void judge(const struct caller *c, unsigned int cmd, bool on_clock, const union kch_any *arg,
		  int err)
{
	const struct kch_outcome *o = &arg->restore.outcome;
	const struct kch_call *call = kch_call_of(cmd);

	if (!tally_is_documented(cmd, on_clock, err))
		wrong("%s%s: %s is not documented of it", call->name, on_clock ? " of a clock" : "",
		      errno_name(err));
	if (!err && c && c->place.how == PLACED_BADLY)
		wrong("%s succeeded with a structure that cannot be had, or not be written",
		      call->name);
	if (err || (c && c->place.how != PLACED_WELL) || cmd != KCH_IOC_RESTORE ||
	    arg->restore.flags & (KCH_RESTORE_CHECK | KCH_RESTORE_HOLD | KCH_RESTORE_ELSEWHERE))
		return;
	if (o->mode != KCH_MODE_IDENTICAL || o->error_ns || o->error_cycles || o->error_rate_ppb)
		wrong("RESTORE succeeded, with mode %u, %lld ns, %lld cycles, %lld ppb", o->mode,
		      (long long)o->error_ns, (long long)o->error_cycles,
		      (long long)o->error_rate_ppb);
	if (arg->restore.hidden_ns)
		tally_act("time hidden", true);
}

int call_on(int fd, bool on_clock, unsigned int cmd, union kch_any *arg)
{
	int err = ioctl(fd, cmd, arg) ? errno : 0;

	tally(cmd, on_clock, err);
	judge(NULL, cmd, on_clock, arg, err);
	return err;
}

/* Instead of one of those there are. */
static void keep_clock(struct caller *c, const struct kch_clock_fd *arg)
{
	struct caller_clock *clock = &c->clocks[random_below(&c->random, CALLER_CLOCKS)];

	if (clock->fd >= 0)
		close(clock->fd);
	*clock = (struct caller_clock){ arg->fd, arg->uuid[0], arg->vm_fd < 0 };
	if (arg->record && arg->size >= sizeof(*arg))
		tally_act("a clock of a record that the caller made", true);
	thing_publish(&c->random, arg->fd);
}

static const struct kch_call *choose(struct caller *c, const struct caller_clock *clock)
{
	static const unsigned int of_clock[] = {
		KCH_IOC_INFO, KCH_IOC_GET, KCH_IOC_RESTORE, KCH_IOC_RESTORE, KCH_IOC_WAIT,
	};
	struct random *r = &c->random;
	const struct kch_call *call = &kch_calls[random_below(r, KCH_CALLS)];

	if (clock && !random_one_in(r, 16))
		return kch_call_of(of_clock[random_below(r, 5)]);
	if (c->late && random_one_in(r, 8))
		return kch_call_of(KCH_IOC_FINISH);
	/* What is finished is gone. */
	if (call->cmd == KCH_IOC_FINISH && !random_one_in(r, 4))
		return kch_call_of(KCH_IOC_RESTORE);
	return call;
}

void call_any(struct caller *c)
{
	struct random *r = &c->random;
	struct caller_clock *clock = &c->clocks[random_below(r, CALLER_CLOCKS)];
	bool on_clock = clock->fd >= 0 && random_one_in(r, 4);
	bool foreign = random_one_in(r, 16);
	const struct kch_call *call = choose(c, on_clock ? clock : NULL);
	union kch_any arg = { };
	int fd = on_clock ? clock->fd : c->device;
	/* What it ended with in its first version. */
	size_t size, written, first = call->message + KCH_MESSAGE_SIZE;
	int err;

	arg.size = random_one_in(r, 4) ? first : call->size;
	fill(c, call->cmd, &arg);
	if (on_clock)
		fill_for_clock(clock, call->cmd, &arg);
	if (random_one_in(r, 2))
		spoil(c, call, &arg);
	if (foreign)
		fd = random_one_in(r, 2) ? thing_any(r) : last_device;
	else if (!on_clock)
		last_device = fd;
	size = arg.size < call->size ? call->size : arg.size < sizeof(arg) ? arg.size : sizeof(arg);
	/* A descriptor that others write over would never be closed. */
	place_put(&c->place, r, &arg, size, arg.size < size ? arg.size : size,
		  call->cmd == KCH_IOC_CLOCK_FD);
	err = ioctl(fd, random_one_in(r, 64) ? random_next(r) : call->cmd, c->place.at) ? errno : 0;
	written = arg.size < first ? 0 : arg.size < call->size ? arg.size : call->size;
	if (!place_take(&c->place, &arg, written))
		wrong("%s of %u bytes wrote beyond its structure", call->name, arg.size);
	if (!err && call->cmd == KCH_IOC_CLOCK_FD)
		keep_clock(c, &arg.clock_fd);
	if (foreign || fd < 0)
		return;
	tally(call->cmd, on_clock, err);
	judge(c, call->cmd, on_clock, &arg, err);
}
