// SPDX-License-Identifier: GPL-2.0
/*
 * Forged records: every checksum is right, but one number is none that a kernel writes.
 * Each is refused with its own reason, and what is next to it is not.
 */
#include "../l1/lib/ktap.h"
#include "builder.h"
#include "fields.h"
#include "reference.h"

/* The VM that is forged, of two vCPUs, and those of them that are. */
#define VM	1

static struct plan plan;
static u8 *data;

static u8 *vm_at(void)
{
	return data + plan_entry_offset(&plan, VM);
}

static u8 *vcpu_at(u32 index)
{
	return vm_at() + plan.vm_size + index * plan.vcpu_size;
}

/* A plan whose ratios have room on both sides. */
static void set_up(void)
{
	plan = plan_default();
	plan.compat = KCH_COMPAT_BOUND;
	data = guarded_alloc(plan_size(&plan));
	do {
		plan.seed++;
		plan_write_bytes(&plan, data);
	} while (vm_at()[136] < 30 || vm_at()[136] > 50);
}

static void tear_down(void)
{
	guarded_free(data, plan_size(&plan));
}

/* Of @bytes 1, 4 or 8. */
static void put(u8 *at, u32 bytes, u64 value)
{
	if (bytes == 8)
		put64(at, value);
	else if (bytes == 4)
		put32(at, (u32)value);
	else
		*at = (u8)value;
}

/* Seals it, and reads the header: NULL, or the reason. */
static const char *header_reason(void)
{
	static struct kch_message message;
	struct kch_record record;
	int err;

	plan_seal(&plan, data);
	message.text[0] = '\0';
	err = kch_record_open(data, plan_size(&plan), &record, &message);
	ktap_check(err == 0 || err == -EBADMSG, "%d", err);
	return err ? message.text : NULL;
}

/* The same of the VM; the others must be whole. */
static const char *vm_reason(void)
{
	static struct kch_message message;
	const char *reason = NULL;
	struct kch_record record;
	struct kch_record_vm vm;
	size_t offset = 0;
	u32 i;
	int err;

	plan_seal(&plan, data);
	err = kch_record_open(data, plan_size(&plan), &record, &message);
	ktap_check(!err, "%d: %s", err, message.text);
	for (i = 0; i < plan.vm_count && !err; i++) {
		err = kch_record_next(&record, &offset, &vm, &message);
		ktap_check(err == 0 || (i == VM && err == -EBADMSG), "VM %u: %d", i, err);
		if (err)
			reason = message.text;
		err = 0;
	}
	return reason;
}

static void check_reason(const char *found, const char *expected, const char *what, u64 value)
{
	bool right = found && expected ? !!strstr(found, expected) : found == expected;

	ktap_check(right, "%s %#llx: '%s', expected '%s'", what, (unsigned long long)value,
		   found ? found : "", expected ? expected : "");
	ktap_check(!found || strstr(found, "forged"), "%s", found ? found : "");
}

/* By the id that VM @index has. */
static void check_find(u32 index, int expected, const char *reason)
{
	struct kch_message message;
	struct kch_record record;
	struct kch_record_vm vm;
	int err;

	err = kch_record_open(data, plan_size(&plan), &record, &message) ?:
	      kch_record_find(&record, data + plan_entry_offset(&plan, index) + 8, &vm, &message);
	ktap_check(err == expected && (!reason || strstr(message.text, reason)), "%d: %s", err,
		   err ? message.text : "");
}

struct change {
	u32 at, bytes;
	u64 value;
	const char *reason;	/* NULL: it is as good as any */
};

#define COUNT(rows)	(sizeof(rows) / sizeof((rows)[0]))

static void test_header(void)
{
	static const struct change changes[] = {
		{ 32, 8, 0x7fffffffffffffff, NULL },
		{ 32, 8, 0x8000000000000000, "sequence 9223372036854775808, the last" },
		{ 32, 8, U64_MAX - 1, "sequence 18446744073709551614, the last" },
		{ 32, 8, U64_MAX, "sequence 18446744073709551615, the last" },
		{ 48, 8, 0, NULL },
		{ 48, 8, 42, NULL },
		{ 48, 8, 43, "generation 43 is more than there were records, 42" },
		{ 48, 8, U64_MAX, "generation 18446744073709551615 is more" },
		{ 56, 4, 0, NULL },
		{ 60, 4, 0, "tsc_khz 0, a host's is 1000 to" },
		{ 60, 4, 999, "tsc_khz 999," },
		{ 60, 4, 1000, NULL },
		{ 60, 4, 100000000, NULL },
		{ 60, 4, 100000001, "tsc_khz 100000001," },
		{ 60, 4, 0xffffffff, "tsc_khz 4294967295," },
		/* It could not be asked. */
		{ 64, 4, 0, NULL },
		{ 64, 4, 1, "kvm_tsc_khz 1," },
		{ 64, 4, 0xffffffff, "kvm_tsc_khz 4294967295," },
		{ 68, 4, KCH_TSC_OTHER, NULL },
		{ 68, 4, KCH_TSC_OTHER + 1, "tsc_source 5, the last one is 4" },
		{ 68, 4, 0xffffffff, "tsc_source 4294967295," },
	};
	size_t i;

	set_up();
	for (i = 0; i < COUNT(changes); i++) {
		plan_write_bytes(&plan, data);
		put(data + changes[i].at, changes[i].bytes, changes[i].value);
		if (changes[i].at == 32)
			put64(data + 48, 0);
		check_reason(header_reason(), changes[i].reason, "header", changes[i].value);
	}
	/* The first reason of a record that this reader would not understand. */
	plan_write_bytes(&plan, data);
	put64(data + 32, U64_MAX);
	put32(data + 28, 1);
	check_reason(header_reason(), "sequence", "incompatible", U64_MAX);
	tear_down();
}

static void test_counts(void)
{
	static const struct change changes[] = {
		{ 20, 4, 0, "vm_count 0, but there are 3 VM entries" },
		{ 20, 4, 2, "vm_count 2, but there are 3 VM entries" },
		{ 20, 4, 4, "vm_count 4, but there are 3 VM entries" },
		{ 20, 4, 5, "vm_count 5, but there are 3 VM entries" },
	};
	const char *found;
	size_t i;

	set_up();
	for (i = 0; i < COUNT(changes); i++) {
		plan.compat = 0;
		plan_write_bytes(&plan, data);
		put32(data + 20, (u32)changes[i].value);
		check_reason(header_reason(), changes[i].reason, "vm_count", changes[i].value);
		/* What binds the entries finds it, too. */
		plan.compat = KCH_COMPAT_BOUND;
		plan_write_bytes(&plan, data);
		put32(data + 20, (u32)changes[i].value);
		found = header_reason();
		ktap_check(found && strstr(found, "are not those"), "%s", found ? found : "");
	}
	tear_down();
}

static void test_entry(void)
{
	static const struct change changes[] = {
		{ 92, 4, 0, NULL },
		{ 92, 4, 1 << 0, NULL },
		{ 92, 4, 1 << 0 | 1 << 2, NULL },
		{ 92, 4, 1 << 0 | 1 << 3, NULL },
		{ 92, 4, 1 << 1 | 1 << 4, NULL },
		{ 92, 4, 1 << 0 | 1 << 4, "flags 0x11 contradict each other" },
		{ 92, 4, 1 << 2 | 1 << 3, "flags 0xc contradict each other" },
		{ 92, 4, 1 << 2 | 1 << 4, "flags 0x14 contradict each other" },
		{ 92, 4, 1 << 3 | 1 << 4, "flags 0x18 contradict each other" },
		{ 92, 4, 0x1f, "flags 0x1f contradict each other" },
		{ 136, 1, 64, "tsc_scaling_frac_bits 64, at most 63" },
		{ 136, 1, 255, "tsc_scaling_frac_bits 255, at most 63" },
	};
	size_t i;

	set_up();
	for (i = 0; i < COUNT(changes); i++) {
		plan_write_bytes(&plan, data);
		put(vm_at() + changes[i].at, changes[i].bytes, changes[i].value);
		check_reason(vm_reason(), changes[i].reason, "entry", changes[i].value);
	}
	plan_write_bytes(&plan, data);
	memset(vm_at() + 8, 0, 16);
	check_reason(vm_reason(), "uuid is all zero", "uuid", 0);
	/* Two of one id: it has neither; the third is whole. */
	plan_write_bytes(&plan, data);
	memcpy(vm_at() + 8, data + plan_entry_offset(&plan, 0) + 8, 16);
	check_reason(vm_reason(), NULL, "uuid", 1);
	check_find(0, -EBADMSG, "two VM entries have that id");
	check_find(2, 0, NULL);
	tear_down();
}

/* Each before the next: the reference, the reading, the record. */
static void test_order(void)
{
	static const struct {
		u32 flags;
		s64 reference, read;	/* after the reading, after the record */
		const char *reason;
	} cases[] = {
		{ KCH_VM_MASTER_CLOCK, 0, 0, NULL },
		{ KCH_VM_MASTER_CLOCK, 1, 0, "master_cycle_now" },
		{ KCH_VM_MASTER_CLOCK, 1, -5, "master_cycle_now" },
		{ KCH_VM_MASTER_CLOCK, 1LL << 40, 0, "master_cycle_now" },
		{ KCH_VM_MASTER_CLOCK, -1, 1, "host_tsc" },
		{ KCH_VM_MASTER_CLOCK, -1, 1LL << 40, "host_tsc" },
		{ KCH_VM_STALE, 0, 0, NULL },
		{ KCH_VM_STALE, 1, 0, "master_cycle_now" },
		{ KCH_VM_STALE, -1, 1, "host_tsc" },
		/* KVM did not use it. */
		{ 0, 1, 0, NULL },
		{ KCH_VM_AT_SEAL, -1, 1, NULL },
	};
	u64 sealed, read;
	size_t i;

	set_up();
	for (i = 0; i < COUNT(cases); i++) {
		plan_write_bytes(&plan, data);
		sealed = get64(data + 72);
		read = sealed + (u64)cases[i].read;
		put32(vm_at() + 92, cases[i].flags);
		put64(vm_at() + 96, read + (u64)cases[i].reference);
		put64(vm_at() + 120, read);
		/* The clock at its reference. */
		put64(vm_at() + 128, get64(vm_at() + 104) + get64(vm_at() + 112));
		check_reason(vm_reason(), cases[i].reason, "order", i);
	}
	tear_down();
}

/* kvmclock_ns is the function's value, whichever of its numbers is forged. */
static void test_function(void)
{
	u64 at_reference, ns;
	u32 bit;

	set_up();
	for (bit = 0; bit < 64; bit++) {
		plan_write_bytes(&plan, data);
		ns = get64(vm_at() + 128);
		put64(vm_at() + 128, ns ^ 1ULL << bit);
		check_reason(vm_reason(), "kvmclock_ns", "kvmclock_ns, bit", bit);
		plan_write_bytes(&plan, data);
		put64(vm_at() + 112, get64(vm_at() + 112) ^ 1ULL << bit);
		check_reason(vm_reason(), "kvmclock_ns", "kvmclock_offset, bit", bit);
		plan_write_bytes(&plan, data);
		put32(vm_at() + 92, KCH_VM_AT_SEAL);
		put64(vm_at() + 128, ns ^ 1ULL << bit);
		check_reason(vm_reason(), NULL, "without master clock, bit", bit);
	}
	plan_write_bytes(&plan, data);
	put32(vcpu_at(0) + 48, get32(vcpu_at(0) + 48) ^ 1);
	check_reason(vm_reason(), "by its own numbers it was", "mul", 1);
	plan_write_bytes(&plan, data);
	put32(vcpu_at(1) + 48, get32(vcpu_at(1) + 48) ^ 1);
	check_reason(vm_reason(), NULL, "mul of the second", 1);
	/* Its first vCPU had not run when it was read. */
	plan_write_bytes(&plan, data);
	at_reference = get64(vm_at() + 104) + get64(vm_at() + 112);
	put64(vm_at() + 128, at_reference);
	check_reason(vm_reason(), NULL, "at the reference", 0);
	put64(vm_at() + 128, at_reference + 1);
	check_reason(vm_reason(), "kvmclock_ns", "a ns later", 1);
	put32(vcpu_at(0) + 4, 0);
	memset(vcpu_at(0) + 32, 0, 8);
	memset(vcpu_at(0) + 44, 0, 9);
	check_reason(vm_reason(), "kvmclock_ns", "has not run, a ns later", 1);
	put64(vm_at() + 128, at_reference);
	check_reason(vm_reason(), NULL, "has not run", 0);
	tear_down();
}

static void test_vcpu(void)
{
	static const struct change changes[] = {
		{ 0, 4, 0, "vCPU 0 follows vCPU 0" },
		{ 0, 4, 1, NULL },
		{ 0, 4, 0xffffffff, NULL },
		{ 40, 4, 0, "vCPU 3: virtual_tsc_khz 0: it is forged" },
		{ 40, 4, 1, "vCPU 3: virtual_tsc_khz 1, tsc_scaling_ratio 0x" },
		{ 40, 4, 0xffffffff, "vCPU 3: virtual_tsc_khz 4294967295, tsc_scaling_ratio 0x" },
		{ 48, 4, 0, "tsc_to_system_mul 0, KVM's are 2147483648 at least" },
		{ 48, 4, 1, "tsc_to_system_mul 1," },
		{ 48, 4, 0x7fffffff, "vCPU 3: tsc_to_system_mul 2147483647, KVM's are" },
		{ 48, 4, 0x80000000, NULL },
		{ 48, 4, 0xffffffff, NULL },
		{ 52, 1, (u8)-128, "tsc_shift -128, KVM's are -12 to 20" },
		{ 52, 1, (u8)-32, "tsc_shift -32," },
		{ 52, 1, (u8)-13, "vCPU 3: tsc_shift -13, KVM's are -12 to 20" },
		{ 52, 1, (u8)-12, NULL },
		{ 52, 1, 20, NULL },
		{ 52, 1, 21, "tsc_shift 21," },
		{ 52, 1, 32, "tsc_shift 32," },
		{ 52, 1, 127, "tsc_shift 127," },
		/* Its page is off. */
		{ 4, 4, 1 << 0, "vCPU 3: pvclock_gpa 0x" },
		/* It has not run. */
		{ 4, 4, 1 << 1, "vCPU 3: it has not run, but has tsc_to_system_mul" },
	};
	u64 one, largest;
	u32 khz;
	size_t i;

	set_up();
	for (i = 0; i < COUNT(changes); i++) {
		plan_write_bytes(&plan, data);
		put(vcpu_at(1) + changes[i].at, changes[i].bytes, changes[i].value);
		check_reason(vm_reason(), changes[i].reason, "vCPU", changes[i].value);
	}
	/* Descending. */
	plan_write_bytes(&plan, data);
	put32(vcpu_at(0), 4);
	check_reason(vm_reason(), "vCPU 3 follows vCPU 4", "ids", 4);

	/* Nothing of a pair is left where there is none. */
	plan_write_bytes(&plan, data);
	put32(vcpu_at(1) + 4, 0);
	memset(vcpu_at(1) + 32, 0, 8);
	memset(vcpu_at(1) + 44, 0, 9);
	check_reason(vm_reason(), NULL, "nothing", 0);
	put32(vcpu_at(1) + 44, 1);
	check_reason(vm_reason(), "tsc_to_system_mul 0 and tsc_shift 0 of 1 kHz", "kHz", 1);
	put32(vcpu_at(1) + 44, 0);
	put32(vcpu_at(1) + 48, 1);
	check_reason(vm_reason(), "tsc_to_system_mul 1 and tsc_shift 0 of 0 kHz", "mul", 1);
	put32(vcpu_at(1) + 48, 0);
	vcpu_at(1)[52] = 255;
	check_reason(vm_reason(), "tsc_to_system_mul 0 and tsc_shift -1 of 0 kHz", "shift", 1);

	/* An eighth off what the ratio makes of the host's; where there is no ratio, anything. */
	plan_write_bytes(&plan, data);
	khz = get32(vcpu_at(1) + 40);
	put32(vcpu_at(1) + 40, khz + khz / 8 + 1);
	check_reason(vm_reason(), NULL, "virtual_tsc_khz", khz);
	put32(vcpu_at(1) + 40, khz + khz / 8 + 2);
	check_reason(vm_reason(), " of the host's", "virtual_tsc_khz", khz);
	put32(vcpu_at(1) + 40, khz - khz / 8 - 1);
	check_reason(vm_reason(), NULL, "virtual_tsc_khz", khz);
	put32(vcpu_at(1) + 40, khz - khz / 8 - 2);
	check_reason(vm_reason(), " of the host's", "virtual_tsc_khz", khz);
	one = 1ULL << vm_at()[136];
	put64(vcpu_at(1) + 16, one);
	put32(vcpu_at(1) + 40, 1);
	check_reason(vm_reason(), NULL, "virtual_tsc_khz without a ratio", 1);
	put32(vcpu_at(1) + 40, 0xffffffff);
	check_reason(vm_reason(), NULL, "virtual_tsc_khz without a ratio", 0xffffffff);

	/* 1 kHz to 2^32 - 1 kHz of the host's. */
	khz = get32(data + 60);
	largest = (u64)((((unsigned __int128)one << 32) - 1) / khz);
	plan_write_bytes(&plan, data);
	put32(vcpu_at(1) + 40, 1);
	put64(vcpu_at(1) + 16, 0);
	check_reason(vm_reason(), "tsc_scaling_ratio 0/2^", "ratio", 0);
	put64(vcpu_at(1) + 16, one / khz);
	check_reason(vm_reason(), "makes no frequency of the host's", "ratio", one);
	put64(vcpu_at(1) + 16, one / khz + 1);
	check_reason(vm_reason(), NULL, "ratio", one);
	put32(vcpu_at(1) + 40, 0xffffffff);
	put64(vcpu_at(1) + 16, largest);
	check_reason(vm_reason(), NULL, "ratio", largest);
	put64(vcpu_at(1) + 16, largest + 1);
	check_reason(vm_reason(), "makes no frequency of the host's", "ratio", largest + 1);
	put64(vcpu_at(1) + 16, U64_MAX);
	check_reason(vm_reason(), "makes no frequency", "ratio", U64_MAX);
	/* 64 bits of the product are not enough: in them it is at most the host's. */
	vm_at()[136] = 0;
	largest = (u64)(((unsigned __int128)1 << 64) / khz) + 1;
	put64(vcpu_at(0) + 16, largest);
	check_reason(vm_reason(), "makes no frequency", "ratio", largest);
	tear_down();
}

/* What there is no member for, and flags that nobody knows. */
static void check_bits(const struct kch_field *fields, u8 *(*structure)(void),
		       const char *(*reason)(void))
{
	const struct kch_field *field, *flag;
	u32 bit, known;
	char word[64];

	for (field = fields; field->name; field++) {
		known = 0;
		for (flag = field + 1; flag->name && flag->kind == KCH_FIELD_FLAG; flag++)
			known |= flag->mask;
		if (field->kind != KCH_FIELD_ZERO && (!known || field->kind == KCH_FIELD_FLAG))
			continue;
		for (bit = 0; bit < 8 * field->size; bit++) {
			if (field->kind != KCH_FIELD_ZERO && known & 1U << bit)
				continue;
			plan_write_bytes(&plan, data);
			structure()[field->offset + bit / 8] ^= (u8)(1 << bit % 8);
			snprintf(word, sizeof(word), known ? "%s 0x" : "%s has 0x", field->name);
			check_reason(reason(), word, field->name, bit);
			/* A later version, which says that it has more. */
			plan.compat |= 1U << 31;
			plan_write_bytes(&plan, data);
			structure()[field->offset + bit / 8] ^= (u8)(1 << bit % 8);
			check_reason(reason(), NULL, field->name, bit);
			plan.compat &= ~(1U << 31);
		}
	}
}

static u8 *header_at(void)
{
	return data;
}

static u8 *last_vcpu_at(void)
{
	return vcpu_at(1);
}

/* How good a wall clock was, of a record that does not announce it. */
static void test_wall(void)
{
	set_up();
	put32(data + 244, 7);
	check_reason(header_reason(), "wall_maxerror_us 7 and wall_flags 0, which compat does not announce",
		     "maxerror", 7);
	plan_write_bytes(&plan, data);
	put32(data + 248, KCH_WALL_SYNCED);
	check_reason(header_reason(), "wall_flags 0x1, which", "flags", 1);
	plan.compat |= KCH_COMPAT_WALL;
	plan_write_bytes(&plan, data);
	put32(data + 244, 7);
	put32(data + 248, KCH_WALL_SYNCED | KCH_WALL_TAI);
	check_reason(header_reason(), NULL, "announced", 7);
	tear_down();
}

static void test_bits(void)
{
	set_up();
	check_bits(kch_header_fields, header_at, header_reason);
	check_bits(kch_vm_fields, vm_at, vm_reason);
	check_bits(kch_vcpu_fields, last_vcpu_at, vm_reason);
	tear_down();
}

static void check_text(u8 *(*structure)(void), u32 at, u32 size, bool ends,
		       const char *(*reason)(void))
{
	u32 byte;

	for (byte = 1; byte < 256; byte++) {
		bool control = byte < 0x20 || byte == 0x7f;

		plan_write_bytes(&plan, data);
		structure()[at] = (u8)byte;
		check_reason(reason(), control ? "has the control character" : NULL, "first", byte);
		/* Where nothing is written any more. */
		plan_write_bytes(&plan, data);
		memset(structure() + at, 0, size);
		structure()[at + size - 1] = (u8)byte;
		check_reason(reason(), "behind its end", "last", byte);
		/* U+0000 to U+00ff, of two bytes each. */
		plan_write_bytes(&plan, data);
		structure()[at] = 0xc2;
		structure()[at + 1] = (u8)byte;
		control |= byte >= 0x80 && byte < 0xa0;
		check_reason(reason(), control ? "has the control character" : NULL, "UTF-8", byte);
	}
	plan_write_bytes(&plan, data);
	memset(structure() + at, 0, size);
	check_reason(reason(), NULL, "empty", 0);
	memset(structure() + at, 'n', size - 1);
	check_reason(reason(), NULL, "full", 0);
	structure()[at + size - 1] = 'n';
	check_reason(reason(), ends ? "has no end within its" : NULL, "endless", 0);
	structure()[at + size - 1] = 0xc2;
	check_reason(reason(), ends ? "has no end within its" : NULL, "cut short", 0);
}

static void test_text(void)
{
	set_up();
	check_text(header_at, 148, 4, false, header_reason);
	check_text(header_at, 152, 64, true, header_reason);
	check_text(header_at, 216, 16, true, header_reason);
	check_text(vm_at, 24, 64, true, vm_reason);
	tear_down();
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "forged_header", test_header },
		{ "forged_counts", test_counts },
		{ "forged_entry", test_entry },
		{ "forged_order", test_order },
		{ "forged_function", test_function },
		{ "forged_vcpu", test_vcpu },
		{ "forged_bits", test_bits },
		{ "forged_wall", test_wall },
		{ "forged_text", test_text },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
