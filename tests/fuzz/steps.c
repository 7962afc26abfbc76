// SPDX-License-Identifier: GPL-2.0
/*
 * How much work is it?  Counted in steps, not in seconds: the compiler calls us
 * in every basic block of library and tool, and what the C library copies,
 * compares and prints counts by the byte.  Twice the input must not be
 * much more than twice the work.
 *
 *	steps		KTAP; in build/tests/fuzz, made by make steps
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../userspace/cli/commands.h"
#include "../../userspace/cli/live.h"
#include "../../userspace/lib/vm.h"
#include "slots.h"

static uint64_t steps;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	steps++;
}

void *__real_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	steps += n / 8;
	return __real_memcpy(to, from, n);
}

void *__real_memmove(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n)
{
	steps += n / 8;
	return __real_memmove(to, from, n);
}

void *__real_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n)
{
	steps += n / 8;
	return __real_memset(to, byte, n);
}

int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	steps += n / 8;
	return __real_memcmp(a, b, n);
}

void *__real_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n)
{
	steps += old ? n / 8 : 0;	/* what is new is not copied */
	return __real_realloc(old, n);
}

size_t __real_strlen(const char *text);
size_t __wrap_strlen(const char *text);
size_t __wrap_strlen(const char *text)
{
	size_t n = __real_strlen(text);

	steps += n / 8;
	return n;
}

int __real_vasprintf(char **to, const char *format, va_list args);
int __wrap_vasprintf(char **to, const char *format, va_list args);
int __wrap_vasprintf(char **to, const char *format, va_list args)
{
	int length = __real_vasprintf(to, format, args);

	steps += (uint64_t)length / 8;
	return length;
}

/* --- what the tool is given ----------------------------------------------------------- */

/* What verify is told: so many VMs of so many vCPUs, in the record and live. */
static uint32_t vms, vcpus;

static struct kch_vm *make_vm(bool has_run)
{
	struct kch_vm *vm = calloc(1, sizeof(*vm) + vcpus * sizeof(vm->vcpus[0]));
	uint32_t i;

	vm->vcpu_count = vcpus;
	vm->entry.flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	vm->entry.vcpu_count = cpu_to_le32(vcpus);
	vm->entry.tsc_scaling_frac_bits = 32;
	vm->entry.host_tsc = cpu_to_le64(1);
	for (i = 0; i < vcpus; i++) {
		/* Each of another frequency, so that none has a sibling. */
		vm->vcpus[i].vcpu_id = cpu_to_le32(i);
		vm->vcpus[i].tsc_scaling_ratio = cpu_to_le64((1ULL << 32) + i);
		vm->vcpus[i].virtual_tsc_khz = cpu_to_le32(1000000 + i);
		vm->vcpus[i].tsc_to_system_mul = cpu_to_le32(1U << 31);
		vm->vcpus[i].flags = cpu_to_le32(has_run ? KCH_VCPU_PAIR_VALID : 0);
	}
	return vm;
}

int __wrap_kch_list(struct kch_handle *handle, enum kch_which which, size_t size,
		    struct kch_entry **entries, uint32_t *count);
int __wrap_kch_list(struct kch_handle *handle, enum kch_which which, size_t size,
		    struct kch_entry **entries, uint32_t *count)
{
	uint32_t i;

	*count = vms;
	*entries = calloc(vms, size);
	for (i = 0; i < vms; i++)
		memcpy((*entries)[i].uuid, &i, sizeof(i));
	return 0;
}

int __wrap_kch_vm_get(struct kch_handle *handle, enum kch_which which,
		      const uint8_t uuid[KCH_UUID_SIZE], struct kch_vm **vm);
int __wrap_kch_vm_get(struct kch_handle *handle, enum kch_which which,
		      const uint8_t uuid[KCH_UUID_SIZE], struct kch_vm **vm)
{
	*vm = make_vm(false);
	return 0;
}

int __wrap_kch_vm_read(struct kch_handle *handle, int vm_fd, struct kch_vm **vm,
		       struct kch_live_info *info);
int __wrap_kch_vm_read(struct kch_handle *handle, int vm_fd, struct kch_vm **vm,
		       struct kch_live_info *info)
{
	*vm = make_vm(false);
	return 0;
}

void __wrap_live_find(struct tool *tool, pid_t pid, struct live_vms *live);
void __wrap_live_find(struct tool *tool, pid_t pid, struct live_vms *live)
{
	uint32_t i, id;

	*live = (struct live_vms){ .count = vms };
	live->vms = calloc(vms, sizeof(live->vms[0]));
	for (i = 0; i < vms; i++) {
		id = vms - 1 - i;
		live->vms[i].fd = -1;
		memcpy(live->vms[i].uuid, &id, sizeof(id));
	}
}

int __wrap_tool_open(struct tool *tool);
int __wrap_tool_open(struct tool *tool)
{
	return EXIT_DONE;
}

/* The command with one more word, and as JSON or as text. */
static void run(const char *name, int (*fn)(struct tool *tool, int argc, char **argv),
		bool json, const char *word)
{
	char *argv[3] = {};
	struct tool tool = { .command = name };

	argv[0] = (char *)name;
	argv[1] = (char *)word;
	optind = 0;
	output_begin(&tool.out);
	tool.out.json = json;
	fn(&tool, word ? 2 : 1, argv);
	output_end(&tool.out);
}

/* A region whose newest record has so many VMs of one vCPU, or one of so many. */
static void write_region(uint32_t vm_count, uint32_t vcpu_count,
			 void (*spoil)(uint8_t *entries, uint32_t count, size_t size),
			 const char *file)
{
	size_t size = kch_rec_entry_size(vcpu_count), all = vm_count * size;
	size_t region_size = 2 * (all + 8192);
	uint8_t *entries = calloc(1, all), *region = calloc(1, region_size);
	struct kch_rec_header header;
	uint32_t i, n;
	FILE *f;

	for (i = 0; i < vm_count; i++) {
		struct kch_rec_vm *vm = (void *)(entries + i * size);
		struct kch_rec_vcpu *vcpu = (void *)(vm + 1);

		vm->uuid[15] = 1;
		memcpy(vm->uuid, &i, sizeof(i));
		vm->vcpu_count = cpu_to_le32(vcpu_count);
		for (n = 0; n < vcpu_count; n++, vcpu++) {
			vcpu->vcpu_id = cpu_to_le32(n);
			vcpu->tsc_scaling_ratio = cpu_to_le64(1);
			vcpu->virtual_tsc_khz = cpu_to_le32(1000000);
		}
		kch_rec_entry_close(vm);
	}
	if (spoil)
		spoil(entries, vm_count, size);
	kch_rec_header_init(&header);
	header.sequence = cpu_to_le64(1);
	header.tsc_khz = cpu_to_le32(1000000);
	kch_record_write(region, kch_slot_size(region_size), &header, entries,
			 all, vm_count);
	f = fopen(file, "wb");
	if (!f || fwrite(region, 1, region_size, f) != region_size || fclose(f)) {
		perror(file);
		exit(1);
	}
	free(entries);
	free(region);
}

static void wrong_checksums(uint8_t *entries, uint32_t count, size_t size)
{
	for (; count--; entries += size)
		((struct kch_rec_vm *)entries)->crc32c ^= cpu_to_le32(5);
}

/* One bit of it, by which each is nearly as long as all that is left. */
static void wrong_counts(uint8_t *entries, uint32_t count, size_t size)
{
	for (; count > 2; count--, entries += size) {
		struct kch_rec_vm *vm = (void *)entries;
		uint32_t bit = 2;

		while (kch_rec_entry_size(1 + 2 * bit) <= (count - 1) * size)
			bit *= 2;
		vm->vcpu_count ^= cpu_to_le32(bit);
	}
}

static const char *file;

static void decode(uint32_t vm_count, uint32_t vcpu_count,
		   void (*spoil)(uint8_t *entries, uint32_t count, size_t size),
		   bool json)
{
	write_region(vm_count, vcpu_count, spoil, file);
	steps = 0;
	run("decode", cmd_decode, json, file);
}

static void decode_vms(uint32_t n)
{
	decode(n, 1, NULL, false);
}

static void decode_vcpus(uint32_t n)
{
	decode(1, n, NULL, true);
}

static void decode_checksums(uint32_t n)
{
	decode(n, 1, wrong_checksums, true);
}

static void decode_counts(uint32_t n)
{
	decode(n, 1, wrong_counts, false);
}

static void verify_vms(uint32_t n)
{
	vms = n;
	vcpus = 1;
	steps = 0;
	run("verify", cmd_verify, true, NULL);
}

static void verify_vcpus(uint32_t n)
{
	vms = 1;
	vcpus = n;
	steps = 0;
	run("verify", cmd_verify, false, NULL);
}

/* Control: what takes steps by the square is seen to. */
static void quadratic(uint32_t n)
{
	uint8_t *bytes = calloc(1, n);
	uint32_t i;

	steps = 0;
	for (i = 0; i < n; i++)
		memset(bytes, 0, n);
	free(bytes);
}

static const struct work {
	const char *name;
	void (*fn)(uint32_t n);
	uint32_t n;
	bool square;
} works[] = {
	{ "decode of VMs", decode_vms, 1000, false },
	{ "decode of vCPUs", decode_vcpus, 4000, false },
	{ "decode of wrong checksums", decode_checksums, 1000, false },
	{ "decode of wrong counts", decode_counts, 1000, false },
	{ "verify of VMs", verify_vms, 1000, false },
	{ "verify of vCPUs", verify_vcpus, 4000, false },
	{ "control", quadratic, 1000, true },
};

int main(int argc, char **argv)
{
	const size_t count = sizeof(works) / sizeof(works[0]);
	unsigned int failed = 0;
	uint64_t once, twice;
	int saved, null;
	size_t i;

	file = argc > 1 ? argv[1] : "/tmp/kch-steps";
	printf("KTAP version 1\n1..%zu\n", count);
	fflush(stdout);
	/* What the tool says is much, and of no interest. */
	saved = dup(STDOUT_FILENO);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (saved < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		return 1;
	for (i = 0; i < count; i++) {
		const struct work *work = &works[i];
		bool ok;

		work->fn(work->n);
		once = steps;
		work->fn(2 * work->n);
		twice = steps;
		/* Sorting takes a little more than twice as many. */
		ok = once > work->n && (work->square ? twice > 3 * once :
						       twice < 5 * once / 2);
		failed += !ok;
		dprintf(saved, "%sok %zu %s # %llu steps for %u, %llu for %u\n",
			ok ? "" : "not ", i + 1, work->name,
			(unsigned long long)once, work->n,
			(unsigned long long)twice, 2 * work->n);
	}
	dprintf(saved, "# %zu passed, %u failed, 0 skipped\n", count - failed,
		failed);
	unlink(file);
	return failed != 0;
}
