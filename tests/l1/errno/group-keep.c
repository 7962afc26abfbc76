// SPDX-License-Identifier: GPL-2.0
/* Restored VMs that run on, at another frequency than their host's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "clock.h"

#include "check.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

#define PPM		2000	/* so much that some seconds show it */
#define LOOKS		24	/* at what the module keeps */
#define LOOKS_LATE	8	/* take longer than the module's next one may be late */

struct clocks {
	struct kch_rec_vm vm;
	struct kch_rec_vcpu vcpus[4];
};

static void set_pair(struct kch_rec_vcpu *vcpu, uint32_t khz)
{
	uint32_t mul;
	int8_t shift;

	kch_pvclock_pair(khz, &mul, &shift);
	vcpu->tsc_to_system_mul = cpu_to_le32(mul);
	vcpu->tsc_shift = shift;
	vcpu->hw_tsc_khz = cpu_to_le32(khz);
}

/* The record of scene.vm, by a kernel that took its TSC for @apart of a million faster. */
static void forge(uint32_t khz, int apart, int apart_of_second)
{
	static struct forged forged;

	forge_begin(&forged);
	forge_add(&forged, &scene.vm, ID_SAVED);
	set_pair(forge_vcpu(&forged, 0), khz + khz / 1000000 * apart);
	set_pair(forge_vcpu(&forged, 1), khz + khz / 1000000 * apart_of_second);
	forge_close(&forged);
	scene_reload(&forged);
}

static struct clocks read_clocks(const struct vm *vm, struct kch_read *read)
{
	struct clocks clocks = { };
	struct kch_read arg = {
		.size = sizeof(arg),
		.vm_fd = vm->fd,
		.buffer = (uintptr_t)&clocks,
		.buffer_size = sizeof(clocks),
	};

	if (device_call(KCH_IOC_READ, &arg))
		die("READ: %s", arg.message);
	*read = arg;
	return clocks;
}

/* The guest's clock is the one that was restored, and KVM says so within the bound. */
static void check_agreement(const struct clocks *restored, const struct vm *vm,
			    uint64_t bound_ns, const char *when)
{
	struct kch_clock was, is;
	struct kch_read read;
	struct clocks live = read_clocks(vm, &read);
	struct kvm_clock_data says = vm_clock(vm);
	int64_t off_ns;

	kch_clock_of(&restored->vm, &restored->vcpus[0], &was);
	kch_clock_of(&live.vm, &live.vcpus[0], &is);
	check(kch_clock_same(&was, &is), "%s: another function", when);
	check(read.rebase_bound_ns && read.rebase_bound_ns <= bound_ns + 1000 &&
	      llabs(read.rebase_step_ns) <= (int64_t)bound_ns,
	      "%s: a step of %lld ns, bound %llu, at the restore %llu", when,
	      read.rebase_step_ns, read.rebase_bound_ns, (unsigned long long)bound_ns);
	if (!check(says.flags & KVM_CLOCK_HOST_TSC, "%s: KVM_GET_CLOCK gives no TSC", when))
		return;
	off_ns = says.clock - kch_clock_ns(&was, says.host_tsc);
	check(llabs(off_ns) <= (int64_t)bound_ns, "%s: KVM_GET_CLOCK is %lld ns off, bound %llu",
	      when, (long long)off_ns, (unsigned long long)bound_ns);
}

/*
 * The module looks once a second by jiffies, and its bound allows for two.  An emulated host
 * that does not get its time loses ticks: so far jiffies are behind, but for a constant.
 */
static int64_t behind_ns(void)
{
	int64_t ticks = times(NULL);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec -
	       ticks * (1000000000LL / sysconf(_SC_CLK_TCK));
}

/* What the clocks drift apart in the time by which a look may have been late. */
static uint64_t late_ns(const int64_t behind[], int i, uint32_t khz)
{
	int64_t late = behind[i] - behind[i < LOOKS_LATE ? 0 : i - LOOKS_LATE];

	return late > 0 ? late * (khz / 1000000 * PPM) / khz : 0;
}

static void keeps_young(uint32_t khz)
{
	int64_t behind[2 * LOOKS + 1];
	struct clocks restored, live;
	struct kch_restore arg;
	struct kch_read read;
	int i, moved = 0;
	uint64_t reference;

	forge(khz, PPM, PPM);
	/* Longer than a step, or there is nothing to move yet. */
	usleep(9000000);
	behind[0] = behind_ns();
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	check(arg.outcome.mode == KCH_MODE_IDENTICAL &&
	      arg.outcome.page == KCH_PAGE_SAME_FUNCTION && !arg.outcome.error_ns &&
	      arg.outcome.rebase_bound_ns > 1000000 &&
	      arg.outcome.rebase_bound_ns < 40000000,
	      "mode %u, page %u, %lld ns, bound %llu ns", arg.outcome.mode, arg.outcome.page,
	      arg.outcome.error_ns,
	      arg.outcome.rebase_bound_ns);
	restored = read_clocks(&scene.vm, &read);
	reference = restored.vm.master_cycle_now;
	vm_start(&scene.vm, 0);
	for (i = 1; i <= LOOKS; i++) {
		behind[i] = behind_ns();
		check_agreement(&restored, &scene.vm, arg.outcome.rebase_bound_ns +
				late_ns(behind, i, khz), "kept");
		live = read_clocks(&scene.vm, &read);
		moved += live.vm.master_cycle_now != reference;
		reference = live.vm.master_cycle_now;
		usleep(500000);
	}
	vm_stop(&scene.vm);
	if (late_ns(behind, LOOKS, khz))
		printf("# condition kept: jiffies fell %lld ms behind\n",
		       (long long)(behind[LOOKS] - behind[0]) / 1000000);
	check(moved >= 2, "its reference was moved %d times in 12 s", moved);

	/* A vCPU that nobody helps has KVM's pair, and soon the VM's. */
	vm_add(&scene.vm, 2);
	vm_set_offset(&scene.vm, 2, SCENE_OFFSET);
	vm_run_once(&scene.vm, 2);
	i = LOOKS;
	do {
		usleep(500000);
		behind[++i] = behind_ns();
		live = read_clocks(&scene.vm, &read);
	} while (live.vcpus[2].tsc_to_system_mul != restored.vcpus[0].tsc_to_system_mul &&
		 i < 2 * LOOKS);
	check(live.vcpus[2].tsc_to_system_mul == restored.vcpus[0].tsc_to_system_mul &&
	      live.vcpus[2].tsc_shift == restored.vcpus[0].tsc_shift &&
	      live.vcpus[0].tsc_to_system_mul == restored.vcpus[0].tsc_to_system_mul,
	      "added: mul %u, the VM's %u", live.vcpus[2].tsc_to_system_mul,
	      restored.vcpus[0].tsc_to_system_mul);
	check(llabs(read.rebase_step_ns) <=
	      (int64_t)(read.rebase_bound_ns + late_ns(behind, i, khz)),
	      "added: a step of %lld ns, bound %llu", read.rebase_step_ns,
	      read.rebase_bound_ns);
}

/* vCPUs that came with two rates have them for good, whatever KVM says. */
static void keeps_two_rates(uint32_t khz)
{
	struct clocks restored, live;
	struct kch_restore arg;
	struct kch_read read;
	uint32_t i;

	forge(khz, PPM, PPM / 2);
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	restored = read_clocks(&scene.vm, &read);
	for (i = 0; i < 2; i++)
		vm_run_once(&scene.vm, i);
	sleep_jiffies(3);
	live = read_clocks(&scene.vm, &read);
	for (i = 0; i < 2; i++)
		check(live.vcpus[i].tsc_to_system_mul == restored.vcpus[i].tsc_to_system_mul &&
		      live.vcpus[i].tsc_shift == restored.vcpus[i].tsc_shift,
		      "two rates: vCPU %u has mul %u, it had %u", i,
		      live.vcpus[i].tsc_to_system_mul, restored.vcpus[i].tsc_to_system_mul);
	check(live.vcpus[0].tsc_to_system_mul != live.vcpus[1].tsc_to_system_mul, "one rate");
}

static void again(void)
{
	snapshot_watch_none();
	vm_destroy(&scene.vm);
	vm_create_ready(&scene.vm, 2, SCENE_OFFSET);
}

void test_keep(void)
{
	struct kch_restore arg;
	struct kch_info info;

	scene_begin();
	device_info(&info);
	keeps_young(info.kvm_tsc_khz);
	again();
	keeps_two_rates(info.kvm_tsc_khz);

	/* A VM that is gone is nobody's, and one that is there is told of. */
	again();
	kernel_said("");
	forge(info.kvm_tsc_khz, PPM, PPM);
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	again();
	sleep_jiffies(3);
	module_unload();
	check(!kernel_said("is not kept any more"), "told of a VM that is gone");
	module_load();
	forge(info.kvm_tsc_khz, PPM, PPM);
	check(!restore(&scene.vm, ID_SAVED, 0, &arg), "%s", arg.message);
	module_unload();
	check(kernel_said("is not kept any more") == 1, "nothing is said of a VM that is left");
	module_load();
	scene_end();
}
