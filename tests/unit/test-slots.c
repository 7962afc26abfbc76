// SPDX-License-Identifier: GPL-2.0
/* The slots of a region: what is found in them at a load, where records go, what is cleared. */
#include "../l1/lib/ktap.h"
#include "slots.h"

#define SLOT_SIZE	1024
#define REGION_SIZE	(2 * SLOT_SIZE)

static u8 region[REGION_SIZE] __attribute__((aligned(64)));
static const u8 before[16] = "the boot before", now[16] = "this boot", none[16];

/* A record of no VM in a slot. */
static void put(unsigned int slot, const u8 boot_id[16], u64 sequence, u64 generation)
{
	struct kch_rec_header header;

	kch_rec_header_init(&header);
	header.tsc_khz = cpu_to_le32(1000000);
	header.sequence = cpu_to_le64(sequence);
	header.generation = cpu_to_le64(generation);
	memcpy(header.boot_id, boot_id, sizeof(header.boot_id));
	ktap_check(!kch_record_write(region + slot * SLOT_SIZE, SLOT_SIZE, &header,
				     NULL, 0, 0), "slot %u", slot);
}

static struct kch_slots_found look(const u8 *boot_id)
{
	struct kch_slots_found found;

	kch_slots_look(region, sizeof(region), boot_id, &found);
	return found;
}

static struct kch_slots begin(const struct kch_slots_found *found, bool shared)
{
	struct kch_slots slots;

	kch_slots_begin(&slots, region, 0x1000, sizeof(region), found, shared);
	return slots;
}

static u64 sequence_in(unsigned int slot)
{
	struct kch_record record;

	return kch_record_open(region + slot * SLOT_SIZE, SLOT_SIZE, &record, NULL) ?
	       0 : record.sequence;
}

/* A VM of one vCPU. */
#define ENTRY	256

/* Behind what the next slot keeps, @count VMs more, which are named by @mark. */
static int put_next_saying(struct kch_slots *slots, u8 mark, u32 count,
			   struct kch_message *message)
{
	u8 bytes[ENTRY] = { 0 };
	struct kch_rec_vm *vm = (struct kch_rec_vm *)bytes;
	u32 kept = (u32)(kch_slots_kept(slots) / ENTRY), sum = KCH_REC_UNBOUND, i;
	const u8 *in_slot = region + slots->next * SLOT_SIZE + sizeof(struct kch_rec_header);
	struct kch_rec_header header;
	int err;

	for (i = 0; i < kept; i++)
		sum = kch_rec_bind(sum, (const struct kch_rec_vm *)(in_slot + i * ENTRY));
	vm->vcpu_count = cpu_to_le32(1);
	vm->name[0] = (char)mark;
	kch_rec_entry_close(vm);
	for (i = 0; i < count; i++) {
		err = kch_slots_put(slots, (kept + i) * ENTRY, vm, NULL);
		if (err)
			return err;
		ktap_check(!sequence_in(slots->next), "a record with an entry of the next one");
		sum = kch_rec_bind(sum, vm);
	}
	kch_rec_header_init(&header);
	header.tsc_khz = cpu_to_le32(1000000);
	memcpy(header.boot_id, now, sizeof(header.boot_id));
	return kch_slots_write(slots, &header, kept + count, sum, message);
}

static int put_next(struct kch_slots *slots, u8 mark, u32 count)
{
	return put_next_saying(slots, mark, count, NULL);
}

static u8 mark_of(unsigned int slot, unsigned int entry)
{
	return region[slot * SLOT_SIZE + sizeof(struct kch_rec_header) + entry * ENTRY +
		      offsetof(struct kch_rec_vm, name)];
}

static bool superseded_in(unsigned int slot)
{
	return ((const struct kch_rec_header *)(region + slot * SLOT_SIZE))->superseded;
}

static void test_look(void)
{
	struct kch_slots_found found;

	memset(region, 0, sizeof(region));
	found = look(now);
	ktap_check(found.error == -ENODATA && found.own_slot == -1 && !found.sequence &&
		   !found.generation, "empty: %d", found.error);
	/* Ours and the one that came, whichever is the newer. */
	put(0, before, 7, 3);
	put(1, now, 9, 4);
	found = look(now);
	ktap_check(!found.error && !found.came_slot && found.came.sequence == 7, "came");
	ktap_check(found.own_slot == 1 && found.own.sequence == 9, "own");
	ktap_check(found.sequence == 9 && found.generation == 4, "%llu, generation %llu",
		   (unsigned long long)found.sequence,
		   (unsigned long long)found.generation);
	/* Without an id of this boot all is another's, and so it is for another boot. */
	found = look(none);
	ktap_check(!found.error && found.came_slot == 1 && found.own_slot == -1 &&
		   found.generation == 5, "unknown boot");
	found = look(NULL);
	ktap_check(!found.error && found.came_slot == 1 && found.own_slot == -1, "no boot");
	/* Two of ours: the newer; nothing came. */
	put(0, now, 10, 4);
	found = look(now);
	ktap_check(found.error == -ENODATA && found.own_slot == 0 &&
		   found.own.sequence == 10, "own two: %d, slot %d", found.error,
		   found.own_slot);
	put(1, now, 11, 4);
	found = look(now);
	ktap_check(found.own_slot == 1 && found.own.sequence == 11, "own two, turned");
	/* What is damaged came, and says so; ours is no replacement for it. */
	put(0, before, 99, 9);
	region[100] ^= 1;
	found = look(now);
	ktap_check(found.error == -EBADMSG && found.came_slot == 0 && found.own_slot == 1 &&
		   found.errors[0] == -EBADMSG && !found.errors[1] && found.why[0].text[0] &&
		   found.sequence == 11 && found.generation == 4, "damaged: %d",
		   found.error);
	/* Where ids are unknown, a record without one is nobody's either. */
	put(0, none, 12, 5);
	found = look(none);
	ktap_check(!found.error && found.own_slot == -1 && found.came_slot == 0, "no ids");
}

/* The record in a slot becomes one that no writer writes, with right checksums. */
static void forge(unsigned int slot, u32 incompat, u64 sequence)
{
	struct kch_rec_header *header = (struct kch_rec_header *)(region + slot * SLOT_SIZE);

	header->incompat = cpu_to_le32(incompat);
	header->sequence = cpu_to_le64(sequence);
	kch_rec_header_close(header, KCH_REC_UNBOUND);
	header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^ sequence);
}

static void test_incompatible(void)
{
	struct kch_rec_header *header = (struct kch_rec_header *)region;
	struct kch_slots_found found;
	struct kch_slots slots;

	memset(region, 0, sizeof(region));
	put(0, before, 20, 6);
	put(1, before, 19, 6);
	forge(0, 1, 20);
	found = look(now);
	ktap_check(found.error == -EPROTONOSUPPORT && found.came_slot == 0 &&
		   found.sequence == 20, "%d", found.error);
	/* It is kept for who can read it, also when a newer one is sealed. */
	slots = begin(&found, true);
	ktap_check(slots.next == 1 && slots.came == 0, "next %u", slots.next);
	ktap_check(!put_next(&slots, 0, 0) && sequence_in(1) == 21 && slots.next == 1,
		   "written");
	kch_slots_seal_begins(&slots);
	kch_slots_supersede(&slots);
	ktap_check(header->commit && !header->superseded, "kept");
}

/* As put(), sealed. */
static void put_sealed(unsigned int slot, const u8 boot_id[16], u64 sequence)
{
	struct kch_rec_header *header = (struct kch_rec_header *)(region + slot * SLOT_SIZE);

	put(slot, boot_id, sequence, 6);
	header->flags = cpu_to_le32(KCH_REC_SEALED);
	kch_rec_header_close(header, KCH_REC_UNBOUND);
	header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^ sequence);
}

/* What is in the region is taken on. */
static void take_on(bool shared)
{
	struct kch_slots_found found = look(now);

	begin(&found, shared);
}

/* Of two that came, the older one says that it is out of date, if it was ever sealed. */
static void test_hidden(void)
{
	memset(region, 0, sizeof(region));
	put(0, before, 30, 6);
	put(1, before, 31, 7);
	take_on(true);
	ktap_check(!superseded_in(0), "never sealed");
	put_sealed(0, before, 30);
	take_on(false);
	ktap_check(!superseded_in(0), "in other memory");
	take_on(true);
	ktap_check(superseded_in(0) && sequence_in(0) == 30 && !superseded_in(1), "not marked");
	put_sealed(0, now, 32);
	take_on(true);
	ktap_check(!superseded_in(0) && !superseded_in(1), "ours");
}

/* Nothing came: records go to both in turn, and to the other one than ours is in. */
static void test_in_turn(void)
{
	struct kch_slots_found found;
	struct kch_slots slots;

	memset(region, 0, sizeof(region));
	found = look(now);
	slots = begin(&found, true);
	ktap_check(slots.next == 0 && slots.came == -1 && slots.slot_size == SLOT_SIZE,
		   "next %u", slots.next);
	ktap_check(!put_next(&slots, 1, 1) && sequence_in(0) == 1, "first");
	ktap_check(slots.next == 1 && kch_slots_kept(&slots) == 0, "next %u", slots.next);
	ktap_check(!put_next(&slots, 1, 1) && sequence_in(1) == 2 && slots.next == 0,
		   "second");
	/* What a slot has already is not written to it again, unless it changed. */
	ktap_check(kch_slots_kept(&slots) == 256, "%zu", kch_slots_kept(&slots));
	ktap_check(!put_next(&slots, 2, 1), "third");
	ktap_check(mark_of(0, 0) == 1 && mark_of(0, 1) == 2 && sequence_in(0) == 3,
		   "behind what is kept");
	kch_slots_changed(&slots, 128);
	ktap_check(slots.written[0] == 128 && slots.written[1] == 128, "changed");
	kch_slots_changed(&slots, 256);
	ktap_check(slots.written[0] == 128, "not more");
	ktap_check(put_next(&slots, 1, SLOT_SIZE / ENTRY) == -ENOSPC && slots.sequence == 3 &&
		   kch_slots_kept(&slots) == 2 * ENTRY, "no space for a third");
	/* The module is loaded anew. */
	found = look(now);
	slots = begin(&found, true);
	ktap_check(slots.next == 1 && slots.sequence == 3 && slots.came == -1, "again: %u",
		   slots.next);
	/* What came is elsewhere: nothing here is kept for it. */
	memset(region, 0, sizeof(region));
	put(1, before, 30, 1);
	found = look(now);
	slots = begin(&found, false);
	ktap_check(slots.came == -1 && slots.next == 0 && slots.sequence == 30 &&
		   slots.generation == 2, "elsewhere");
}

/* With one that came: it stays, until it is finished with or out of date. */
static void test_came(void)
{
	struct kch_slots_found found;
	struct kch_slots slots;
	unsigned int slot;

	for (slot = 0; slot < 2; slot++) {
		memset(region, 0, sizeof(region));
		put(slot, before, 40, 1);
		found = look(now);
		slots = begin(&found, true);
		ktap_check(slots.next == !slot && slots.came == (int)slot, "slot %u", slot);
		ktap_check(!put_next(&slots, 0, 0) && !put_next(&slots, 0, 0) &&
			   sequence_in(!slot) == 42 && sequence_in(slot) == 40,
			   "not written to");
		/* A record of nobody would hide it. */
		kch_slots_show_came(&slots);
		ktap_check(!sequence_in(!slot) && sequence_in(slot) == 40, "shown");
		ktap_check(!put_next(&slots, 0, 0), "written");
		kch_slots_seal_begins(&slots);
		ktap_check(sequence_in(slot) == 40 && superseded_in(slot), "not marked");
		kch_slots_supersede(&slots);
		ktap_check(sequence_in(!slot) == 43 && !sequence_in(slot), "out of date");

		put(slot, before, 40, 1);
		ktap_check(!kch_slots_clear(&slots, now, NULL) && !sequence_in(slot) &&
			   sequence_in(!slot) == 43, "cleared");
		kch_slots_release(&slots);
		ktap_check(slots.came == -1 && slots.next == slot, "next %u", slots.next);
		ktap_check(!put_next(&slots, 0, 0) && sequence_in(slot) == 44 &&
			   slots.next == !slot, "written");
		kch_slots_show_came(&slots);
		kch_slots_supersede(&slots);
		ktap_check(sequence_in(0) && sequence_in(1), "nothing to take back");
		kch_slots_release(&slots);
		ktap_check(slots.next == !slot, "released once");
	}
}

/* At their end sequence numbers do not begin anew: an old record would be the newest. */
static void test_sequence(void)
{
	struct kch_message message = { "" };
	struct kch_slots_found found;
	struct kch_slots slots;
	unsigned int slot;
	u8 was[REGION_SIZE];
	u64 end;

	for (slot = 0; slot < 4; slot++) {
		/* One that nobody writes hides none, and none follows it. */
		end = slot < 2 ? U64_MAX : KCH_REC_SEQUENCE_MAX + 1;
		memset(region, 0, sizeof(region));
		put(slot % 2, before, 7, 1);
		put(!(slot % 2), before, 8, 1);
		forge(!(slot % 2), 0, end);
		found = look(now);
		ktap_check(!found.error && found.came_slot == slot % 2 && found.sequence == 7,
			   "%d: %llu", found.error, (unsigned long long)found.sequence);
		ktap_check(found.errors[!(slot % 2)] == -EBADMSG &&
			   strstr(found.why[!(slot % 2)].text, "the last there can be"), "%s",
			   found.why[!(slot % 2)].text);
		slots = begin(&found, true);
		ktap_check(!put_next(&slots, 0, 0) && sequence_in(!(slot % 2)) == 8, "not 8");
		/* Nor if it cannot be understood otherwise. */
		forge(!(slot % 2), 1, end);
		ktap_check(look(now).came_slot == slot % 2 && look(now).sequence == 7, "not known");
	}

	/* The last one that there can be is read, and nothing is written after it. */
	memset(region, 0, sizeof(region));
	put(0, before, KCH_REC_SEQUENCE_MAX - 1, 1);
	found = look(now);
	slots = begin(&found, true);
	ktap_check(!put_next(&slots, 0, 0) && sequence_in(1) == KCH_REC_SEQUENCE_MAX, "the last");
	memcpy(was, region, sizeof(was));
	ktap_check(put_next_saying(&slots, 0, 0, &message) == -ENOSPC &&
		   strstr(message.text, "sequence 9223372036854775807"), "%s", message.text);
	found = look(now);
	ktap_check(!memcmp(was, region, sizeof(was)) && found.own_slot == 1 && found.came_slot == 0,
		   "it stays");
	slots = begin(&found, false);
	ktap_check(put_next(&slots, 0, 0) == -ENOSPC, "nor after the module was loaded anew");
}

static void test_clear(void)
{
	struct kch_slots_found found;
	struct kch_slots slots;
	size_t i;

	/* Bytes of whoever had the memory before stay. */
	memset(region, 0xa5, sizeof(region));
	found = look(now);
	ktap_check(found.error == -EBADMSG, "%d", found.error);
	slots = begin(&found, true);
	ktap_check(!kch_slots_clear(&slots, now, NULL), "another's");
	for (i = 0; i < sizeof(region); i++)
		ktap_check(region[i] == 0xa5, "byte %zu", i);
	/* What is damaged is not found again. */
	put(1, before, 50, 1);
	region[SLOT_SIZE + 100] ^= 1;
	ktap_check(!kch_slots_clear(&slots, now, NULL) && look(now).error == -ENODATA,
		   "damaged");
	/* Where this boot's id is unknown, the one that came is told by its slot. */
	memset(region, 0, sizeof(region));
	put(0, none, 60, 1);
	found = look(none);
	slots = begin(&found, true);
	put(1, none, 61, 2);
	ktap_check(!kch_slots_clear(&slots, none, NULL) && !sequence_in(0) &&
		   sequence_in(1) == 61, "no ids");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "look", test_look },
		{ "incompatible", test_incompatible },
		{ "hidden", test_hidden },
		{ "in_turn", test_in_turn },
		{ "came", test_came },
		{ "sequence", test_sequence },
		{ "clear", test_clear },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
