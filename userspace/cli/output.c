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

/* What each cell of a table begins with; its text and a NUL follow. */
#define CELL_NUMBER	'n'
#define CELL_OTHER	'o'

/* Bytes that become more; it grows by halves, so that each is copied a few times. */
struct buffer {
	char *data;
	size_t used;
	size_t room;
};

struct column {
	const char *key;
	int width;
	bool number;		/* of the first row */
};

struct output {
	enum output_format format;
	bool began;		/* JSON: a member was written */
	const char *table;
	struct buffer cells;	/* of the table, row by row, all with the same columns */
	struct column *columns;
	size_t column_count;
	size_t row_count;
	size_t at_column;	/* of the next cell */
	struct buffer errors;	/* JSON: the elements, separated */
};

static void buffer_add(struct buffer *buffer, const char *bytes, size_t size)
{
	if (size > buffer->room - buffer->used) {
		buffer->room += buffer->room / 2 + size;
		buffer->data = xrealloc(buffer->data, buffer->room);
	}
	memcpy(buffer->data + buffer->used, bytes, size);
	buffer->used += size;
}

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

/* JSON has its own form of it, else it is printable text. */
static void add_cell(struct output *out, const char *key, const char *text,
		     bool number)
{
	const size_t c = out->at_column++;
	int width = text_width(text);

	if (c == out->column_count) {
		out->columns = xrealloc(out->columns, (c + 1) * sizeof(out->columns[0]));
		out->columns[c] = (struct column){ key, (int)strlen(key), number };
		out->column_count++;
	}
	if (width > out->columns[c].width)
		out->columns[c].width = width;
	buffer_add(&out->cells, (char []){ number ? CELL_NUMBER : CELL_OTHER }, 1);
	buffer_add(&out->cells, text, strlen(text) + 1);
}

/* Takes @text. */
static void write_value(struct output *out, const char *key, char *text,
			bool number)
{
	if (out->table) {
		add_cell(out, key, text, number);
	} else if (out->format == OUTPUT_JSON) {
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

static void output_field(struct output *out, const struct kch_field *field,
			 const void *structure)
{
	char text[KCH_FIELD_TEXT_SIZE];

	switch (field->kind) {
	case KCH_FIELD_DECIMAL:
		output_u64(out, field->name, kch_field_number(field, structure));
		break;
	case KCH_FIELD_SIGNED:
		output_s64(out, field->name, (int64_t)kch_field_number(field, structure));
		break;
	case KCH_FIELD_HEX:
		output_hex(out, field->name, kch_field_number(field, structure));
		break;
	case KCH_FIELD_FLAG:
		output_bool(out, field->name, kch_field_number(field, structure));
		break;
	default:
		kch_field_text(field, structure, text);
		output_string(out, field->name, text);
	}
}

void output_fields(struct output *out, const struct kch_field *field,
		   const void *structure)
{
	for (; field->name; field++)
		if (kch_field_shown(field))
			output_field(out, field, structure);
}

void output_table(struct output *out, const char *key)
{
	out->table = key;
}

void output_row(struct output *out)
{
	out->row_count++;
	out->at_column = 0;
}

/* The cells of a table one after the other: what each is printed as. */
static const char *next_cell(const char **at, bool *number)
{
	const char *text = *at + 1;

	*number = **at == CELL_NUMBER;
	*at = text + strlen(text) + 1;
	return text;
}

static void json_table(struct output *out)
{
	const char *at = out->cells.data;
	bool number;
	size_t r, c;

	json_key(out, out->table);
	printf("[");
	for (r = 0; r < out->row_count; r++) {
		printf("%s\n    {", r ? "," : "");
		for (c = 0; c < out->column_count; c++)
			printf("%s\"%s\": %s", c ? ", " : "", out->columns[c].key,
			       next_cell(&at, &number));
		printf("}");
	}
	printf("%s]", out->row_count ? "\n  " : "");
}

/* Every line begins with the table's name, as every field does with its own. */
static void tsv_table(struct output *out)
{
	const char *at = out->cells.data;
	bool number;
	size_t r, c;

	for (r = 0; r < out->row_count; r++) {
		printf("%s", out->table);
		for (c = 0; c < out->column_count; c++)
			printf("\t%s", next_cell(&at, &number));
		printf("\n");
	}
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
	const char *at = out->cells.data;
	const size_t count = out->column_count;
	bool number;
	size_t r, c;

	if (!out->row_count) {
		printf("%s:", out->table);
		pad(FIELD_WIDTH - (int)strlen(out->table) - 1);
		printf(" none\n");
		return;
	}
	printf("%s:\n", out->table);
	for (c = 0; c < count; c++)
		text_cell(out->columns[c].key, out->columns[c].width,
			  out->columns[c].number, c + 1 == count);
	for (r = 0; r < out->row_count; r++) {
		for (c = 0; c < count; c++) {
			const char *text = next_cell(&at, &number);

			text_cell(text, out->columns[c].width, number,
				  c + 1 == count);
		}
	}
}

void output_table_end(struct output *out)
{
	if (out->format == OUTPUT_JSON)
		json_table(out);
	else if (out->format == OUTPUT_TSV)
		tsv_table(out);
	else
		text_table(out);
	free(out->cells.data);
	free(out->columns);
	out->cells = (struct buffer){};
	out->columns = NULL;
	out->column_count = 0;
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
	char *object_json, *name_json, *message_json, *one;

	if (out->format != OUTPUT_JSON)
		return;
	object_json = object ? json_string(object) : xstrdup("null");
	name_json = name ? json_string(name) : xstrdup("null");
	message_json = json_string(message);
	one = xasprintf("%s\n    {\"object\": %s, \"errno\": %s, \"message\": %s}",
			out->errors.used ? "," : "", object_json, name_json,
			message_json);
	buffer_add(&out->errors, one, strlen(one));
	free(one);
	free(object_json);
	free(name_json);
	free(message_json);
}

int output_end(struct output *out)
{
	int err = 0;

	if (out->format == OUTPUT_JSON) {
		json_key(out, "errors");
		printf("[");
		fwrite(out->errors.data, 1, out->errors.used, stdout);
		printf("%s]\n}\n", out->errors.used ? "\n  " : "");
	}
	free(out->errors.data);
	free(out);
	if (fflush(stdout) || ferror(stdout))
		err = -(errno ? errno : EIO);
	return err;
}
