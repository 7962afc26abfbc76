// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of the record's members: do they cover each structure, is each row
 * sound, and is every value shown as what it is?
 */
#include "../l1/lib/ktap.h"
#include "fields.h"

static const struct {
	const char *name;
	const struct kch_field *fields;
	size_t size;
} tables[] = {
	{ "header", kch_header_fields, sizeof(struct kch_rec_header) },
	{ "vm", kch_vm_fields, sizeof(struct kch_rec_vm) },
	{ "vcpu", kch_vcpu_fields, sizeof(struct kch_rec_vcpu) },
	{ "kho", kch_kho_fields, sizeof(struct kch_kho_entry) },
};

#define TABLES	(sizeof(tables) / sizeof(tables[0]))

/* No byte of a structure is without a row, and none has two. */
static void test_cover(void)
{
	const struct kch_field *f;
	size_t t, end;

	for (t = 0; t < TABLES; t++) {
		end = 0;
		for (f = tables[t].fields; f->name; f++) {
			if (f->kind == KCH_FIELD_FLAG)
				continue;
			ktap_check(f->offset == end, "%s: %s at %u, expected %zu",
				   tables[t].name, f->name, f->offset, end);
			end = f->offset + f->size;
		}
		ktap_check(end == tables[t].size, "%s: %zu bytes, expected %zu",
			   tables[t].name, end, tables[t].size);
	}
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), of_end = strlen(end);

	return length >= of_end && !strcmp(text + length - of_end, end);
}

static bool unit_is(const struct kch_field *field, const char *unit)
{
	return field->unit && !strcmp(field->unit, unit);
}

/* Who names a unit has it, and every row says what it means and since when. */
static void test_words(void)
{
	const struct kch_field *f, *other;
	size_t t;

	for (t = 0; t < TABLES; t++)
		for (f = tables[t].fields; f->name; f++) {
			ktap_check(!ends_with(f->name, "_ns") || unit_is(f, "ns"),
				   "%s: no ns", f->name);
			ktap_check(!ends_with(f->name, "_khz") || unit_is(f, "kHz"),
				   "%s: no kHz", f->name);
			ktap_check(f->since && f->since[0], "%s: since?", f->name);
			ktap_check(f->meaning && !f->meaning[0] == (f->kind == KCH_FIELD_ZERO),
				   "%s: means?", f->name);
			for (other = tables[t].fields; other < f; other++)
				ktap_check(strcmp(f->name, other->name),
					   "%s twice", f->name);
		}
}

/* A flag stands behind its member; the bits known are those of the header. */
static void test_flags(void)
{
	/* Their sum: of one structure two members may have flags. */
	static const u32 known[TABLES] = {
		KCH_REC_SEALED + KCH_WALL_SYNCED + KCH_WALL_TAI,
		KCH_VM_MASTER_CLOCK | KCH_VM_RUNNING | KCH_VM_AT_SEAL | KCH_VM_AT_END |
			KCH_VM_STALE,
		KCH_VCPU_PAIR_VALID | KCH_VCPU_PVCLOCK_ON | KCH_VCPU_CATCHUP,
	};
	const struct kch_field *f, *member = NULL;
	size_t t;
	u32 seen = 0, sum;

	for (t = 0; t < TABLES; t++) {
		sum = 0;
		for (f = tables[t].fields; f->name; f++) {
			if (f->kind != KCH_FIELD_FLAG) {
				member = f;
				seen = 0;
				continue;
			}
			ktap_check(f->offset == member->offset && strstr(member->name, "flags"),
				   "%s behind %s", f->name, member->name);
			ktap_check(f->mask && !(f->mask & (f->mask - 1)) && !(f->mask & seen),
				   "%s: %#x", f->name, f->mask);
			ktap_check(f->symbol && !strncmp(f->symbol, "KCH_", 4), "%s", f->name);
			seen |= f->mask;
			sum += f->mask;
		}
		ktap_check(sum == known[t], "%s: %#x", tables[t].name, sum);
	}
}

static const struct kch_field *find(const struct kch_field *f, const char *name)
{
	while (f->name && strcmp(f->name, name))
		f++;
	ktap_check(f->name, "no %s", name);
	return f;
}

static void shows(const struct kch_field *fields, const void *structure,
		  const char *name, const char *expected)
{
	char text[KCH_FIELD_TEXT_SIZE];

	memset(text, 'x', sizeof(text));
	kch_field_text(find(fields, name), structure, text);
	ktap_check(!strcmp(text, expected), "%s: '%s', expected '%s'", name, text,
		   expected);
}

static void test_header_text(void)
{
	struct kch_rec_header h = {
		.magic = { 'K', 'V', 'M', 'C', 'L', 'K', 'H', 'O' },
		.compat = cpu_to_le32(0x80000001),
		.sequence = cpu_to_le64(U64_MAX),
		.flags = cpu_to_le32(3),
		.cpu_vendor = { 'A', 'u', 't', 'h' },
		.kernel_release = "6.12",
		.commit = cpu_to_le64(0x10),
	};
	size_t i;

	for (i = 0; i < sizeof(h.boot_id); i++)
		h.boot_id[i] = (u8)(0x10 * i + i);
	shows(kch_header_fields, &h, "magic", "KVMCLKHO");
	shows(kch_header_fields, &h, "compat", "0x80000001");
	shows(kch_header_fields, &h, "sequence", "18446744073709551615");
	shows(kch_header_fields, &h, "flags", "0x3");
	shows(kch_header_fields, &h, "sealed", "1");
	shows(kch_header_fields, &h, "boot_id", "00112233-4455-6677-8899-aabbccddeeff");
	shows(kch_header_fields, &h, "cpu_vendor", "Auth");
	shows(kch_header_fields, &h, "kernel_release", "6.12");
	shows(kch_header_fields, &h, "commit", "0x10");
	shows(kch_header_fields, &h, "reserved", "");
}

static void test_sources(void)
{
	static const char *const words[] = { "unknown", "early", "settled", "known", "other",
					     "invalid" };
	struct kch_rec_header h = { };
	u32 i;

	for (i = 0; i < 6; i++) {
		h.tsc_source = cpu_to_le32(i);
		shows(kch_header_fields, &h, "tsc_source", words[i]);
	}
	h.tsc_source = cpu_to_le32(0xffffffffU);
	shows(kch_header_fields, &h, "tsc_source", "invalid");
}

static void test_numbers(void)
{
	struct kch_rec_vm vm = {
		.flags = cpu_to_le32(KCH_VM_RUNNING | KCH_VM_STALE),
		.kvmclock_offset = cpu_to_le64((u64)-3000000000LL),
		.host_tsc = cpu_to_le64(0xfedcba9876543210ULL),
		.tsc_scaling_frac_bits = 0xff,
		.pid = cpu_to_le32(0xffffffffU),
	};
	struct kch_rec_vcpu vcpu = {
		.tsc_offset = cpu_to_le64((u64)-1),
		.ia32_tsc_adjust = cpu_to_le64(1ULL << 63),
		.tsc_shift = -31,
		.pvclock_flags = 0x80,
	};

	shows(kch_vm_fields, &vm, "master_clock", "0");
	shows(kch_vm_fields, &vm, "running", "1");
	shows(kch_vm_fields, &vm, "at_seal", "0");
	shows(kch_vm_fields, &vm, "stale", "1");
	shows(kch_vm_fields, &vm, "kvmclock_offset", "-3000000000");
	shows(kch_vm_fields, &vm, "host_tsc", "18364758544493064720");
	shows(kch_vm_fields, &vm, "tsc_scaling_frac_bits", "255");
	shows(kch_vm_fields, &vm, "pid", "4294967295");
	memset(vm.name, 'n', sizeof(vm.name));
	shows(kch_vm_fields, &vm, "name",
	      "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	shows(kch_vcpu_fields, &vcpu, "tsc_offset", "-1");
	shows(kch_vcpu_fields, &vcpu, "ia32_tsc_adjust", "-9223372036854775808");
	shows(kch_vcpu_fields, &vcpu, "tsc_shift", "-31");
	shows(kch_vcpu_fields, &vcpu, "pvclock_flags", "0x80");
	shows(kch_vcpu_fields, &vcpu, "pvclock_gpa", "0");
	ktap_check(kch_field_number(find(kch_vm_fields, "stale"), &vm) == 1, "flag");
	ktap_check((s64)kch_field_number(find(kch_vcpu_fields, "tsc_shift"), &vcpu) == -31,
		   "sign");
	ktap_check(kch_field_number(find(kch_vm_fields, "pid"), &vm) == 0xffffffffU, "no sign");
}

/* What makes a record whole, or is reserved, is not for people. */
static void test_shown(void)
{
	ktap_check(kch_field_shown(find(kch_header_fields, "kernel_release")), "release");
	ktap_check(kch_field_shown(find(kch_vm_fields, "stale")), "stale");
	ktap_check(!kch_field_shown(find(kch_header_fields, "magic")), "magic");
	ktap_check(!kch_field_shown(find(kch_header_fields, "commit")), "commit");
	ktap_check(!kch_field_shown(find(kch_vm_fields, "crc32c")), "crc32c");
	ktap_check(!kch_field_shown(find(kch_vcpu_fields, "reserved")), "reserved");
}

int main(int argc, char **argv)
{
	static const struct ktap_case cases[] = {
		{ "cover", test_cover },
		{ "words", test_words },
		{ "flags", test_flags },
		{ "header_text", test_header_text },
		{ "sources", test_sources },
		{ "numbers", test_numbers },
		{ "shown", test_shown },
	};

	return ktap_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
