// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * After the kexec: giving a new VM the saved TSC frequency, and then the saved clock.
 * The module does the latter.  What it cannot give exactly is given in a weaker mode,
 * if the caller accepts that.
 */
#include "device.h"
#include "hide.h"
#include "kvm.h"
#include "restore.h"
#include "weaker.h"

/* The one frequency that all saved vCPUs had, for the new ones. */
static int saved_khz(struct kch_handle *handle, const struct kch_vm *vm, uint32_t *khz)
{
	const struct kch_rec_vcpu *other = kch_vm_other_khz(vm);

	*khz = le32_to_cpu(vm->vcpu_count ? vm->vcpus[0].virtual_tsc_khz :
					    vm->entry.default_tsc_khz);
	return !other ? 0 : kch_fail(handle, -ERANGE,
				     "saved vCPUs have TSC frequencies of %u and %u kHz: a VM has one frequency for new vCPUs",
				     *khz, le32_to_cpu(other->virtual_tsc_khz));
}

int kch_vm_prepare(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE])
{
	struct kch_info info = { .size = sizeof(info) };
	struct kch_reading clock;
	struct kch_vm *vm, *live;
	uint32_t khz, host_khz;
	int err;

	err = kch_vm_get(handle, KCH_INCOMING, uuid, &vm);
	if (err)
		return err;
	err = saved_khz(handle, vm, &khz);
	kch_vm_free(vm);
	if (err)
		return err;
	err = kch_info(handle, &info);
	if (err)
		return err;
	host_khz = info.kvm_tsc_khz ? info.kvm_tsc_khz : info.tsc_khz;

	/* By the module: is it a VM, and without vCPUs yet? */
	err = kch_vm_read(handle, vm_fd, &live, NULL);
	if (!err) {
		kch_vm_free(live);
		return kch_fail(handle, -EBUSY,
				"the VM has vCPUs already: its TSC frequency must be set before the first");
	}
	/*
	 * A handle of one clock cannot ask, and the module may not understand this KVM, which
	 * leaves weaker modes.  That it is a VM KVM tells, too.
	 */
	if (err == -ELIBBAD || err == -ENXIO || (err == -ENOTTY && handle->clock_fd))
		err = kch_read_clock(handle, vm_fd, host_khz, &clock);
	else if (err == -ECHILD)
		err = 0;
	if (err)
		return err;
	kch_start(handle);
	return kch_set_khz(handle, vm_fd, khz, host_khz);
}

static int ask_module(struct kch_handle *handle, int vm_fd, const uint8_t uuid[KCH_UUID_SIZE],
		      const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	struct kch_restore restore = {
		.size = sizeof(restore),
		.flags = opts->flags & ~KCH_RESTORE_BEST_EFFORT,
		.blackout_ms_max = opts->blackout_ms_max,
		.vm_fd = vm_fd,
		.mode = opts->mode ? opts->mode : KCH_MODE_IDENTICAL,
		.outcome.vcpu_id = -1,
		.policy = opts->policy,
		.limit_ms = opts->limit_ms,
	};
	int err;

	memcpy(restore.uuid, uuid, sizeof(restore.uuid));
	err = kch_ioctl(handle, KCH_IOC_RESTORE, &restore, restore.message);
	result->outcome = restore.outcome;
	result->policy = restore.policy;
	result->limit_ms = restore.limit_ms;
	result->hidden_ns = restore.hidden_ns;
	return err;
}

bool kch_leaves_weaker_modes(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
	case -EAGAIN:
	case -EPFNOSUPPORT:
	case -ERANGE:
	case -EOVERFLOW:
	case -ELIBBAD:
	case -ENXIO:
		return true;
	default:
		return false;
	}
}

void kch_went_weaker(struct kch_handle *handle, const struct kch_restore_opts *opts, int refusal,
		     const char *why, struct kch_restore_result *result)
{
	bool check = opts->flags & KCH_RESTORE_CHECK;

	result->refusal = -refusal;
	snprintf(handle->message, sizeof(handle->message), "%s%s: %s",
		 check ? "not identical" : "mode ",
		 check ? "" : kch_mode_name(result->outcome.mode), why);
}

/* So that nobody gives the guest that clock again; it cannot run before this returns to its VMM. */
static int note_elsewhere(struct kch_handle *handle, int vm_fd, const struct kch_vm *saved)
{
	struct kch_restore restore = {
		.size = sizeof(restore),
		.flags = KCH_RESTORE_ELSEWHERE,
		.vm_fd = vm_fd,
		.mode = KCH_MODE_IDENTICAL,
	};

	memcpy(restore.uuid, saved->entry.uuid, sizeof(restore.uuid));
	return kch_ioctl(handle, KCH_IOC_RESTORE, &restore, restore.message);
}

int kch_note_given(struct kch_handle *handle, int vm_fd, const struct kch_vm *saved)
{
	int err = handle->fd < 0 ? 0 : note_elsewhere(handle, vm_fd, saved);

	switch (err) {
	/* The record has nothing of this guest, */
	case -ENODATA:
	case -ENODEV:
	case -ENOENT:
	case -EBADMSG:
	case -EPROTONOSUPPORT:
	/* or another VM has got that, or is about to. */
	case -EALREADY:
	case -EBUSY:
		kch_start(handle);
		return 0;
	default:
		return err;
	}
}

/*
 * The strongest of the weaker modes, by KVM's own ioctls.  The message then says why
 * the module refused, which was with @refusal.
 */
static int restore_weaker(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
			  size_t count, const uint8_t uuid[KCH_UUID_SIZE],
			  const struct kch_restore_opts *opts, int refusal,
			  struct kch_restore_result *result)
{
	char why[KCH_MESSAGE_SIZE];
	struct kch_rec_header header;
	struct kch_vm *saved;
	int err;

	snprintf(why, sizeof(why), "%.*s", KCH_MESSAGE_SIZE - 1, handle->message);
	err = kch_vm_get(handle, KCH_INCOMING, uuid, &saved);
	if (!err)
		err = kch_header(handle, KCH_INCOMING, &header);
	/* By the policy that the module said, which knows the host's. */
	if (!err)
		err = kch_vm_hide(handle, saved, &header, result->policy, result->limit_ms, result);
	if (!err)
		err = kch_restore_weaker(handle, vm_fd, vcpus, count, saved, false,
					 opts->mode, opts, note_elsewhere, result);
	kch_vm_free(saved);
	if (err) {
		kch_also(handle, "; the module: %s", why);
		return err;
	}
	kch_went_weaker(handle, opts, refusal, why, result);
	return 0;
}

int kch_vm_restore(struct kch_handle *handle, int vm_fd, const struct kch_vcpu_fd *vcpus,
		   size_t count, const uint8_t uuid[KCH_UUID_SIZE],
		   const struct kch_restore_opts *opts, struct kch_restore_result *result)
{
	struct kch_restore_result out = { .outcome.vcpu_id = -1 };
	struct kch_restore_opts restore_opts;
	int err;

	kch_start(handle);
	err = kch_restore_opts_read(handle, opts, result, &restore_opts);
	if (err)
		return err;
	if (!vcpus && count)
		return kch_fail(handle, -EINVAL, "%zu vCPUs at no address", count);
	err = ask_module(handle, vm_fd, uuid, &restore_opts, &out);
	if (err && vcpus && restore_opts.mode &&
	    restore_opts.mode < KCH_MODE_IDENTICAL && kch_leaves_weaker_modes(err))
		err = restore_weaker(handle, vm_fd, vcpus, count, uuid, &restore_opts, err, &out);
	return kch_restore_output(result, &out, err);
}
