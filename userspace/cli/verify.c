// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl verify: the clocks of a record against the live ones. */
#include <errno.h>
#include <search.h>
#include <string.h>
#include "commands.h"
#include "live.h"

static const struct column vm_columns[] = {
	{ "uuid", "the VM's id" },
	{ "name", "its name" },
	{ "pid", "its process", .number = true },
	{ "verdict", "identical, differs, stale (may not be the last), not live or unreadable" },
	{ "ns", "live kvmclock minus saved, the worst vCPU's; as the next two", .number = true },
	{ "cycles", "live guest TSC minus saved", .number = true },
	{ "rate_ppb", "how much faster the live kvmclock runs, parts per 1e9; not known without a master clock",
	  .number = true },
	{ "slack_ns", "how far ns may be off; 0 unless there is no master clock", .number = true,
	  .hidden = true },
	{ "rebase_step_ns", "by how much the guest's clock would step if KVM took a new reference now",
	  .number = true, .hidden = true },
	{ "rebase_bound_ns", "what that stays below", .number = true, .hidden = true },
	{ "host_tsc", "host TSC at which that was compared", .number = true, .hidden = true },
	{}
};

static const struct column vcpu_columns[] = {
	{ "uuid" }, { "vcpu_id" }, { "identical" }, { "ns" }, { "cycles" }, { "rate_ppb" },
	{ "slack_ns" }, {}
};

struct verify {
	struct tool *tool;
	struct vm_choice choice;
	int which;			/* enum kch_which */
	struct live_vms live;
	struct live_vm *named;		/* what --pid with --id says is the one, or NULL */
	void *by_id;			/* a tree of tsearch(): of those with one id, the first */
	struct table *vms, *vcpus;	/* the latter in JSON only, else NULL */
	size_t found, bad, missing;	/* of the record: asked for, not identical, not running */
};

/* One VM of the record, and what became of it. */
struct audit {
	const struct kch_entry *entry;
	const struct live_vm *vm;	/* NULL: it is not running */
	struct kch_vm *saved, *live;	/* NULL: not known */
	struct kch_live_info info;
	struct kch_vcpu_error worst;
	const char *verdict;
};

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static bool is_worse(const struct kch_vcpu_error *a, const struct kch_vcpu_error *b)
{
	if (a->identical != b->identical)
		return !a->identical;
	if (magnitude(a->ns) != magnitude(b->ns))
		return magnitude(a->ns) > magnitude(b->ns);
	if (magnitude(a->cycles) != magnitude(b->cycles))
		return magnitude(a->cycles) > magnitude(b->cycles);
	return magnitude(a->rate_ppb) > magnitude(b->rate_ppb);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(((const struct live_vm *)a)->uuid, ((const struct live_vm *)b)->uuid,
		      KCH_UUID_SIZE);
}

static const struct live_vm *find_live(struct verify *v, const struct kch_entry *entry)
{
	struct live_vm key, **node;

	if (v->named)
		return v->named;
	memcpy(key.uuid, entry->uuid, sizeof(key.uuid));
	node = tfind(&key, &v->by_id, compare_ids);
	return node ? *node : NULL;
}

#define complain_of(v, entry, err, ...) \
	complain((v)->tool, vm_label((entry)->name, (entry)->uuid), err, __VA_ARGS__)

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

static void add_error(struct json_object *row, const struct kch_vcpu_error *error)
{
	output_s64(row, "ns", error->ns);
	output_s64(row, "cycles", error->cycles);
	if (error->rate_ppb != INT64_MAX)
		output_s64(row, "rate_ppb", error->rate_ppb);
	output_u64(row, "slack_ns", error->slack_ns);
}

static void add_vcpu(struct verify *v, const struct kch_entry *entry,
		     const struct kch_vcpu_error *error)
{
	struct json_object *row = output_row(v->vcpus);

	output_uuid(row, "uuid", entry->uuid);
	output_number(row, "vcpu_id", error->vcpu_id);
	output_bool(row, "identical", error->identical);
	add_error(row, error);
}

/* A negative errno: there is nothing to compare. */
static int compare_vcpus(struct verify *v, struct audit *audit)
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
		if (v->vcpus)
			add_vcpu(v, audit->entry, &error);
	}
	return saved.vcpu_count ? 0 : -ECHILD;
}

/* By how much, and, if KVM gave up its master clock, why most likely. */
static void complain_of_difference(struct verify *v, const struct audit *audit)
{
	const struct kch_vcpu_error *worst = &audit->worst;
	struct kch_info info = { .size = sizeof(info) };
	const char *why = "", *slack = "", *rate = "at an unknown rate";

	if (worst->rate_ppb != INT64_MAX)
		rate = xasprintf("%lld ppb", (long long)worst->rate_ppb);
	if (worst->slack_ns) {
		bool other = !kch_info(v->tool->handle, &info) && info.tsc_source == KCH_TSC_OTHER;

		why = xasprintf("KVM has no master clock for it any more (%s); ", other ?
				"the host's clocksource is not the TSC" :
				"its vCPUs' TSCs do not match, or the host's TSC went backwards");
		slack = xasprintf(" give or take %llu", (unsigned long long)worst->slack_ns);
	}
	complain_of(v, audit->entry, 0,
		    "%svCPU %u is off by %lld ns%s, %lld cycles, %s; the guest's clock is not the saved one",
		    why, worst->vcpu_id, (long long)worst->ns, slack, (long long)worst->cycles,
		    rate);
}

static const char *judge(struct verify *v, struct audit *audit)
{
	struct kch_vm_info live = { .sz = sizeof(live) };
	int err;

	audit->info.sz = sizeof(audit->info);
	err = kch_vm_get(v->tool->handle, v->which, audit->entry->uuid, &audit->saved);
	if (!err && !audit->vm)
		return "not live";
	if (!err)
		err = kch_vm_read(v->tool->handle, audit->vm->fd, &audit->live, &audit->info);
	if (err) {
		complain_of(v, audit->entry, err, "%s; not compared",
			    kch_last_message(v->tool->handle));
		return "unreadable";
	}
	/* Without master clock a clock is known at one instant only. */
	if (!kch_vm_info(audit->live, &live) && !(live.flags & KCH_VM_INFO_MASTER_CLOCK))
		audit->info.host_tsc = live.host_tsc;
	err = compare_vcpus(v, audit);
	if (err) {
		complain_of(v, audit->entry, err, "%s; it differs from the saved clock",
			    compare_message(err));
		kch_vm_free(audit->live);
		audit->live = NULL;
		return "differs";
	}
	if (!audit->worst.identical) {
		complain_of_difference(v, audit);
		return "differs";
	}
	if (!(audit->entry->flags & KCH_ENTRY_STALE))
		return "identical";
	complain_of(v, audit->entry, 0,
		    "its clock is the saved one, but that may not be the last that it had; the guest's clock may have been set back");
	return "stale";
}

static void add_vm(struct verify *v, const struct audit *audit)
{
	struct json_object *row;

	v->found++;
	v->missing += !strcmp(audit->verdict, "not live");
	v->bad += strcmp(audit->verdict, "not live") && strcmp(audit->verdict, "identical");
	row = output_row(v->vms);
	output_string(row, "verdict", audit->verdict);
	if (!(audit->entry->flags & KCH_ENTRY_DAMAGED)) {
		output_uuid(row, "uuid", audit->entry->uuid);
		output_string(row, "name", audit->entry->name);
	}
	if (audit->vm)
		output_number(row, "pid", audit->vm->pid);
	if (!audit->live)
		return;
	add_error(row, &audit->worst);
	output_s64(row, "rebase_step_ns", audit->info.rebase_step_ns);
	output_u64(row, "rebase_bound_ns", audit->info.rebase_bound_ns);
	output_u64(row, "host_tsc", audit->info.host_tsc);
}

/* The whole entries that are asked for. */
static void audit_whole(struct verify *v, const struct kch_entry *entry)
{
	const struct vm_choice *choice = &v->choice;
	struct audit audit = { .entry = entry };

	if (entry->flags & KCH_ENTRY_DAMAGED ||
	    (choice->has_id && memcmp(entry->uuid, choice->id, KCH_UUID_SIZE)))
		return;
	audit.vm = find_live(v, entry);
	/* --pid alone: the entries of that process, if there are any. */
	if (choice->pid && !choice->has_id && !audit.vm)
		return;
	audit.verdict = judge(v, &audit);
	add_vm(v, &audit);
	kch_vm_free(audit.saved);
	kch_vm_free(audit.live);
}

/*
 * A damaged entry has no id, so it may be any that was asked for and is not among
 * the whole ones.
 */
static void audit_damaged(struct verify *v, const struct kch_entry *entry)
{
	struct audit audit = { .entry = entry, .verdict = "unreadable" };

	if (!(entry->flags & KCH_ENTRY_DAMAGED))
		return;
	complain(v->tool, NULL, -EBADMSG,
		 "a VM's entry in the record is damaged, and its id is not known; not compared");
	add_vm(v, &audit);
}

static int conclude(struct verify *v)
{
	const char *message = v->choice.has_id ? "the record has no VM of that id" :
			      v->choice.pid ? "the record has no VM of that process" :
					      "the record has no VM";

	if (v->bad)
		return EXIT_FAILED;
	if (v->missing)
		return complain_code(v->tool, EXIT_MISSING, NULL, -ESRCH,
				     "%zu of %zu VMs of the record are not running", v->missing,
				     v->found);
	return v->found ? v->live.code : complain(v->tool, NULL, -ENOENT, "%s", message);
}

static int verify(struct verify *v)
{
	struct kch_entry *entries;
	uint32_t count, i;
	size_t l;
	int err;

	err = kch_list(v->tool->handle, v->which, sizeof(*entries), &entries, &count);
	if (err)
		return refuse(v->tool, NULL, err, "; nothing to compare with");
	for (l = 0; l < v->live.count; l++)
		xcheck(tsearch(&v->live.vms[l], &v->by_id, compare_ids));
	for (i = 0; i < count; i++) {
		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		audit_whole(v, &entries[i]);
	}
	/* Is anything asked for that was not found whole? */
	if (v->choice.has_id ? !v->found : !v->choice.pid || v->found < v->live.count)
		for (i = 0; i < count; i++)
			audit_damaged(v, &entries[i]);
	return conclude(v);
}

int cmd_verify(struct tool *tool, int argc, char **argv)
{
	struct verify v = { .tool = tool, .choice = VM_CHOICE_NONE, .which = -1 };
	int code;
	const struct option_row options[] = {
		OPTION_ROW_ID(&v.choice, "the VM of this id"),
		OPTION_ROW_PID(&v.choice),
		OPTION_ROW_FD(&v.choice),
		OPTION_ROW_INCOMING(&v.which),
		OPTION_ROW_OUTGOING(&v.which),
		{}
	};

	code = options_parse(tool, argc, argv, "", options, vm_columns, NULL);
	if (code)
		return code;
	if (v.which < 0)
		v.which = KCH_INCOMING;
	v.vms = output_table(&tool->out, "vms", vm_columns);
	if (tool->out.json)
		v.vcpus = output_table(&tool->out, "vcpus", vcpu_columns);
	code = tool_open(tool);
	if (code)
		return code;
	live_find(tool, v.choice.pid, &v.live);
	/* --pid with --id says which is which. */
	if (v.choice.pid && v.choice.has_id)
		v.named = live_choose(tool, &v.choice, &v.live, &code);
	return code ? code : verify(&v);
}
