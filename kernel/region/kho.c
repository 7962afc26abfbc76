// SPDX-License-Identifier: GPL-2.0
/*
 * Memory preserved with KHO: any pages of this kernel's, which the next one finds by name.
 * What the name leads to is a small entry, struct kch_kho_entry; it stays when the memory
 * it names went back, and says so, as KHO cannot be asked and would warn.
 */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>

#include "kch_probed.h"
#include "region/kho.h"

#ifdef KCH_HAVE_KHO
#include <linux/kexec_handover.h>

/* Ours, which the next kernel will find. */
static struct kch_kho_entry *outgoing;
/* What the last kernel left. */
static struct kch_kho_entry *incoming;

static u32 entry_crc(const struct kch_kho_entry *entry)
{
	return ~kch_crc32c(~0U, entry, offsetof(struct kch_kho_entry, crc32c));
}

static bool is_ram(u64 start, u64 size)
{
	return start + size > start &&
	       region_intersects(start, size, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_INTERSECTS;
}

bool kch_region_kho_offered(struct kch_message *why_not)
{
	if (kho_is_enabled())
		return true;
	kch_say(why_not, "KHO is off: kho=on is not on this kernel's command line, or the kernel found no memory for it (its log says that)");
	return false;
}

/* 0: @entry is to be believed.  -ENOENT, -EBADMSG, -EPROTONOSUPPORT. */
static int find_entry(struct kch_kho_entry **entry, struct kch_message *message)
{
	struct kch_kho_entry *found;
	phys_addr_t phys;
	u64 start, bytes;
	size_t size;
	int err;

	err = kho_retrieve_subtree(KCH_KHO_NAME, &phys, &size);
	if (err == -ENOENT) {
		if (is_kho_boot())
			kch_say(message, "this kernel came with KHO, but without the entry \"%s\"",
				KCH_KHO_NAME);
		else
			kch_say(message, "nothing came through KHO: this kernel was not started by kexec_file_load (kexec -s) from one with kho=on");
		return err;
	}
	if (err) {
		kch_say(message, "KHO entry \"%s\" cannot be read (%pe)",
			KCH_KHO_NAME, ERR_PTR(err));
		return -EBADMSG;
	}
	if (size < sizeof(*found) || size > PAGE_SIZE) {
		kch_say(message, "KHO entry \"%s\" of %zu bytes, expected %zu to %lu",
			KCH_KHO_NAME, size, sizeof(*found), PAGE_SIZE);
		return -EBADMSG;
	}
	if (!PAGE_ALIGNED(phys) || !is_ram(phys, PAGE_SIZE)) {
		kch_say(message, "KHO entry \"%s\" at %pa, which is not a page of RAM",
			KCH_KHO_NAME, &phys);
		return -EBADMSG;
	}
	found = phys_to_virt(phys);
	if (memcmp(found->magic, KCH_KHO_MAGIC, sizeof(found->magic))) {
		kch_say(message, "KHO entry \"%s\" has no magic number: something else uses the name",
			KCH_KHO_NAME);
		return -EBADMSG;
	}
	/* Every version has the checksum here, of what is before it. */
	if (le32_to_cpu(found->crc32c) != entry_crc(found)) {
		kch_say(message, "KHO entry \"%s\" has checksum %#x, expected %#x: it is damaged",
			KCH_KHO_NAME, le32_to_cpu(found->crc32c), entry_crc(found));
		return -EBADMSG;
	}
	if (le32_to_cpu(found->version) != KCH_KHO_VERSION) {
		kch_say(message, "KHO entry \"%s\" of version %u, known is %u: a newer module wrote it",
			KCH_KHO_NAME, le32_to_cpu(found->version), KCH_KHO_VERSION);
		return -EPROTONOSUPPORT;
	}
	start = le64_to_cpu(found->start);
	bytes = le64_to_cpu(found->bytes);
	if (bytes < KCH_REGION_MIN || bytes > KCH_REGION_MAX ||
	    !is_power_of_2(bytes) || !IS_ALIGNED(start, bytes) ||
	    !is_ram(start, bytes)) {
		kch_say(message, "KHO entry \"%s\" names the memory %#llx,%#llx, which cannot have been preserved",
			KCH_KHO_NAME, start, bytes);
		return -EBADMSG;
	}
	*entry = found;
	return 0;
}

bool kch_region_kho_came(struct kch_message *message)
{
	struct kch_kho_entry *entry;

	if (find_entry(&entry, NULL) || entry->returned)
		return false;
	kch_say(message, "a record may have come through KHO (entry \"%s\"), where this backend does not look: load the module with backend=kho",
		KCH_KHO_NAME);
	return true;
}

static void look_for_incoming(struct kch_region *region)
{
	struct kch_kho_entry *entry;
	int err;

	err = find_entry(&entry, &region->incoming_message);
	if (err) {
		region->incoming_error = err == -ENOENT ? 0 : err;
		return;
	}
	if (entry->returned) {
		kch_say(&region->incoming_message, "what came through KHO was finished with");
		return;
	}
	incoming = entry;
	region->incoming = phys_to_virt(le64_to_cpu(entry->start));
	region->incoming_size = le64_to_cpu(entry->bytes);
}

int kch_region_claim_kho(struct kch_region *region, unsigned long size, struct kch_message *message)
{
	/* KHO preserves what the page allocator gives in one piece. */
	const unsigned long most = min_t(unsigned long, KCH_REGION_MAX,
					 PAGE_SIZE << MAX_PAGE_ORDER);
	int err;

	if (size < KCH_REGION_MIN || size > most || !is_power_of_2(size)) {
		kch_say(message, "kho_size=%lu: a power of two from %u to %lu is possible",
			size, KCH_REGION_MIN, most);
		return -EMSGSIZE;
	}
	region->memory = kho_alloc_preserve(size);
	if (IS_ERR(region->memory)) {
		kch_say(message, "KHO does not preserve %lu bytes (%pe)", size, region->memory);
		return -ENOMEM;
	}
	outgoing = kho_alloc_preserve(sizeof(*outgoing));
	if (IS_ERR(outgoing)) {
		kch_say(message, "KHO does not preserve its entry (%pe)", outgoing);
		err = -ENOMEM;
		goto memory;
	}
	memcpy(outgoing->magic, KCH_KHO_MAGIC, sizeof(outgoing->magic));
	outgoing->version = cpu_to_le32(KCH_KHO_VERSION);
	outgoing->start = cpu_to_le64(virt_to_phys(region->memory));
	outgoing->bytes = cpu_to_le64(size);
	outgoing->crc32c = cpu_to_le32(entry_crc(outgoing));
	err = kho_add_subtree(KCH_KHO_NAME, outgoing, sizeof(*outgoing));
	if (err) {
		kch_say(message, "KHO does not take the entry \"%s\" (%pe)%s",
			KCH_KHO_NAME, ERR_PTR(err),
			err == -EEXIST ? ": somebody else uses the name" : "");
		err = err == -EEXIST ? -EBUSY : -ENOMEM;
		goto entry;
	}
	region->backend = KCH_BACKEND_KHO;
	region->start = virt_to_phys(region->memory);
	region->size = size;
	look_for_incoming(region);
	return 0;
entry:
	kho_unpreserve_free(outgoing);
memory:
	kho_unpreserve_free(region->memory);
	memset(region, 0, sizeof(*region));
	return err;
}

void kch_region_finish_kho(struct kch_region *region)
{
	if (!region->incoming)
		return;
	/* Before the memory goes back: it must not be taken for ours after that. */
	WRITE_ONCE(incoming->returned, cpu_to_le32(1));
	kho_restore_free((void *)region->incoming);
	incoming = NULL;
	region->incoming = NULL;
	region->incoming_size = 0;
}

void kch_region_release_kho(struct kch_region *region)
{
	kho_remove_subtree(outgoing);
	kho_unpreserve_free(outgoing);
	kho_unpreserve_free(region->memory);
	memset(region, 0, sizeof(*region));
}

#else /* KCH_HAVE_KHO */

bool kch_region_kho_offered(struct kch_message *why_not)
{
	kch_say(why_not, "this kernel has no KHO, or none this module was built for");
	return false;
}

bool kch_region_kho_came(struct kch_message *message) { return false; }

int kch_region_claim_kho(struct kch_region *region, unsigned long size, struct kch_message *message)
{
	return -EOPNOTSUPP;
}

void kch_region_finish_kho(struct kch_region *region) { }
void kch_region_release_kho(struct kch_region *region) { }

#endif /* KCH_HAVE_KHO */
