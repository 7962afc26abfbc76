/* SPDX-License-Identifier: GPL-2.0 */
/* Structures of the record, as the tool prints them: by core's table of their members. */
#ifndef KCH_CLI_STRUCTURE_H
#define KCH_CLI_STRUCTURE_H

#include "fields.h"
#include "output.h"

/* Adds each member that is shown, by its own name. */
void structure_add(struct json_object *to, const struct kch_field *fields, const void *structure);

/* Columns of a table: those of @first, the last without a name, or NULL; and the members. */
const struct column *structure_columns(const struct column *first, const struct kch_field *fields);

#endif /* KCH_CLI_STRUCTURE_H */
