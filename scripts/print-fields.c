// SPDX-License-Identifier: GPL-2.0
/*
 * What is made of the tables in kernel/core/fields.c, for the documents and their
 * check.
 *
 *	print-fields tables	each table of a document, from its first mark to its
 *				last; see record_tables.py
 *	print-fields shown	the names that show and decode have
 *	print-fields library	static assertions: the library gives its callers
 *				every member that is shown, and every flag
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "fields.h"

#define COLUMNS_MAX	7
#define ROWS_MAX	64
#define CELL_MAX	160

static const struct structure {
	const char *name;
	const struct kch_field *fields;
	/* The library's structure, and the prefix of its flags. */
	const char *library;
	const char *prefix;
} structures[] = {
	{ "kch_rec_header", kch_header_fields, NULL, NULL },
	{ "kch_rec_vm", kch_vm_fields, "kch_vm_info", "KCH_VM_" },
	{ "kch_rec_vcpu", kch_vcpu_fields, "kch_vcpu_info", "KCH_VCPU_" },
	{ "kch_kho_entry", kch_kho_fields, NULL, NULL },
};

static const char *type_of(const struct kch_field *field)
{
	bool is_signed = field->kind == KCH_FIELD_SIGNED;

	switch (field->kind) {
	case KCH_FIELD_UUID:
		return "UUID";
	case KCH_FIELD_TEXT:
	case KCH_FIELD_CHARS:
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

static bool is_flag(const struct kch_field *field)
{
	return field->kind == KCH_FIELD_FLAG;
}

/* Marks what is a name: every word with an underscore. */
static void mark_names(char *cell, const char *text)
{
	*cell = '\0';
	while (*text) {
		size_t length = 0;

		while (isalnum((unsigned char)text[length]) ||
		       (text[length] && strchr("_/*", text[length])))
			length++;
		if (memchr(text, '_', length))
			cell += sprintf(cell, "``%.*s``", (int)length, text);
		else
			cell += sprintf(cell, "%.*s", (int)(length ? length : 1), text);
		length = length ? length : 1;
		text += length;
	}
}

/* A simple table of reStructuredText: cells[0] is the head, a column without one is not there. */
static void print_table(char (*cells)[COLUMNS_MAX][CELL_MAX], unsigned int rows)
{
	static const char rule[] = "================================================="
				   "=================================================";
	unsigned int row, column, columns;

	for (columns = 0; columns < COLUMNS_MAX && *cells[0][columns]; columns++)
		;
	for (row = 0; row < rows + 3; row++) {
		bool is_rule = row == 0 || row == 2 || row == rows + 2;
		char line[COLUMNS_MAX * CELL_MAX] = "", *end = line;

		for (column = 0; column < columns; column++) {
			size_t width = 0, i;

			for (i = 0; i < rows; i++)
				if (strlen(cells[i][column]) > width)
					width = strlen(cells[i][column]);
			if (is_rule)
				end += sprintf(end, "%.*s  ", (int)width, rule);
			else
				end += sprintf(end, "%-*s  ", (int)width,
					       cells[row == 1 ? 0 : row - 2][column]);
		}
		while (end[-1] == ' ')
			*--end = '\0';
		puts(line);
	}
}

static void print_rst(const struct structure *structure, bool flags)
{
	static char cells[ROWS_MAX][COLUMNS_MAX][CELL_MAX];
	static const char *const head[][COLUMNS_MAX] = {
		{ "offset", "size", "type", "member", "unit", "since", "meaning" },
		{ "flag", "bit", "shown as", "since", "meaning", "", "" },
	};
	const struct kch_field *field;
	unsigned int rows = 1, i;

	for (i = 0; i < COLUMNS_MAX; i++)
		strcpy(cells[0][i], head[flags][i]);
	for (field = structure->fields; field->name && rows < ROWS_MAX; field++) {
		char (*cell)[CELL_MAX] = cells[rows];

		if (is_flag(field) != flags)
			continue;
		rows++;
		if (flags) {
			sprintf(cell[0], "``%s``", field->symbol);
			sprintf(cell[1], "%#x", field->mask);
			sprintf(cell[2], "``%s``", field->name);
			strcpy(cell[3], field->since);
			mark_names(cell[4], field->meaning);
			continue;
		}
		sprintf(cell[0], "%u", field->offset);
		sprintf(cell[1], "%u", field->size);
		strcpy(cell[2], type_of(field));
		sprintf(cell[3], "``%s``", field->name);
		strcpy(cell[4], field->unit ? field->unit : "");
		strcpy(cell[5], field->since);
		mark_names(cell[6], field->meaning);
	}
	if (rows == 1)
		return;
	printf(".. %s: %s\n\n", flags ? "flags" : "fields", structure->name);
	print_table(cells, rows);
	printf("\n.. end %s\n", flags ? "flags" : "fields");
}

static void print_man(const struct structure *structure)
{
	const struct kch_field *field;

	printf(".\\\" fields: %s\n", structure->name);
	for (field = structure->fields; field->name; field++)
		if (kch_field_shown(field))
			printf(".It Va %s\n%s%s%s\n", field->name, field->meaning,
			       field->unit ? ", " : "", field->unit ? field->unit : "");
	puts(".\\\" end fields");
}

static void print_assertion(const struct structure *structure, const struct kch_field *field)
{
	if (is_flag(field))
		printf("_Static_assert(%sINFO_%s == %#x, \"%s\");\n", structure->prefix,
		       field->symbol + strlen(structure->prefix), field->mask, field->name);
	else
		printf("_Static_assert(sizeof(((struct %s *)0)->%s) > 0, \"%s\");\n",
		       structure->library, field->name, field->name);
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	const struct kch_field *field;
	unsigned int i;

	for (i = 0; i < sizeof(structures) / sizeof(*structures); i++) {
		const struct structure *structure = &structures[i];
		bool is_kho = structure->fields == kch_kho_fields;

		if (!strcmp(what, "tables")) {
			print_rst(structure, false);
			print_rst(structure, true);
			if (!is_kho)
				print_man(structure);
			continue;
		}
		for (field = structure->fields; field->name; field++) {
			if (!kch_field_shown(field))
				continue;
			if (!strcmp(what, "shown") && !is_kho)
				puts(field->name);
			else if (!strcmp(what, "library") && structure->library)
				print_assertion(structure, field);
		}
	}
	return 0;
}
