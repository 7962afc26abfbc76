// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * After the kexec: giving a VM its saved clock.  The module does it all; what it
 * cannot give exactly is given here in a weaker mode, if the caller accepts that.
 */
#include "converge.h"

static int ask_module(struct kch_handle *handle, int vm_fd,
		      const uint8_t uuid[KCH_UUID_SIZE],
		      const struct kch_restore_opts *opts,
		      struct kch_restore_result *result)
{
	struct kch_restore restore = {
		.size = sizeof(restore),
		.flags = opts->flags & ~KCH_RESTORE_BEST_EFFORT,
		.vm_fd = vm_fd,
		.mode = opts->mode ? opts->mode : KCH_MODE_IDENTICAL,
		.outcome.vcpu_id = -1,
	};
	int err;

	memcpy(restore.uuid, uuid, sizeof(restore.uuid));
	err = kch_ioctl(handle, KCH_IOC_RESTORE, &restore, restore.message);
	result->outcome = restore.outcome;
	return err;
}

/*
 * What the module cannot give exactly may still be true in a weaker mode: there
 * is no master clock, the frequency is not settled, the ratio is another, KVM
 * is not understood.  All other refusals are about what was saved, or what is
 * there, and hold for every mode.
 */
static bool leaves_weaker_modes(int err)
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

/*
 * The next best, by KVM's own ioctls and the process that has the vCPUs; says what
 * the module said, which refused with @refusal.
 */
static int restore_weaker(struct kch_handle *handle, int vm_fd,
			  const struct kch_vcpu_fd *vcpus, size_t count,
			  const uint8_t uuid[KCH_UUID_SIZE],
			  const struct kch_restore_opts *opts, int refusal,
			  struct kch_restore_result *result)
{
	bool check = opts->flags & KCH_RESTORE_CHECK;
	char why[KCH_MESSAGE_SIZE];
	struct kch_target *target;
	int err;

	snprintf(why, sizeof(why), "%.*s", KCH_MESSAGE_SIZE - 1, handle->message);
	err = kch_target_new(handle, vm_fd, vcpus, count, &target);
	if (err)
		return err;
	err = kch_vm_get(handle, KCH_INCOMING, uuid, &target->saved);
	if (!err)
		err = kch_target_match(handle, target);
	if (!err)
		err = kch_target_remember(handle, target, false);
	if (err)
		goto free;
	kch_start(handle);
	err = kch_restore_weaker(handle, target, opts->mode, opts, result);
	if (err) {
		kch_also(handle, "; the module: %s", why);
		goto free;
	}
	result->refusal = -refusal;
	snprintf(handle->message, sizeof(handle->message), "%s%s: %s",
		 check ? "not identical" : "mode ",
		 check ? "" : kch_mode_name(result->outcome.mode), why);
free:
	kch_target_free(target);
	return err;
}

int kch_restore_opts_read(struct kch_handle *handle,
			  const struct kch_restore_opts *opts,
			  const struct kch_restore_result *result,
			  struct kch_restore_opts *to)
{
	int err;

	err = kch_options(opts, offsetofend(struct kch_restore_opts, mode), to,
			  sizeof(*to));
	if (err)
		return kch_fail(handle, err, "struct kch_restore_opts is %s",
				err == -E2BIG ? "of a newer version" : "too short");
	if (to->reserved)
		return kch_fail(handle, -EINVAL,
				"struct kch_restore_opts: reserved is not zero");
	if (to->rounds_max > KCH_ROUNDS_MAX)
		return kch_fail(handle, -EINVAL, "%u rounds, expected at most %u",
				to->rounds_max, KCH_ROUNDS_MAX);
	/* Now, not when everything was written. */
	if (result && result->sz < KCH_RESTORE_RESULT_MIN)
		return kch_fail(handle, -EINVAL,
				"struct kch_restore_result of %zu bytes, expected at least %zu",
				result->sz, KCH_RESTORE_RESULT_MIN);
	return 0;
}

int kch_vm_restore(struct kch_handle *handle, int vm_fd,
		   const struct kch_vcpu_fd *vcpus, size_t count,
		   const uint8_t uuid[KCH_UUID_SIZE],
		   const struct kch_restore_opts *opts,
		   struct kch_restore_result *result)
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
	    restore_opts.mode < KCH_MODE_IDENTICAL && leaves_weaker_modes(err))
		err = restore_weaker(handle, vm_fd, vcpus, count, uuid,
				     &restore_opts, err, &out);
	if (result)
		kch_output(result, KCH_RESTORE_RESULT_MIN, &out, sizeof(out));
	/* kch_output() cannot fail here, but sets errno when it would. */
	return err ? kch_error(err) : 0;
}
