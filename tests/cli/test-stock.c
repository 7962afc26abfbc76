// SPDX-License-Identifier: GPL-2.0
/*
 * The library without the module, against the KVM of fake.c, whose clock runs by this
 * machine's TSC: what is saved, what a restore reaches, what it reports, and that a
 * refusal leaves nothing changed.
 */
#include <fcntl.h>
#include <unistd.h>

#include "slots.h"
#include "stock.h"

/* For the tool to show. */
static void keep(void)
{
	const char *path = getenv("STOCK_FILE");
	FILE *file = path ? fopen(path, "we") : NULL;

	if (!file)
		return;
	fwrite(buffer, 1, size, file);
	fclose(file);
}

static void test_save(void)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm = NULL;

	set_up();
	size = 0;
	check_err(kch_stock_save(handle, FAKE_VM_FD, vcpus, 2, uuid, NULL, NULL,
				 &size), ENOBUFS);
	ktap_check(size == 320 + 192 + 2 * 64, "%zu", size);
	check_err(save(), 0);
	ktap_check(size == 320 + 192 + 2 * 64, "%zu", size);
	ktap_check(!fake.log[0], "saving writes: %s", fake.log);
	keep();
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	if (!vm)
		return;
	ktap_check(!kch_vm_info(vm, &info), "errno %d", errno);
	ktap_check(info.vcpu_count == 2 && !strcmp(info.name, "web1") &&
		   info.flags == KCH_VM_INFO_MASTER_CLOCK, "%u '%s' %#x",
		   info.vcpu_count, info.name, info.flags);
	ktap_check(info.master_cycle_now == kvm_clock.reference_cycles, "%lu",
		   info.master_cycle_now);
	ktap_check(info.master_kernel_ns + (uint64_t)info.kvmclock_offset ==
		   kvm_clock.reference_ns, "%lu", info.master_kernel_ns);
	ktap_check(!kch_vm_vcpu(vm, 1, &vcpu), "errno %d", errno);
	ktap_check(vcpu.vcpu_id == 1 && vcpu.tsc_offset == OFFSET &&
		   vcpu.tsc_scaling_ratio == 1 && vcpu.ia32_tsc_adjust == -5 &&
		   vcpu.virtual_tsc_khz == TSC_KHZ, "%u %#lx %lu %ld %u",
		   vcpu.vcpu_id, vcpu.tsc_offset, vcpu.tsc_scaling_ratio,
		   vcpu.ia32_tsc_adjust, vcpu.virtual_tsc_khz);
	ktap_check(vcpu.tsc_to_system_mul == pages[1].mul &&
		   vcpu.tsc_shift == pages[1].shift, "%u %d",
		   vcpu.tsc_to_system_mul, vcpu.tsc_shift);
	kch_vm_free(vm);
}

/* KVM evaluates at the host's frequency; the page may be of another kernel. */
static void test_save_old_pair(void)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm *vm = NULL;

	set_up();
	kch_pvclock_pair(TSC_KHZ + 40, &pages[0].mul, &pages[0].shift);
	pages[1] = pages[0];
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	if (!vm)
		return;
	kch_vm_vcpu(vm, 0, &vcpu);
	ktap_check(vcpu.tsc_to_system_mul == pages[0].mul, "%u",
		   vcpu.tsc_to_system_mul);
	kch_vm_free(vm);
}

/* Without pages: what KVM_GET_CLOCK says.  With a page of one vCPU: its reference. */
static void test_save_without_page(void)
{
	static const struct page never;
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm *vm = NULL;

	set_up();
	vcpus[0].pvclock = NULL;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	ktap_check(info.master_cycle_now == kvm_clock.reference_cycles, "%lu",
		   info.master_cycle_now);
	kch_vm_free(vm);
	/* One vCPU has not run since KVM took its present reference. */
	pages[0].tsc_timestamp -= 1000000000;
	pages[0].system_time -= 385000000;
	vcpus[0].pvclock = &pages[0];
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	ktap_check(info.master_cycle_now == kvm_clock.reference_cycles, "%lu",
		   info.master_cycle_now);
	kch_vm_free(vm);
	vcpus[0].pvclock = NULL;
	/* A page that KVM never wrote counts as none. */
	pages[1] = never;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	kch_vm_vcpu(vm, 1, &vcpu);
	ktap_check(info.master_cycle_now == info.host_tsc &&
		   info.master_kernel_ns == info.kvmclock_ns, "%lu %lu",
		   info.master_cycle_now, info.host_tsc);
	ktap_check(!(vcpu.flags & KCH_VCPU_INFO_PVCLOCK_ON), "%#x", vcpu.flags);
	kch_vm_free(vm);
}

#define refuse(expected) \
	do { \
		check_err(save(), expected); \
		ktap_check(!fake.log[0], "%s", fake.log); \
		set_up(); \
	} while (0)

static void test_save_refused(void)
{
	static const uint8_t zero[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE + 1];
	int kvm;

	set_up();
	check_err(kch_stock_save(handle, FAKE_VM_FD, vcpus, 0, uuid, NULL, buffer,
				 &size), EINVAL);
	size = sizeof(buffer);
	check_err(kch_stock_save(handle, FAKE_VM_FD, vcpus, 2, zero, NULL, buffer,
				 &size), EINVAL);
	memset(name, 'x', sizeof(name));
	name[KCH_NAME_SIZE] = '\0';
	check_err(kch_stock_save(handle, FAKE_VM_FD, vcpus, 2, uuid, name, buffer,
				 &size), ENAMETOOLONG);
	check_err(kch_stock_save(handle, FAKE_VM_FD, vcpus, 2, uuid, "web\n1", buffer,
				 &size), EINVAL);
	vcpus[1].vcpu_id = 0;
	refuse(EINVAL);
	fake.has_vcpu_ids = true;
	fake.vcpu_ids[1] = 5;
	refuse(EINVAL);
	fake.get_offset_errno[1] = ENOTTY;
	refuse(EBADFD);
	fake.get_offset_errno[1] = ENXIO;
	refuse(ENOSYS);
	fake.get_offset_errno[1] = EIO;
	refuse(EIO);
	/* Where it cannot be opened, the caller may have it open. */
	kvm = open("/dev/kvm", O_RDWR);
	check_err(kch_use_kvm(handle, 1 << 20), EBADF);
	check_err(kch_use_kvm(handle, STDIN_FILENO), EBADFD);
	check_err(kch_use_kvm(handle, kvm), 0);
	fake.no_kvm = ENOENT;
	check_err(save(), 0);
	check_err(kch_use_kvm(handle, -1), 0);
	refuse(ENXIO);
	pages[1].version = 9;
	refuse(EBADMSG);
	pages[1].mul = 0;
	refuse(EBADMSG);
	pages[1].shift = 32;
	refuse(EBADMSG);
	pages[1].shift = -32;
	refuse(EBADMSG);
	/* 300 ppm off, and no scaling: KVM would emulate it. */
	fake.vcpu_khz[1] = TSC_KHZ + 779;
	refuse(ENOTRECOVERABLE);
	fake.tsc_apart[1] = 1000000000;
	refuse(ELIBBAD);
	fake.tsc_apart[1] = (uint64_t)-1000000000;
	refuse(ELIBBAD);
}

/* Every bit of the reference: another page, or one that is out of date. */
static void test_save_broken_page(void)
{
	unsigned int byte, bit;

	for (byte = 8; byte < 24; byte++) {
		for (bit = 0; bit < 8; bit++) {
			set_up();
			((uint8_t *)&pages[0])[byte] ^= (uint8_t)(1U << bit);
			pages[1] = pages[0];
			/* A cycle or two may be less than a nanosecond. */
			if (byte == 8 && bit < 2)
				continue;
			check_err(save(), ESTALE);
		}
	}
	set_up();
	kvm_clock.reference_ns += 1000;
	check_err(save(), ESTALE);
}

static void test_restore(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	uint32_t mul;
	int8_t shift;

	saved_and_new(TSC_KHZ + 30);
	check_err(restore(NULL, &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED, "%u", result.outcome.mode);
	ktap_check(fake.offsets[0] == OFFSET && fake.offsets[1] == OFFSET,
		   "%#lx %#lx", fake.offsets[0], fake.offsets[1]);
	/* A constant delay is found in one round, to within 1 ns for each rounding. */
	ktap_check(result.rounds >= 2 && result.outcome.error_ns >= -1 &&
		   result.outcome.error_ns <= 1, "%lld ns in %u rounds", result.outcome.error_ns,
		   result.rounds);
	ktap_check(result.outcome.error_ns == true_error_ns(result.outcome.host_tsc),
		   "%lld reported, %ld is true", result.outcome.error_ns,
		   true_error_ns(result.outcome.host_tsc));
	kch_pvclock_pair(TSC_KHZ + 30, &mul, &shift);
	ktap_check(result.outcome.error_rate_ppb ==
		   kch_pair_ppb(pages[0].mul, pages[0].shift, mul, shift),
		   "%lld ppb", result.outcome.error_rate_ppb);
	ktap_check(result.outcome.error_rate_ppb < 0 && result.error_growth_ppb ==
		   (uint64_t)-result.outcome.error_rate_ppb + 1 + HOST_CLOCK_PPB, "%lu ppb",
		   result.error_growth_ppb);
	ktap_check(result.error_slack_ns == 0 && result.outcome.error_cycles == 0,
		   "%lu ns %lld cycles", result.error_slack_ns,
		   result.outcome.error_cycles);
	ktap_check(!strncmp(fake.log, SAVED_OFFSETS, strlen(SAVED_OFFSETS)), "%s",
		   fake.log);
	/* No ioctl was used that KVM does not have. */
	ktap_check(!fake.unknown, "%u unknown ioctls", fake.unknown);
}

/* A delay that varies: the rounds go on until the bound is met. */
static void test_restore_bound(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts), .bound_ns = 5,
					 .rounds_max = 1000 };
	struct kch_restore_result result = { .sz = sizeof(result) };

	saved_and_new(TSC_KHZ);
	kvm_clock.jitter_ns = 400;
	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.error_ns >= -5 && result.outcome.error_ns <= 5, "%lld ns",
		   result.outcome.error_ns);
	ktap_check(result.outcome.error_ns == true_error_ns(result.outcome.host_tsc), "%ld ns",
		   true_error_ns(result.outcome.host_tsc));
	ktap_check(result.rounds > 3, "%u rounds", result.rounds);
	/* An interruption now and then does not change the usual delay. */
	saved_and_new(TSC_KHZ);
	kvm_clock.interrupt_ns = 50000;
	opts.rounds_max = 5;
	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.error_ns >= -5 && result.outcome.error_ns <= 5, "%lld ns",
		   result.outcome.error_ns);
	saved_and_new(TSC_KHZ);
	kvm_clock.interrupt_ns = 50000;
	kvm_clock.jitter_ns = 400;
	opts.rounds_max = 1000;
	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.error_ns >= -5 && result.outcome.error_ns <= 5, "%lld ns",
		   result.outcome.error_ns);
	/* Without a bound: as small as in a good part of the rounds. */
	saved_and_new(TSC_KHZ);
	kvm_clock.jitter_ns = 400;
	opts.bound_ns = 0;
	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.error_ns >= -5 && result.outcome.error_ns <= 5, "%lld ns",
		   result.outcome.error_ns);
	ktap_check(result.rounds < 1000, "%u rounds", result.rounds);
}

/* The control: without a correction the error is the delay, which is refused. */
static void test_restore_bound_missed(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts), .bound_ns = 100,
					 .rounds_max = 1 };
	struct kch_restore_result result = { .sz = sizeof(result) };

	saved_and_new(TSC_KHZ);
	check_err(restore(&opts, &result), EDOM);
	ktap_check(result.outcome.mode == KCH_MODE_NONE && result.rounds == 1, "%u %u",
		   result.outcome.mode, result.rounds);
	ktap_check(result.outcome.found >= DELAY_NS - 2 && result.outcome.found <= DELAY_NS + 2 &&
		   result.outcome.expected == 100, "%llu %llu", result.outcome.found,
		   result.outcome.expected);
	check_unchanged();
	ktap_check(strstr(fake.log, "offset0=5555 offset1=5555 clock "), "%s",
		   fake.log);
	saved_and_new(TSC_KHZ);
	opts.flags = KCH_RESTORE_BEST_EFFORT;
	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED &&
		   result.outcome.error_ns == true_error_ns(result.outcome.host_tsc) &&
		   result.outcome.error_ns >= DELAY_NS - 2, "%u %lld", result.outcome.mode,
		   result.outcome.error_ns);
}

/* A timer that was armed goes by the TSC that the vCPU had then, until it is armed again. */
static void test_restore_deadline(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts), .bound_ns = 100,
					 .rounds_max = 1 };
	static const char set[] = "offset0=fffffff000000000 offset1=fffffff000000000 "
				  "deadline1=77 clock ";
	static const char back[] = "offset0=5555 offset1=5555 deadline1=77 clock ";

	saved_and_new(TSC_KHZ);
	fake.deadlines[1] = 0x77;
	check_err(restore(NULL, NULL), 0);
	ktap_check(!strncmp(fake.log, set, strlen(set)), "%s", fake.log);
	ktap_check(!fake.unknown, "%u unknown ioctls", fake.unknown);
	saved_and_new(TSC_KHZ);
	fake.deadlines[1] = 0x77;
	check_err(restore(&opts, NULL), EDOM);
	ktap_check(!strncmp(fake.log, set, strlen(set)) && strstr(fake.log, back), "%s", fake.log);
	check_unchanged();
	saved_and_new(TSC_KHZ);
	fake.deadlines[0] = 0x77;
	fake.deadline_stays = true;
	check_err(restore(NULL, NULL), EIO);
	ktap_check(strstr(kch_last_message(handle), "vCPU 0: its MSR_IA32_TSC_DEADLINE"), "'%s'",
		   kch_last_message(handle));
	check_unchanged();
}

/* Hidden is counted in cycles: by so many the TSC is back, and the clock by their ns. */
static void test_restore_policy(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts), .policy = KCH_POLICY_HIDE };
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_rec_vm *entry = (struct kch_rec_vm *)(buffer + sizeof(struct kch_rec_header));
	uint64_t cycles;
	int64_t ns;

	saved_and_new(TSC_KHZ);
	pass_ms(20);
	check_err(restore(&opts, &result), 0);
	cycles = OFFSET - fake.offsets[0];
	ns = (int64_t)kch_cycles_to_ns(cycles, TSC_KHZ);
	ktap_check(ns > 10000000 && result.hidden_ns == (uint64_t)ns &&
		   fake.offsets[1] == fake.offsets[0] && result.policy == KCH_POLICY_HIDE,
		   "%ld ns hidden, told are %lu", ns, result.hidden_ns);
	ns = true_error_ns(result.outcome.host_tsc) + ns - result.outcome.error_ns;
	ktap_check(ns >= -2 && ns <= 2 && result.outcome.mode == KCH_MODE_CONVERGED, "%ld ns", ns);

	opts.policy = KCH_POLICY_LIMIT;
	opts.limit_ms = 3600000;
	saved_and_new(TSC_KHZ);
	check_err(restore(&opts, &result), 0);
	ktap_check(!result.hidden_ns && fake.offsets[0] == OFFSET && result.limit_ms == 3600000,
		   "%lu ns hidden", result.hidden_ns);
	opts.limit_ms = 0;
	saved_and_new(TSC_KHZ);
	check_err(restore(&opts, &result), EINVAL);
	/* One that was given back already is not known to be the last. */
	opts.policy = KCH_POLICY_HIDE;
	entry->used = cpu_to_le64(KCH_RECORD_MARK);
	check_err(restore(&opts, &result), EBADRQC);
	ktap_check(!fake.log[0], "%s", fake.log);
	check_unchanged();
}

static void test_restore_refused(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts) };
	struct kch_restore_result result = { .sz = sizeof(result) };

	saved_and_new(TSC_KHZ);
	opts.flags = KCH_RESTORE_CHECK;
	check_err(restore(&opts, &result), 0);
	ktap_check(!fake.log[0], "%s", fake.log);
	opts.flags = 1U << 30;
	check_err(restore(&opts, &result), EINVAL);
	/* What only the module can do: it would write nothing, or hold the VM. */
	opts.flags = KCH_RESTORE_ELSEWHERE;
	check_err(restore(&opts, &result), EINVAL);
	opts.flags = KCH_RESTORE_HOLD;
	check_err(restore(&opts, &result), EINVAL);
	ktap_check(!fake.log[0], "%s", fake.log);
	opts.flags = 0;
	opts.rounds_max = KCH_ROUNDS_MAX + 1;
	check_err(restore(&opts, &result), EINVAL);
	opts.rounds_max = 0;
	opts.blackout_ms_max = 1;
	pass_ms(20);
	check_err(restore(&opts, &result), EKEYEXPIRED);
	ktap_check(result.outcome.found > result.outcome.expected &&
		   result.outcome.expected == 1000000, "%llu ns", result.outcome.found);
	opts.blackout_ms_max = 0;
	check_err(kch_stock_restore(handle, FAKE_VM_FD, fds, 1, buffer, size,
				    NULL, NULL), ELNRNG);
	fake.vcpu_khz[1] = TSC_KHZ + 1;
	check_err(restore(NULL, &result), ERANGE);
	fake.vcpu_khz[1] = TSC_KHZ;
	ktap_check(!fake.log[0], "%s", fake.log);
	check_unchanged();
	opts.mode = KCH_MODE_IDENTICAL;
	check_err(restore(&opts, &result), ENOSYS);
	check_unchanged();
	/* An offset that KVM does not keep is noticed. */
	saved_and_new(TSC_KHZ);
	fake.offset_stays[1] = true;
	check_err(restore(NULL, &result), EOVERFLOW);
	ktap_check(result.outcome.vcpu_id == 1 && result.outcome.found == OLD_OFFSET &&
		   result.outcome.expected == OFFSET, "%d %#llx", result.outcome.vcpu_id,
		   result.outcome.found);
	check_unchanged();
	/* A handle without the module has no device. */
	check_err(kch_finish(handle, 0, NULL, NULL), ENOTTY);
}

/* Damaged bytes: refused before anything is written. */
static void test_hostile(void)
{
	size_t i, good_size;
	uint8_t good[BUFFER_SIZE];

	saved_and_new(TSC_KHZ);
	memcpy(good, buffer, sizeof(good));
	good_size = size;
	for (i = 0; i < good_size; i++) {
		int err;

		memcpy(buffer, good, sizeof(good));
		buffer[i] ^= 1;
		err = restore(NULL, NULL);
		/* Checksums cover everything but reserved2. */
		ktap_check(err == -EBADMSG || err == -ENODATA ||
			   err == -EPROTONOSUPPORT, "byte %zu: %d", i, err);
	}
	memcpy(buffer, good, sizeof(good));
	for (size = 0; size < good_size; size++)
		ktap_check(restore(NULL, NULL) < 0, "%zu bytes", size);
	ktap_check(!fake.log[0], "%s", fake.log);
	check_unchanged();
}

/* The checksums are right, but the contents are not. */
static void test_hostile_whole(void)
{
	struct kch_rec_header *header = (void *)buffer;
	struct kch_rec_vm *vm = (void *)(header + 1);
	struct kch_rec_vcpu *vcpu = (void *)(vm + 1);
	struct kch_rec_header copy;

#define rewrite(change, expected) \
	do { \
		saved_and_new(TSC_KHZ); \
		change; \
		kch_rec_entry_close(vm); \
		copy = *header; \
		kch_record_write(buffer, sizeof(buffer), &copy, vm, \
				 kch_rec_entry_size(2), le32_to_cpu(copy.vm_count)); \
		check_err(restore(NULL, NULL), expected); \
		ktap_check(!(expected) == !!fake.log[0], "%s", fake.log); \
	} while (0)

	rewrite(vcpu[0].pvclock_flags ^= 1, 0);
	rewrite(vcpu[1].tsc_shift = 32, EBADMSG);
	rewrite(vcpu[1].tsc_shift = -32, EBADMSG);
	rewrite(vcpu[1].tsc_to_system_mul = cpu_to_le32(0x7fffffff), EBADMSG);
	rewrite(vcpu[1].tsc_scaling_ratio = 0, EBADMSG);
	rewrite(vcpu[1].flags = 0, EBADMSG);
	/* Its offset is that of one moment. */
	rewrite(vcpu[1].flags |= cpu_to_le32(KCH_VCPU_CATCHUP), ENOTRECOVERABLE);
	rewrite(vcpu[1].vcpu_id = 0, EBADMSG);
	rewrite(vm->tsc_scaling_frac_bits = 64, EBADMSG);
	rewrite(header->vm_count = cpu_to_le32(2), EBADMSG);
	rewrite(header->incompat = cpu_to_le32(1), EPROTONOSUPPORT);
	rewrite(header->machine_id[3] ^= 1, EREMCHG);
	rewrite(header->cpu_signature ^= cpu_to_le32(1), EREMCHG);
	rewrite(header->tsc_khz = 0, EBADMSG);
	rewrite(header->host_tsc = cpu_to_le64(__builtin_ia32_rdtsc() +
					       1000000000000ULL), ETIME);
	rewrite(header->realtime_ns = cpu_to_le64(1000), ETIME);
}

/* An id that is not known, when it is saved or restored, is neither the same nor another one. */
static void test_unknown_machine(void)
{
	const char *const machine = fake.machine;
	int i;

	for (i = 0; i < 4; i++) {
		set_up();
		fake.machine = i & 1 ? NULL : machine;
		check_err(save(), 0);
		fake.machine = i & 2 ? NULL : machine;
		ktap_check(!restore(NULL, NULL), "%d: %s", i, kch_last_message(handle));
		ktap_check(!i == !strstr(kch_last_message(handle),
					 "not known whether this is the machine"),
			   "%d: '%s'", i, kch_last_message(handle));
	}
}

/* No master clock: KVM gives no host TSC, so a reading has a width. */
static void test_no_master_clock(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm = NULL;
	uint32_t slack;
	int64_t error;

	set_up();
	kvm_clock.master = false;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	ktap_check(!(info.flags & KCH_VM_INFO_MASTER_CLOCK), "%#x", info.flags);
	slack = info.kvmclock_slack_ns;
	ktap_check(slack > 0, "%u", slack);
	kch_vm_free(vm);
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	kvm_clock.reference_ns = 1000;
	check_err(restore(NULL, &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED, "%u", result.outcome.mode);
	/* The widths of this reading, and of the one at the save. */
	ktap_check(result.error_slack_ns > slack, "%lu, saved %u",
		   result.error_slack_ns, slack);
	error = true_error_ns(result.outcome.host_tsc);
	ktap_check((uint64_t)llabs(error) <=
		   (uint64_t)llabs(result.outcome.error_ns) + result.error_slack_ns,
		   "%ld ns, reported %lld +- %lu", error, result.outcome.error_ns,
		   result.error_slack_ns);
}

/* vCPUs of different offsets and frequencies: each gets its own back. */
static void test_unmatched(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_restore_opts opts = { .sz = sizeof(opts), .rounds_max = 1,
					 .bound_ns = 1 };

	set_up();
	kvm_clock.master = false;
	fake.offsets[1] = OFFSET + 1000000;
	pages[1].tsc_timestamp += 1000000;
	fake.vcpu_khz[1] = TSC_KHZ + 100;
	check_err(save(), 0);
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), 0);
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	fake.vcpu_khz[1] = TSC_KHZ;
	/* Refused: the frequency is put back, too. */
	check_err(restore(&opts, &result), EDOM);
	check_unchanged();
	ktap_check(fake.vcpu_khz[1] == TSC_KHZ, "%u", fake.vcpu_khz[1]);
	check_err(restore(NULL, &result), 0);
	ktap_check(fake.offsets[0] == OFFSET && fake.offsets[1] == OFFSET + 1000000,
		   "%#lx %#lx", fake.offsets[0], fake.offsets[1]);
	ktap_check(fake.vcpu_khz[0] == TSC_KHZ && fake.vcpu_khz[1] == TSC_KHZ + 100,
		   "%u %u", fake.vcpu_khz[0], fake.vcpu_khz[1]);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED && !result.outcome.error_cycles,
		   "%u %lld", result.outcome.mode, result.outcome.error_cycles);
}

/* 347 ppm off, and no scaling: what KVM cannot do without moving the TSC offset is not begun. */
static void test_catchup(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };

	set_up();
	fake.vcpu_khz[1] = TSC_KHZ + 500;
	check_err(save(), 0);
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	fake.kvm_khz = TSC_KHZ - 400;
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), 0);
	fake.vcpu_khz[1] = TSC_KHZ;
	check_err(restore(NULL, &result), ERANGE);
	ktap_check(!fake.log[0], "%s", fake.log);
	/* So it is where the VMM has begun it, whatever is to be set. */
	fake.vcpu_khz[1] = TSC_KHZ + 500;
	check_err(restore(NULL, &result), ERANGE);
	fake.kvm_khz = TSC_KHZ;
	fake.vcpu_khz[1] = TSC_KHZ - 1000;
	check_err(restore(NULL, &result), ERANGE);
	ktap_check(!fake.log[0], "%s", fake.log);
	check_unchanged();
}

/* A guest of twice the frequency, saved on a host of TSC_KHZ. */
static uint8_t saved_scaled(uint32_t new_khz)
{
	const uint32_t guest_khz = 2 * TSC_KHZ + 1;
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_vm *vm = NULL;
	unsigned int i;

	set_up();
	fake.tsc_control = true;
	vcpus[0].pvclock = NULL;
	vcpus[1].pvclock = NULL;
	check_err(save(), 0);
	check_err(kch_stock_vm(handle, buffer, size, &vm), 0);
	kch_vm_info(vm, &info);
	kch_vm_free(vm);
	ktap_check(info.tsc_scaling_frac_bits == 32 ||
		   info.tsc_scaling_frac_bits == 48, "%u",
		   info.tsc_scaling_frac_bits);
	fake.frac_bits = (uint8_t)info.tsc_scaling_frac_bits;
	fake.ratio = kch_mul_div(1ULL << fake.frac_bits, guest_khz, TSC_KHZ);
	for (i = 0; i < 2; i++) {
		fake.vcpu_khz[i] = guest_khz;
		pages[i].tsc_timestamp = kch_scale_tsc(kvm_clock.reference_cycles,
						       fake.ratio, fake.frac_bits) +
					 OFFSET;
		kch_pvclock_pair((uint32_t)kch_scale_tsc(TSC_KHZ, fake.ratio,
							 fake.frac_bits),
				 &pages[i].mul, &pages[i].shift);
		vcpus[i].pvclock = &pages[i];
	}
	check_err(save(), 0);
	fake.offsets[0] = OLD_OFFSET;
	fake.offsets[1] = OLD_OFFSET;
	fake.kvm_khz = new_khz;
	fake.ratio = kch_mul_div(1ULL << fake.frac_bits, guest_khz, new_khz);
	kvm_clock.reference_cycles = __builtin_ia32_rdtsc();
	kvm_clock.reference_ns = 1000;
	fake.log[0] = '\0';
	return fake.frac_bits;
}

static void test_scaled(void)
{
	struct kch_restore_opts opts = { .sz = sizeof(opts),
					 .mode = KCH_MODE_CONTINUOUS };
	struct kch_restore_result result = { .sz = sizeof(result) };
	uint64_t old_ratio, then, now;
	int64_t error;

	/* The same frequency gives the same ratio: the mode is no weaker. */
	saved_scaled(TSC_KHZ);
	check_err(restore(&opts, &result), 0);
	/* The page is made from whole kHz, KVM's clock is not: 1 kHz of the guest's is 193 ppb. */
	ktap_check(!result.outcome.error_rate_ppb &&
		   result.error_growth_ppb >= HOST_CLOCK_PPB &&
		   result.error_growth_ppb <= HOST_CLOCK_PPB + 193 + 1, "%lld %lu ppb",
		   result.outcome.error_rate_ppb, result.error_growth_ppb);
	ktap_check(result.outcome.mode == KCH_MODE_CONVERGED && !result.tsc_rate_ppb &&
		   !result.outcome.error_cycles && fake.offsets[0] == OFFSET, "%u %ld %lld",
		   result.outcome.mode, result.tsc_rate_ppb, result.outcome.error_cycles);

	/* 1 kHz more: there is no way to set the old ratio. */
	saved_scaled(TSC_KHZ + 1);
	check_err(restore(NULL, &result), ERANGE);
	ktap_check(!fake.log[0] && result.outcome.found == fake.ratio, "%s %#llx", fake.log,
		   result.outcome.found);
	check_unchanged();
	old_ratio = result.outcome.expected;

	check_err(restore(&opts, &result), 0);
	ktap_check(result.outcome.mode == KCH_MODE_CONTINUOUS, "%u", result.outcome.mode);
	ktap_check(fake.offsets[0] == fake.offsets[1] && fake.offsets[0] != OFFSET,
		   "%#lx %#lx", fake.offsets[0], fake.offsets[1]);
	/* What is reported is true: the old and the new TSC at that host TSC. */
	then = kch_scale_tsc(result.outcome.host_tsc, old_ratio, fake.frac_bits) + OFFSET;
	now = kch_scale_tsc(result.outcome.host_tsc, fake.ratio, fake.frac_bits) +
	      fake.offsets[0];
	ktap_check((int64_t)(now - then) == result.outcome.error_cycles, "%ld, reported %lld",
		   (int64_t)(now - then), result.outcome.error_cycles);
	/* 1 kHz of 2.6 GHz is 385 ppb. */
	ktap_check(result.tsc_rate_ppb == -385, "%ld ppb", result.tsc_rate_ppb);
	/* No more than that rate gives in the seconds that this test may take. */
	ktap_check(result.outcome.error_cycles <= 0 && result.outcome.error_cycles > -100000,
		   "%lld cycles", result.outcome.error_cycles);
	error = (int64_t)(kvm_clock.reference_ns -
			  kch_pvclock_ns(pages[0].tsc_timestamp,
					 pages[0].system_time, pages[0].mul,
					 pages[0].shift,
					 kch_scale_tsc(kvm_clock.reference_cycles,
						       old_ratio, fake.frac_bits) +
					 OFFSET));
	ktap_check(error >= -3 && error <= 3 && result.outcome.error_ns >= -3 &&
		   result.outcome.error_ns <= 3, "%ld ns, reported %lld", error,
		   result.outcome.error_ns);
}

/* Until the frequency is settled the rate is not known: the bound is wide then. */
static void test_unsettled(void)
{
	struct kch_restore_result result = { .sz = sizeof(result) };

	saved_and_new(TSC_KHZ);
	fake.unsettled = true;
	check_err(restore(NULL, &result), 0);
	/* 1: the rounding of the page's multiplier. */
	ktap_check(result.error_growth_ppb == 1 + HOST_CLOCK_PPB + 10000000, "%lu ppb",
		   result.error_growth_ppb);
}

static void test_prepare(void)
{
	set_up();
	check_err(save(), 0);
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), 0);
	ktap_check(!fake.log[0], "%s", fake.log);
	fake.vm_khz = TSC_KHZ + 26;
	fake.kvm_khz = TSC_KHZ + 26;
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), 0);
	ktap_check(!strcmp(fake.log, "khz=2596124 "), "%s", fake.log);
	fake.vm_khz = TSC_KHZ + 6500;
	fake.kvm_khz = TSC_KHZ + 6500;
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), ERANGE);
	buffer[size - 1] ^= 1;
	check_err(kch_stock_prepare(handle, FAKE_VM_FD, buffer, size), EBADMSG);
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "save", test_save },
		{ "save_old_pair", test_save_old_pair },
		{ "save_without_page", test_save_without_page },
		{ "save_refused", test_save_refused },
		{ "save_broken_page", test_save_broken_page },
		{ "restore", test_restore },
		{ "restore_bound", test_restore_bound },
		{ "restore_bound_missed", test_restore_bound_missed },
		{ "restore_deadline", test_restore_deadline },
		{ "restore_policy", test_restore_policy },
		{ "restore_refused", test_restore_refused },
		{ "hostile", test_hostile },
		{ "hostile_whole", test_hostile_whole },
		{ "unknown_machine", test_unknown_machine },
		{ "no_master_clock", test_no_master_clock },
		{ "unmatched", test_unmatched },
		{ "catchup", test_catchup },
		{ "scaled", test_scaled },
		{ "unsettled", test_unsettled },
		{ "prepare", test_prepare },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
