// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>

#include "ktap.h"

#include "condition.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

static void fault(const char *parameters, int expected)
{
	int err = module_insert("kch_fault", parameters);

	if (err == ENOENT)
		die("no kch_fault.ko here: make -C tests/errno");
	if (err != expected)
		die("kch_fault %s: %s", parameters, errno_name(err));
}

static const struct condition dead[] = {
	{ KCH_IOC_PRESERVE, "dead VM", .expected = EIO, .message = "dead" },
	{ KCH_IOC_READ, "dead VM", .expected = EIO, .message = "dead" },
	{ KCH_IOC_RESTORE, "dead VM", .expected = EIO, .message = "dead" },
};

void test_dead_vm(void)
{
	char parameters[32];

	scene_begin();
	snprintf(parameters, sizeof(parameters), "dead=%d", scene.vm.fd);
	fault(parameters, ECANCELED);
	conditions_run(dead, 3);

	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	snprintf(parameters, sizeof(parameters), "bugged=%d", scene.vm.fd);
	fault(parameters, ECANCELED);
	conditions_run(dead, 3);
	scene_end();
}

static const struct condition misread[] = {
	{ KCH_IOC_PRESERVE, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_READ, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_RESTORE, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
};

/* The module was built for another KVM, or this KVM was changed. */
void test_misread(void)
{
	struct kch_info info;

	scene_begin();
	module_unload();
	fault("khz_lie=1", 0);
	module_load();
	device_info(&info);
	ktap_check(info.selfcheck_error == ELIBBAD && info.message[0] &&
		   !(info.flags & KCH_INFO_SELFCHECKED),
		   "INFO: %s, flags %#x, %s", errno_name(info.selfcheck_error),
		   info.flags, info.message);
	conditions_run(misread, 3);
	module_unload();
	if (module_remove("kch_fault"))
		die("kch_fault cannot be unloaded");
	module_load();
	device_info(&info);
	ktap_check(!info.selfcheck_error && info.flags & KCH_INFO_SELFCHECKED,
		   "without the fault: %s, flags %#x",
		   errno_name(info.selfcheck_error), info.flags);
	scene_end();
}

static const struct condition lost_write[] = {
	{ KCH_IOC_RESTORE, "clock changed while it was written",
	  .expected = EOVERFLOW, .message = "reads back 1 ns" },
};

/* Something changes the clock between the write and its reading back. */
void test_lost_write(void)
{
	static struct forged forged;
	struct kch_restore arg;

	scene_begin();
	forge_begin(&forged);
	/* The reference of what is saved: older than any KVM takes meanwhile. */
	forge_add(&forged, &scene.vm, ID_SAVED);
	forge_entry(&forged)->master_cycle_now -= 1ULL << 33;
	forge_close(&forged);
	module_unload();
	region_clear();
	forge_write(&forged, 0);
	module_load();
	/* The self-check is over when this comes. */
	if (!restore(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &arg)) {
		fault("lost_write=1", 0);
		vm_set_clock(&scene.vm, 1000000000);
		vm_set_clock(&scene.kept, 1000000000);
		vm_set_clock(&scene.spare, 1000000000);
		conditions_run(lost_write, 1);
		if (module_remove("kch_fault"))
			die("kch_fault cannot be unloaded");
	}
	ktap_check(!restore(&scene.vm, ID_SAVED, 0, &arg), "without the fault: %s",
		   arg.message);
	scene_end();
}
