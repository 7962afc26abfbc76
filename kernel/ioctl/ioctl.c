// SPDX-License-Identifier: GPL-2.0
/* What all ioctls share: taking their structure from user space, and giving it back. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "core/forged.h"
#include "ioctl/ioctl.h"

/* The structures are user ABI: they may grow, not move. */
static_assert(sizeof(struct kch_info) == 352);
static_assert(sizeof(struct kch_preserve) == 368);
static_assert(sizeof(struct kch_unpreserve) == 280);
static_assert(sizeof(struct kch_entry) == 96);
static_assert(sizeof(struct kch_list) == 288);
static_assert(sizeof(struct kch_get) == 296);
static_assert(sizeof(struct kch_read) == 312);
static_assert(sizeof(struct kch_outcome) == 80);
static_assert(sizeof(struct kch_restore) == 392);
static_assert(sizeof(struct kch_finish) == 272);
static_assert(sizeof(struct kch_adopt) == 296);
static_assert(sizeof(struct kch_clock_fd) == 368);

int kch_ioctl_flags(u32 flags, u32 known, struct kch_message *message)
{
	if (!(flags & ~known))
		return 0;
	kch_say(message, "flags %#x, known are %#x", flags, known);
	return -EINVAL;
}

int kch_ioctl_reserved(u32 reserved, struct kch_message *message)
{
	if (!reserved)
		return 0;
	kch_say(message, "reserved member is %#x, must be 0", reserved);
	return -EINVAL;
}

int kch_ioctl_names(const u8 uuid[KCH_UUID_SIZE], const char name[KCH_NAME_SIZE],
		    struct kch_message *message)
{
	size_t end = kch_printable(name, KCH_NAME_SIZE);

	if (!memchr_inv(uuid, 0, KCH_UUID_SIZE))
		kch_say(message, "the id is all zero");
	else if (end == KCH_NAME_SIZE)
		kch_say(message, "the name has no end within %u bytes", KCH_NAME_SIZE);
	else if (name[end])
		kch_say(message, "the name has the control character %#x at byte %zu",
			(u8)name[end], end);
	else
		return 0;
	return -EINVAL;
}

int kch_ioctl_give_bytes(u64 to, const void *data, size_t size, const char *what,
			 struct kch_message *message)
{
	if (!copy_to_user(u64_to_user_ptr(to), data, size))
		return 0;
	kch_say(message, "%s at %#llx: %zu bytes cannot be written there", what, to, size);
	return -EFAULT;
}

int kch_ioctl_give(u64 buffer, u32 *buffer_size, const void *data, size_t size,
		   struct kch_message *message)
{
	u32 room = *buffer_size;

	*buffer_size = size;
	if (room < size) {
		kch_say(message, "buffer of %u bytes, %zu are needed", room, size);
		return -ENOBUFS;
	}
	return kch_ioctl_give_bytes(buffer, data, size, "buffer", message);
}

long kch_ioctl_run(const struct kch_ioctl_op *ops, unsigned int count, void *context,
		   unsigned int cmd, unsigned long user_arg)
{
	const struct kch_ioctl_op *op = ops + _IOC_NR(cmd);
	void __user *user = (void __user *)user_arg;
	struct kch_message *message;
	void *arg;
	u32 size;
	int err;

	if (_IOC_NR(cmd) >= count || cmd != _IO(KCH_IOC_TYPE, _IOC_NR(cmd)) || !op->fn)
		return -ENOTTY;
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	/* What a newer program may have behind it is looked at byte by byte. */
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < op->first)
		return -EINVAL;
	arg = kzalloc(op->size + KCH_IOCTL_REST, GFP_KERNEL);
	if (!arg)
		return -ENOMEM;
	err = copy_struct_from_user(arg, op->size, user, size);
	if (err)
		goto out;
	message = arg + op->message;
	memset(message, 0, sizeof(*message));
	/* What the caller's version of it has room for. */
	size = min(size, op->size);
	/* An answer that could not be given must not be found out afterwards. */
	if (copy_to_user(user, arg, size)) {
		err = -EFAULT;
		goto out;
	}
	err = op->fn(context, arg, message);
	if (err == -ENOMEM && !message->text[0])
		kch_say(message, "the kernel has no memory for it: nothing was changed");
	/* Interrupted, it is called again with the same arguments. */
	if (err == -EINTR ?
	    copy_to_user(user + op->message, message, sizeof(*message)) :
	    copy_to_user(user, arg, size))
		err = -EFAULT;
	if (op->end)
		op->end(arg, !err);
out:
	kfree(arg);
	return err;
}
