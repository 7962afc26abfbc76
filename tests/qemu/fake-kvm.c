// SPDX-License-Identifier: GPL-2.0
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/kvmclock_handover.h>
#include "record.h"
#include "fake-kvm.h"

#define KHZ		2596124
#define OFFSET		(-61980743643LL)
#define MSR_TSC_DEADLINE 0x6e0
#define PUBLIC		__attribute__((visibility("default")))

PUBLIC struct fake_kvm fake_kvm = { .device_fd = -1, .vm_fd = -1 };
static struct fake_kvm *const fake = &fake_kvm;

#define add(counter, n) __atomic_add_fetch(&(counter), n, __ATOMIC_SEQ_CST)

static int fail(int err, char *message, const char *text)
{
	if (message)
		snprintf(message, KCH_MESSAGE_SIZE, "%s", text);
	errno = err;
	return -1;
}

PUBLIC int open(const char *path, int flags, ...)
{
	static int (*real)(const char *path, int flags, ...);
	mode_t mode = 0;
	va_list args;

	if (!real)
		real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
	if (!strcmp(path, KCH_DEVICE)) {
		if (fake->no_module)
			return fail(ENOENT, NULL, "");
		fake->device_fd = real("/dev/null", flags);
		return fake->device_fd;
	}
	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return real(path, flags, mode);
}

static int get(struct kch_get *get)
{
	struct {
		struct kch_rec_vm vm;
		struct kch_rec_vcpu vcpus[FAKE_VCPUS_MAX];
	} entry = {};
	uint32_t ratio = fake->record_ratio ?: 1, i;
	uint64_t age = fake->record_age_ns * (KHZ / 1000) / 1000;

	if (get->which != KCH_INCOMING || !fake->has_record)
		return fail(ENODATA, get->message, "no record came from before the kexec");
	memcpy(entry.vm.uuid, get->uuid, sizeof(entry.vm.uuid));
	entry.vm.vcpu_count = cpu_to_le32(fake->record_vcpus);
	entry.vm.flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	entry.vm.tsc_scaling_frac_bits = 32;
	if (age)
		entry.vm.host_tsc = cpu_to_le64(__builtin_ia32_rdtsc() - age);
	for (i = 0; i < fake->record_vcpus; i++) {
		entry.vcpus[i].vcpu_id = cpu_to_le32(i);
		entry.vcpus[i].tsc_offset = cpu_to_le64((uint64_t)OFFSET);
		entry.vcpus[i].tsc_scaling_ratio = cpu_to_le64((uint64_t)ratio << 32);
		entry.vcpus[i].virtual_tsc_khz = cpu_to_le32(KHZ * ratio);
		entry.vcpus[i].hw_tsc_khz = cpu_to_le32(KHZ * ratio);
	}
	get->buffer_size = sizeof(entry.vm) +
			   fake->record_vcpus * sizeof(entry.vcpus[0]);
	memcpy((void *)(uintptr_t)get->buffer, &entry, get->buffer_size);
	return 0;
}

static int read_vm(struct kch_read *read)
{
	struct kch_rec_vm *vm = (void *)(uintptr_t)read->buffer;

	if (!fake->pid)
		return fail(ECHILD, read->message, "no vCPU");
	memset(vm, 0, sizeof(*vm));
	if (fake->saved)
		memset(vm->uuid, 0x11, sizeof(vm->uuid));
	vm->pid = cpu_to_le32((uint32_t)fake->pid);
	read->buffer_size = sizeof(*vm);
	return 0;
}

static int restore(struct kch_restore *restore)
{
	if (restore->flags & KCH_RESTORE_CHECK)
		return 0;
	if (fake->restore_errno && fake->restore_errno_count-- > 0)
		return fail(fake->restore_errno, restore->message, "refused by the test");
	/* Long enough for every thread to come here that can. */
	usleep(50000);
	fake->busy_at_restore += __atomic_load_n(&fake->in_vcpu_ioctl,
						 __ATOMIC_SEQ_CST);
	restore->mode = KCH_MODE_IDENTICAL;
	fake->restores++;
	return 0;
}

static int device(unsigned long request, void *arg)
{
	struct kch_list *list = arg;
	struct kch_entry *entry;
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	fake->signals_open += !sigismember(&blocked, SIGUSR1);
	if (fake->interrupted > 0 && fake->interrupted--)
		return fail(EINTR, NULL, "");
	switch (request) {
	case KCH_IOC_INFO:
		((struct kch_info *)arg)->kvm_tsc_khz = KHZ;
		((struct kch_info *)arg)->tsc_khz = KHZ;
		((struct kch_info *)arg)->rec_vm_size = sizeof(struct kch_rec_vm);
		((struct kch_info *)arg)->rec_vcpu_size = sizeof(struct kch_rec_vcpu);
		return 0;
	case KCH_IOC_GET:
		return get(arg);
	case KCH_IOC_READ:
		return read_vm(arg);
	case KCH_IOC_RESTORE:
		return restore(arg);
	case KCH_IOC_PRESERVE:
		if (fake->saved)
			return fail(EEXIST, ((struct kch_preserve *)arg)->message, "saved already");
		fake->saved = true;
		fake->saved_live = true;
		fake->preserves++;
		return 0;
	case KCH_IOC_UNPRESERVE:
		if (!fake->saved)
			return fail(ENOENT, ((struct kch_unpreserve *)arg)->message, "no such VM");
		fake->saved = false;
		fake->unpreserves++;
		return 0;
	case KCH_IOC_LIST:
		if (list->count < fake->saved) {
			list->count = fake->saved;
			return fail(ENOBUFS, list->message, "too small");
		}
		list->count = fake->saved;
		if (fake->saved) {
			entry = (void *)(uintptr_t)list->entries;
			memset(entry, 0, sizeof(*entry));
			memset(entry->uuid, 0x11, sizeof(entry->uuid));
			entry->flags = fake->saved_live ? KCH_ENTRY_LIVE : 0;
			entry->pid = SAVED_PID;
		}
		return 0;
	}
	return fail(ENOTTY, NULL, "");
}

static void set_msrs(const struct kvm_msrs *msrs)
{
	uint32_t i;

	for (i = 0; i < msrs->nmsrs; i++)
		if (msrs->entries[i].index == MSR_TSC_DEADLINE && fake->restores) {
			add(fake->deadlines_after_restore, 1);
			fake->deadline = msrs->entries[i].data;
		}
}

static int vcpu(unsigned long request, void *arg)
{
	int result = 0;

	add(fake->in_vcpu_ioctl, 1);
	switch (request) {
	case KVM_RUN:
		if (fake->has_record && !fake->restores)
			add(fake->runs_before_restore, 1);
		add(fake->runs, 1);
		break;
	case KVM_SET_DEVICE_ATTR:
		add(fake->offsets_written, 1);
		break;
	case KVM_GET_REGS:
		/* Long enough to be seen by a restore at the same time. */
		usleep(500);
		break;
	case KVM_GET_TSC_KHZ:
		result = KHZ;
		break;
	case KVM_SET_MSRS:
		set_msrs(arg);
		result = (int)((struct kvm_msrs *)arg)->nmsrs;
		break;
	}
	add(fake->in_vcpu_ioctl, -1);
	return result;
}

static int vm(unsigned long request, void *arg)
{
	switch (request) {
	case KVM_CREATE_VCPU:
		fake->vcpu_fds[fake->vcpu_count] = dup(fake->vm_fd);
		return fake->vcpu_fds[fake->vcpu_count++];
	case KVM_GET_TSC_KHZ:
		fake->prepares++;
		return KHZ;
	case KVM_GET_CLOCK:
		((struct kvm_clock_data *)arg)->clock = 1000;
		return 0;
	case KVM_SET_CLOCK:
		return 0;
	}
	return fail(ENOTTY, NULL, "");
}

PUBLIC int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int i;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	request = (uint32_t)request;
	if (fd == fake->device_fd)
		return device(request, arg);
	if (request == KVM_CREATE_VM)
		return fake->vm_fd = dup(fd);
	if (fd == fake->vm_fd)
		return vm(request, arg);
	for (i = 0; i < fake->vcpu_count; i++)
		if (fd == fake->vcpu_fds[i])
			return vcpu(request, arg);
	return fail(ENOTTY, NULL, "");
}
