// SPDX-License-Identifier: GPL-2.0
/*
 * A VMM that saves its guest and loads it again, such as QEMU, changes the disruption marker
 * of the guest's vmclock page when it loads it.  After an exact restore that is one alarm too
 * many: the page is put back before the guest runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <kvmclock-handover-vmclock.h>
#include "vmclock.h"

/* From there a page is written, behind its sequence count. */
#define CHANGES_FROM	(offsetof(struct vmclock_page, seq_count) + sizeof(__le32))
#define TEXT_MAX	(2 * sizeof(struct vmclock_page) + 2)

static char *kept_path(const char *folder, const uint8_t *uuid)
{
	char text[KCH_UUID_TEXT_SIZE];

	kch_uuid_format(uuid, text);
	return xasprintf("%s/vmclock-%s", folder, text);
}

static int open_memory(pid_t pid, int flags)
{
	return open(xasprintf("/proc/%d/mem", pid), flags | O_CLOEXEC);
}

/*
 * A VMM has the page in a mapping of its own, of one page.  The guest's RAM, in which the
 * guest may write what looks like one, is larger.  How many there are, or a negative errno.
 */
static int find_page(pid_t pid, struct vmclock_page *page, uint64_t *address)
{
	FILE *maps = fopen(xasprintf("/proc/%d/maps", pid), "re");
	int memory = open_memory(pid, O_RDONLY), found = 0, err = errno;
	struct vmclock_page seen;
	uint64_t start, end;
	char line[4096];

	while (maps && memory >= 0 && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2 ||
		    end - start != KCH_VMCLOCK_SIZE || !strstr(line, " rw") ||
		    pread(memory, &seen, sizeof(seen), (off_t)start) != sizeof(seen) ||
		    le32toh(seen.magic) != VMCLOCK_PAGE_MAGIC)
			continue;
		*page = seen;
		*address = start;
		found++;
	}
	if (!maps || memory < 0)
		found = -err;
	if (maps)
		fclose(maps);
	if (memory >= 0)
		close(memory);
	return found;
}

int vmclock_keep(struct tool *tool, const struct live_vm *vm, const uint8_t uuid[KCH_UUID_SIZE],
		 const char *folder)
{
	char text[TEXT_MAX] = "", *path = kept_path(folder, uuid);
	struct vmclock_page page;
	uint64_t address;
	int found, i;

	/* What is there is of an earlier time. */
	unlink(path);
	found = find_page(vm->pid, &page, &address);
	if (!found)
		return EXIT_DONE;
	if (found != 1)
		return complain_code(tool, EXIT_FAILED, live_label(vm), found < 0 ? found : 0,
				     "its vmclock page cannot be kept: %s",
				     found < 0 ? strerror(-found) : "there are several");
	for (i = 0; i < (int)sizeof(page); i++)
		sprintf(text + 2 * i, "%02x", ((const uint8_t *)&page)[i]);
	strcat(text, "\n");
	mkdir(folder, 0755);
	if (write_file(path, text))
		return complain_code(tool, EXIT_FAILED, live_label(vm), -errno,
				     "its vmclock page cannot be kept: %s: %s", path,
				     strerror(errno));
	return EXIT_DONE;
}

static bool read_kept(const char *path, struct vmclock_page *page)
{
	char *text = read_file(path, TEXT_MAX, NULL);
	uint8_t *bytes = (uint8_t *)page;
	size_t i;

	for (i = 0; text && i < sizeof(*page); i++)
		if (sscanf(text + 2 * i, "%2hhx", &bytes[i]) != 1)
			break;
	return text && i == sizeof(*page) && !strcmp(text + 2 * i, "\n");
}

/* Is @found what has become of @kept by being saved and loaded? */
static const char *differs(struct tool *tool, const struct vmclock *vmclock)
{
	const struct kch_vmclock_restore nothing = { .sz = sizeof(nothing),
						     .mode = KCH_MODE_IDENTICAL };
	struct vmclock_page found = vmclock->found;

	/* A version that the library knows? */
	if (kch_vmclock_restored(tool->handle, &found, &nothing, NULL))
		return xasprintf("%s", kch_last_message(tool->handle));
	found.seq_count = vmclock->kept.seq_count;
	found.disruption_marker = vmclock->kept.disruption_marker;
	found.vm_generation_counter = vmclock->kept.vm_generation_counter;
	return memcmp(&found, &vmclock->kept, sizeof(found)) ?
	       "it says something else than when the VM was saved" : NULL;
}

void vmclock_find(struct tool *tool, const struct live_vm *vm, const uint8_t uuid[KCH_UUID_SIZE],
		  const char *folder, struct vmclock *vmclock)
{
	const char *why = NULL;
	uint64_t address;
	int found;

	*vmclock = (struct vmclock){ .pid = vm->pid, .path = kept_path(folder, uuid) };
	found = find_page(vm->pid, &vmclock->found, &address);
	/* A VM without one, saved without one. */
	if (!found && access(vmclock->path, F_OK))
		return;
	if (found < 0)
		why = strerror(-found);
	else if (found != 1)
		why = found ? "there are several" : "there is none";
	else if (!read_kept(vmclock->path, &vmclock->kept))
		why = xasprintf("none was kept in %s when the VM was saved", vmclock->path);
	else
		why = differs(tool, vmclock);
	if (why)
		complain_code(tool, EXIT_DONE, live_label(vm), 0,
			      "its vmclock page stays as its VMM has it: %s; the guest may be told of a disruption that there was not",
			      why);
	else
		vmclock->address = address;
}

static bool write_at(int memory, uint64_t at, const void *data, size_t size)
{
	return pwrite(memory, data, size, (off_t)at) == (ssize_t)size;
}

/* With the sequence count odd meanwhile: the guest may run, and read it. */
static bool write_page(struct tool *tool, const struct vmclock *vmclock,
		       const struct vmclock_page *page)
{
	const uint64_t at = vmclock->address + offsetof(struct vmclock_page, seq_count);
	const uint64_t body = vmclock->address + CHANGES_FROM;
	const __le32 odd = page->seq_count | htole32(1);
	int memory = open_memory(vmclock->pid, O_RDWR);
	bool written = memory >= 0 && write_at(memory, at, &odd, sizeof(odd)) &&
		       write_at(memory, body, (const char *)page + CHANGES_FROM,
				sizeof(*page) - CHANGES_FROM) &&
		       write_at(memory, at, &page->seq_count, sizeof(odd));

	if (!written)
		complain_code(tool, EXIT_DONE, xasprintf("process %d", vmclock->pid), 0,
			      "its vmclock page cannot be written: %s", strerror(errno));
	if (memory >= 0)
		close(memory);
	return written;
}

/* It is for one restore. */
static bool write_for_good(struct tool *tool, struct vmclock *vmclock,
			   const struct vmclock_page *page)
{
	if (!vmclock->address || !write_page(tool, vmclock, page))
		return false;
	unlink(vmclock->path);
	return true;
}

bool vmclock_put_back(struct tool *tool, struct vmclock *vmclock)
{
	return write_for_good(tool, vmclock, &vmclock->kept);
}

bool vmclock_tell(struct tool *tool, struct vmclock *vmclock, uint64_t hidden_ns)
{
	const struct kch_vmclock_restore restore = {
		.sz = sizeof(restore),
		.mode = hidden_ns ? KCH_MODE_IDENTICAL : KCH_MODE_NONE,
		.hidden_ns = hidden_ns,
	};
	struct vmclock_page page = vmclock->kept;

	if (!vmclock->address || kch_vmclock_restored(tool->handle, &page, &restore, NULL))
		return false;
	/* That one is the VMM's business. */
	page.vm_generation_counter = vmclock->found.vm_generation_counter;
	return write_for_good(tool, vmclock, &page);
}
