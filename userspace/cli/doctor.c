// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl doctor: would guests get their clocks back?  The host as it is now, and the lines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "doctor.h"
#include "fields.h"

#define CLOCKSOURCE	"/sys/devices/system/clocksource/clocksource0/"
#define WANTS		"/etc/systemd/system/dev-kvmclock_handover.device.wants/"
#define UNIT		"kvmclock-handover-save.service"

static const struct column columns[] = {
	{ "check", "what was looked at" },
	{ "verdict", "ready, unknown, warning (all the same exact) or not ready" },
	{ "found", "what was found", .wrap = true },
	{ "why", "what it matters for", .wrap = true },
	{ "remedy", "what mends it", .wrap = true },
	{}
};

void doctor_say(struct doctor *d, const char *check, enum verdict verdict, const char *found,
		const char *why, const char *remedy)
{
	static const char *const words[] = { "ready", "unknown", "warning", "not ready" };
	struct json_object *row = output_row(d->checks);

	output_string(row, "check", check);
	output_string(row, "verdict", words[verdict]);
	output_string(row, "found", found);
	output_string(row, "why", why);
	output_string(row, "remedy", remedy);
	d->not_ready += verdict == NOT_READY;
}

char *doctor_path(const struct doctor *d, const char *path)
{
	return xasprintf("%s%s", d->root, path);
}

bool doctor_is_there(const struct doctor *d, const char *path)
{
	return !access(doctor_path(d, path), F_OK);
}

char *doctor_read(const struct doctor *d, const char *path)
{
	char *text = read_file(doctor_path(d, path), DOCTOR_FILE_MAX, NULL);

	return text ? text : "";
}

char *doctor_setting(const struct doctor *d, const char *path, const char *name)
{
	char *text = xasprintf("%s", doctor_read(d, path)), *line, *value = NULL, *at;

	while ((line = strsep(&text, "\n"))) {
		line += strspn(line, " \t");
		if (strncmp(line, name, strlen(name)) || line[strlen(name)] != '=')
			continue;
		line += strlen(name) + 1;
		value = xcalloc(strlen(line) + 1, 1);
		at = value;
		for (; *line && *line != '#'; line++) {
			/* Quotes are taken away, and what they hold is not looked at. */
			if (*line == '\\' && line[1])
				*at++ = *++line;
			else if (*line != '"' && *line != '\'')
				*at++ = *line;
		}
	}
	return value;
}

/* The beginning of a file, up to the end of its first line. */
static char *first_line(const struct doctor *d, const char *path)
{
	char *text = doctor_read(d, path);

	return xasprintf("%.*s", (int)strcspn(text, "\n"), text);
}

static bool has_flag(const char *flags, const char *flag)
{
	const char *at = strstr(flags, xasprintf(" %s", flag));

	return at && strchr("\n ", at[strlen(flag) + 1]);
}

bool doctor_is_locked(const struct doctor *d)
{
	const char *lockdown = doctor_read(d, "/sys/kernel/security/lockdown");

	return strstr(lockdown, "[integrity]") || strstr(lockdown, "[confidentiality]");
}

static void check_kernel(struct doctor *d)
{
	const char *why =
		"a kexec needs them; without KHO the record is in memory that is set aside";
	const char *loaded = first_line(d, "/sys/kernel/kexec_loaded");
	bool locked = doctor_is_locked(d);
	const char *found;

	found = xasprintf("%s: %s, %s, %s, %s%s", first_line(d, "/proc/sys/kernel/osrelease"),
			  *loaded ? "kexec" : "no kexec",
			  doctor_is_there(d, "/dev/kvm") ? "KVM" : "no KVM",
			  d->has_info && d->info.backend == KCH_BACKEND_KHO ? "KHO is used" :
			  doctor_is_there(d, "/sys/kernel/debug/kho") ? "KHO" : "no KHO seen",
			  doctor_is_there(d, "/dev/liveupdate") ? "LUO" : "no LUO",
			  locked ? ", locked down" : "");
	if (!*loaded)
		doctor_say(d, "kernel", NOT_READY, found, why,
			   "a kernel that is built with CONFIG_KEXEC or CONFIG_KEXEC_FILE");
	else if (!strcmp(first_line(d, "/proc/sys/kernel/kexec_load_disabled"), "1") &&
		 *loaded == '0')
		doctor_say(d, "kernel", NOT_READY, xasprintf("%s; kexec_load_disabled is 1", found),
			   why, "reboot, and leave kernel.kexec_load_disabled at 0");
	else if (locked)
		doctor_say(d, "kernel", WARNING, found,
			   "only a signed kernel can be loaded, and it takes only signed modules",
			   "kexec -s -l; modinfo -F signer -k NEXT kvmclock_handover names a key that is enrolled");
	else
		doctor_say(d, "kernel", READY, found, why, NULL);
}

static void check_tsc(struct doctor *d)
{
	static const char *const names[] = {
		"constant_tsc", "nonstop_tsc", "tsc_known_freq", "tsc_reliable", "tsc_adjust",
	};
	const char *why =
		"guests' clocks are functions of a TSC that runs on, and the host's has to be one";
	const char *flags = strstr(doctor_read(d, "/proc/cpuinfo"), "\nflags");
	const char *source = first_line(d, CLOCKSOURCE "current_clocksource");
	const char *there = doctor_read(d, CLOCKSOURCE "available_clocksource");
	char *found = xasprintf("clocksource %s", *source ? source : "not known");
	size_t i;

	flags = flags ? xasprintf("%.*s\n", (int)strcspn(flags + 1, "\n"), flags + 1) : "";
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (has_flag(flags, names[i]))
			found = xasprintf("%s, %s", found, names[i]);
	if (!strcmp(source, "tsc-early"))
		doctor_say(d, "tsc", NOT_READY, found, why,
			   "wait some seconds: its frequency is being measured");
	else if (strcmp(source, "tsc"))
		doctor_say(d, "tsc", *source ? NOT_READY : UNKNOWN, found, why,
			   strstr(there, "tsc") ?
			   "echo tsc >" CLOCKSOURCE "current_clocksource" :
			   "the kernel took the TSC for unstable: dmesg | grep -i tsc says why");
	else if (!has_flag(flags, "constant_tsc") || !has_flag(flags, "nonstop_tsc"))
		doctor_say(d, "tsc", WARNING, found,
			   "a TSC without constant_tsc and nonstop_tsc may change its rate, or stop in idle states",
			   "cpupower idle-set -D 1, or a host with an invariant TSC");
	else
		doctor_say(d, "tsc", READY, found, why, NULL);
}

static void check_frequency(struct doctor *d)
{
	const char *why = "the next kernel has to go on with this very number";
	const char *found = xasprintf("%u kHz, %s", d->info.tsc_khz,
				      kch_tsc_source_name(d->info.tsc_source));

	if (d->info.tsc_source == KCH_TSC_EARLY)
		doctor_say(d, "tsc frequency", NOT_READY, found, why,
			   "wait some seconds: it is being measured");
	else if (d->info.tsc_source == KCH_TSC_OTHER)
		doctor_say(d, "tsc frequency", NOT_READY, d->info.message, why,
			   "see the check of the TSC");
	else if (d->info.tsc_source == KCH_TSC_UNKNOWN)
		doctor_say(d, "tsc frequency", WARNING, found, why,
			   "it may still change: ask again in some seconds");
	else if (d->info.kvm_tsc_khz && d->info.kvm_tsc_khz != d->info.tsc_khz)
		doctor_say(d, "tsc frequency", WARNING,
			   xasprintf("%s; KVM has %u kHz", found, d->info.kvm_tsc_khz),
			   "KVM was loaded while it was being measured: guests run by the early number",
			   "load KVM later than some seconds after boot");
	else
		doctor_say(d, "tsc frequency", READY, found, why, NULL);
}

static void check_module(struct doctor *d)
{
	const char *why = "it reads the clocks, and puts them where the next kernel finds them";

	if (!d->has_info)
		doctor_say(d, "module", NOT_READY, "it does not answer", why,
			   "systemctl start kvmclock-handover-load, or modprobe kvmclock_handover");
	else if (d->info.selfcheck_error)
		doctor_say(d, "module", NOT_READY, d->info.message,
			   "it does not read this KVM right, and touches no clock",
			   "dkms install kvmclock-handover/" KCH_VERSION " -k \"$(uname -r)\" --force; then load it again");
	else
		doctor_say(d, "module", READY, d->info.flags & KCH_INFO_SELFCHECKED ?
			   "loaded, agrees with KVM" : "loaded, has not asked KVM yet", why, NULL);
}

/* Slots, two of them, that have room for that, in whole MiB. */
static uint64_t region_mib(uint64_t needed)
{
	return (2 * needed + (1 << 20) - 1) >> 20;
}

static void check_region(struct doctor *d)
{
	const char *why =
		"the record of all clocks has to have room in memory that the next kernel finds";
	unsigned long long needed = d->needed_bytes, room = d->info.outgoing_capacity;
	const char *found = xasprintf("%llu of %llu bytes for %zu VMs", needed, room,
				      d->live.count);

	if (d->info.backend == KCH_BACKEND_NONE)
		doctor_say(d, "region", NOT_READY, "none", why,
			   "memmap=1M$ADDRESS and kvmclock_handover.region=ADDRESS,1M on this kernel's command line: operating.rst, \"Reserve the region\"");
	else if (needed > room)
		doctor_say(d, "region", NOT_READY, found, why,
			   xasprintf("a region of %lluM at the next boot",
				     (unsigned long long)region_mib(needed)));
	else
		doctor_say(d, "region", READY, found, why, NULL);
}

static void check_units(struct doctor *d)
{
	const char *why = "at systemctl kexec it saves all VMs before they are ended";

	if (doctor_is_there(d, WANTS UNIT))
		doctor_say(d, "save unit", READY, "enabled", why, NULL);
	else
		doctor_say(d, "save unit", WARNING, UNIT " is not enabled", why,
			   "systemctl enable --now " UNIT ", or kvmclockctl save --all before each kexec");
}

int cmd_doctor(struct tool *tool, int argc, char **argv)
{
	struct doctor d = { .tool = tool, .root = "", .info.size = sizeof(d.info) };
	const struct option_row options[] = {
		{ "cmdline", "LINE", "what the next kernel will have as its command line",
		  OPTION_TEXT, &d.line },
		{ "kernel", "RELEASE", "which kernel that is, as below /lib/modules", OPTION_TEXT,
		  &d.kernel },
		{ "sysroot", "DIR", "look for files below DIR", OPTION_TEXT, &d.root },
		{}
	};
	int code = options_parse(tool, argc, argv, "", options, columns, NULL);

	if (code)
		return code;
	d.checks = output_table(&tool->out, "checks", columns);
	if (!tool_open(tool))
		d.has_info = !kch_info(tool->handle, &d.info);
	live_find(tool, 0, &d.live);
	check_kernel(&d);
	check_tsc(&d);
	check_module(&d);
	if (d.has_info)
		check_frequency(&d);
	doctor_vms(&d);
	if (d.has_info)
		check_region(&d);
	check_units(&d);
	doctor_next(&d);
	return d.not_ready ? complain_code(tool, EXIT_REFUSED, NULL, 0,
					   "%zu of %zu checks: not ready; after a kexec not all guests would get their clocks back",
					   d.not_ready, json_object_array_length(d.checks->rows)) :
			     EXIT_DONE;
}
