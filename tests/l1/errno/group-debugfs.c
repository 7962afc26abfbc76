// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "condition.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"

/*
 * The names are an interface (Documentation/operating.rst): each file's lines
 * have these keys, in this order, and no others.
 */
static const char status_keys[] =
	"module_version abi_version backend backend_why region_start region_bytes "
	"capacity_bytes outgoing_bytes outgoing_vms generation incoming_vms "
	"incoming_damaged_vms incoming_restored_vms incoming_errno "
	"incoming_message tsc_khz tsc_source kvm_tsc_khz tsc_scaling_frac_bits "
	"selfcheck selfcheck_message ";

#define HEADER_KEYS							\
	"sequence generation sealed compat incompat total_bytes vm_count " \
	"kernel_release module_version boot_id machine_id cpu tsc_khz "	\
	"tsc_source kvm_tsc_khz host_tsc_cycles realtime_ns tai_ns "	\
	"boottime_ns raw_ns "

#define VM_KEYS								\
	"vm name pid vcpu_count master_clock running read_at_seal "	\
	"read_at_end stale "						\
	"master_cycle_now_cycles master_kernel_ns kvmclock_offset_ns "	\
	"system_time_ns host_tsc_cycles kvmclock_ns tsc_scaling_frac_bits " \
	"default_tsc_khz "

#define VCPU_KEYS							\
	"vcpu tsc_offset_cycles tsc_scaling_ratio tsc_adjust_cycles "	\
	"virtual_tsc_khz hw_tsc_khz pair_valid tsc_to_system_mul "	\
	"tsc_shift catchup pvclock_enabled pvclock_gpa pvclock_flags "

static const char outgoing_keys[] = HEADER_KEYS VM_KEYS VCPU_KEYS;
static const char incoming_keys[] = "errno " HEADER_KEYS "damaged_vms "
				    VM_KEYS "restored " VCPU_KEYS VCPU_KEYS;
/* The outgoing VM's, then the restored one's, which are alive. */
static const char vms_keys[] = VM_KEYS VCPU_KEYS VM_KEYS VCPU_KEYS VCPU_KEYS;

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
	forge_close(&forged);
	scene_reload(&forged);
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "RESTORE: %s", arg.message);
	text = debugfs_read("restored", &size);
	check(strstr(text, "\nvcpu: 1\n") && strstr(text, "\nidentical: 1\n") &&
	      !strstr(text, "\nidentical: 0\n"), "%s", text);
	free(text);
}

void test_debugfs(void)
{
	struct kch_restore arg;

	scene_begin();
	if (restore(&scene.vm, ID_SAVED, 0, &arg))
		die("RESTORE: %s", arg.message);
	check_keys("status", status_keys);
	check_keys("outgoing", outgoing_keys);
	check_keys("incoming", incoming_keys);
	check_keys("vms", vms_keys);
	check_line("status", "\nbackend: range\n");
	check_line("status", "\nincoming_restored_vms: 1\n");
	check_line("status", "\nselfcheck: passed\n");
	check_line("outgoing", "\nvm: 11111111-1111-1111-1111-111111111111\n");
	check_line("outgoing", "\ntsc_offset_cycles: -123456789012344\n");
	check_line("incoming", "errno: 0\n");
	check_line("incoming", "\nkernel_release: 0.0-forged\n");
	check_line("incoming", "\nrestored: 1\n");
	check_line("restored", "vm: 99999999-9999-9999-9999-999999999999\n");
	check_line("restored", "\nlive: 1\n");
	check_line("restored", "difference_ns: 0\n");
	check_line("restored", "difference_cycles: 0\n");
	check_line("restored", "difference_ppb: 0\n");
	/* Somebody undid it: the audit tells. */
	vm_set_clock(&scene.vm, 42);
	vm_run_once(&scene.vm, 0);
	check_line("restored", "identical: 0\n");
	check_when_asked();
	check_never_ran();
	scene_end();
}
