// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclockctl selftest: this host's CPU, KVM and module judged on scratch VMs, without a guest or
 * a kexec.  What the module reads is compared with what KVM answers, and with the
 * pages that KVM writes for a guest; a clock is saved, forged, and given to another VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <x86intrin.h>
#include <kvmclock-handover-stock.h>
#include "clock.h"
#include "commands.h"
#include "fields.h"
#include "lib/vm.h"
#include "options.h"
#include "scratch.h"
#include "slots.h"

#define RECORD_MAX	8192
#define AGE_DAYS	30
#define AGE_NS		(AGE_DAYS * 86400000000000ULL)
#define OFF_PPM		14

static const struct column columns[] = {
	{ "test", "what was tried" },
	{ "result", "passed, failed or skipped" },
	{ "ns", "the largest error of a clock that was found", .number = true },
	{ "bound_ns", "what it has to stay within", .number = true },
	{ "cycles", "the largest error of a TSC", .number = true },
	{ "message", "what is wrong, or why it was skipped", .wrap = true },
	{}
};

/* A page as KVM writes it. */
struct page {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

struct selftest {
	struct tool *tool;
	struct table *table;
	struct kch_handle *stock;
	int kvm;
	uint32_t khz;		/* of KVM */
	bool scales;		/* vCPUs can have another frequency */
	bool keeps_offsets;	/* ... and another TSC: not with every backend of KVM */
	size_t failed;
};

/* One row, as it grows. */
struct trial {
	const char *name, *wrong;
	uint64_t ns, bound_ns, cycles;
};

static void say(struct selftest *s, const struct trial *t, const char *result)
{
	struct json_object *row = output_row(s->table);

	output_string(row, "test", t->name);
	output_string(row, "result", result);
	output_string(row, "message", t->wrong);
	if (!strcmp(result, "skipped"))
		return;
	output_u64(row, "ns", t->ns);
	output_u64(row, "bound_ns", t->bound_ns);
	output_u64(row, "cycles", t->cycles);
}

static void conclude(struct selftest *s, const struct trial *t)
{
	s->failed += !!t->wrong;
	say(s, t, t->wrong ? "failed" : "passed");
}

static void skip(struct selftest *s, const char *name, const char *why)
{
	say(s, &(struct trial){ .name = name, .wrong = why }, "skipped");
}

/* The first thing that is wrong is the one that is told. */
#define wrong(t, ...) ((t)->wrong = (t)->wrong ? (t)->wrong : xasprintf(__VA_ARGS__))

static void check_ns(struct trial *t, uint64_t found, uint64_t expected, uint64_t bound_ns,
		     const char *what)
{
	uint64_t apart = kch_magnitude((int64_t)(found - expected));

	t->ns = apart > t->ns ? apart : t->ns;
	t->bound_ns = bound_ns > t->bound_ns ? bound_ns : t->bound_ns;
	if (apart > bound_ns)
		wrong(t, "%s is %lld ns off, at most %llu are right", what,
		      (long long)(found - expected), (unsigned long long)bound_ns);
}

static void check_cycles(struct trial *t, uint64_t found, uint64_t expected, const char *what)
{
	uint64_t apart = kch_magnitude((int64_t)(found - expected));

	t->cycles = apart > t->cycles ? apart : t->cycles;
	if (apart)
		wrong(t, "%s is %lld cycles off", what, (long long)(found - expected));
}

/* New vCPUs at @khz, or the host's frequency if 0, that have run. */
static bool make(struct selftest *s, struct trial *t, struct scratch *vm, unsigned int count,
		 unsigned int khz)
{
	bool good = scratch_make(vm, s->kvm);

	if (good && khz && ioctl(vm->vm, KVM_SET_TSC_KHZ, khz)) {
		vm->failed = "KVM_SET_TSC_KHZ";
		good = false;
	}
	good = good && scratch_add(vm, s->kvm, count) && scratch_run(vm);
	if (!good)
		wrong(t, "%s: %s", vm->failed, strerror(errno));
	return good;
}

static uint64_t offset_of(int vcpu)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&offset,
	};

	return ioctl(vcpu, KVM_GET_DEVICE_ATTR, &attr) ? 0 : offset;
}

static uint64_t tsc_of(int vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry.index = 0x10 };

	return ioctl(vcpu, KVM_GET_MSRS, &msrs) == 1 ? msrs.entry.data : 0;
}

/* What the guest reads from its page, at a host TSC. */
static uint64_t page_ns(const struct scratch *vm, unsigned int vcpu, const struct kch_clock *clock,
			uint64_t host_tsc)
{
	const struct page *page = scratch_page(vm, vcpu);

	return kch_pvclock_ns(page->tsc_timestamp, page->system_time, page->mul, page->shift,
			      kch_clock_tsc(clock, host_tsc));
}

/* The module's reading of a VM against all that KVM says. */
static void check_reading(struct selftest *s, struct trial *t, const struct scratch *vm,
			  const struct kch_vm *read)
{
	struct kvm_clock_data data = {};
	struct kch_clock clock;
	unsigned int i;

	if (ioctl(vm->vm, KVM_GET_CLOCK, &data) || !(data.flags & KVM_CLOCK_HOST_TSC)) {
		wrong(t, "KVM_GET_CLOCK tells no host TSC: KVM has no master clock");
		return;
	}
	for (i = 0; i < vm->count; i++) {
		uint64_t before = __rdtsc(), tsc = tsc_of(vm->vcpus[i]), after = __rdtsc();

		if (!kch_vm_clock(read, i, &clock))
			wrong(t, "vCPU %u has run, but has no pair", i);
		check_cycles(t, clock.tsc_offset, offset_of(vm->vcpus[i]), "the TSC offset");
		if (tsc < kch_clock_tsc(&clock, before) || tsc > kch_clock_tsc(&clock, after))
			wrong(t, "vCPU %u: MSR_IA32_TSC is not what offset and ratio make", i);
		check_ns(t, page_ns(vm, i, &clock, data.host_tsc),
			 kch_clock_ns(&clock, data.host_tsc), 0, "the guest's page");
		check_ns(t, data.clock, kch_clock_kvm_ns(&clock, s->khz, data.host_tsc), 0,
			 "KVM_GET_CLOCK");
	}
}

static void test_reading(struct selftest *s, unsigned int count, unsigned int khz)
{
	struct trial t = { .name = xasprintf("reading, %u vCPUs, %u kHz", count,
					     khz ? khz : s->khz) };
	struct kch_vm *read;
	struct scratch vm;

	if (!s->tool->handle) {
		skip(s, t.name, "the module is not loaded");
		return;
	}
	if (make(s, &t, &vm, count, khz)) {
		if (kch_vm_read(s->tool->handle, vm.vm, &read, NULL)) {
			wrong(&t, "%s", kch_last_message(s->tool->handle));
		} else {
			check_reading(s, &t, &vm, read);
			kch_vm_free(read);
		}
	}
	scratch_free(&vm);
	conclude(s, &t);
}

/* As if from a kernel that had the TSC faster, and a guest that was up for long. */
static void forge(const struct selftest *s, uint8_t *record, uint32_t khz)
{
	struct kch_rec_header *header = (void *)record, copy = *header;
	struct kch_rec_vm *vm = (void *)(record + le32_to_cpu(header->header_size));
	struct kch_rec_vcpu *vcpu = (void *)(vm + 1);
	uint32_t count = le32_to_cpu(vm->vcpu_count), i;
	struct kch_clock clock;

	vm->kvmclock_offset = cpu_to_le64(le64_to_cpu(vm->kvmclock_offset) + AGE_NS);
	for (i = 0; i < count; i++) {
		uint32_t faster = (uint32_t)((uint64_t)le32_to_cpu(vcpu[i].virtual_tsc_khz) *
					     (1000000 + OFF_PPM) / 1000000), mul;
		int8_t shift;

		kch_pvclock_pair(faster, &mul, &shift);
		vcpu[i].tsc_to_system_mul = cpu_to_le32(mul);
		vcpu[i].tsc_shift = shift;
		if (s->keeps_offsets)
			vcpu[i].tsc_offset = cpu_to_le64(le64_to_cpu(vcpu[i].tsc_offset) +
							 AGE_NS / 1000000 * khz);
	}
	/* A value that its own numbers do not make would be refused. */
	kch_clock_of(vm, vcpu, &clock);
	vm->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, le64_to_cpu(vm->host_tsc)));
	kch_rec_entry_close(vm);
	kch_record_write(record, RECORD_MAX, &copy, vm, kch_rec_entry_size(count), 1);
}

/* Saves the clock of one VM by KVM's ioctls. */
static bool save(struct selftest *s, struct trial *t, const struct scratch *vm, void *record,
		 size_t *size)
{
	static const uint8_t id[KCH_UUID_SIZE] = "kvmclockselftest";
	struct kch_stock_vcpu vcpus[SCRATCH_VCPUS_MAX];
	unsigned int i;

	for (i = 0; i < vm->count; i++)
		vcpus[i] = (struct kch_stock_vcpu){ i, vm->vcpus[i], scratch_page(vm, i) };
	*size = RECORD_MAX;
	if (kch_stock_save(s->stock, vm->vm, vcpus, vm->count, id, "selftest", record, size))
		wrong(t, "it is not saved: %s", kch_last_message(s->stock));
	return !t->wrong;
}

/* What the vCPUs then have, when KVM has written their pages, against what was saved. */
static void check_restored(struct selftest *s, struct trial *t, struct scratch *vm,
			   const struct kch_vm *saved, const struct kch_restore_result *result)
{
	uint64_t now, bound;
	struct kch_clock clock;
	unsigned int i;

	if (!scratch_run(vm))
		wrong(t, "%s: %s", vm->failed, strerror(errno));
	now = __rdtsc();
	bound = kch_magnitude(result->outcome.error_ns) + result->error_slack_ns +
		KCH_ROUNDING_NS +
		kch_cycles_to_ns(now - result->outcome.host_tsc, s->khz) *
		result->error_growth_ppb / 1000000000 + 1;
	for (i = 0; i < vm->count; i++) {
		kch_vm_clock(saved, i, &clock);
		check_cycles(t, offset_of(vm->vcpus[i]), clock.tsc_offset, "the TSC offset");
		check_ns(t, page_ns(vm, i, &clock, now), kch_clock_ns(&clock, now), bound,
			 "the guest's page");
	}
}

static void restore(struct selftest *s, struct trial *t, void *record, size_t size,
		    unsigned int count)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_vcpu_fd vcpus[SCRATCH_VCPUS_MAX];
	struct kch_vm *saved = NULL;
	struct scratch vm;
	unsigned int i;

	if (!scratch_make(&vm, s->kvm)) {
		wrong(t, "%s: %s", vm.failed, strerror(errno));
	} else if (kch_stock_prepare(s->stock, vm.vm, record, size) ||
		   kch_stock_vm(s->stock, record, size, &saved)) {
		wrong(t, "not prepared: %s", kch_last_message(s->stock));
	} else if (!scratch_add(&vm, s->kvm, count)) {
		wrong(t, "%s: %s", vm.failed, strerror(errno));
	} else {
		for (i = 0; i < count; i++)
			vcpus[i] = (struct kch_vcpu_fd){ i, vm.vcpus[i] };
		if (kch_stock_restore(s->stock, vm.vm, vcpus, count, record, size, NULL, &result))
			wrong(t, "it is not restored: %s", kch_last_message(s->stock));
		else
			check_restored(s, t, &vm, saved, &result);
	}
	kch_vm_free(saved);
	scratch_free(&vm);
}

static void test_restore(struct selftest *s, unsigned int count, unsigned int khz, bool forged)
{
	struct trial t = { .name = xasprintf("save and restore without the module, %u vCPUs, %u kHz%s",
					     count, khz ? khz : s->khz, forged ?
					     ", 30 days and 14 ppm forged" : "") };
	uint8_t record[RECORD_MAX] = {};
	struct scratch vm;
	size_t size;

	if (make(s, &t, &vm, count, khz) && save(s, &t, &vm, record, &size)) {
		if (forged)
			forge(s, record, khz ? khz : s->khz);
		restore(s, &t, record, size, count);
	}
	scratch_free(&vm);
	conclude(s, &t);
}

static void test_module(struct selftest *s)
{
	struct kch_info info = { .size = sizeof(info) };
	struct trial t = { .name = "the module's check of itself" };

	if (!s->tool->handle) {
		skip(s, t.name, "the module is not loaded");
		return;
	}
	if (kch_info(s->tool->handle, &info))
		wrong(&t, "%s", kch_last_message(s->tool->handle));
	else if (info.selfcheck_error || !(info.flags & KCH_INFO_SELFCHECKED))
		wrong(&t, "%s", info.message[0] ? info.message : "it could not ask KVM");
	conclude(s, &t);
}

static char *line_of(const char *text)
{
	return text ? xasprintf("%.*s", (int)strcspn(text, "\n"), text) : NULL;
}

/* With what was found: who sends this does not have to be asked. */
static void add_host(struct selftest *s)
{
	struct json_object *out = s->tool->out.document;
	struct kch_info info = { .size = sizeof(info) };
	const char *cpu = read_file("/proc/cpuinfo", 16U << 20, NULL);
	const char *kernel = read_file("/proc/sys/kernel/osrelease", 4096, NULL);

	cpu = cpu ? strstr(cpu, "model name") : NULL;
	cpu = cpu ? cpu + strcspn(cpu, ":\n") + 2 : NULL;
	output_string(out, "kernel", line_of(kernel));
	output_string(out, "cpu", line_of(cpu));
	output_string(out, "tool", KCH_VERSION);
	output_number(out, "kvm_tsc_khz", s->khz);
	output_bool(out, "tsc_scaling", s->scales);
	if (s->tool->handle && !kch_info(s->tool->handle, &info))
		output_string(out, "tsc_source", kch_tsc_source_name(info.tsc_source));
}

/* Does a vCPU keep a TSC offset that it is given? */
static void test_offsets(struct selftest *s)
{
	struct trial t = { .name = "TSC offsets" };
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)&(uint64_t){ 123456789 },
	};
	struct scratch vm;

	if (make(s, &t, &vm, 1, 0)) {
		s->keeps_offsets = !ioctl(vm.vcpus[0], KVM_SET_DEVICE_ATTR, &attr) &&
				   offset_of(vm.vcpus[0]) == 123456789;
		if (s->keeps_offsets)
			conclude(s, &t);
		else
			skip(s, t.name, "this KVM keeps none: its guests have the host's TSC");
	} else {
		conclude(s, &t);
	}
	scratch_free(&vm);
}

static void test_all(struct selftest *s)
{
	static const unsigned int counts[] = { 1, SCRATCH_VCPUS_MAX };
	const unsigned int frequencies[] = { 0, s->khz / 2, s->khz + s->khz / 2600 };
	size_t c, f;

	test_module(s);
	test_offsets(s);
	for (f = 0; f < ARRAY_SIZE(frequencies); f++) {
		if (f && !s->scales) {
			skip(s, xasprintf("scaled, %u kHz", frequencies[f]),
			     "this CPU's KVM does not scale the TSC");
			continue;
		}
		for (c = 0; c < ARRAY_SIZE(counts); c++) {
			test_reading(s, counts[c], frequencies[f]);
			test_restore(s, counts[c], frequencies[f], false);
			test_restore(s, counts[c], frequencies[f], true);
		}
	}
}

int cmd_selftest(struct tool *tool, int argc, char **argv)
{
	struct selftest s = { .tool = tool, .kvm = -1 };
	const char *path = NULL;
	const struct option_row options[] = {
		{ "kvm-fd", "NUMBER", "the open descriptor of /dev/kvm, instead of opening it",
		  OPTION_NUMBER, &s.kvm, .max = INT_MAX },
		{ "save", "FILE", "write all that was found into FILE, to be sent", OPTION_TEXT,
		  &path },
		{}
	};
	int code = options_parse(tool, argc, argv, "", options, columns, NULL);
	struct scratch vm;

	if (code)
		return code;
	s.table = output_table(&tool->out, "tests", columns);
	s.kvm = s.kvm < 0 ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : s.kvm;
	if (s.kvm < 0)
		return complain_code(tool, errno == ENOENT || errno == ENXIO || errno == ENODEV ?
				     EXIT_NOTHING : EXIT_FAILED, "/dev/kvm", -errno,
				     "%s; nothing can be tried", strerror(errno));
	s.stock = xcheck(kch_open_stock());
	if (kch_use_kvm(s.stock, s.kvm))
		return complain_code(tool, EXIT_FAILED, "--kvm-fd", -EBADFD, "%s",
				     kch_last_message(s.stock));
	if (!scratch_make(&vm, s.kvm))
		return complain_code(tool, EXIT_FAILED, vm.failed, -errno, "%s",
				     strerror(errno));
	s.khz = (uint32_t)ioctl(vm.vm, KVM_GET_TSC_KHZ, 0);
	s.scales = ioctl(s.kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0;
	scratch_free(&vm);
	if (access(tool->device ? tool->device : KCH_DEVICE, F_OK) == 0)
		code = tool_open(tool);
	test_all(&s);
	add_host(&s);
	if (s.failed)
		code = complain_code(tool, EXIT_FAILED, NULL, 0, "%zu of %zu tests failed",
				     s.failed, json_object_array_length(s.table->rows));
	if (path && write_file(path, output_json(&tool->out)))
		code = complain_code(tool, EXIT_FAILED, path, -errno, "%s", strerror(errno));
	kch_close(s.stock);
	return code;
}
