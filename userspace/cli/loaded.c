// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel image that is loaded for the next kexec.  No file shows its command line.  But
 * the kernel has it in memory, which root can read in /proc/kcore: from the variable
 * kexec_image a list leads to all pages of the image, and to where the kexec puts
 * them.  One of these is the boot parameters, which say where the command line is.  What
 * is not as expected is not believed.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "loaded.h"
#include "util.h"

#define PAGE		4096
#define PAGE_ENTRIES	(PAGE / sizeof(uint64_t))
#define SEGMENTS_MAX	1024
#define ENTRIES_MAX	(64U << 20)	/* a page each: 256 GiB */
#define LINE_MAX_BYTES	2048	/* x86's COMMAND_LINE_SIZE */

/* Flags of the list's entries, in the kernel's linux/kexec.h. */
#define IND_DESTINATION	1U
#define IND_INDIRECTION	2U
#define IND_DONE	4U
#define IND_SOURCE	8U

/* In the boot parameters: Documentation/arch/x86/boot.rst of the kernel. */
#define EXT_CMD_LINE_PTR 0x0c8
#define MAGIC		0x202
#define KERNEL_VERSION	0x20e
#define CMD_LINE_PTR	0x228

struct kcore {
	int fd;
	Elf64_Phdr segments[SEGMENTS_MAX];
	unsigned int count;
	uint64_t head;		/* the list's first entry */
};

static bool read_at(const struct kcore *k, bool physical, uint64_t address, void *to, size_t size)
{
	unsigned int i;

	for (i = 0; i < k->count; i++) {
		const Elf64_Phdr *s = &k->segments[i];
		uint64_t start = physical ? s->p_paddr : s->p_vaddr;

		if (start != UINT64_MAX && address >= start && address - start < s->p_memsz)
			return pread(k->fd, to, size, (off_t)(s->p_offset + address - start)) ==
			       (ssize_t)size;
	}
	return false;
}

static uint64_t symbol_address(const char *root, const char *name)
{
	FILE *file = fopen(xasprintf("%s/proc/kallsyms", root), "re");
	char line[512], found[256];
	uint64_t address = 0, at;

	while (file && !address && fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx %*c %255s", &at, found) == 2 && !strcmp(found, name))
			address = at;
	if (file)
		fclose(file);
	return address;
}

static bool open_kcore(const char *root, struct kcore *k)
{
	Elf64_Ehdr header;
	uint64_t image = symbol_address(root, "kexec_image");
	ssize_t size;

	k->fd = open(xasprintf("%s/proc/kcore", root), O_RDONLY | O_CLOEXEC);
	if (!image || k->fd < 0 ||
	    pread(k->fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    header.e_phnum > SEGMENTS_MAX || header.e_phentsize != sizeof(k->segments[0]))
		return false;
	k->count = header.e_phnum;
	size = (ssize_t)(k->count * sizeof(k->segments[0]));
	/* The head of the list is the image's first member. */
	return pread(k->fd, k->segments, (size_t)size, (off_t)header.e_phoff) == size &&
	       read_at(k, false, image, &image, sizeof(image)) && image &&
	       read_at(k, false, image, &k->head, sizeof(k->head));
}

/*
 * Calls @fn with each page, where it is and where it is to be, until that returns true.
 * False: it never did.
 */
static bool walk(const struct kcore *k, bool (*fn)(const struct kcore *k, uint64_t source,
						   uint64_t destination, void *data), void *data)
{
	uint64_t list[PAGE_ENTRIES], entry = k->head, destination = 0, address;
	unsigned int i, next = PAGE_ENTRIES;

	for (i = 0; i < ENTRIES_MAX && !(entry & IND_DONE); i++) {
		address = entry & ~(uint64_t)(PAGE - 1);
		if (entry & IND_DESTINATION) {
			destination = address;
		} else if (entry & IND_INDIRECTION) {
			if (!read_at(k, true, address, list, sizeof(list)))
				break;
			next = 0;
		} else if (entry & IND_SOURCE) {
			if (fn(k, address, destination, data))
				return true;
			destination += PAGE;
		}
		if (next == PAGE_ENTRIES)
			break;
		entry = list[next++];
	}
	return false;
}

struct wanted {
	uint64_t destination;
	uint8_t page[PAGE];
};

static bool is_wanted(const struct kcore *k, uint64_t source, uint64_t destination, void *data)
{
	struct wanted *wanted = data;

	return destination == wanted->destination &&
	       read_at(k, true, source, wanted->page, sizeof(wanted->page));
}

/* A text of the image; NULL: not all of it is there, or it is no text. */
static char *text_at(const struct kcore *k, uint64_t destination)
{
	char *text = xcalloc(LINE_MAX_BYTES + 1, 1);
	struct wanted wanted = { .destination = UINT64_MAX };
	size_t i;

	for (i = 0; i <= LINE_MAX_BYTES; i++, destination++) {
		if (wanted.destination != (destination & ~(uint64_t)(PAGE - 1))) {
			wanted.destination = destination & ~(uint64_t)(PAGE - 1);
			if (!walk(k, is_wanted, &wanted))
				return NULL;
		}
		text[i] = (char)wanted.page[destination % PAGE];
		if (!text[i])
			return text;
		if ((unsigned char)text[i] < ' ')
			return NULL;
	}
	return NULL;
}

struct found {
	char *line, *release;
};

/* Is this page the boot parameters? */
static bool is_parameters(const struct kcore *k, uint64_t source, uint64_t destination, void *data)
{
	struct found *found = data;
	uint32_t low, high;
	uint16_t version;
	uint8_t page[1024];

	if (!read_at(k, true, source, page, sizeof(page)) || memcmp(page + MAGIC, "HdrS", 4))
		return false;
	memcpy(&low, page + CMD_LINE_PTR, sizeof(low));
	memcpy(&high, page + EXT_CMD_LINE_PTR, sizeof(high));
	memcpy(&version, page + KERNEL_VERSION, sizeof(version));
	found->line = low ? text_at(k, (uint64_t)high << 32 | low) : NULL;
	/* "6.12.1-amd64 (who made it)"; it is there only if kexec_load() has loaded it. */
	found->release = found->line ? text_at(k, destination + 0x200 + version) : NULL;
	if (found->release && (*found->release < '1' || *found->release > '9' ||
			       !strchr(found->release, ' ')))
		found->release = NULL;
	if (found->release)
		*strchr(found->release, ' ') = '\0';
	return found->line;
}

const char *loaded_line(const char *root, const char **release, const char **why_not)
{
	struct found found = {};
	struct kcore *k = xcalloc(1, sizeof(*k));

	if (!open_kcore(root, k))
		*why_not = k->fd < 0 ?
			   xasprintf("its command line cannot be read: /proc/kcore: %s",
				     strerror(errno)) :
			   "its command line cannot be read: /proc/kcore does not lead to it";
	else if (!walk(k, is_parameters, &found))
		*why_not = "its command line cannot be read: it is not where it is looked for";
	if (k->fd >= 0)
		close(k->fd);
	*release = found.release;
	return found.line;
}
