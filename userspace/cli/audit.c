// SPDX-License-Identifier: GPL-2.0
/* The clocks of a record against the live ones: who is compared with whom, and the verdicts. */
#include <errno.h>
#include <search.h>
#include <string.h>
#include "audit.h"
#include "clock.h"

static bool is_worse(const struct kch_vcpu_error *a, const struct kch_vcpu_error *b)
{
	if (a->identical != b->identical)
		return !a->identical;
	if (kch_magnitude(a->ns) != kch_magnitude(b->ns))
		return kch_magnitude(a->ns) > kch_magnitude(b->ns);
	if (kch_magnitude(a->cycles) != kch_magnitude(b->cycles))
		return kch_magnitude(a->cycles) > kch_magnitude(b->cycles);
	return kch_magnitude(a->rate_ppb) > kch_magnitude(b->rate_ppb);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(((const struct live_vm *)a)->uuid, ((const struct live_vm *)b)->uuid,
		      KCH_UUID_SIZE);
}

static const struct live_vm *find_live(struct auditor *a, const struct kch_entry *entry)
{
	struct live_vm key, **node;

	if (a->named)
		return a->named;
	memcpy(key.uuid, entry->uuid, sizeof(key.uuid));
	node = tfind(&key, &a->by_id, compare_ids);
	return node ? *node : NULL;
}

#define complain_of(a, entry, err, ...) \
	complain((a)->tool, vm_label((entry)->name, (entry)->uuid), err, __VA_ARGS__)

static const char *compare_message(int err)
{
	switch (err) {
	case -ENOENT:
		return "a saved vCPU is not there";
	case -EOPNOTSUPP:
		return "the VM runs without KVM's master clock, or did when it was read last";
	case -EINVAL:
		return "the host TSC is behind the saved clock's reference";
	default:
		return strerror(-err);
	}
}

void audit_add_error(struct json_object *row, const struct kch_vcpu_error *error)
{
	output_s64(row, "ns", error->ns);
	output_s64(row, "cycles", error->cycles);
	if (error->rate_ppb != INT64_MAX)
		output_s64(row, "rate_ppb", error->rate_ppb);
	output_u64(row, "slack_ns", error->slack_ns);
}

void audit_add(struct json_object *row, const struct audit *audit)
{
	output_string(row, "verdict", audit->verdict);
	if (!(audit->entry->flags & KCH_ENTRY_DAMAGED)) {
		output_uuid(row, "uuid", audit->entry->uuid);
		output_string(row, "name", audit->entry->name);
	}
	if (audit->vm)
		output_number(row, "pid", audit->vm->pid);
	if (!audit->live)
		return;
	audit_add_error(row, &audit->worst);
	output_s64(row, "rebase_step_ns", audit->info.rebase_step_ns);
	output_u64(row, "rebase_bound_ns", audit->info.rebase_bound_ns);
	output_u64(row, "host_tsc", audit->info.host_tsc);
}

/* A negative errno: there is nothing to compare. */
static int compare_vcpus(struct auditor *a, struct audit *audit)
{
	struct kch_vcpu_error error = { .sz = sizeof(error) };
	struct kch_vm_info saved = { .sz = sizeof(saved) };
	uint32_t i;
	int err;

	kch_vm_info(audit->saved, &saved);
	for (i = 0; i < saved.vcpu_count; i++) {
		err = kch_vm_compare(audit->saved, audit->live, i, audit->info.host_tsc, &error);
		if (err)
			return err;
		if (i == 0 || is_worse(&error, &audit->worst))
			audit->worst = error;
		if (a->say_vcpu)
			a->say_vcpu(a, audit->entry, &error);
	}
	return saved.vcpu_count ? 0 : -ECHILD;
}

/* By how much, and, if KVM gave up its master clock, why most likely. */
static void complain_of_difference(struct auditor *a, const struct audit *audit)
{
	const struct kch_vcpu_error *worst = &audit->worst;
	struct kch_info info = { .size = sizeof(info) };
	const char *why = "", *slack = "", *rate = "at an unknown rate";

	if (worst->rate_ppb != INT64_MAX)
		rate = xasprintf("%lld ppb", (long long)worst->rate_ppb);
	if (worst->slack_ns) {
		bool other = !kch_info(a->tool->handle, &info) && info.tsc_source == KCH_TSC_OTHER;

		why = xasprintf("KVM has no master clock for it any more (%s); ", other ?
				"the host's clocksource is not the TSC" :
				"its vCPUs' TSCs do not match, or the host's TSC went backwards");
		slack = xasprintf(" give or take %llu", (unsigned long long)worst->slack_ns);
	}
	complain_of(a, audit->entry, 0,
		    "%svCPU %u is off by %lld ns%s, %lld cycles, %s; the guest's clock is not the saved one",
		    why, worst->vcpu_id, (long long)worst->ns, slack, (long long)worst->cycles,
		    rate);
}

static const char *judge(struct auditor *a, struct audit *audit)
{
	struct kch_vm_info live = { .sz = sizeof(live) };
	int err;

	audit->info.sz = sizeof(audit->info);
	err = kch_vm_get(a->tool->handle, a->which, audit->entry->uuid, &audit->saved);
	if (!err && !audit->vm)
		return "not live";
	if (!err)
		err = kch_vm_read(a->tool->handle, audit->vm->fd, &audit->live, &audit->info);
	if (err) {
		complain_of(a, audit->entry, err, "%s; not compared",
			    kch_last_message(a->tool->handle));
		return "unreadable";
	}
	/* Without master clock a clock is known at one instant only. */
	if (!kch_vm_info(audit->live, &live) && !(live.flags & KCH_VM_INFO_MASTER_CLOCK))
		audit->info.host_tsc = live.host_tsc;
	err = compare_vcpus(a, audit);
	if (err) {
		complain_of(a, audit->entry, err, "%s; it differs from the saved clock",
			    compare_message(err));
		kch_vm_free(audit->live);
		audit->live = NULL;
		return "differs";
	}
	if (!audit->worst.identical) {
		complain_of_difference(a, audit);
		return "differs";
	}
	if (!(audit->entry->flags & KCH_ENTRY_STALE))
		return "identical";
	complain_of(a, audit->entry, 0,
		    "its clock is the saved one, but that may not be the last that it had; the guest's clock may have been set back");
	return "stale";
}

static void say(struct auditor *a, const struct audit *audit)
{
	a->found++;
	a->missing += !strcmp(audit->verdict, "not live");
	a->bad += strcmp(audit->verdict, "not live") && strcmp(audit->verdict, "identical");
	a->say_vm(a, audit);
}

/* The whole entries that are asked for. */
static void audit_whole(struct auditor *a, const struct kch_entry *entry)
{
	const struct vm_choice *choice = &a->choice;
	struct audit audit = { .entry = entry };

	if (entry->flags & KCH_ENTRY_DAMAGED ||
	    (choice->has_id && memcmp(entry->uuid, choice->id, KCH_UUID_SIZE)))
		return;
	audit.vm = find_live(a, entry);
	/* --pid alone: the entries of that process, if there are any. */
	if (choice->pid && !choice->has_id && !audit.vm)
		return;
	audit.verdict = judge(a, &audit);
	say(a, &audit);
	kch_vm_free(audit.saved);
	kch_vm_free(audit.live);
}

/*
 * A damaged entry has no id, so it may be any that was asked for and is not among
 * the whole ones.
 */
static void audit_damaged(struct auditor *a, const struct kch_entry *entry)
{
	struct audit audit = { .entry = entry, .verdict = "unreadable" };

	if (!(entry->flags & KCH_ENTRY_DAMAGED))
		return;
	complain(a->tool, NULL, -EBADMSG,
		 "a VM's entry in the record is damaged, and its id is not known; not compared");
	say(a, &audit);
}

static int conclude(struct auditor *a)
{
	const char *message = a->choice.has_id ? "the record has no VM of that id" :
			      a->choice.pid ? "the record has no VM of that process" :
					      "the record has no VM";

	if (a->bad)
		return EXIT_FAILED;
	/* One that could not be looked at may be among these. */
	if (a->live.code && (a->missing || (a->choice.pid && !a->choice.has_id)))
		return a->live.code;
	if (a->missing)
		return complain_code(a->tool, EXIT_MISSING, NULL, -ESRCH,
				     "%zu of %zu VMs of the record are not running", a->missing,
				     a->found);
	return a->found ? EXIT_DONE : complain(a->tool, NULL, -ENOENT, "%s", message);
}

static int audit_all(struct auditor *a)
{
	struct kch_entry *entries;
	uint32_t count, i;
	size_t l;
	int err;

	err = kch_list(a->tool->handle, a->which, sizeof(*entries), &entries, &count);
	if (err)
		return refuse(a->tool, NULL, err, "; nothing to compare with");
	for (l = 0; l < a->live.count; l++)
		xcheck(tsearch(&a->live.vms[l], &a->by_id, compare_ids));
	for (i = 0; i < count; i++) {
		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		audit_whole(a, &entries[i]);
	}
	/* Is anything asked for that was not found whole? */
	if (a->choice.has_id ? !a->found : !a->choice.pid || a->found < a->live.count)
		for (i = 0; i < count; i++)
			audit_damaged(a, &entries[i]);
	return conclude(a);
}

int audit_run(struct auditor *a)
{
	int code = tool_open(a->tool);

	if (code)
		return code;
	live_find(a->tool, a->choice.pid, &a->live);
	/* --pid with --id says which is which; with --fd alone the VM's own id does. */
	if (a->choice.pid && (a->choice.has_id || a->choice.fd >= 0))
		a->named = live_choose(a->tool, &a->choice, &a->live, &code);
	if (a->named && !a->choice.has_id) {
		memcpy(a->choice.id, a->named->uuid, sizeof(a->choice.id));
		a->choice.has_id = true;
	}
	return code ? code : audit_all(a);
}
