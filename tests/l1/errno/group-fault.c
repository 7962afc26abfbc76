// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "check.h"
#include "condition.h"
#include "fault.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

static void dead_one(struct attempt *a)
{
	a->arg.adopt.vm_fd = scene.vm.fd;
}

static const struct condition dead[] = {
	{ KCH_IOC_PRESERVE, "dead VM", .expected = EIO, .message = "dead" },
	{ KCH_IOC_READ, "dead VM", .expected = EIO, .message = "dead" },
	{ KCH_IOC_RESTORE, "dead VM", .expected = EIO, .message = "dead" },
	{ KCH_IOC_ADOPT, "dead VM", dead_one, .expected = EIO, .message = "dead" },
	{ KCH_IOC_CLOCK_FD, "dead VM", .expected = EIO, .message = "dead" },
};

static const struct condition no_kvm[] = {
	{ KCH_IOC_PRESERVE, "no /dev/kvm", .expected = ENXIO,
	  .message = "/dev/kvm must be there" },
	{ KCH_IOC_READ, "no /dev/kvm", .expected = ENXIO,
	  .message = "/dev/kvm must be there" },
	{ KCH_IOC_RESTORE, "no /dev/kvm", .expected = ENXIO,
	  .message = "/dev/kvm must be there" },
	{ KCH_IOC_ADOPT, "no /dev/kvm", .expected = ENXIO,
	  .message = "/dev/kvm must be there" },
	{ KCH_IOC_CLOCK_FD, "no /dev/kvm", .expected = ENXIO,
	  .message = "/dev/kvm must be there" },
};

/* A VMM with descriptors of its VM, in a root that has no /dev/kvm. */
void test_no_kvm(void)
{
	struct kch_restore arg;
	struct kch_info info;

	scene_begin();
	module_unload();
	if (mount("/dev/null", "/dev/kvm", NULL, MS_BIND, NULL))
		die("mounting over /dev/kvm failed");
	module_load();
	device_info(&info);
	check(!info.selfcheck_error && !(info.flags & KCH_INFO_SELFCHECKED),
	      "INFO: %s, flags %#x", errno_name(info.selfcheck_error),
	      info.flags);
	conditions_run(no_kvm, sizeof(no_kvm) / sizeof(no_kvm[0]));
	if (umount("/dev/kvm"))
		die("unmounting from /dev/kvm failed");
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "with /dev/kvm: %s",
	      arg.message);
	scene_end();
}

void test_dead_vm(void)
{
	char parameters[32];

	scene_begin();
	snprintf(parameters, sizeof(parameters), "dead=%d", scene.vm.fd);
	fault_insert(parameters, ECANCELED);
	conditions_run(dead, sizeof(dead) / sizeof(dead[0]));

	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
	snprintf(parameters, sizeof(parameters), "bugged=%d", scene.vm.fd);
	fault_insert(parameters, ECANCELED);
	conditions_run(dead, sizeof(dead) / sizeof(dead[0]));
	scene_end();
}

static const struct condition misread[] = {
	{ KCH_IOC_PRESERVE, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_READ, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_RESTORE, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_ADOPT, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
	{ KCH_IOC_CLOCK_FD, "KVM answers otherwise", .expected = ELIBBAD,
	  .message = "guest's frequency in kHz: this module reads" },
};

/* As if the number were read from somewhere else in KVM's structure. */
static const struct condition misread_count[] = {
	{ KCH_IOC_PRESERVE, "as many vCPUs as no VM has", .expected = ELIBBAD,
	  .message = "seems to have 1000000000 vCPUs" },
	{ KCH_IOC_READ, "as many vCPUs as no VM has", .expected = ELIBBAD,
	  .message = "seems to have 1000000000 vCPUs" },
	{ KCH_IOC_RESTORE, "as many vCPUs as no VM has", .expected = ELIBBAD,
	  .message = "seems to have 1000000000 vCPUs" },
	{ KCH_IOC_ADOPT, "as many vCPUs as no VM has", .expected = ELIBBAD,
	  .message = "seems to have 1000000000 vCPUs" },
	{ KCH_IOC_CLOCK_FD, "as many vCPUs as no VM has", .expected = ELIBBAD,
	  .message = "seems to have 1000000000 vCPUs" },
};

static void kept_as_another(struct attempt *a)
{
	a->arg.preserve.vm_fd = scene.kept.fd;
}

static void another_as_kept(struct attempt *a)
{
	set_uuid(a->arg.preserve.uuid, ID_KEPT);
}

/* What can be refused before KVM is asked is. */
static const struct condition not_asked[] = {
	{ KCH_IOC_PRESERVE, "preserved already, and cannot be read", kept_as_another,
	  .expected = ENOTUNIQ, .message = "this VM is preserved already" },
	{ KCH_IOC_PRESERVE, "id of another, and cannot be read", another_as_kept,
	  .expected = EEXIST, .message = "is preserved already" },
};

/* The module was built for another KVM, or this KVM was changed. */
void test_misread(void)
{
	struct kch_info info;

	scene_begin();
	module_unload();
	fault_insert("khz_lie=1", 0);
	module_load();
	device_info(&info);
	check(info.selfcheck_error == ELIBBAD && info.message[0] &&
	      !(info.flags & KCH_INFO_SELFCHECKED),
	      "INFO: %s, flags %#x, %s", errno_name(info.selfcheck_error),
	      info.flags, info.message);
	conditions_run(misread, sizeof(misread) / sizeof(misread[0]));
	module_unload();
	fault_remove();
	module_load();
	device_info(&info);
	check(!info.selfcheck_error && info.flags & KCH_INFO_SELFCHECKED,
	      "without the fault: %s, flags %#x",
	      errno_name(info.selfcheck_error), info.flags);
	/* Its function is there only now; the check of itself was passed. */
	fault_insert("vcpus=1000000000", 0);
	conditions_run(misread_count,
		       sizeof(misread_count) / sizeof(misread_count[0]));
	fault_remove();
	fault_insert("vcpus=1000000000", 0);
	conditions_run(not_asked, sizeof(not_asked) / sizeof(not_asked[0]));
	fault_remove();
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
	forge_entry(&forged)->master_cycle_now -= 1ULL << 35;
	forge_close(&forged);
	scene_reload(&forged);
	/* The self-check is over when this comes. */
	if (!restore(&scene.vm, ID_SAVED, KCH_RESTORE_CHECK, &arg)) {
		fault_insert("lost_write=1", 0);
		vm_set_clock(&scene.vm, 1000000000);
		vm_set_clock(&scene.kept, 1000000000);
		vm_set_clock(&scene.spare, 1000000000);
		vm_set_clock(&scene.grown, 1000000000);
		conditions_run(lost_write, sizeof(lost_write) / sizeof(lost_write[0]));
		fault_remove();
	}
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "without the fault: %s",
	      arg.message);
	scene_end();
}

static const struct condition sealed[] = {
	{ KCH_IOC_PRESERVE, "the host is being kexec'ed", .expected = ESHUTDOWN,
	  .message = "stays as it is, of" },
	{ KCH_IOC_UNPRESERVE, "the host is being kexec'ed", .expected = ESHUTDOWN,
	  .message = "stays as it is, of" },
};

/* Processes still run while the host is on its way out. */
void test_sealed(void)
{
	struct kch_restore arg;
	int err;

	scene_begin();
	/* Also while a restore has begun, and is not yet at what can be broken off. */
	fault_insert("seal=2", 0);
	err = restore(&scene.vm, ID_SAVED, 0, &arg);
	fault_remove();
	check(err == ESHUTDOWN && strstr(arg.message, "is being kexec'ed"), "a restore goes on: %s: %s",
	      errno_name(err), arg.message);
	conditions_run(sealed, sizeof(sealed) / sizeof(sealed[0]));
	/* Nor does a kexec wait for an ioctl for ever. */
	kernel_said("");
	fault_insert("seal=3", ECANCELED);
	check(kernel_said("was not sealed (-EBUSY)") == 1, "it is not said that nothing was sealed");
	scene_end();
	region_clear();
}
