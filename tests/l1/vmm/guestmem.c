// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guestmem.h"
#include "report.h"

#define PTE_TABLE	0x3	/* present, writable */
#define PTE_LARGE	0x83	/* ... a page of 2 MiB */

extern const uint8_t guest_blob[], guest_blob_end[];

static uint64_t parse_number(const char *text, char **end)
{
	uint64_t value;

	errno = 0;
	value = strtoull(text, end, 0);
	if (errno || *end == text)
		die("--mem: not a number: %s", text);
	switch (**end) {
	case 'G':
		value <<= 10;
		/* fall through */
	case 'M':
		value <<= 10;
		/* fall through */
	case 'K':
		value <<= 10;
		++*end;
	}
	return value;
}

void guestmem_map(struct guestmem *mem, const char *where)
{
	const char *at = strchr(where, '@');
	char *file = at ? strndup(where, at - where) : strdup("/dev/mem");
	uint64_t start, size;
	char *end;
	void *map;
	int fd;

	start = parse_number(at ? at + 1 : where, &end);
	if (*end != ',')
		die("--mem: START,SIZE expected, not %s", where);
	size = parse_number(end + 1, &end);
	if (*end)
		die("--mem: trailing characters: %s", end);
	if (size < SAVED_SIZE + GUEST_MEMORY_MIN || size % 4096 || start % 4096)
		die("--mem: %s is not aligned to pages, or less than %u KiB",
		    where, (SAVED_SIZE + GUEST_MEMORY_MIN) / 1024);

	fd = open(file, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", file, strerror(errno));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
	if (map == MAP_FAILED)
		die("%s: cannot map %s: %s", file, where, strerror(errno));
	close(fd);
	free(file);

	mem->saved = map;
	mem->ram = (uint8_t *)map + SAVED_SIZE;
	mem->ram_size = size - SAVED_SIZE;
	mem->pvclock = mmap(NULL, GUEST_PVCLOCK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem->pvclock == MAP_FAILED)
		die("no memory");
	mem->shared = (struct guest_shared *)(mem->ram + GUEST_SHARED);
}

static void set_entry(struct guestmem *mem, uint64_t table, unsigned int index,
		      uint64_t entry)
{
	memcpy(mem->ram + table + index * sizeof(entry), &entry, sizeof(entry));
}

void guestmem_load_guest(struct guestmem *mem, uint32_t vcpu_count)
{
	uint32_t i;

	memset(mem->saved, 0, SAVED_SIZE);
	memset(mem->ram, 0, GUEST_MEMORY_MIN);

	/* Two megabytes are more than the guest uses. */
	set_entry(mem, GUEST_PML4, 0, GUEST_PDPT | PTE_TABLE);
	set_entry(mem, GUEST_PDPT, 0, GUEST_PD | PTE_TABLE);
	set_entry(mem, GUEST_PD, 0, 0 | PTE_LARGE);

	memcpy(mem->ram + GUEST_CODE, guest_blob, guest_blob_end - guest_blob);
	mem->shared->magic = GUEST_MAGIC;
	mem->shared->version = GUEST_VERSION;
	mem->shared->vcpu_count = vcpu_count;
	for (i = 0; i < GUEST_VCPUS_MAX; i++)
		mem->shared->vcpu[i].id = i;
}

void guestmem_check_saved(const struct guestmem *mem)
{
	const struct saved_vm *saved = mem->saved;

	if (saved->magic != SAVED_MAGIC)
		die("no saved VM in that memory");
	if (saved->version != SAVED_VERSION ||
	    mem->shared->version != GUEST_VERSION)
		die("saved VM of version %u, guest of version %u",
		    saved->version, mem->shared->version);
	if (mem->shared->magic != GUEST_MAGIC || !saved->vcpu_count ||
	    saved->vcpu_count > GUEST_VCPUS_MAX)
		die("the saved VM is damaged");
}

struct guest_pvclock *guestmem_page(const struct guestmem *mem, uint32_t id)
{
	return (struct guest_pvclock *)(mem->pvclock +
					id * GUEST_PVCLOCK_SLOT);
}

struct guest_pvclock guestmem_read_page(const struct guestmem *mem,
					uint32_t id)
{
	const struct guest_pvclock *live = guestmem_page(mem, id);
	struct guest_pvclock copy;
	uint32_t version;

	do {
		version = __atomic_load_n(&live->version, __ATOMIC_ACQUIRE);
		copy = *live;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (version % 2 ||
		 __atomic_load_n(&live->version, __ATOMIC_RELAXED) != version);
	copy.version = version;
	return copy;
}
