// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * After the kexec, without the module: the clock in the bytes that kch_stock_save()
 * made, this machine compared with the one they are from, and the restore.
 */
#include <cpuid.h>
#include <sys/utsname.h>
#include <kvmclock-handover-stock.h>
#include "hide.h"
#include "kvm.h"
#include "restore.h"
#include "stock.h"
#include "wall.h"
#include "weaker.h"

#define PRODUCT_UUID_FILE	"/sys/class/dmi/id/product_uuid"

/* Only the module holds a VM, or notes that it has its clock by other means. */
#define STOCK_FLAGS	((KCH_RESTORE_FLAGS & ~(KCH_RESTORE_HOLD | KCH_RESTORE_ELSEWHERE)) | \
			 KCH_RESTORE_BEST_EFFORT)

void kch_this_machine(struct kch_machine *machine)
{
	char line[KCH_UUID_TEXT_SIZE];
	unsigned int a, b, c, d;
	struct kch_wall wall;

	memset(machine, 0, sizeof(*machine));
	/* All zero, not known: there is no DMI, or it is not for this user to read. */
	if (kch_read_line(PRODUCT_UUID_FILE, line, sizeof(line)))
		kch_uuid_parse(line, machine->id);
	__cpuid(0, a, b, c, d);
	memcpy(machine->cpu_vendor, &b, sizeof(machine->cpu_vendor));
	__cpuid(1, a, b, c, d);
	machine->cpu_signature = a;
	kch_wall_now(&wall);
	machine->host_tsc = wall.host_tsc;
	machine->realtime_ns = wall.realtime_ns;
}

void kch_fill_header(struct kch_rec_header *header, uint32_t host_khz)
{
	struct kch_machine machine;
	struct utsname name;
	struct kch_wall wall;

	kch_rec_header_init(header);
	kch_this_machine(&machine);
	header->flags = cpu_to_le32(KCH_REC_SEALED);
	header->tsc_khz = cpu_to_le32(host_khz);
	header->kvm_tsc_khz = cpu_to_le32(host_khz);
	memcpy(header->machine_id, machine.id, sizeof(header->machine_id));
	header->cpu_signature = cpu_to_le32(machine.cpu_signature);
	memcpy(header->cpu_vendor, machine.cpu_vendor, sizeof(header->cpu_vendor));
	uname(&name);
	snprintf(header->kernel_release, sizeof(header->kernel_release), "%.63s", name.release);
	snprintf(header->module_version, sizeof(header->module_version), "%s", KCH_VERSION);
	kch_wall_now(&wall);
	kch_wall_to(&wall, header);
}

/* What the record code does not demand, because the module can do without. */
static int check_vm(struct kch_handle *handle, const struct kch_vm *vm)
{
	uint32_t i;

	if (!vm->vcpu_count)
		return kch_fail(handle, -EBADMSG, "a clock without vCPUs");
	for (i = 0; i < vm->vcpu_count; i++)
		if (!(le32_to_cpu(vm->vcpus[i].flags) & KCH_VCPU_PAIR_VALID))
			return kch_fail(handle, -EBADMSG, "vCPU %u without a clock",
					le32_to_cpu(vm->vcpus[i].vcpu_id));
	return 0;
}

int kch_stock_parse(struct kch_handle *handle, const void *buffer, size_t size,
		    struct kch_rec_header *header, struct kch_vm **result)
{
	struct kch_message message = {};
	struct kch_record_vm found;
	struct kch_record record;
	size_t offset = 0;
	struct kch_vm *vm;
	int err;

	*result = NULL;
	err = kch_record_open(buffer, size, &record, &message);
	if (!err)
		err = kch_record_next(&record, &offset, &found, &message);
	if (err == -EBADE)
		err = -EBADMSG;
	if (err)
		return kch_fail(handle, err, "%s",
				message.text[0] ? message.text : "no VM is in it");
	if (record.vm_count != 1 || offset != record.total_size)
		return kch_fail(handle, -EBADMSG, "%u VMs, expected 1", record.vm_count);
	vm = kch_vm_new(handle, &found.vm, found.vcpu_count);
	if (!vm)
		return -ENOMEM;
	kch_record_copy(&found, &vm->entry);
	err = check_vm(handle, vm);
	if (err) {
		kch_vm_free(vm);
		return err;
	}
	*header = record.header;
	*result = vm;
	return 0;
}

int kch_stock_vm(struct kch_handle *handle, const void *buffer, size_t size, struct kch_vm **vm)
{
	struct kch_rec_header header;

	kch_start(handle);
	return kch_stock_parse(handle, buffer, size, &header, vm);
}

int kch_stock_prepare(struct kch_handle *handle, int vm_fd, const void *buffer, size_t size)
{
	struct kch_rec_header header;
	struct kch_reading clock;
	uint32_t khz, host_khz;
	struct kch_vm *vm;
	int err;

	kch_start(handle);
	err = kch_stock_parse(handle, buffer, size, &header, &vm);
	if (err)
		return err;
	/* Where vCPUs differ the restore sets each its own. */
	khz = le32_to_cpu(vm->vcpus[0].virtual_tsc_khz);
	kch_vm_free(vm);
	err = kch_kvm_khz(handle, &host_khz);
	/* Is it a VM?  Another file may accept the ioctls that follow. */
	if (!err)
		err = kch_read_clock(handle, vm_fd, host_khz, &clock);
	return err ? err : kch_set_khz(handle, vm_fd, khz, host_khz);
}

/* @is_known: both ids are there to be compared. */
static int same_machine(struct kch_handle *handle, const struct kch_rec_header *header,
			const struct kch_restore_opts *opts,
			struct kch_restore_result *result, bool *is_known)
{
	struct kch_machine machine;
	struct kch_message message = {};
	int err;

	kch_this_machine(&machine);
	*is_known = kch_machine_known(machine.id) && kch_machine_known(header->machine_id);
	err = kch_machine_same(header, &machine, opts->flags & KCH_RESTORE_ANY_WALL,
			       &result->outcome, &message);
	err = err ? err : kch_blackout_allowed(&result->outcome, opts->blackout_ms_max, &message);
	return err ? kch_fail(handle, err, "%s", message.text) : 0;
}

int kch_stock_restore(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		      size_t count, const void *buffer, size_t size,
		      const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	struct kch_restore_result out = { .outcome.vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	struct kch_rec_header header;
	struct kch_vm *saved;
	bool is_known = true;
	int err;

	kch_start(handle);
	err = kch_restore_opts_read(handle, opts, result, &restore_opts);
	if (err)
		return err;
	if (restore_opts.flags & ~STOCK_FLAGS ||
	    !strcmp(kch_mode_name(restore_opts.mode), "unknown"))
		return kch_fail(handle, -EINVAL, "flags %#x, or mode %u: not of a restore without the module",
				restore_opts.flags, restore_opts.mode);
	err = kch_stock_parse(handle, buffer, size, &header, &saved);
	if (!err)
		err = same_machine(handle, &header, &restore_opts, &out, &is_known);
	if (!err)
		err = kch_vm_hide(handle, saved, &header, restore_opts.policy,
				  restore_opts.limit_ms, &out);
	if (!err)
		err = kch_restore_weaker(handle, vm_fd, vcpus, count, saved, true,
					 restore_opts.mode ? restore_opts.mode :
							     KCH_MODE_CONVERGED,
					 &restore_opts, kch_note_given, &out);
	kch_vm_free(saved);
	if (!err)
		kch_start(handle);
	if (!err && !is_known)
		kch_also(handle, "it is not known whether this is the machine that the clock is from: its DMI product UUID is not known, now or when it was saved; CPU and TSC are as they were");
	return kch_restore_output(result, &out, err);
}
