// SPDX-License-Identifier: GPL-2.0
/* What debugfs shows: every key, and some of the values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "check.h"
#include "condition.h"
#include "fields.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"

/*
 * The names are an interface (Documentation/user-abi.rst): each file's lines have
 * these keys, in this order, and no others.  Those of a record are the names of its
 * members.
 */
static const char status_keys[] =
	"module_version abi_version backend backend_why region_start region_size "
	"outgoing_capacity outgoing_used outgoing_vms generation incoming_vms "
	"damaged_vms restored_vms incoming_errno "
	"incoming_message tsc_khz tsc_source kvm_tsc_khz tsc_scaling_frac_bits "
	"selfcheck selfcheck_message ";

static void add_keys(char *keys, const struct kch_field *field)
{
	for (; field->name; field++)
		if (kch_field_shown(field))
			strcat(strcat(keys, field->name), " ");
}

static void add_vm_keys(char *keys)
{
	add_keys(keys, kch_vm_fields);
	strcat(keys, "system_time_ns ");
}

static void check_keys(const char *name, const char *wanted)
{
	char found[8192] = "", *text, *line, *rest, *colon;
	size_t size;

	text = debugfs_read(name, &size);
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		colon = strstr(line, ": ");
		if (!check(colon, "%s: line without a key: %s", name, line))
			continue;
		*colon = '\0';
		strcat(strcat(found, line), " ");
	}
	check(!strcmp(found, wanted), "%s has the keys\n#   %s, expected\n#   %s",
	      name, found, wanted);
	free(text);
}

static void check_record_keys(void)
{
	char keys[8192] = "";

	add_keys(keys, kch_header_fields);
	add_vm_keys(keys);
	add_keys(keys, kch_vcpu_fields);
	check_keys("outgoing", keys);

	strcpy(keys, "errno ");
	add_keys(keys, kch_header_fields);
	strcat(keys, "damaged_vms ");
	add_vm_keys(keys);
	strcat(keys, "restored ");
	add_keys(keys, kch_vcpu_fields);
	add_keys(keys, kch_vcpu_fields);
	check_keys("incoming", keys);

	/* The outgoing VM's, then the restored one's, which are alive. */
	keys[0] = '\0';
	add_vm_keys(keys);
	add_keys(keys, kch_vcpu_fields);
	add_vm_keys(keys);
	add_keys(keys, kch_vcpu_fields);
	add_keys(keys, kch_vcpu_fields);
	check_keys("vms", keys);
}

static void check_line(const char *name, const char *wanted)
{
	size_t size;
	char *text = debugfs_read(name, &size);

	check(strstr(text, wanted), "%s lacks \"%s\"", name, wanted);
	free(text);
}

/* KVM is asked at once, unless guests may be waiting for their clocks. */
static void check_when_asked(void)
{
	static struct forged forged;
	struct kch_info info;

	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	module_unload();
	region_clear();
	module_load();
	check_line("status", "\nselfcheck: passed\n");
	module_unload();
	forge_write(&forged, 0);
	module_load();
	check_line("status", "\nkvm_tsc_khz: 0\n");
	check_line("status", "\nselfcheck: not yet\n");
	device_info(&info);
	check(info.kvm_tsc_khz, "INFO: kvm_tsc_khz 0");
	check_line("status", "\nselfcheck: passed\n");
}

/* A vCPU without a rate was given one, and is compared with that. */
static void check_never_ran(void)
{
	static struct forged forged;
	struct kch_restore arg;
	struct kch_rec_vcpu *vcpu;
	size_t size;
	char *text;

	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	vcpu = forge_vcpu(&forged, 1);
	vcpu->flags &= ~KCH_VCPU_PAIR_VALID;
	vcpu->tsc_to_system_mul = 0;
	vcpu->tsc_shift = 0;
	vcpu->hw_tsc_khz = 0;
	forge_close(&forged);
	scene_reload(&forged);
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "RESTORE: %s", arg.message);
	text = debugfs_read("restored", &size);
	check(strstr(text, "\nvcpu_id: 1\n") && strstr(text, "\nidentical: 1\n") &&
	      !strstr(text, "\nidentical: 0\n"), "%s", text);
	free(text);
}

/* Of the clock that the guest got back, not of the one that was saved. */
static void check_hidden(void)
{
	struct kch_restore arg = {
		.size = sizeof(arg), .vm_fd = scene.vm.fd, .mode = KCH_MODE_IDENTICAL,
		.policy = KCH_POLICY_HIDE,
	};

	set_uuid(arg.uuid, ID_SAVED);
	check(!ioctl(device, KCH_IOC_RESTORE, &arg) && arg.hidden_ns, "hide: %s", arg.message);
	check_line("restored", "error_ns: 0\n");
	check_line("restored", "error_cycles: 0\n");
	check_line("restored", "identical: 1\n");
}

void test_debugfs(void)
{
	struct kch_restore arg;

	scene_begin();
	if (restore(&scene.vm, ID_SAVED, 0, &arg))
		die("RESTORE: %s", arg.message);
	check_keys("status", status_keys);
	check_record_keys();
	check_line("status", "\nbackend: range\n");
	check_line("status", "\nrestored_vms: 1\n");
	check_line("status", "\nselfcheck: passed\n");
	check_line("outgoing", "\nuuid: 11111111-1111-1111-1111-111111111111\n");
	check_line("outgoing", "\ntsc_offset: -123456789012344\n");
	check_line("incoming", "errno: 0\n");
	check_line("incoming", "\nkernel_release: 0.0-forged\n");
	check_line("incoming", "\nrestored: 1\n");
	check_line("restored", "uuid: 99999999-9999-9999-9999-999999999999\n");
	check_line("restored", "\nlive: 1\n");
	check_line("restored", "error_ns: 0\n");
	check_line("restored", "error_cycles: 0\n");
	check_line("restored", "error_rate_ppb: 0\n");
	/* Somebody undid it: the audit tells. */
	vm_set_clock(&scene.vm, 42);
	vm_run_once(&scene.vm, 0);
	check_line("restored", "identical: 0\n");
	check_when_asked();
	check_never_ran();
	scene_end();
	scene_begin();
	check_hidden();
	scene_end();
}
