// SPDX-License-Identifier: GPL-2.0
/* What the code of the record asks of the kernel and of KVM, as the model has it. */
#include "model.h"
#include "core/machine.h"
#include "host/host.h"
#include "kvm/common.h"
#include "region/region.h"
#include "watch/watch.h"

u32 tsc_khz = KHZ;
struct kvm vms[VMS];
u64 now_tsc, wall_ns, boot, started_tsc;
bool kho_came;
volatile bool sealing;

struct kch_watch {
	struct kvm *vm;
	pid_t pid;		/* of the VM: another one may have taken its place */
};

void *kch_alloc(size_t size)
{
	/* The reboot path has to do without. */
	if (sealing) {
		puts("# memory was asked for in a seal");
		exit(1);
	}
	return calloc(1, size ?: 1);
}

u64 rdtsc_ordered(void)
{
	return now_tsc;
}

void kch_host_instant(struct kch_instant *now)
{
	memset(now, 0, sizeof(*now));
	now->host_tsc = now_tsc;
	now->realtime_ns = wall_ns + now_tsc;
	now->kvm_ns = now_tsc;
}

void kch_host_boot_id(u8 id[16])
{
	memset(id, 0, 16);
	memcpy(id, &boot, sizeof(boot));
}

void kch_host_describe(struct kch_rec_header *header, u32 kvm_khz)
{
	header->tsc_khz = cpu_to_le32(KHZ);
	header->kvm_tsc_khz = cpu_to_le32(kvm_khz);
	header->host_tsc = cpu_to_le64(now_tsc);
	header->realtime_ns = cpu_to_le64(wall_ns + now_tsc);
	kch_host_boot_id(header->boot_id);
}

int kch_host_same_machine(const struct kch_rec_header *header, bool any_wall,
			  struct kch_outcome *outcome, struct kch_message *message)
{
	const struct kch_machine now = {
		.host_tsc = now_tsc,
		.realtime_ns = wall_ns + now_tsc,
	};

	return kch_machine_same(header, &now, any_wall, outcome, message);
}

u64 kch_host_started_tsc(void)
{
	return started_tsc;
}

void kch_region_hold(const struct kch_region *r, bool needed)
{
}

void kch_region_finish_incoming(struct kch_region *r)
{
	r->incoming = NULL;
	r->incoming_size = 0;
	kho_came = false;
}

struct kvm *kch_kvm_of(const struct file *vm_file)
{
	return container_of(vm_file, struct kvm, file);
}

pid_t kch_kvm_pid(const struct kvm *kvm)
{
	return kvm->pid;
}

/* A clock's number is in every number that makes the function. */
int kch_kvm_read_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
		    struct kch_message *message)
{
	struct kch_rec_vcpu *vcpu;
	struct kch_clock clock;
	u32 i;

	memset(to, 0, kch_rec_entry_size(kvm->vcpus));
	to->vcpu_count = cpu_to_le32(kvm->vcpus);
	to->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	to->master_cycle_now = cpu_to_le64(kvm->clock);
	to->master_kernel_ns = cpu_to_le64(kvm->clock);
	to->kvmclock_offset = cpu_to_le64(kvm->clock);
	to->host_tsc = cpu_to_le64(now_tsc);
	to->tsc_scaling_frac_bits = 32;
	to->pid = cpu_to_le32(kvm->pid);
	vcpu = (struct kch_rec_vcpu *)(to + 1);
	for (i = 0; i < kvm->vcpus; i++, vcpu++) {
		vcpu->vcpu_id = cpu_to_le32(i);
		vcpu->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
		vcpu->tsc_offset = cpu_to_le64(kvm->clock);
		vcpu->tsc_scaling_ratio = cpu_to_le64(1ULL << 32);
		vcpu->virtual_tsc_khz = cpu_to_le32(KHZ);
		vcpu->hw_tsc_khz = cpu_to_le32(KHZ);
		vcpu->tsc_to_system_mul = cpu_to_le32(0x80000000);
		vcpu->tsc_shift = 1;
	}
	kch_clock_of(to, (struct kch_rec_vcpu *)(to + 1), &clock);
	to->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, now_tsc));
	return 0;
}

int kch_kvm_read_exact_to(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm *to, u32 vcpus,
			  struct kch_message *message)
{
	return kch_kvm_read_to(kvm, frac_bits, to, vcpus, message);
}

u32 kch_kvm_vcpus_max(void)
{
	return VCPUS_MAX;
}

int kch_kvm_read_exact(struct kvm *kvm, u8 frac_bits, struct kch_rec_vm **entry,
		       struct kch_message *message)
{
	*entry = kch_alloc(kch_rec_entry_size(kvm->vcpus));
	return kch_kvm_read_to(kvm, frac_bits, *entry, kvm->vcpus, message);
}

struct kch_watch *kch_watch_start(struct file *vm_file)
{
	struct kch_watch *watch = kch_alloc(sizeof(*watch));

	watch->vm = kch_kvm_of(vm_file);
	watch->pid = watch->vm->pid;
	return watch;
}

void kch_watch_stop(struct kch_watch *watch)
{
	free(watch);
}

void kch_watch_call(struct kch_watch *watch, const struct kch_rec_vm *entry)
{
}

/* NULL once it was let go. */
static struct kvm *watched(const struct kch_watch *watch)
{
	if (!watch || watch->vm->pid != watch->pid || watch->vm->looked)
		return NULL;
	return watch->vm;
}

struct file *kch_watch_get(struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm && vm->alive ? get_file(&vm->file) : NULL;
}

struct file *kch_watch_get_last(struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm ? get_file(&vm->file) : NULL;
}

bool kch_watch_gone(const struct kch_watch *watch)
{
	struct kvm *vm = watched(watch);

	return vm && !vm->alive;
}

bool kch_watch_is(const struct kch_watch *watch, const struct file *vm_file)
{
	struct kvm *vm = watched(watch);

	return vm && vm->alive && &vm->file == vm_file;
}

struct file *kch_watch_next_vm(pid_t pid, unsigned int *fd)
{
	for (; *fd < VMS; (*fd)++)
		if (vms[*fd].alive && vms[*fd].pid == pid)
			return get_file(&vms[(*fd)++].file);
	return NULL;
}
