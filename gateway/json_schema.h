/* Records as JSON Schema, for the documents that describe the interface (openapi, asyncapi). */
#ifndef ZMART_GATEWAY_JSON_SCHEMA_H
#define ZMART_GATEWAY_JSON_SCHEMA_H

#include <jansson.h>

#include "lib/base/buffer.h"
#include "proto/record.h"

/* In JSON amounts are in major units, times are text, and what is absent may be null; in msgpack amounts are whole
 * minor units, times are milliseconds, and what is absent is left out. */
enum schema_wire { SCHEMA_JSON, SCHEMA_MSGPACK };

/* {"$ref": ...} to the record's schema below #/components/schemas. The caller owns every json_t that is returned. */
json_t *schema_reference(enum schema_wire wire, const struct record *record);
json_t *schema_of_field(enum schema_wire wire, const struct field *field);
/* Adds the record's schema and those that it refers to; without the fields whose bits are in preset. Records in JSON
 * are closed; those in msgpack are open, since a newer publisher may say more. */
void schema_add(json_t *schemas, enum schema_wire wire, const struct record *record, uint64_t preset);
/* event_view, whose data may be any of the records that clients are shown. */
void schema_add_event(json_t *schemas);
/* Takes root, which holds at most what out does. */
void schema_document_print(json_t *root, struct buffer *out);

#endif
