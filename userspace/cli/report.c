// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl report: after a kexec, each VM's clock as it was saved and as it is, to be kept. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "audit.h"
#include "blackout.h"
#include "commands.h"
#include "fields.h"
#include "lib/vm.h"

#define REPORTS		"/var/lib/kvmclock-handover/reports"
#define REPORTS_MAX	100
#define SMALL_FILE	4096

static const struct column columns[] = {
	{ "uuid", "the VM's id" },
	{ "name", "its name" },
	{ "pid", "its process", .number = true },
	{ "verdict", "identical, differs, stale (may not be the last), not live or unreadable" },
	{ "ns", "live kvmclock minus saved, the worst vCPU's; as the next two", .number = true },
	{ "cycles", "live guest TSC minus saved", .number = true },
	{ "rate_ppb", "how much faster the live kvmclock runs, parts per 1e9", .number = true },
	{ "blackout_ns", "host time from its last reading to the restore by kvmclockctl",
	  .number = true },
	{ "saved_clock_ns", "kvmclock at host_tsc as it was saved, of that vCPU",
	  .number = true, .hidden = true },
	{ "live_clock_ns", "as it is", .number = true, .hidden = true },
	{ "saved_guest_tsc", "its TSC, likewise", .number = true, .hidden = true },
	{ "live_guest_tsc", "likewise", .number = true, .hidden = true },
	{ "slack_ns", "how far ns may be off; 0 unless there is no master clock", .number = true,
	  .hidden = true },
	{ "rebase_step_ns", "by how much the guest's clock would step if KVM took a new reference now",
	  .number = true, .hidden = true },
	{ "rebase_bound_ns", "what that stays below", .number = true, .hidden = true },
	{ "host_tsc", "host TSC at which that was compared", .number = true, .hidden = true },
	{}
};

/* That vCPU's clock; false: it has none. */
static bool clock_of(const struct kch_vm *vm, uint32_t vcpu_id, struct kch_clock *clock)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	uint32_t i;

	for (i = 0; !kch_vm_vcpu(vm, i, &vcpu); i++)
		if (vcpu.vcpu_id == vcpu_id)
			return kch_vm_clock(vm, i, clock);
	return false;
}

static void add_vm(struct auditor *a, const struct audit *audit)
{
	struct json_object *row = output_row(a->vms);
	struct kch_clock saved, live;
	uint64_t blackout_ns;

	audit_add(row, audit);
	if (!(audit->entry->flags & KCH_ENTRY_DAMAGED) &&
	    blackout_noted(audit->entry->uuid, &blackout_ns))
		output_u64(row, "blackout_ns", blackout_ns);
	if (!audit->live || audit->worst.slack_ns ||
	    !clock_of(audit->saved, audit->worst.vcpu_id, &saved) ||
	    !clock_of(audit->live, audit->worst.vcpu_id, &live))
		return;
	output_u64(row, "saved_clock_ns", kch_clock_ns(&saved, audit->info.host_tsc));
	output_u64(row, "live_clock_ns", kch_clock_ns(&live, audit->info.host_tsc));
	output_u64(row, "saved_guest_tsc", kch_clock_tsc(&saved, audit->info.host_tsc));
	output_u64(row, "live_guest_tsc", kch_clock_tsc(&live, audit->info.host_tsc));
}

/* As ISO 8601 has it without hyphens and colons. */
static char *utc(time_t at)
{
	char text[32];

	strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", gmtime(&at));
	return xasprintf("%s", text);
}

static char *first_line(const char *path)
{
	char *text = read_file(path, SMALL_FILE, NULL);

	return text ? xasprintf("%.*s", (int)strcspn(text, "\n"), text) : "";
}

/* Both kernels. */
static void add_hosts(struct tool *tool, time_t now)
{
	struct kch_host_info host = { .sz = sizeof(host) };
	struct kch_info info = { .size = sizeof(info) };
	struct json_object *out = tool->out.document;

	output_string(out, "time", utc(now));
	output_string(out, "kernel", first_line("/proc/sys/kernel/osrelease"));
	output_string(out, "boot_id", first_line("/proc/sys/kernel/random/boot_id"));
	if (!kch_info(tool->handle, &info)) {
		output_number(out, "tsc_khz", info.tsc_khz);
		output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
	}
	if (kch_host(tool->handle, KCH_INCOMING, &host))
		return;
	output_string(out, "saved_time", utc((time_t)(host.realtime_ns / 1000000000)));
	output_string(out, "saved_kernel", host.kernel_release);
	output_uuid(out, "saved_boot_id", host.boot_id);
	output_number(out, "saved_tsc_khz", host.tsc_khz);
	output_string(out, "saved_tsc_source", kch_tsc_source_name(host.tsc_source));
	output_uuid(out, "machine_id", host.machine_id);
	output_bool(out, "sealed", host.sealed);
	output_u64(out, "generation", host.generation);
	output_u64(out, "sequence", host.sequence);
}

static int put(struct tool *tool, const char *path, const char *text)
{
	if (!write_file(path, text))
		return EXIT_DONE;
	return complain_code(tool, EXIT_FAILED, path, -errno, "%s; the report is not there",
			     strerror(errno));
}

/* The folder, and those above it. */
static void make_folder(const char *path)
{
	char *copy = xasprintf("%s/", path), *at = copy;

	while ((at = strchr(at + 1, '/'))) {
		*at = '\0';
		mkdir(copy, 0755);
		*at = '/';
	}
}

/* Of the names that keep() gives: the folder may have other files. */
static int is_report(const struct dirent *entry)
{
	return !fnmatch("[0-9]*T[0-9]*Z-*[0-9].json", entry->d_name, 0);
}

/* Their names are in the order of time. */
static void drop_oldest(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_report, alphasort), i;

	for (i = 0; i < count - REPORTS_MAX; i++)
		unlink(xasprintf("%s/%s", folder, entries[i]->d_name));
}

static int keep(struct tool *tool, const char *folder, time_t now)
{
	const char *sequence = output_text(tool->out.document, "sequence");
	char *path = xasprintf("%s/%s-%s.json", folder, utc(now), sequence);
	int code;

	make_folder(folder);
	code = put(tool, path, output_json(&tool->out));
	drop_oldest(folder);
	return code;
}

/* The value of a label: as it is, but for what would end it. */
static char *label(const char *text)
{
	char *result = xcalloc(strlen(text) + 1, 2), *at = result;

	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	return result;
}

static void add_metric(FILE *file, struct json_object *rows, const char *column,
		       const char *metric, const char *help)
{
	size_t i;

	fprintf(file, "# HELP kvmclock_handover_%s %s\n# TYPE kvmclock_handover_%s gauge\n",
		metric, help, metric);
	for (i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		const char *value = output_text(row, column);

		if (!strcmp(column, "verdict"))
			value = strcmp(value, "identical") ? "0" : "1";
		/* Entries that have lost their ids would all be the same series. */
		if (strcmp(value, "-") && strcmp(output_text(row, "uuid"), "-"))
			fprintf(file, "kvmclock_handover_%s{uuid=\"%s\",name=\"%s\"} %s\n", metric,
				output_text(row, "uuid"), label(output_text(row, "name")), value);
	}
}

/* For the textfile collector of a node exporter. */
static int write_metrics(struct auditor *a, const char *path, time_t now)
{
	struct json_object *out = a->tool->out.document, *rows = a->vms->rows;
	size_t size;
	char *text;
	FILE *file = xcheck(open_memstream(&text, &size));

	fprintf(file, "# HELP kvmclock_handover_report_time_seconds When the report was made\n"
		"# TYPE kvmclock_handover_report_time_seconds gauge\n"
		"kvmclock_handover_report_time_seconds %lld\n", (long long)now);
	fprintf(file, "# HELP kvmclock_handover_kernels Kernel that runs, and the one before\n"
		"# TYPE kvmclock_handover_kernels gauge\n"
		"kvmclock_handover_kernels{kernel=\"%s\",saved_kernel=\"%s\"} 1\n",
		label(output_text(out, "kernel")), label(output_text(out, "saved_kernel")));
	fprintf(file, "# HELP kvmclock_handover_vms VMs of the record\n"
		"# TYPE kvmclock_handover_vms gauge\n"
		"kvmclock_handover_vms{state=\"identical\"} %zu\n"
		"kvmclock_handover_vms{state=\"different\"} %zu\n"
		"kvmclock_handover_vms{state=\"missing\"} %zu\n",
		a->found - a->bad - a->missing, a->bad, a->missing);
	add_metric(file, rows, "verdict", "vm_identical", "The clock is the saved one");
	add_metric(file, rows, "ns", "vm_error_nanoseconds", "Live kvmclock minus saved");
	add_metric(file, rows, "cycles", "vm_error_cycles", "Live guest TSC minus saved");
	add_metric(file, rows, "rate_ppb", "vm_rate_error_ppb", "How much faster kvmclock runs");
	add_metric(file, rows, "blackout_ns", "vm_blackout_nanoseconds",
		   "Host time from the last reading of the clock to the restore");
	xcheck(fclose(file) ? NULL : text);
	return put(a->tool, path, text);
}

int cmd_report(struct tool *tool, int argc, char **argv)
{
	struct auditor a = { .tool = tool, .choice = VM_CHOICE_NONE, .which = KCH_INCOMING,
			     .say_vm = add_vm };
	const char *folder = NULL, *metrics = NULL;
	const struct option_row options[] = {
		{ "save", "[=DIR]", "keep it in DIR, as JSON; " REPORTS, OPTION_TEXT, &folder,
		  .otherwise = REPORTS },
		{ "prometheus", "FILE", "write FILE for a node exporter", OPTION_TEXT, &metrics },
		{}
	};
	int code = options_parse(tool, argc, argv, "", options, columns, NULL);
	time_t now = time(NULL);

	if (code)
		return code;
	a.vms = output_table(&tool->out, "vms", columns);
	code = audit_run(&a);
	if (!tool->handle)
		return code;
	add_hosts(tool, now);
	/* Without a record there is nothing to keep. */
	if (!a.found)
		return code;
	if (metrics && write_metrics(&a, metrics, now))
		code = EXIT_FAILED;
	if (folder && keep(tool, folder, now))
		code = EXIT_FAILED;
	return code;
}
