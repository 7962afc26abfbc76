// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the tables of kernel/core/fields.c for record_tables.py, one row a line,
 * separated by tabs: structure, name, offset, size, type, unit, since, whether it
 * is shown, a flag's symbol and bit, meaning.
 */
#include <stdio.h>
#include "fields.h"

static const char *type_of(const struct kch_field *field)
{
	bool is_signed = field->kind == KCH_FIELD_SIGNED;

	switch (field->kind) {
	case KCH_FIELD_FLAG:
		return "flag";
	case KCH_FIELD_UUID:
		return "UUID";
	case KCH_FIELD_TEXT:
	case KCH_FIELD_MAGIC:
		return "text";
	case KCH_FIELD_ZERO:
		return "zero";
	default:
		break;
	}
	switch (field->size) {
	case 1:
		return is_signed ? "s8" : "u8";
	case 4:
		return is_signed ? "le32 signed" : "le32";
	default:
		return is_signed ? "le64 signed" : "le64";
	}
}

static void print(const char *structure, const struct kch_field *field)
{
	for (; field->name; field++)
		printf("%s\t%s\t%u\t%u\t%s\t%s\t%s\t%d\t%s\t%#x\t%s\n", structure,
		       field->name, field->offset, field->size, type_of(field),
		       field->unit ? field->unit : "", field->since, kch_field_shown(field),
		       field->symbol ? field->symbol : "", field->mask, field->meaning);
}

int main(void)
{
	print("kch_rec_header", kch_header_fields);
	print("kch_rec_vm", kch_vm_fields);
	print("kch_rec_vcpu", kch_vcpu_fields);
	print("kch_kho_entry", kch_kho_fields);
	return 0;
}
