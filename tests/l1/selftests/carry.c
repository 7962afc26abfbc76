// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "carry.h"

/* Pages that are zero are left out; the last one is followed by this. */
#define NO_PAGE		(~0ULL)

static void carry_path(const struct scenario *scenario, char *path, size_t size)
{
	const char *folder = getenv("KCH_CARRIED");

	TEST_ASSERT(folder, "KCH_CARRIED is not set");
	snprintf(path, size, "%s/%s", folder, scenario->name);
}

bool carry_exists(const struct scenario *scenario)
{
	char path[256];

	carry_path(scenario, path, sizeof(path));
	return !access(path, R_OK);
}

static FILE *carry_open(const struct scenario *scenario, const char *mode)
{
	char path[256];
	FILE *file;

	carry_path(scenario, path, sizeof(path));
	file = fopen(path, mode);
	TEST_ASSERT(file, "%s: %s", path, strerror(errno));
	return file;
}

static void put(FILE *file, const void *data, size_t size)
{
	TEST_ASSERT(fwrite(data, size, 1, file) == 1, "writing %zu bytes", size);
}

static void get(FILE *file, void *data, size_t size)
{
	TEST_ASSERT(fread(data, size, 1, file) == 1, "reading %zu bytes", size);
}

static size_t xsave_size(struct kvm_vm *vm)
{
	int size = vm_check_cap(vm, KVM_CAP_XSAVE2);

	return size ?: (int)sizeof(struct kvm_xsave);
}

static void vcpu_put(FILE *file, struct kvm_vcpu *vcpu)
{
	struct kvm_x86_state *state = vcpu_save_state(vcpu);
	u64 size = sizeof(*state) + state->msrs.nmsrs * sizeof(state->msrs.entries[0]);
	u64 xsave = xsave_size(vcpu->vm);

	put(file, &size, sizeof(size));
	put(file, state, size);
	put(file, &xsave, sizeof(xsave));
	put(file, state->xsave, xsave);
	kvm_x86_state_cleanup(state);
}

static void vcpu_get(FILE *file, struct kvm_vcpu *vcpu)
{
	struct kvm_x86_state *state;
	u64 size;

	get(file, &size, sizeof(size));
	state = malloc(size);
	TEST_ASSERT(state, "no memory for %lu bytes", (unsigned long)size);
	get(file, state, size);
	get(file, &size, sizeof(size));
	state->xsave = malloc(size);
	TEST_ASSERT(state->xsave, "no memory for %lu bytes", (unsigned long)size);
	get(file, state->xsave, size);
	vcpu_load_state(vcpu, state);
	kvm_x86_state_cleanup(state);
}

/* All that the library gives a VM is in its first slot. */
static struct userspace_mem_region *memory(const struct machine *machine)
{
	return memslot2region(machine->vm, 0);
}

static void memory_put(FILE *file, const struct userspace_mem_region *region)
{
	static const u8 zero[4096];
	u64 at;

	for (at = 0; at < region->region.memory_size; at += sizeof(zero)) {
		if (!memcmp(region->host_mem + at, zero, sizeof(zero)))
			continue;
		put(file, &at, sizeof(at));
		put(file, region->host_mem + at, sizeof(zero));
	}
	at = NO_PAGE;
	put(file, &at, sizeof(at));
}

static void memory_get(FILE *file, const struct userspace_mem_region *region)
{
	u64 at;

	memset(region->host_mem, 0, region->region.memory_size);
	for (;;) {
		get(file, &at, sizeof(at));
		if (at == NO_PAGE)
			break;
		TEST_ASSERT(at + 4096 <= region->region.memory_size, "a page at %#lx",
			    (unsigned long)at);
		get(file, region->host_mem + at, 4096);
	}
}

/*
 * Each structure for a ucall has its own address, as this process sees it;
 * that is how they are found, and the VM's memory is elsewhere now.
 */
static unsigned int ucalls_relocate(const struct userspace_mem_region *region, u64 was)
{
	u8 *memory = region->host_mem;
	unsigned int count = 0;
	u64 at;

	for (at = 0; at + sizeof(struct ucall) <= region->region.memory_size; at += 8) {
		u64 *hva = (u64 *)(memory + at + offsetof(struct ucall, hva));

		if (*hva != was + at)
			continue;
		*hva = (u64)(memory + at);
		count++;
	}
	return count;
}

void carry_save(const struct machine *machine)
{
	const struct userspace_mem_region *region = memory(machine);
	FILE *file = carry_open(machine->scenario, "w");
	u64 host_mem = (u64)region->host_mem;
	u32 i;

	/* Before the memory: an exit may still have to be completed. */
	for (i = 0; i < machine->scenario->vcpus; i++)
		vcpu_put(file, machine->vcpu[i]);
	put(file, &host_mem, sizeof(host_mem));
	memory_put(file, region);
	TEST_ASSERT(!fclose(file), "closing the file: %s", strerror(errno));
}

void carry_load(const struct machine *machine)
{
	const struct userspace_mem_region *region = memory(machine);
	FILE *file = carry_open(machine->scenario, "r");
	long vcpus = ftell(file);
	unsigned int ucalls;
	u64 size, host_mem;
	u32 i;

	/* The memory first: MSRs name pages of it. */
	for (i = 0; i < 2 * machine->scenario->vcpus; i++) {
		get(file, &size, sizeof(size));
		TEST_ASSERT(!fseek(file, size, SEEK_CUR), "the file is too short");
	}
	get(file, &host_mem, sizeof(host_mem));
	memory_get(file, region);
	ucalls = ucalls_relocate(region, host_mem);
	TEST_ASSERT(ucalls, "no structure for ucalls in the guest's memory");

	TEST_ASSERT(!fseek(file, vcpus, SEEK_SET), "fseek");
	for (i = 0; i < machine->scenario->vcpus; i++)
		vcpu_get(file, machine->vcpu[i]);
	fclose(file);
}
