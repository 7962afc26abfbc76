// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclock_handover: guests keep their clocks while the host kexecs.
 *
 * design.rst, in the project's Documentation, says why and how.
 */
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "core/policy.h"
#include "core/version.h"
#include "debugfs.h"
#include "device.h"
#include "luo.h"
#include "restore/restore.h"
#include "state/state.h"

static char *backend;
module_param(backend, charp, 0400);
MODULE_PARM_DESC(backend, "where records are kept: range, reserve_mem, kho, or auto (default): what is named below, else KHO if it is on");

/* Names physical memory: not for whoever loads modules into a locked down kernel. */
static char *region;
module_param_hw(region, charp, iomem, 0400);
MODULE_PARM_DESC(region, "START,SIZE of a physical range kept free by memmap=SIZE$START, as in 0x30000000,1M");

static char *reserve_mem;
module_param(reserve_mem, charp, 0400);
MODULE_PARM_DESC(reserve_mem, "label of a range kept by reserve_mem=SIZE:ALIGN:LABEL");

static unsigned long kho_size = SZ_1M;
module_param(kho_size, ulong, 0400);
MODULE_PARM_DESC(kho_size, "bytes to preserve with KHO, a power of two (1 MiB)");

static unsigned int kexec_seconds_max = 60;
module_param(kexec_seconds_max, uint, 0400);
MODULE_PARM_DESC(kexec_seconds_max, "what a kexec takes at most, from the seal to the start of the next kernel (60)");

/* With the line's end that a shell writes. */
static int set_policy(const char *value, const struct kernel_param *param)
{
	char text[KCH_POLICY_TEXT_SIZE];
	u32 goes_on_ms;
	int err;

	if (strscpy(text, value, sizeof(text)) < 0)
		return -EINVAL;
	err = kch_policy_parse(strim(text), &goes_on_ms);
	if (!err)
		WRITE_ONCE(kch_goes_on_ms, goes_on_ms);
	return err;
}

static int get_policy(char *buffer, const struct kernel_param *param)
{
	char text[KCH_POLICY_TEXT_SIZE];
	u32 policy, limit_ms;

	kch_policy_of(READ_ONCE(kch_goes_on_ms), &policy, &limit_ms);
	kch_policy_text(policy, limit_ms, text);
	return sprintf(buffer, "%s\n", text);
}

static const struct kernel_param_ops policy_ops = { .set = set_policy, .get = get_policy };
module_param_cb(policy, &policy_ops, NULL, 0644);
MODULE_PARM_DESC(policy, "of the time that passed, guests' clocks continue by all, hide all, or go on by a limit and hide the rest, as in limit:10s (continue)");

static int __init kch_init(void)
{
	const struct kch_region_wish wish = {
		.backend = backend,
		.range = region,
		.label = reserve_mem,
		.kho_size = kho_size,
	};
	int err;

	kch_kexec_seconds_max = kexec_seconds_max;
	err = kch_state_load(&wish);
	if (err)
		return err;
	kch_debugfs_register();
	err = kch_device_register();
	if (err)
		goto debugfs;
	err = kch_luo_register();
	if (!err)
		return 0;
	kch_device_unregister();
debugfs:
	kch_debugfs_unregister();
	kch_state_unload();
	return err;
}
module_init(kch_init);

static void __exit kch_exit(void)
{
	kch_luo_unregister();
	kch_device_unregister();
	kch_debugfs_unregister();
	kch_state_unload();
}
module_exit(kch_exit);

MODULE_DESCRIPTION("Hands guests' kvmclock and TSC offsets over a host kexec");
MODULE_VERSION(KCH_MODULE_VERSION);
MODULE_LICENSE("GPL");
