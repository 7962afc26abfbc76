// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvmclock_handover_record.h>

#include "luo.h"
#include "portable.h"

#define PAGE	4096U

/* What the writer of a record does, once more. */
static void close_again(struct kch_rec_header *header)
{
	uint64_t commit = header->commit;

	header->commit = 0;
	header->crc32c = 0;
	header->crc32c = htole32(kch_crc32c(~0U, header, sizeof(*header)) ^ ~0U);
	header->commit = commit;
}

static void change(const char *what, struct kch_rec_header *header)
{
	struct kch_rec_vm *vm = (struct kch_rec_vm *)(header + 1);

	if (!strcmp(what, "incompat")) {
		header->incompat |= htole32(1U << 31);
		close_again(header);
	} else if (!strcmp(what, "version")) {
		/* Structures of another version, and not as this one demands. */
		header->vcpu_size = htole32(KCH_REC_VCPU_SIZE - 8);
		close_again(header);
	} else if (!strcmp(what, "size")) {
		header->total_size = htole64(1ULL << 40);
		close_again(header);
	} else if (!strcmp(what, "entry")) {
		vm->master_cycle_now ^= 1;
	} else if (!strcmp(what, "magic")) {
		header->magic[0] ^= 1;
	} else {
		die("forge: %s is not known", what);
	}
}

/* The record starts a page; which, only the kernel knows. */
void forge(const char *what, const uint8_t uuid[16])
{
	unsigned long long start, end, at;
	unsigned int found = 0;
	FILE *map = fopen("/proc/iomem", "re");
	int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	char line[256];

	if (!map || fd < 0)
		die("/proc/iomem or /dev/mem: %s", strerror(errno));
	while (fgets(line, sizeof(line), map)) {
		uint8_t *memory;

		if (line[0] == ' ' || !strstr(line, ": System RAM") ||
		    sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		start = (start + PAGE - 1) / PAGE * PAGE;
		end = (end + 1) / PAGE * PAGE;
		memory = mmap(NULL, end - start, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, start);
		if (memory == MAP_FAILED)
			continue;
		for (at = 0; at < end - start; at += PAGE) {
			struct kch_rec_header *header = (void *)(memory + at);
			struct kch_rec_vm *vm = (void *)(header + 1);

			if (memcmp(header->magic, KCH_RECORD_MAGIC,
				   KCH_RECORD_MAGIC_SIZE) || !header->commit ||
			    memcmp(vm->uuid, uuid, sizeof(vm->uuid)))
				continue;
			change(what, header);
			found++;
		}
		munmap(memory, end - start);
	}
	printf("forged=%u\n", found);
	if (!found)
		die("no record of that VM in memory");
}
