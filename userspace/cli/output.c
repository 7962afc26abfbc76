// SPDX-License-Identifier: GPL-2.0
/* The document that a command prints, as JSON or as text. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <libsmartcols/libsmartcols.h>
#include <kvmclock-handover.h>
#include "output.h"
#include "util.h"

#define FIELD_WIDTH	22

void output_begin(struct output *out)
{
	out->document = xcheck(json_object_new_object());
	out->errors = xcheck(json_object_new_array());
}

struct table *output_table(struct output *out, const char *name, const struct column *columns)
{
	struct table *table = &out->tables[out->table_count++];

	*table = (struct table){ name, columns, xcheck(json_object_new_array()) };
	return table;
}

struct json_object *output_row(struct table *table)
{
	struct json_object *row = xcheck(json_object_new_object());
	const struct column *column;

	for (column = table->columns; column->name; column++)
		json_object_object_add(row, column->name, NULL);
	json_object_array_add(table->rows, row);
	return row;
}

void output_number(struct json_object *to, const char *key, int64_t value)
{
	json_object_object_add(to, key, xcheck(json_object_new_int64(value)));
}

void output_u64(struct json_object *to, const char *key, uint64_t value)
{
	output_string(to, key, xasprintf("%" PRIu64, value));
}

void output_s64(struct json_object *to, const char *key, int64_t value)
{
	output_string(to, key, xasprintf("%" PRId64, value));
}

void output_hex(struct json_object *to, const char *key, uint64_t value, int bits)
{
	if (bits > 32)
		output_u64(to, key, value);
	else
		output_number(to, key, (int64_t)value);
	/* For output_text(). */
	json_object_set_userdata(json_object_object_get(to, key),
				 xasprintf("%#" PRIx64, value), NULL);
}

void output_bool(struct json_object *to, const char *key, bool value)
{
	json_object_object_add(to, key, xcheck(json_object_new_boolean(value)));
}

void output_string(struct json_object *to, const char *key, const char *value)
{
	struct json_object *string = NULL;

	if (value && *value)
		string = xcheck(json_object_new_string(printable(value)));
	json_object_object_add(to, key, string);
}

void output_uuid(struct json_object *to, const char *key, const uint8_t *uuid)
{
	char text[KCH_UUID_TEXT_SIZE];

	kch_uuid_format(uuid, text);
	output_string(to, key, text);
}

void output_error(struct output *out, const char *error, const char *name,
		  const char *object, const char *message)
{
	struct json_object *row = xcheck(json_object_new_object());

	json_object_array_add(out->errors, row);
	output_string(row, "error", error);
	output_string(row, "errno", name);
	output_string(row, "object", object);
	output_string(row, "message", message);
}

char *output_heading(const struct column *column)
{
	char *heading = xasprintf("%s", column->name), *at;

	for (at = heading; *at; at++)
		*at = (char)toupper((unsigned char)*at);
	return heading;
}

const char *output_text(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_object_get(object, key);
	const char *text = value ? json_object_get_userdata(value) : "-";

	if (text)
		return text;
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value) ? "yes" : "no";
	return json_object_get_string(value);
}

/*
 * libsmartcols never comes to the end of a text that is none in the locale: in C, which
 * units have, all but ASCII.
 */
static const char *in_locale(const struct output *out, const char *text)
{
	/* Without padding it looks at no width, and has only ASCII anyway. */
	return out->raw || !strcmp(nl_langinfo(CODESET), "UTF-8") ? text : ascii(text);
}

static void print_table(const struct output *out, const struct table *table)
{
	const size_t row_count = json_object_array_length(table->rows);
	struct libscols_table *view = xcheck(scols_new_table());
	const struct column *const *chosen = out->chosen, *column;
	const struct column *usual[OUTPUT_COLUMNS_MAX];
	size_t count = out->chosen_count, r, c;
	bool wraps = false;

	if (!count)
		chosen = usual;
	for (column = table->columns; chosen == usual && column->name; column++)
		if (!column->hidden)
			usual[count++] = column;
	scols_table_enable_raw(view, out->raw);
	scols_table_enable_noheadings(view, out->noheadings);
	scols_table_enable_noencoding(view, 1);
	for (c = 0; c < count; c++) {
		char *heading = output_heading(chosen[c]);

		wraps |= chosen[c]->wrap;
		xcheck(scols_table_new_column(view, heading, 0,
					      chosen[c]->number ? SCOLS_FL_RIGHT :
					      chosen[c]->wrap ? SCOLS_FL_WRAP : 0));
		/* It prints nothing of a table without rows. */
		if (!row_count && !out->noheadings)
			printf("%s%s", heading, c + 1 < count ? " " : "\n");
	}
	/* The same on a terminal and elsewhere: nothing is cut off. */
	if (!wraps)
		scols_table_set_termforce(view, SCOLS_TERMFORCE_NEVER);
	for (r = 0; r < row_count; r++) {
		struct json_object *row = json_object_array_get_idx(table->rows, r);
		struct libscols_line *line = xcheck(scols_table_new_line(view, NULL));

		for (c = 0; c < count; c++)
			scols_line_set_data(line, c,
					    in_locale(out, output_text(row, chosen[c]->name)));
	}
	scols_print_table(view);
	scols_unref_table(view);
}

const char *output_json(struct output *out)
{
	const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			  JSON_C_TO_STRING_NOSLASHESCAPE;
	struct json_object_iterator at = json_object_iter_begin(out->document);
	struct json_object_iterator end = json_object_iter_end(out->document);
	struct json_object *whole = xcheck(json_object_new_object());
	unsigned int i;

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		json_object_object_add(whole, json_object_iter_peek_name(&at),
				       json_object_get(json_object_iter_peek_value(&at)));
	for (i = 0; i < out->table_count; i++)
		json_object_object_add(whole, out->tables[i].name,
				       json_object_get(out->tables[i].rows));
	json_object_object_add(whole, "errors", json_object_get(out->errors));
	return xasprintf("%s\n", (char *)xcheck((void *)
					json_object_to_json_string_ext(whole, flags)));
}

/* A table that is all of the document has no title. */
static void print_text(const struct output *out)
{
	bool titles = json_object_object_length(out->document) || out->table_count > 1;
	struct json_object_iterator at = json_object_iter_begin(out->document);
	struct json_object_iterator end = json_object_iter_end(out->document);
	unsigned int i;

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		const char *key = json_object_iter_peek_name(&at);

		printf("%s:%*s %s\n", key, FIELD_WIDTH - 1 - (int)strlen(key), "",
		       output_text(out->document, key));
	}
	for (i = 0; i < out->table_count; i++) {
		if (titles)
			printf("\n%s:\n", out->tables[i].name);
		print_table(out, &out->tables[i]);
	}
}

int output_end(struct output *out)
{
	if (out->json)
		fputs(output_json(out), stdout);
	else
		print_text(out);
	json_object_put(out->document);
	if (fflush(stdout) || ferror(stdout))
		return -(errno ? errno : EIO);
	return 0;
}
