// SPDX-License-Identifier: GPL-2.0
/* Printing structures of the record, by core's table of their members. */
#include "structure.h"
#include "util.h"

static void add_member(struct json_object *to, const struct kch_field *field, const void *structure)
{
	const uint64_t number = kch_field_number(field, structure);
	const bool wide = field->size > sizeof(uint32_t);
	char text[KCH_FIELD_TEXT_SIZE];

	if (field->kind == KCH_FIELD_FLAG) {
		output_bool(to, field->name, number);
	} else if (field->kind == KCH_FIELD_HEX) {
		output_hex(to, field->name, number, wide ? 64 : 32);
	} else if (field->kind <= KCH_FIELD_SIGNED && !wide) {
		output_number(to, field->name, (int64_t)number);
	} else {
		kch_field_text(field, structure, text);
		output_string(to, field->name, text);
	}
}

void structure_add(struct json_object *to, const struct kch_field *fields, const void *structure)
{
	for (; fields->name; fields++)
		if (kch_field_shown(fields))
			add_member(to, fields, structure);
}

const struct column *structure_columns(const struct column *first, const struct kch_field *fields)
{
	struct column *columns = xcalloc(OUTPUT_COLUMNS_MAX + 1, sizeof(*columns));
	size_t count = 0;

	for (; first && first->name; first++)
		columns[count++] = *first;
	for (; fields->name && count < OUTPUT_COLUMNS_MAX; fields++)
		if (kch_field_shown(fields))
			columns[count++] = (struct column){
				.name = fields->name, .help = fields->meaning,
				.number = fields->kind <= KCH_FIELD_HEX,
			};
	return columns;
}
