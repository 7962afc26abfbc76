// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>

#include "scenario.h"

const struct scenario scenarios[] = {
	{ "vcpus_1", 1, GUEST_NEW_MSR },
	{ "vcpus_2", 2, GUEST_NEW_MSR },
	{ "vcpus_3", 3, GUEST_NEW_MSR },
	{ "vcpus_4", 4, GUEST_NEW_MSR },
	{ "vcpus_5", 5, GUEST_NEW_MSR },
	{ "vcpus_6", 6, GUEST_NEW_MSR },
	{ "vcpus_7", 7, GUEST_NEW_MSR },
	{ "vcpus_8", 8, GUEST_NEW_MSR },
	/* KVM has no master clock for a boot vCPU that asked for this one. */
	{ "old_msr", 2, GUEST_OLD_MSR, .save_refused = EOPNOTSUPP },
	/* As after a migration, which is not the guest's own doing. */
	{ "old_msr_is_set", 2, GUEST_OLD_MSR | GUEST_MSR_IS_SET },
	{ "no_kvmclock", 2 },
	{ "wrote_tsc", 1, GUEST_NEW_MSR | GUEST_WRITES_TSC },
	{ "wrote_adjust", 2, GUEST_NEW_MSR | GUEST_WRITES_ADJUST },
	/*
	 * Each another value, so that the TSCs differ.  As long as it is the
	 * guest that writes them, KVM keeps its master clock; but a new VM
	 * with such offsets does not get one.
	 */
	{ "wrote_tscs", 2, GUEST_NEW_MSR | GUEST_WRITES_TSC,
	  .restore_refused = EOPNOTSUPP },
	{ "stopped", 2, GUEST_NEW_MSR, .stopped = true },
	{ "stopped_later", 2, GUEST_NEW_MSR, .stopped_later = true },
	{ "nested", 2, GUEST_NEW_MSR | GUEST_NESTED },
	{ "hyperv", 2, GUEST_HYPERV },
	{ "xen", 2, GUEST_XEN },
	{ NULL }
};

const char *scenario_unmet(const struct scenario *scenario)
{
	u64 does = scenario->does;

	if (does & GUEST_NESTED && !kvm_cpu_has(X86_FEATURE_SVM))
		return "Requirement not met: X86_FEATURE_SVM";
	if (does & GUEST_NESTED && !kvm_has_cap(KVM_CAP_NESTED_STATE))
		return "Requirement not met: KVM_CAP_NESTED_STATE";
	if (does & GUEST_HYPERV && !kvm_has_cap(KVM_CAP_HYPERV_TIME))
		return "Requirement not met: KVM_CAP_HYPERV_TIME";
	if (does & GUEST_XEN &&
	    !(kvm_check_cap(KVM_CAP_XEN_HVM) & KVM_XEN_HVM_CONFIG_SHARED_INFO))
		return "Requirement not met: KVM_XEN_HVM_CONFIG_SHARED_INFO";
	return NULL;
}

void scenario_uuid(const struct scenario *scenario, u8 uuid[16])
{
	memset(uuid, 0, 16);
	memcpy(uuid, scenario->name, strnlen(scenario->name, 16));
}
