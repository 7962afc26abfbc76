// SPDX-License-Identifier: GPL-2.0
/*
 * Built against the library where it is installed.  Names what needs all of it; runs
 * without module and KVM.
 */
#include <errno.h>
#include <stdio.h>
#include <kvmclock-handover-stock.h>

int main(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_open_opts opts = { .sz = sizeof(opts), .device = "/nowhere" };
	struct kch_handle *handle = kch_open_stock();
	uint8_t uuid[KCH_UUID_SIZE] = { 1 };
	size_t size = 0;

	if (handle && !kch_open(&opts) && errno == ENOENT &&
	    kch_stock_save(handle, -1, NULL, 0, uuid, NULL, NULL, &size) == -EINVAL &&
	    kch_stock_restore(handle, -1, NULL, 0, NULL, 0, NULL, &result) == -EBADMSG &&
	    kch_vm_restore(handle, -1, NULL, 0, uuid, NULL, &result) == -ENOTTY)
		puts(kch_mode_name(KCH_MODE_IDENTICAL));
	kch_close(handle);
	return 0;
}
