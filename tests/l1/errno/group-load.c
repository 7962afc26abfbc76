// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/* As the command line of the case has them: region in tests/nested/cases.tbl. */
#define HOLE		"0x90000000"	/* reserved, but no memory is there */
#define NOTHING		"0xa0000000"	/* not reserved, and no memory */
#define RAM		"0x01000000"	/* where the kernel itself is */
#define LABEL		"kch"
#define LABEL_ODD	"kchodd"	/* of 4096 + 64 bytes */

/**
 * struct load - the module with certain parameters
 * @name: what is wrong with them
 * @parameters: %s is the start of the region
 * @expected: errno of insmod
 * @message: in the kernel's log
 * @label: needs a kernel with reserve_mem=
 */
static const struct load {
	const char *name;
	const char *parameters;
	int expected;
	const char *message;
	bool label;
} loads[] = {
	{ "no number", "region=here,64K", EINVAL, "expected START,SIZE" },
	{ "no size", "region=%s", EINVAL, "expected START,SIZE" },
	{ "empty size", "region=%s,", EINVAL, "expected START,SIZE" },
	{ "more than a size", "region=%s,64K,1", EINVAL, "expected START,SIZE" },
	{ "nothing", "region=", EINVAL, "expected START,SIZE" },
	{ "both", "region=%s,64K reserve_mem=x", EINVAL, "both region= and reserve_mem=" },
	{ "start not aligned", "region=%s40,64K", EDOM, "must be multiples of 4096" },
	{ "size not aligned", "region=%s,65537", EDOM, "must be multiples of 4096" },
	{ "size 0", "region=%s,0", EMSGSIZE, "region of 0 bytes, possible are 4096 to" },
	{ "too large", "region=%s,65M", EMSGSIZE, "to 67108864" },
	{ "over the end of addresses", "region=0xfffffffffffff000,8K", EMSGSIZE,
	  "region of 8192 bytes" },
	{ "RAM in use", "region=" RAM ",64K", EADDRINUSE, "is RAM this kernel uses" },
	{ "RAM in use at its end", "region=0x2ffff000,8K", EADDRINUSE,
	  "is RAM this kernel uses" },
	{ "not reserved", "region=" NOTHING ",64K", EADDRNOTAVAIL,
	  "is not reserved memory" },
	{ "label that is not there", "reserve_mem=other", ENOENT,
	  "no reserve_mem=...:other", true },
	{ "label of odd size", "reserve_mem=" LABEL_ODD, EDOM,
	  "must be multiples of 4096", true },
};

static void make_parameters(char *text, size_t size, const char *format)
{
	const char *hole = strstr(format, "%s");
	char start[32];

	snprintf(start, sizeof(start), "%#llx", (unsigned long long)region_start);
	if (!hole)
		snprintf(text, size, "%s", format);
	else
		snprintf(text, size, "%.*s%s%s", (int)(hole - format), format,
			 start, hole + 2);
}

static bool have_reserve_mem(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	bool found = false;
	char line[512];

	while (symbols && !found && fgets(line, sizeof(line), symbols))
		found = strstr(line, " reserve_mem_find_by_name");
	if (symbols)
		fclose(symbols);
	return found;
}

static void refused(const struct load *load, bool has_labels)
{
	bool label_refused = load->label && !has_labels;
	int expected = label_refused ? EOPNOTSUPP : load->expected;
	const char *message = label_refused ? "this kernel has no reserve_mem=" :
					      load->message;
	char parameters[128];
	int err;

	make_parameters(parameters, sizeof(parameters), load->parameters);
	kernel_said("");
	err = module_insert("kvmclock_handover", parameters);
	check(err == expected, "%s (%s): %s instead of %s", load->name,
	      parameters, errno_name(err), errno_name(expected));
	check(kernel_said(message) == 1, "%s (%s): the log lacks \"%s\"",
	      load->name, parameters, message);
	if (!err)
		module_remove("kvmclock_handover");
	check(access(KCH_DEVICE, F_OK) && access(KCH_DEBUGFS "status", F_OK),
	      "%s: something was left behind", load->name);
	conditions_done++;
}

static unsigned int lines_in_iomem(const char *text)
{
	FILE *file = fopen("/proc/iomem", "r");
	unsigned int lines = 0;
	char line[256];

	while (fgets(line, sizeof(line), file))
		lines += !!strstr(line, text);
	fclose(file);
	return lines;
}

static void claimed_before(void)
{
	struct load load = {
		"claimed by another driver", "region=%s,64K", EBUSY,
		"claimed by another driver",
	};
	char parameters[64];

	snprintf(parameters, sizeof(parameters), "claim=%llu,4096",
		 (unsigned long long)region_start + 8192);
	fault_insert(parameters, 0);
	refused(&load, true);
	fault_remove();
}

/* Who can only load modules is not to name memory for one to write to. */
static void locked_down(void)
{
	char parameters[64];
	int err;

	fault_insert("lockdown=1", 0);
	make_parameters(parameters, sizeof(parameters), "region=%s,64K");
	err = module_insert("kvmclock_handover", parameters);
	check(err == EPERM, "%s, locked down: %s", parameters, errno_name(err));
	/* A label names what the kernel's own command line has set aside. */
	err = module_insert("kvmclock_handover", "reserve_mem=other");
	check(err && err != EPERM, "reserve_mem=, locked down: %s",
	      errno_name(err));
	err = module_insert("kvmclock_handover", "");
	check(!err, "without a region, locked down: %s", errno_name(err));
	if (!err)
		module_remove("kvmclock_handover");
	fault_remove();
	conditions_done++;
}

static const struct condition no_memory[] = {
	{ KCH_IOC_PRESERVE, "reserved, no memory there", .expected = EREMOTEIO,
	  .message = "does not read back" },
};

/* Whether there is memory can only be told by writing to it. */
static void hole(void)
{
	vm_create_ready(&scene.vm, 1, SCENE_OFFSET);
	snapshot_watch(&scene.vm);
	condition_base = scene_base;
	module_load_with("region=" HOLE ",64K");
	conditions_run(no_memory, 1);
	module_unload();
	snapshot_watch_none();
	vm_destroy(&scene.vm);
}

static void by_label(void)
{
	struct kch_restore arg;
	struct kch_info info;

	module_load_with("reserve_mem=" LABEL);
	device_info(&info);
	check(info.backend == KCH_BACKEND_RESERVE_MEM &&
	      info.region_size == 1 << 20 && info.region_start,
	      "backend %u, %llu bytes at %#llx", info.backend,
	      info.region_size, info.region_start);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	must_preserve(&scene.vm, ID_NEW);
	module_unload();
	module_load_with("reserve_mem=" LABEL);
	device_info(&info);
	check(info.outgoing_vms == 1, "%u VMs after loading again",
	      info.outgoing_vms);
	check(restore(&scene.vm, ID_NEW, 0, &arg) == ENODATA,
	      "this boot's own record is nothing to restore from");
	vm_destroy(&scene.vm);
	module_unload();
}

void test_load(void)
{
	bool has_labels = have_reserve_mem();
	struct kch_info info;
	unsigned int i;

	region_clear();
	for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		refused(&loads[i], has_labels);
	claimed_before();
	locked_down();
	hole();
	check(!lines_in_iomem("kvmclock_handover"),
	      "memory is claimed still");
	module_load();
	check(lines_in_iomem("kvmclock_handover") == 1,
	      "the region is not claimed");
	device_info(&info);
	check(info.backend == KCH_BACKEND_RANGE, "backend %u", info.backend);
	module_unload();
	if (has_labels)
		by_label();
}

/* The module is replaced while VMs are preserved; the record goes on. */
void test_reload(void)
{
	struct kch_preserve arg;
	struct kch_entry entries[4];
	uint32_t count = 4, size;
	uint64_t before[64], after[64];
	struct kch_info info;

	scene_begin();
	must_preserve(&scene.spare, ID_NEW);
	size = sizeof(before);
	if (get(KCH_OUTGOING, ID_NEW, before, &size))
		die("what was preserved cannot be had");
	module_unload();
	module_load();
	check(!list(KCH_OUTGOING, entries, &count) && count == 2 &&
	      entries[0].uuid[0] == ID_KEPT && entries[1].uuid[0] == ID_NEW,
	      "%u VMs after loading again", count);
	size = sizeof(after);
	check(!get(KCH_OUTGOING, ID_NEW, after, &size) &&
	      !memcmp(before, after, size), "another entry after loading again");
	check(entries[0].flags == KCH_ENTRY_LIVE &&
	      entries[1].flags == KCH_ENTRY_LIVE, "flags %#x and %#x",
	      entries[0].flags, entries[1].flags);
	check(preserve(&scene.spare, ID_NEW, &arg) == EEXIST, "%s",
	      arg.message);
	device_info(&info);
	check(info.outgoing_vms == 2 && info.incoming_vms == 1 &&
	      info.generation == 8, "%u outgoing, %u incoming, generation %llu",
	      info.outgoing_vms, info.incoming_vms, info.generation);
	check(!unpreserve(ID_NEW) && !unpreserve(ID_KEPT), "unpreserving both");
	scene_end();
}

/* What somebody else may have there; the last bytes are of each slot's end. */
static void fill_foreign(uint8_t *bytes)
{
	size_t i;

	for (i = 0; i < region_size; i++)
		bytes[i] = (uint8_t)(i * 31 + 7);
}

/* Memory in which nothing of ours is found is not written to until it is used. */
void test_untouched(void)
{
	uint8_t *before = malloc(region_size), *after = malloc(region_size);
	struct kch_finish finished;
	struct kch_info info;
	int err;

	if (!before || !after)
		die("no memory");
	fill_foreign(before);
	region_write(before, region_size, 0);
	module_load();
	device_info(&info);
	check(info.incoming_error == EBADMSG, "INFO: %s (%s)",
	      errno_name(info.incoming_error), info.message);
	err = unpreserve(ID_NEW);
	check(err == ENOENT, "UNPRESERVE: %s", errno_name(err));
	err = finish(0, &finished);
	check(err == EBADMSG, "FINISH: %s", errno_name(err));
	check(!finish(KCH_FINISH_DISCARD, &finished), "FINISH: %s",
	      finished.message);
	fault_insert("seal=1", ECANCELED);
	module_unload();
	region_read(after, region_size, 0);
	check(!memcmp(before, after, region_size), "it was written to");

	/* Given up for good once it is used. */
	vm_create_ready(&scene.vm, 1, SCENE_OFFSET);
	module_load();
	must_preserve(&scene.vm, ID_NEW);
	check(!finish(KCH_FINISH_DISCARD, &finished), "FINISH: %s",
	      finished.message);
	module_unload();
	region_read(after, region_size, 0);
	check(memcmp(before, after, region_size), "a record does not show");
	module_load();
	device_info(&info);
	check(info.incoming_error == ENODATA && info.outgoing_vms == 1,
	      "INFO: %s (%s), %u outgoing", errno_name(info.incoming_error),
	      info.message, info.outgoing_vms);
	module_unload();
	vm_destroy(&scene.vm);
	region_clear();
	free(before);
	free(after);
}
