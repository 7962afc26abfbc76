// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <kvmclock-handover.h>
#include "output.h"
#include "util.h"

#define FIELD_WIDTH	22

struct cell {
	const char *key;
	char *text;	/* as JSON if that is the format, else escaped text */
	bool number;
};

struct row {
	struct cell *cells;
	size_t count;
};

struct output {
	enum output_format format;
	bool began;		/* JSON: a member was written */
	const char *table;
	struct row *rows;
	size_t row_count;
	char *errors;		/* JSON: the elements, separated */
};

/* Length of the valid UTF-8 sequence at @s, 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t length, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		length = 4;
	else
		return 0;
	code = s[0] & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	return length;
}

static char *json_string(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char *result, *at;
	size_t length;

	/* No byte becomes more than six. */
	result = xmalloc(strlen(text) * 6 + 3);
	at = result;
	*at++ = '"';
	while (*s) {
		length = utf8_length(s);
		if (!length) {
			at = stpcpy(at, "\\ufffd");
			s++;
		} else if (*s == '"' || *s == '\\') {
			*at++ = '\\';
			*at++ = (char)*s++;
		} else if (*s < 0x20 || *s == 0x7f) {
			at += sprintf(at, "\\u%04x", *s++);
		} else {
			memcpy(at, s, length);
			at += length;
			s += length;
		}
	}
	*at++ = '"';
	*at = '\0';
	return result;
}

char *output_printable(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char *result, *at;
	size_t length;

	result = xmalloc(strlen(text) * 4 + 1);
	at = result;
	while (*s) {
		length = utf8_length(s);
		/* C1 controls are U+0080 to U+009f, C2 80 to C2 9f. */
		if (!length || *s < 0x20 || *s == 0x7f || *s == '\\' ||
		    (length == 2 && s[0] == 0xc2 && s[1] < 0xa0)) {
			at += sprintf(at, "\\x%02x", *s++);
		} else {
			memcpy(at, s, length);
			at += length;
			s += length;
		}
	}
	*at = '\0';
	return result;
}

/* Columns the text takes on a terminal, near enough: one per code point. */
static int text_width(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void pad(int columns)
{
	while (columns-- > 0)
		putchar(' ');
}

static void json_key(struct output *out, const char *key)
{
	printf("%s  \"%s\": ", out->began ? ",\n" : "{\n", key);
	out->began = true;
}

/* Takes @text. */
static void write_value(struct output *out, const char *key, char *text,
			bool number)
{
	if (out->table) {
		struct row *row = &out->rows[out->row_count - 1];

		row->cells = xrealloc(row->cells,
				      (row->count + 1) * sizeof(row->cells[0]));
		row->cells[row->count++] = (struct cell){ key, text, number };
		return;
	}
	if (out->format == OUTPUT_JSON) {
		json_key(out, key);
		printf("%s", text);
	} else if (out->format == OUTPUT_TSV) {
		printf("%s\t%s\n", key, text);
	} else {
		printf("%s:", key);
		pad(FIELD_WIDTH - (int)strlen(key) - 1);
		printf(" %s\n", text);
	}
	free(text);
}

struct output *output_new(enum output_format format)
{
	struct output *out = xcalloc(1, sizeof(*out));

	out->format = format;
	return out;
}

void output_u64(struct output *out, const char *key, uint64_t value)
{
	write_value(out, key, xasprintf("%" PRIu64, value), true);
}

void output_s64(struct output *out, const char *key, int64_t value)
{
	write_value(out, key, xasprintf("%" PRId64, value), true);
}

void output_hex(struct output *out, const char *key, uint64_t value)
{
	if (out->format == OUTPUT_JSON)
		output_u64(out, key, value);
	else
		write_value(out, key, xasprintf("%#" PRIx64, value), true);
}

void output_bool(struct output *out, const char *key, bool value)
{
	const char *word = value ? "yes" : "no";

	if (out->format == OUTPUT_JSON)
		word = value ? "true" : "false";
	write_value(out, key, xstrdup(word), false);
}

void output_string(struct output *out, const char *key, const char *value)
{
	if (out->format == OUTPUT_JSON)
		write_value(out, key, value ? json_string(value) : xstrdup("null"),
			    false);
	else
		write_value(out, key, value && *value ? output_printable(value) :
							xstrdup("-"), false);
}

void output_uuid(struct output *out, const char *key, const uint8_t *uuid)
{
	char text[KCH_UUID_TEXT_SIZE];

	kch_uuid_format(uuid, text);
	output_string(out, key, text);
}

void output_table(struct output *out, const char *key)
{
	out->table = key;
}

void output_row(struct output *out)
{
	out->rows = xrealloc(out->rows, (out->row_count + 1) * sizeof(out->rows[0]));
	out->rows[out->row_count++] = (struct row){};
}

static void json_table(struct output *out)
{
	size_t r, c;

	json_key(out, out->table);
	printf("[");
	for (r = 0; r < out->row_count; r++) {
		const struct row *row = &out->rows[r];

		printf("%s\n    {", r ? "," : "");
		for (c = 0; c < row->count; c++)
			printf("%s\"%s\": %s", c ? ", " : "", row->cells[c].key,
			       row->cells[c].text);
		printf("}");
	}
	printf("%s]", out->row_count ? "\n  " : "");
}

/* Every line begins with the table's name, as every field does with its own. */
static void tsv_table(struct output *out)
{
	size_t r, c;

	for (r = 0; r < out->row_count; r++) {
		printf("%s", out->table);
		for (c = 0; c < out->rows[r].count; c++)
			printf("\t%s", out->rows[r].cells[c].text);
		printf("\n");
	}
}

static int column_width(const struct output *out, size_t column)
{
	int width = (int)strlen(out->rows[0].cells[column].key);
	size_t r;

	for (r = 0; r < out->row_count; r++) {
		int w = text_width(out->rows[r].cells[column].text);

		width = w > width ? w : width;
	}
	return width;
}

/* Numbers to the right, all else to the left, nothing behind the last one. */
static void text_cell(const char *text, int width, bool number, bool last)
{
	if (number)
		pad(width - text_width(text));
	printf("%s", text);
	if (!number && !last)
		pad(width - text_width(text));
	printf("%s", last ? "\n" : "  ");
}

static void text_table(struct output *out)
{
	size_t columns, r, c;
	int *widths;

	if (!out->row_count) {
		printf("%s:", out->table);
		pad(FIELD_WIDTH - (int)strlen(out->table) - 1);
		printf(" none\n");
		return;
	}
	columns = out->rows[0].count;
	widths = xcalloc(columns, sizeof(*widths));
	printf("%s:\n", out->table);
	for (c = 0; c < columns; c++) {
		const struct cell *cell = &out->rows[0].cells[c];

		widths[c] = column_width(out, c);
		text_cell(cell->key, widths[c], cell->number, c + 1 == columns);
	}
	for (r = 0; r < out->row_count; r++)
		for (c = 0; c < columns; c++)
			text_cell(out->rows[r].cells[c].text, widths[c],
				  out->rows[r].cells[c].number, c + 1 == columns);
	free(widths);
}

void output_table_end(struct output *out)
{
	size_t r, c;

	if (out->format == OUTPUT_JSON)
		json_table(out);
	else if (out->format == OUTPUT_TSV)
		tsv_table(out);
	else
		text_table(out);
	for (r = 0; r < out->row_count; r++) {
		for (c = 0; c < out->rows[r].count; c++)
			free(out->rows[r].cells[c].text);
		free(out->rows[r].cells);
	}
	free(out->rows);
	out->rows = NULL;
	out->row_count = 0;
	out->table = NULL;
}

void output_line(struct output *out, const char *key, const char *line)
{
	if (out->format == OUTPUT_JSON)
		output_string(out, key, line);
	else
		printf("%s\n", line);
}

void output_error(struct output *out, const char *object, const char *name,
		  const char *message)
{
	char *object_json, *name_json, *message_json, *all;

	if (out->format != OUTPUT_JSON)
		return;
	object_json = object ? json_string(object) : xstrdup("null");
	name_json = name ? json_string(name) : xstrdup("null");
	message_json = json_string(message);
	all = xasprintf("%s%s\n    {\"object\": %s, \"errno\": %s, \"message\": %s}",
			out->errors ? out->errors : "", out->errors ? "," : "",
			object_json, name_json, message_json);
	free(out->errors);
	out->errors = all;
	free(object_json);
	free(name_json);
	free(message_json);
}

int output_end(struct output *out)
{
	int err = 0;

	if (out->format == OUTPUT_JSON) {
		json_key(out, "errors");
		if (out->errors)
			printf("[%s\n  ]\n}\n", out->errors);
		else
			printf("[]\n}\n");
	}
	free(out->errors);
	free(out);
	if (fflush(stdout) || ferror(stdout))
		err = -(errno ? errno : EIO);
	return err;
}
