// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl verify */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "live.h"

/**
 * struct audit - one VM of the record against the live one
 * @entry: the VM in the record
 * @saved: its clock there; NULL if it cannot be read
 * @vm: the live one; NULL if there is none
 * @live: its clock; NULL if it cannot be read
 * @info: more of it
 * @worst: the vCPU furthest off
 * @verdict: "identical", "differs", "stale", "not live", "unreadable"
 */
struct audit {
	const struct kch_entry *entry;
	struct kch_vm *saved;
	const struct live_vm *vm;
	struct kch_vm *live;
	struct kch_live_info info;
	struct kch_vcpu_error worst;
	const char *verdict;
};

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static bool is_worse(const struct kch_vcpu_error *a,
		     const struct kch_vcpu_error *b)
{
	if (a->identical != b->identical)
		return !a->identical;
	if (magnitude(a->ns) != magnitude(b->ns))
		return magnitude(a->ns) > magnitude(b->ns);
	if (magnitude(a->cycles) != magnitude(b->cycles))
		return magnitude(a->cycles) > magnitude(b->cycles);
	return magnitude(a->rate_ppb) > magnitude(b->rate_ppb);
}

/* A negative errno: there is nothing to compare. */
static int compare_all(const struct kch_vm *saved, const struct kch_vm *live,
		       uint64_t host_tsc, struct kch_vcpu_error *worst)
{
	struct kch_vcpu_error error = { .sz = sizeof(error) };
	struct kch_vm_info saved_info = { .sz = sizeof(saved_info) };
	uint32_t i;
	int err;

	kch_vm_info(saved, &saved_info);
	for (i = 0; i < saved_info.vcpu_count; i++) {
		err = kch_vm_compare(saved, live, i, host_tsc, &error);
		if (err)
			return err;
		if (i == 0 || is_worse(&error, worst))
			*worst = error;
	}
	return saved_info.vcpu_count ? 0 : -ECHILD;
}

/* By id; of those with the same one, in the order in which they were found. */
static int compare_live(const void *a, const void *b)
{
	const struct live_vm *x = *(const struct live_vm *const *)a;
	const struct live_vm *y = *(const struct live_vm *const *)b;
	int order = memcmp(x->uuid, y->uuid, KCH_UUID_SIZE);

	return order ? order : (x > y) - (x < y);
}

static const struct live_vm **sort_live(const struct live_vms *live)
{
	const struct live_vm **sorted = xcalloc(live->count, sizeof(*sorted));
	size_t i;

	for (i = 0; i < live->count; i++)
		sorted[i] = &live->vms[i];
	qsort(sorted, live->count, sizeof(*sorted), compare_live);
	return sorted;
}

/* The first one that has it. */
static const struct live_vm *find_live(const struct kch_entry *entry,
				       const struct live_vm **sorted, size_t count)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(sorted[middle]->uuid, entry->uuid, KCH_UUID_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && !memcmp(sorted[low]->uuid, entry->uuid,
				      KCH_UUID_SIZE) ? sorted[low] : NULL;
}

static void complain_of(struct tool *tool, const struct kch_entry *entry, int err,
			const char *message, const char *consequence)
{
	char *label = vm_label(entry->name, entry->uuid);

	complain(tool, label, err, message, consequence);
	free(label);
}

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

static bool rate_known(const struct kch_vcpu_error *error)
{
	return error->rate_ppb != INT64_MAX;
}

/* By how much, and, if KVM gave up its master clock, why most likely. */
static void complain_of_difference(struct tool *tool, const struct audit *audit)
{
	const struct kch_vcpu_error *worst = &audit->worst;
	struct kch_info info = { .size = sizeof(info) };
	char *text, *rate;

	rate = rate_known(worst) ?
	       xasprintf("%lld ppb", (long long)worst->rate_ppb) :
	       xstrdup("at an unknown rate");
	if (worst->slack_ns) {
		bool other = !kch_info(tool->handle, &info) &&
			     info.tsc_source == KCH_TSC_OTHER;

		text = xasprintf("KVM has no master clock for it any more (%s); vCPU %u is off by %lld ns give or take %llu, %lld cycles, %s",
				 other ? "the host's clocksource is not the TSC" :
					 "its vCPUs' TSCs do not match, or the host's TSC went backwards",
				 worst->vcpu_id, (long long)worst->ns,
				 (unsigned long long)worst->slack_ns,
				 (long long)worst->cycles, rate);
	} else {
		text = xasprintf("vCPU %u is off by %lld ns, %lld cycles, %s",
				 worst->vcpu_id, (long long)worst->ns,
				 (long long)worst->cycles, rate);
	}
	complain_of(tool, audit->entry, 0, text,
		    "the guest's clock is not the saved one");
	free(text);
	free(rate);
}

static void examine(struct tool *tool, struct audit *audit)
{
	struct kch_vm_info live = { .sz = sizeof(live) };
	int err;

	if (!audit->vm) {
		audit->verdict = "not live";
		return;
	}
	audit->verdict = "unreadable";
	audit->info.sz = sizeof(audit->info);
	err = kch_vm_read(tool->handle, audit->vm->fd, &audit->live, &audit->info);
	if (err) {
		complain_of(tool, audit->entry, err,
			    kch_last_message(tool->handle), "not compared");
		return;
	}
	/* Without master clock a clock is known at one instant only. */
	if (!kch_vm_info(audit->live, &live) &&
	    !(live.flags & KCH_VM_INFO_MASTER_CLOCK))
		audit->info.host_tsc = live.host_tsc;
	err = compare_all(audit->saved, audit->live, audit->info.host_tsc,
			  &audit->worst);
	if (err) {
		complain_of(tool, audit->entry, err, compare_message(err),
			    "it differs from the saved clock");
		audit->verdict = "differs";
		kch_vm_free(audit->live);
		audit->live = NULL;
		return;
	}
	if (audit->worst.identical && audit->entry->flags & KCH_ENTRY_STALE) {
		audit->verdict = "stale";
		complain_of(tool, audit->entry, 0,
			    "its clock is the saved one, but that may not be the last that it had",
			    "the guest's clock may have been set back");
	} else if (audit->worst.identical) {
		audit->verdict = "identical";
	} else {
		audit->verdict = "differs";
		complain_of_difference(tool, audit);
	}
}

static void print_rate(struct output *out, const struct kch_vcpu_error *error)
{
	if (rate_known(error))
		output_s64(out, "rate_ppb", error->rate_ppb);
	else
		output_string(out, "rate_ppb", NULL);
}

static void print_vms(struct output *out, const struct audit *audits, size_t count)
{
	size_t i;

	output_table(out, "vms");
	for (i = 0; i < count; i++) {
		const struct audit *audit = &audits[i];

		output_row(out);
		output_uuid(out, "uuid", audit->entry->uuid);
		output_string(out, "name", audit->entry->name);
		output_s64(out, "pid", audit->vm ? audit->vm->pid : 0);
		output_string(out, "verdict", audit->verdict);
		if (!audit->live) {
			output_string(out, "ns", NULL);
			output_string(out, "cycles", NULL);
			output_string(out, "rate_ppb", NULL);
			output_string(out, "rebase_step_ns", NULL);
			output_string(out, "rebase_bound_ns", NULL);
			output_string(out, "host_tsc", NULL);
			output_string(out, "slack_ns", NULL);
			continue;
		}
		output_s64(out, "ns", audit->worst.ns);
		output_s64(out, "cycles", audit->worst.cycles);
		print_rate(out, &audit->worst);
		output_s64(out, "rebase_step_ns", audit->info.rebase_step_ns);
		output_u64(out, "rebase_bound_ns", audit->info.rebase_bound_ns);
		output_u64(out, "host_tsc", audit->info.host_tsc);
		output_u64(out, "slack_ns", audit->worst.slack_ns);
	}
	output_table_end(out);
}

static void print_vcpus(struct output *out, const struct audit *audits,
			size_t count)
{
	struct kch_vcpu_error error = { .sz = sizeof(error) };
	uint32_t vcpu;
	size_t i;

	output_table(out, "vcpus");
	for (i = 0; i < count; i++) {
		const struct audit *audit = &audits[i];

		if (!audit->live)
			continue;
		for (vcpu = 0; !kch_vm_compare(audit->saved, audit->live, vcpu,
					       audit->info.host_tsc, &error); vcpu++) {
			output_row(out);
			output_uuid(out, "uuid", audit->entry->uuid);
			output_u64(out, "vcpu_id", error.vcpu_id);
			output_bool(out, "identical", error.identical);
			output_s64(out, "ns", error.ns);
			output_s64(out, "cycles", error.cycles);
			print_rate(out, &error);
			output_u64(out, "slack_ns", error.slack_ns);
		}
	}
	output_table_end(out);
}

static int verdict_code(const struct audit *audits, size_t count)
{
	int code = EXIT_NOTHING;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!strcmp(audits[i].verdict, "differs") ||
		    !strcmp(audits[i].verdict, "stale") ||
		    !strcmp(audits[i].verdict, "unreadable"))
			return EXIT_FAILED;
		if (!strcmp(audits[i].verdict, "identical"))
			code = EXIT_DONE;
	}
	return code;
}

/*
 * Fills in @audits with the whole entries that are asked for; how many.  @named is
 * the VM that --pid and --id say has that id, or NULL.
 */
static size_t audit_whole(struct tool *tool, enum kch_which which,
			  struct kch_entry *entries, uint32_t entry_count,
			  const struct live_vms *live, const struct live_vm *named,
			  struct audit *audits)
{
	const struct options *options = &tool->options;
	const struct live_vm **sorted = sort_live(live);
	size_t count = 0;
	uint32_t i;
	int err;

	for (i = 0; i < entry_count; i++) {
		struct audit *audit = &audits[count];

		entries[i].name[sizeof(entries[i].name) - 1] = '\0';
		if (entries[i].flags & KCH_ENTRY_DAMAGED)
			continue;
		if (options->has_id &&
		    memcmp(entries[i].uuid, options->id, KCH_UUID_SIZE))
			continue;
		audit->entry = &entries[i];
		err = kch_vm_get(tool->handle, which, entries[i].uuid,
				 &audit->saved);
		if (err) {
			complain_of(tool, audit->entry, err,
				    kch_last_message(tool->handle),
				    "not compared");
			audit->verdict = "unreadable";
			count++;
			continue;
		}
		audit->vm = named ? named : find_live(audit->entry, sorted, live->count);
		/* --pid alone: the entries of that process, if there are any. */
		if (options->pid && !options->has_id && !audit->vm) {
			kch_vm_free(audit->saved);
			*audit = (struct audit){};
			continue;
		}
		examine(tool, audit);
		count++;
	}
	free(sorted);
	return count;
}

/*
 * A damaged entry has no id, so it may be any that was asked for and is not among
 * the @count whole ones.  How many there are with them.
 */
static size_t audit_damaged(struct tool *tool, const struct kch_entry *entries,
			    uint32_t entry_count, const struct live_vms *live,
			    struct audit *audits, size_t count)
{
	const struct options *options = &tool->options;
	uint32_t i;

	if ((options->has_id && count) ||
	    (options->pid && !options->has_id && count >= live->count))
		return count;
	for (i = 0; i < entry_count; i++) {
		if (!(entries[i].flags & KCH_ENTRY_DAMAGED))
			continue;
		complain(tool, NULL, -EBADMSG,
			 "a VM's entry in the record is damaged, and its id is not known",
			 "not compared");
		audits[count].entry = &entries[i];
		audits[count++].verdict = "unreadable";
	}
	return count;
}

int cmd_verify(struct tool *tool)
{
	enum kch_which which = tool->options.which == WHICH_ANY ?
			       KCH_INCOMING : (enum kch_which)tool->options.which;
	const struct live_vm *named = NULL;
	struct kch_entry *entries;
	struct audit *audits;
	struct live_vms live;
	uint32_t entry_count;
	size_t count, i;
	int code, err;

	err = kch_list(tool->handle, which, sizeof(*entries), &entries,
		       &entry_count);
	if (err)
		return complain_last(tool, NULL, err, "nothing to compare with");
	live_find(tool, tool->options.pid, &live);
	/* --pid with --id says which is which. */
	if (tool->options.pid && tool->options.has_id) {
		named = live_choose(tool, &live, &code);
		if (!named) {
			free(entries);
			live_free(&live);
			return code;
		}
	}
	audits = xcalloc(entry_count, sizeof(*audits));
	count = audit_whole(tool, which, entries, entry_count, &live, named,
			    audits);
	count = audit_damaged(tool, entries, entry_count, &live, audits, count);
	print_vms(tool->out, audits, count);
	print_vcpus(tool->out, audits, count);
	code = verdict_code(audits, count);
	if (code == EXIT_NOTHING)
		complain(tool, NULL, -ENOENT,
			 "no VM of the record was found running", NULL);
	for (i = 0; i < count; i++) {
		kch_vm_free(audits[i].saved);
		kch_vm_free(audits[i].live);
	}
	free(audits);
	free(entries);
	live_free(&live);
	return code ? code : live.code;
}
