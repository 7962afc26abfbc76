/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a command prints: one document of fields and tables.  It is built as a
 * JSON object, and printed as that or as text for people.  A table is an array of
 * objects; as text, libsmartcols makes columns of it.
 *
 * In JSON, 64-bit integers are strings, smaller ones are numbers, as in proto3's
 * JSON mapping; what is not known, or empty, is null.
 */
#ifndef KCH_CLI_OUTPUT_H
#define KCH_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <json-c/json.h>

#define OUTPUT_TABLES_MAX	4
#define OUTPUT_COLUMNS_MAX	32	/* of a table */

struct column {
	const char *name;	/* the member in JSON; as a heading in upper case */
	const char *help;	/* of a table that --output is about */
	bool number;		/* to the right */
	bool hidden;		/* text only where --output names it */
	bool wrap;		/* a sentence: on a terminal, in several lines */
};

struct table {
	const char *name;
	const struct column *columns;	/* the last one has no name */
	struct json_object *rows;
};

struct output {
	struct json_object *document;
	struct json_object *errors;
	struct table tables[OUTPUT_TABLES_MAX];
	unsigned int table_count;
	int json, raw, noheadings;	/* options */
	const struct column *chosen[OUTPUT_COLUMNS_MAX];	/* by --output */
	size_t chosen_count;
};

void output_begin(struct output *out);

/* Prints the document.  Negative errno if it could not be written. */
int output_end(struct output *out);

/* A table that is part of the document, without rows. */
struct table *output_table(struct output *out, const char *name, const struct column *columns);

/* A new row, in which every column is not known yet. */
struct json_object *output_row(struct table *table);

/* Each sets a column of a row, or a field of the document. */
/* Of 32 bits, signed or not. */
void output_number(struct json_object *to, const char *key, int64_t value);
void output_u64(struct json_object *to, const char *key, uint64_t value);
void output_s64(struct json_object *to, const char *key, int64_t value);
/* As text in hexadecimal digits; @bits of the number, 32 or 64. */
void output_hex(struct json_object *to, const char *key, uint64_t value, int bits);
void output_bool(struct json_object *to, const char *key, bool value);
/* NULL or empty: not known.  Its bytes are made printable. */
void output_string(struct json_object *to, const char *key, const char *value);
void output_uuid(struct json_object *to, const char *key, const uint8_t *uuid);

/* An element of the array "errors" that ends the JSON document. */
void output_error(struct output *out, const char *error, const char *name,
		  const char *object, const char *message);

/* What stands in the text for a field or column: "-" for what is not known. */
const char *output_text(struct json_object *object, const char *key);

/* The document as JSON. */
const char *output_json(struct output *out);

/* Its name in upper case. */
char *output_heading(const struct column *column);

#endif /* KCH_CLI_OUTPUT_H */
