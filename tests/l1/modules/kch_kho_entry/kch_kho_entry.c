// SPDX-License-Identifier: GPL-2.0
/*
 * Puts an entry into KHO under the name of the handover module, with something
 * wrong about it.  For controls, in the place of the module; it cannot be
 * unloaded, so that the entry is there for the next kernel.
 */
#include <linux/crc32c.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <asm/byteorder.h>
#include <linux/kvmclock_handover_record.h>

#ifdef CONFIG_KEXEC_HANDOVER
#include <linux/kexec_handover.h>

static char *wrong = "";
module_param(wrong, charp, 0400);
MODULE_PARM_DESC(wrong, "short, long, version, magic, crc, address, size, empty");

static int __init kch_kho_entry_init(void)
{
	size_t size = sizeof(struct kch_kho_entry);
	struct kch_kho_entry *entry;
	void *memory;

	entry = kho_alloc_preserve(2 * PAGE_SIZE);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	memory = kho_alloc_preserve(SZ_64K);
	if (IS_ERR(memory))
		return PTR_ERR(memory);
	memset(memory, 0x5a, SZ_64K);
	memcpy(entry->magic, KCH_KHO_MAGIC, sizeof(entry->magic));
	entry->version = cpu_to_le32(KCH_KHO_VERSION);
	entry->start = cpu_to_le64(virt_to_phys(memory));
	entry->bytes = cpu_to_le64(SZ_64K);

	if (!strcmp(wrong, "short"))
		size = sizeof(*entry) - 8;
	else if (!strcmp(wrong, "long"))
		size = PAGE_SIZE + 8;
	else if (!strcmp(wrong, "version"))
		entry->version = cpu_to_le32(KCH_KHO_VERSION + 1);
	else if (!strcmp(wrong, "magic"))
		entry->magic[0] ^= 1;
	else if (!strcmp(wrong, "address"))
		entry->start = cpu_to_le64(virt_to_phys(memory) + PAGE_SIZE);
	else if (!strcmp(wrong, "size"))
		entry->bytes = cpu_to_le64(SZ_64K + PAGE_SIZE);
	else if (!strcmp(wrong, "empty"))
		memset(memory, 0, SZ_64K);
	else if (strcmp(wrong, "crc") && strcmp(wrong, ""))
		return -EINVAL;

	entry->crc32c = cpu_to_le32(~crc32c(~0U, entry,
					    offsetof(struct kch_kho_entry, crc32c)));
	if (!strcmp(wrong, "crc"))
		entry->crc32c ^= cpu_to_le32(1);
	return kho_add_subtree(KCH_KHO_NAME, entry, size);
}

#else

static int __init kch_kho_entry_init(void)
{
	return -EOPNOTSUPP;
}

#endif

module_init(kch_kho_entry_init);
MODULE_DESCRIPTION("A wrong KHO entry, for tests");
MODULE_LICENSE("GPL");
