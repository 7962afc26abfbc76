// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The two slots of a region: writing, taking back, and choosing of two records. */
#include "slots.h"

size_t kch_slot_size(size_t region_size)
{
	return region_size / 2 / KCH_RECORD_ALIGN * KCH_RECORD_ALIGN;
}

static bool fits(size_t slot_size, size_t kept, size_t entries_size)
{
	const size_t header_size = sizeof(struct kch_rec_header);

	return slot_size >= header_size && kept <= slot_size - header_size &&
	       entries_size <= slot_size - header_size - kept;
}

int kch_record_extend(void *slot, size_t slot_size,
		      struct kch_rec_header *header, size_t kept,
		      const void *entries, size_t entries_size, u32 vm_count, u32 sum)
{
	struct kch_rec_header *at = slot;

	if (!fits(slot_size, kept, entries_size) ||
	    le64_to_cpu(header->sequence) > KCH_REC_SEQUENCE_MAX)
		return -ENOSPC;
	header->vm_count = cpu_to_le32(vm_count);
	header->total_size = cpu_to_le64(sizeof(*header) + kept + entries_size);
	kch_rec_header_close(header, sum);
	kch_record_revoke(slot);
	memcpy(at, header, sizeof(*header));
	if (entries_size)	/* memcpy() must not be given NULL, not even for nothing */
		memcpy((u8 *)(at + 1) + kept, entries, entries_size);
	wmb();	/* the marker must not reach memory before what it marks */
	header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^
				     le64_to_cpu(header->sequence));
	WRITE_ONCE(at->commit, header->commit);
	wmb();	/* whole before what the caller does because it is */
	return 0;
}

int kch_record_write(void *slot, size_t slot_size,
		     struct kch_rec_header *header, const void *entries,
		     size_t entries_size, u32 vm_count)
{
	const u8 *entry = entries;
	u32 sum = KCH_REC_UNBOUND, i;

	if (!fits(slot_size, 0, entries_size))
		return -ENOSPC;
	for (i = 0; i < vm_count; i++) {
		sum = kch_rec_bind(sum, (const struct kch_rec_vm *)entry);
		entry += le32_to_cpu(((const struct kch_rec_vm *)entry)->size);
	}
	return kch_record_extend(slot, slot_size, header, 0, entries,
				 entries_size, vm_count, sum);
}

void kch_record_revoke(void *slot)
{
	struct kch_rec_header *at = slot;

	WRITE_ONCE(at->commit, 0);
	wmb();	/* nothing of a new record before the old one is invalid */
}

bool kch_record_mark(__le64 *mark)
{
	WRITE_ONCE(*mark, cpu_to_le64(KCH_RECORD_MARK));
	wmb();	/* before what is done because of it */
	return READ_ONCE(*mark) == cpu_to_le64(KCH_RECORD_MARK);
}

/* What a slot's record is good for, from the result of opening it. */
enum worth { EMPTY, DAMAGED, WHOLE };

static enum worth worth(int err)
{
	if (err == 0 || err == -EPROTONOSUPPORT)
		return WHOLE;
	return err == -ENODATA ? EMPTY : DAMAGED;
}

static bool is_of_boot(const struct kch_record *record, const u8 *boot_id)
{
	static const u8 unknown[16];

	return boot_id && memcmp(boot_id, unknown, sizeof(unknown)) &&
	       !memcmp(record->header.boot_id, boot_id, sizeof(unknown));
}

static void keep_own(struct kch_slots_found *found, const struct kch_record *record,
		     unsigned int slot)
{
	if (found->own_slot >= 0 && record->sequence <= found->own.sequence)
		return;
	found->own = *record;
	found->own_slot = (int)slot;
}

static bool is_newer(const struct kch_slots_found *found,
		     const struct kch_record *record, int err)
{
	if (worth(err) != worth(found->error))
		return worth(err) > worth(found->error);
	return worth(err) == WHOLE && le64_to_cpu(record->header.sequence) >
				      le64_to_cpu(found->came.header.sequence);
}

void kch_slots_look(const void *region, size_t size, const u8 *boot_id,
		    struct kch_slots_found *found)
{
	size_t slot_size = kch_slot_size(size);
	bool looked = false, own;
	struct kch_record record;
	u64 generation, sequence;
	unsigned int i;
	int err;

	memset(found, 0, sizeof(*found));
	found->error = -ENODATA;
	found->own_slot = -1;
	for (i = 0; i < 2; i++) {
		err = kch_record_open((const u8 *)region + i * slot_size, slot_size,
				      &record, &found->why[i]);
		found->errors[i] = err;
		sequence = le64_to_cpu(record.header.sequence);
		if (worth(err) == WHOLE && sequence > found->sequence)
			found->sequence = sequence;
		own = !err && is_of_boot(&record, boot_id);
		generation = le64_to_cpu(record.header.generation) + !own;
		if (!err && generation > found->generation)
			found->generation = generation;
		if (own) {
			keep_own(found, &record, i);
		} else if (!looked || is_newer(found, &record, err)) {
			found->came = record;
			found->came_slot = i;
			found->error = err;
			looked = true;
		}
	}
}

int kch_region_open(const void *region, size_t size, struct kch_record *record,
		    unsigned int *slot, struct kch_message *message)
{
	struct kch_slots_found found;
	unsigned int said;

	if (kch_slot_size(size) < sizeof(struct kch_rec_header)) {
		kch_say(message, "a region of %zu bytes holds no two records",
			size);
		return -EINVAL;
	}
	kch_slots_look(region, size, NULL, &found);
	*record = found.came;
	*slot = found.came_slot;
	if (message)
		message->text[0] = '\0';
	/* Of a record that is good the other slot's damage is said. */
	said = found.error ? found.came_slot : !found.came_slot;
	if (found.error || worth(found.errors[said]) == DAMAGED)
		kch_say(message, "slot %u: %s", said, found.why[said].text);
	return found.error;
}

static void *slot_at(const struct kch_slots *slots, unsigned int slot)
{
	return (u8 *)slots->memory + slot * slots->slot_size;
}

/*
 * A sealed record beside a newer one: the kernel that made that went down before it
 * sealed it.  The older one is out of date, also for who finds it alone.
 */
static void supersede_hidden(const struct kch_slots *slots,
			     const struct kch_slots_found *found)
{
	struct kch_rec_header *hidden = slot_at(slots, slots->next);

	if (worth(found->error) == WHOLE && !found->errors[slots->next] &&
	    found->own_slot < 0 && le32_to_cpu(hidden->flags) & KCH_REC_SEALED)
		kch_record_mark(&hidden->superseded);
}

void kch_slots_begin(struct kch_slots *slots, void *memory, u64 start, size_t size,
		     const struct kch_slots_found *found, bool shared)
{
	bool keep = shared && found->error != -ENODATA;

	memset(slots, 0, sizeof(*slots));
	slots->memory = memory;
	slots->start = start;
	slots->slot_size = kch_slot_size(size);
	slots->sequence = found->sequence;
	slots->generation = found->generation;
	slots->came = keep ? (int)found->came_slot : -1;
	slots->usable = !found->error;
	if (keep) {
		slots->next = !found->came_slot;
		supersede_hidden(slots, found);
	} else if (found->own_slot >= 0) {
		slots->next = !found->own_slot;
	}
}

void kch_slots_changed(struct kch_slots *slots, size_t at)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (slots->written[i] > at)
			slots->written[i] = at;
}

size_t kch_slots_kept(const struct kch_slots *slots)
{
	return slots->written[slots->next];
}

static int not_kept(const struct kch_slots *slots, struct kch_message *message)
{
	kch_say(message, "the region at %#018llx does not read back what was written to it",
		(unsigned long long)slots->start);
	return -EREMOTEIO;
}

int kch_slots_put(struct kch_slots *slots, size_t at, const struct kch_rec_vm *entry,
		  struct kch_message *message)
{
	u8 *slot = slot_at(slots, slots->next);
	u8 *to = slot + sizeof(struct kch_rec_header) + at;
	size_t size = le32_to_cpu(entry->size);

	if (!fits(slots->slot_size, at, size))
		return -ENOSPC;
	kch_record_revoke(slot);
	slots->written[slots->next] = at;
	memcpy(to, entry, size);
	if (memcmp(to, entry, size))
		return not_kept(slots, message);
	slots->written[slots->next] = at + size;
	return 0;
}

int kch_slots_write(struct kch_slots *slots, struct kch_rec_header *header, u32 vm_count,
		    u32 sum, struct kch_message *message)
{
	size_t kept = kch_slots_kept(slots);
	u8 *slot = slot_at(slots, slots->next);
	int err;

	header->sequence = cpu_to_le64(slots->sequence + 1);
	header->generation = cpu_to_le64(slots->generation);
	err = kch_record_extend(slot, slots->slot_size, header, kept, NULL, 0, vm_count, sum);
	if (err) {
		if (slots->sequence >= KCH_REC_SEQUENCE_MAX)
			kch_say(message, "a record was found with sequence %llu, which is the last there can be: finish with it, and load the module anew",
				(unsigned long long)slots->sequence);
		return err;
	}
	if (memcmp(slot, header, sizeof(*header))) {
		kch_record_revoke(slot);
		return not_kept(slots, message);
	}
	slots->sequence++;
	if (slots->came < 0)
		slots->next ^= 1;
	return 0;
}

void kch_slots_show_came(struct kch_slots *slots)
{
	if (slots->came >= 0)
		kch_record_revoke(slot_at(slots, slots->next));
}

void kch_slots_seal_begins(struct kch_slots *slots)
{
	struct kch_rec_header *at;

	if (slots->came < 0 || !slots->usable)
		return;
	at = slot_at(slots, (unsigned int)slots->came);
	kch_record_mark(&at->superseded);
}

void kch_slots_supersede(struct kch_slots *slots)
{
	if (slots->came >= 0 && slots->usable)
		kch_record_revoke(slot_at(slots, (unsigned int)slots->came));
}

int kch_slots_clear(const struct kch_slots *slots, const u8 boot_id[16],
		    struct kch_message *message)
{
	int slot, came = slots->usable ? slots->came : -1;
	struct kch_record found;
	u8 *at;

	if (memcmp(slot_at(slots, 0), KCH_RECORD_MAGIC, KCH_RECORD_MAGIC_SIZE) &&
	    memcmp(slot_at(slots, 1), KCH_RECORD_MAGIC, KCH_RECORD_MAGIC_SIZE))
		return 0;
	for (slot = 0; slot < 2; slot++) {
		at = slot_at(slots, (unsigned int)slot);
		if (slot != came &&
		    !kch_record_open(at, slots->slot_size, &found, NULL) &&
		    !memcmp(found.header.boot_id, boot_id, 16))
			continue;
		kch_record_revoke(at);
		/* What is damaged must not be found again either. */
		memset(at, 0, sizeof(struct kch_rec_header));
		if (READ_ONCE(((struct kch_rec_header *)at)->commit))
			return not_kept(slots, message);
	}
	return 0;
}

void kch_slots_release(struct kch_slots *slots)
{
	/* So far each record went over the one before, into the same slot. */
	if (slots->came >= 0)
		slots->next ^= 1;
	slots->came = -1;
}
