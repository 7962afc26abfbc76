/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One document per command, in one of three forms: for people, tab-separated
 * for scripts, JSON.  It has fields and tables of cells, in the order they are
 * written; names and order are part of the interface.
 */
#ifndef KCH_CLI_OUTPUT_H
#define KCH_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include "fields.h"

enum output_format {
	OUTPUT_TEXT,
	OUTPUT_TSV,
	OUTPUT_JSON,
};

struct output;

struct output *output_new(enum output_format format);

/* Ends the document.  Negative errno if it could not be written. */
int output_end(struct output *out);

/* All of the following write a cell inside a row, and else a field. */
void output_u64(struct output *out, const char *key, uint64_t value);
void output_s64(struct output *out, const char *key, int64_t value);
void output_hex(struct output *out, const char *key, uint64_t value);
void output_bool(struct output *out, const char *key, bool value);
/* NULL for a value that is not known: "-", or null. */
void output_string(struct output *out, const char *key, const char *value);
void output_uuid(struct output *out, const char *key, const uint8_t *uuid);

/* Every member of a structure of the record that is for people. */
void output_fields(struct output *out, const struct kch_field *field,
		   const void *structure);

void output_table(struct output *out, const char *key);
void output_row(struct output *out);
void output_table_end(struct output *out);

/* The document is this one line: for people and scripts bare, else a field. */
void output_line(struct output *out, const char *key, const char *line);

/* For JSON, an element of the array "errors" that ends the document. */
void output_error(struct output *out, const char *object, const char *name,
		  const char *message);

/* A copy without bytes that would steer a terminal or break a line; free(). */
char *output_printable(const char *text);

#endif /* KCH_CLI_OUTPUT_H */
