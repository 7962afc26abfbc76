// SPDX-License-Identifier: GPL-2.0
/* /dev/kvmclock_handover: who may open it, and which ioctl is which. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "clock_fd.h"
#include "device.h"
#include "ioctl/ioctl.h"
#include "ioctl/records.h"
#include "ioctl/vms.h"
#include "restore/restore.h"
#include "state/state.h"

static int do_restore(void *context, void *arg, struct kch_message *message)
{
	int err = kch_restore(&kch.incoming, arg, context, message);

	kch_state_restored(arg, err);
	return err;
}

static int do_wait(void *context, void *arg, struct kch_message *message)
{
	return kch_restore_wait(context, arg, message);
}

static const struct kch_ioctl_op ops[] = {
	[_IOC_NR(KCH_IOC_INFO)] = KCH_IOCTL_OP(kch_do_info, kch_info),
	[_IOC_NR(KCH_IOC_PRESERVE)] = KCH_IOCTL_OP(kch_do_preserve, kch_preserve),
	[_IOC_NR(KCH_IOC_UNPRESERVE)] = KCH_IOCTL_OP(kch_do_unpreserve, kch_unpreserve),
	[_IOC_NR(KCH_IOC_LIST)] = KCH_IOCTL_OP(kch_do_list, kch_list),
	[_IOC_NR(KCH_IOC_GET)] = KCH_IOCTL_OP(kch_do_get, kch_get),
	[_IOC_NR(KCH_IOC_READ)] = KCH_IOCTL_OP(kch_do_read, kch_read),
	[_IOC_NR(KCH_IOC_RESTORE)] = KCH_IOCTL_OP(do_restore, kch_restore),
	[_IOC_NR(KCH_IOC_FINISH)] = KCH_IOCTL_OP(kch_do_finish, kch_finish),
	[_IOC_NR(KCH_IOC_ADOPT)] = KCH_IOCTL_OP(kch_do_adopt, kch_adopt),
	[_IOC_NR(KCH_IOC_CLOCK_FD)] = {
		.fn = kch_clock_fd,
		.end = kch_clock_fd_end,
		.size = sizeof(struct kch_clock_fd),
		.first = offsetofend(struct kch_clock_fd, message),
		.message = offsetof(struct kch_clock_fd, message),
	},
	[_IOC_NR(KCH_IOC_WAIT)] = KCH_IOCTL_OP(do_wait, kch_restore),
};

static long kch_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return capable(CAP_SYS_ADMIN) ?
	       kch_ioctl_run(ops, ARRAY_SIZE(ops), file->private_data, cmd, arg) : -EPERM;
}

static int kch_open(struct inode *inode, struct file *file)
{
	struct kch_holder *holder;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	holder = kzalloc(sizeof(*holder), GFP_KERNEL);
	if (!holder)
		return -ENOMEM;
	kch_holder_init(holder);
	file->private_data = holder;
	return 0;
}

static int kch_release(struct inode *inode, struct file *file)
{
	kch_holder_exit(file->private_data);
	kfree(file->private_data);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = kch_open,
	.release = kch_release,
	.unlocked_ioctl = kch_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kvmclock_handover",
	.fops = &fops,
	.mode = 0600,
};

int kch_device_register(void)
{
	return misc_register(&device);
}

void kch_device_unregister(void)
{
	misc_deregister(&device);
}
