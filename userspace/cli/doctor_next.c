// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl doctor: which kernel is next, what is on its command line, has it the module? */
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmdline.h"
#include "doctor.h"
#include "loaded.h"

#define KEXEC_TOOLS	"/etc/default/kexec"
#define KERNEL_INSTALL	"/etc/kernel/cmdline"
#define MODULE		"kvmclock_handover"

struct next {
	const char *from;	/* who says so */
	const char *line;	/* NULL: it is not known */
	const char *kernel;	/* its release; NULL: not known */
	const char *why_not;	/* the line is not known */
	const char *remedy;
	bool counts;		/* it is what a kexec takes now */
	bool old_way;		/* it was loaded by kexec_load(2) */
};

/* Sorted; the caller does not free them. */
static glob_t find_files(const struct doctor *d, const char *pattern)
{
	glob_t found;

	if (glob(doctor_path(d, pattern), 0, NULL, &found))
		found = (glob_t){};
	return found;
}

/* The module's parameters in modprobe.d, with its name before each. */
static char *module_options(const struct doctor *d)
{
	static const char *const folders[] = { "/etc", "/run", "/usr/lib" };
	char *all = "", *text, *line, *word;
	struct words words;
	size_t i, f;

	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		glob_t found = find_files(d, xasprintf("%s/modprobe.d/*.conf", folders[i]));

		for (f = 0; f < found.gl_pathc; f++) {
			text = read_file(found.gl_pathv[f], DOCTOR_FILE_MAX, NULL);
			while (text && (line = strsep(&text, "\n"))) {
				words = (struct words){};
				words_split(&words, line);
				word = words_next(&words, NULL);
				if (!word || strcmp(word, "options"))
					continue;
				word = words_next(&words, word);
				if (!word || fnmatch("kvmclock[-_]handover", word, 0))
					continue;
				while ((word = words_next(&words, word)))
					all = xasprintf("%s " MODULE ".%s", all, word);
			}
		}
	}
	return all;
}

/* The release in the name of a kernel image, or of what that is a link to. */
static char *release_of(const struct doctor *d, const char *image)
{
	char target[256];
	ssize_t length = readlink(doctor_path(d, image), target, sizeof(target) - 1);
	const char *name;

	target[length < 0 ? 0 : length] = '\0';
	name = length > 0 ? target : image;
	name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	return strchr(name, '-') ? xasprintf("%s", strchr(name, '-') + 1) : NULL;
}

/* The values of KEY in a boot loader's entry, behind each other; NULL: none. */
static char *entry_value(const char *path, const char *key)
{
	char *text = read_file(path, DOCTOR_FILE_MAX, NULL), *line, *all = NULL;

	while (text && (line = strsep(&text, "\n"))) {
		line += strspn(line, " \t");
		if (strncmp(line, key, strlen(key)) || !strchr(" \t", line[strlen(key)]))
			continue;
		line += strlen(key);
		line += strspn(line, " \t");
		all = all ? xasprintf("%s %s", all, line) : xasprintf("%s", line);
	}
	return all;
}

/* The boot loader's entry that systemctl kexec loads: the default, else the newest; or NULL. */
static char *default_entry(const struct doctor *d)
{
	static const char *const places[] = { "/efi", "/boot", "/boot/efi" };
	char *chosen = NULL, *pattern, *name;
	size_t i, f;

	for (i = 0; !chosen && i < ARRAY_SIZE(places); i++) {
		glob_t found = find_files(d, xasprintf("%s/loader/entries/*.conf", places[i]));

		pattern = entry_value(doctor_path(d, xasprintf("%s/loader/loader.conf", places[i])),
				      "default");
		for (f = 0; f < found.gl_pathc; f++) {
			name = strrchr(found.gl_pathv[f], '/') + 1;
			if (pattern && !fnmatch(pattern, name, 0))
				return found.gl_pathv[f];
			if (!chosen || strverscmp(chosen, found.gl_pathv[f]) < 0)
				chosen = found.gl_pathv[f];
		}
	}
	return chosen;
}

/* The frequency is another one: it depends on the guests how bad that is. */
static void say_line(struct doctor *d, const struct next *next, const struct needs *needs,
		     const char *options)
{
	const char *region = cmdline_missing(&needs->region, next->line, options);
	const char *pin = cmdline_missing(&needs->pin, next->line, options);
	const char *whole = xasprintf("in %s: %s", next->from, cmdline_merge(needs, next->line));
	const char *remedy = next->remedy ? next->remedy : whole;

	doctor_say(d, "next region", !region ? READY : next->counts ? NOT_READY : WARNING,
		   region ? xasprintf("%s: lacks %s", next->from, region) :
			    xasprintf("%s: reserved, and named for the module", next->from),
		   "without it the next kernel does not find the record", region ? remedy : NULL);
	doctor_say(d, "next frequency", !pin ? READY :
		   next->counts && d->has_scaled ? NOT_READY : WARNING,
		   pin ? xasprintf("%s: lacks %s", next->from, pin) :
			 xasprintf("%s: %s", next->from, needs->pin.size ?
				   "pinned to this kernel's" : "told by the CPU, no pin needed"),
		   "a guest with a scaled TSC is only restored by the same frequency; for others KVM itself stays nearer to the guest's clock",
		   pin ? remedy : NULL);
}

static bool uses_kho(const struct doctor *d)
{
	return d->has_info && d->info.backend == KCH_BACKEND_KHO;
}

static void say_next(struct doctor *d, const struct next *next)
{
	const char *problem = NULL;
	struct needs needs;

	if (next->old_way && uses_kho(d))
		doctor_say(d, "next region", NOT_READY,
			   xasprintf("%s: by kexec_load(2), and KHO hands nothing over to it",
				     next->from),
			   "without it the next kernel does not find the record", next->remedy);
	else if (!next->line)
		doctor_say(d, "next region", UNKNOWN,
			   xasprintf("%s: %s", next->from, next->why_not),
			   "without it the next kernel does not find the record", next->remedy);
	else if (!d->has_info ||
		 cmdline_needs(&d->info, doctor_read(d, "/proc/cmdline"),
			       doctor_read(d, "/sys/module/" MODULE "/parameters/reserve_mem"),
			       &needs, &problem))
		doctor_say(d, "next region", UNKNOWN, xasprintf("%s: %s", next->from, problem ?
			   problem : "the module is not there to say where its record is"),
			   "without it the next kernel does not find the record",
			   "see the checks of module and region");
	else
		say_line(d, next, &needs, module_options(d));
}

/* @counts: a kexec takes this kernel. */
static void say_module(struct doctor *d, const char *release, bool counts)
{
	const char *check = xasprintf("module for %s", release);
	const char *folder = xasprintf("/lib/modules/%s", release);
	const char *names = xasprintf("%s%s", doctor_read(d, xasprintf("%s/modules.dep", folder)),
				      doctor_read(d, xasprintf("%s/modules.builtin", folder)));
	const char *why = "each kernel needs the module that was built for it";

	if (strstr(names, "/" MODULE ".ko"))
		doctor_say(d, check, READY, "installed", why, NULL);
	else if (!doctor_is_there(d, folder))
		doctor_say(d, check, counts ? NOT_READY : WARNING,
			   xasprintf("no %s", folder), why, "install that kernel and its headers");
	else
		doctor_say(d, check, counts ? NOT_READY : WARNING, "not installed", why,
			   xasprintf("install its headers; dkms install kvmclock-handover/%s -k %s",
				     KCH_VERSION, release));
}

static void say_all_modules(struct doctor *d)
{
	glob_t found = find_files(d, "/lib/modules/*/modules.dep");
	size_t i;

	for (i = 0; i < found.gl_pathc; i++) {
		char *path = found.gl_pathv[i];

		*strrchr(path, '/') = '\0';
		say_module(d, strrchr(path, '/') + 1, false);
	}
}

/* What Debian's kexec-tools load at systemctl reboot. */
static bool kexec_tools(const struct doctor *d, struct next *next)
{
	const char *load = doctor_setting(d, KEXEC_TOOLS, "LOAD_KEXEC");
	const char *grub = doctor_setting(d, KEXEC_TOOLS, "USE_GRUB_CONFIG");
	const char *image = doctor_setting(d, KEXEC_TOOLS, "KERNEL_IMAGE");

	if (!load || strcmp(load, "true"))
		return false;
	*next = (struct next){ .from = "APPEND in " KEXEC_TOOLS, .counts = true };
	if (grub && !strcmp(grub, "true")) {
		next->why_not = "USE_GRUB_CONFIG is true: what GRUB's default entry has";
		next->remedy = "USE_GRUB_CONFIG=false, and APPEND";
		return true;
	}
	next->line = doctor_setting(d, KEXEC_TOOLS, "APPEND");
	if (!next->line || !*next->line)
		next->line = doctor_read(d, "/proc/cmdline");
	next->kernel = image ? release_of(d, image) : NULL;
	return true;
}

static bool loader_entry(const struct doctor *d, struct next *next)
{
	char *path = default_entry(d), *image, *version;

	if (!path)
		return false;
	*next = (struct next){
		.from = xasprintf("options in %s", path + strlen(d->root)),
		.line = entry_value(path, "options"), .counts = true,
	};
	next->line = next->line ? next->line : "";
	version = entry_value(path, "version");
	image = entry_value(path, "linux");
	next->kernel = version ? version : image ? release_of(d, image) : NULL;
	return true;
}

void doctor_next(struct doctor *d)
{
	bool loaded = *doctor_read(d, "/sys/kernel/kexec_loaded") == '1';
	const char *load = xasprintf("args=$(kvmclockctl kexec-args --append) && "
				     "kexec %s-l IMAGE --initrd=INITRD --append=\"$args\"",
				     uses_kho(d) || doctor_is_locked(d) ? "-s " : "");
	struct next next[3] = {};
	size_t count = 0, i;

	if (d->line || loaded) {
		next[0] = (struct next){ .from = d->line ? "--cmdline" : "the image that is loaded",
					 .line = d->line, .remedy = load, .counts = true };
		if (!d->line)
			next[0].line = loaded_line(d->root, &next[0].kernel, &next[0].why_not);
		/* An image has its release only if kexec_load(2) has loaded it. */
		next[0].old_way = next[0].kernel;
		count = 1;
	} else {
		count += kexec_tools(d, &next[count]);
		count += loader_entry(d, &next[count]);
	}
	if (!count)
		doctor_say(d, "next region", WARNING, "no kernel is loaded, and no configuration says which one will be",
			   "without it the next kernel does not find the record", load);
	if (doctor_is_there(d, KERNEL_INSTALL))
		next[count++] = (struct next){ .from = KERNEL_INSTALL,
					       .line = doctor_read(d, KERNEL_INSTALL) };
	for (i = 0; i < count; i++) {
		say_next(d, &next[i]);
		if (next[i].counts && next[i].kernel && !d->kernel)
			say_module(d, next[i].kernel, true);
	}
	if (d->kernel)
		say_module(d, d->kernel, true);
	else if (!next[0].kernel)
		say_all_modules(d);
}
