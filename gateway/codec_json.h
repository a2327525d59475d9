/* Records and JSON: both directions walk the record's field table. The only place that knows how a kind looks in JSON.
 *
 *   TEXT string   INT integer   BOOL true/false   TIME RFC 3339   ENUM its name   STRS array of strings
 *   MONEY number in major units with the currency's decimals   DECIMAL number in major units
 *   LIST array of objects   REC object   RAW never   absent OPT field: null when written, null or missing when read */
#ifndef ZMART_GATEWAY_CODEC_JSON_H
#define ZMART_GATEWAY_CODEC_JSON_H

#include "lib/base/buffer.h"
#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/record.h"

/* Reads one JSON object into a record. Every problem is listed, each with its JSON pointer: unknown and duplicate
 * fields, wrong types, values out of bounds, missing REQ fields. preset: bits of the top record's fields that are
 * filled already (from the path); in the body they are unknown. An empty body is refused where the record has fields.
 * INVALID_BODY on failure; out may then be half filled. Texts, lists and nested records of out live in arena. */
MUST_USE enum err json_read(const struct record *record, struct text body, uint64_t preset, struct arena *arena,
                            struct fault *fault, void *out);

/* Appends the record as one JSON object; false only when out's maximum is reached. */
MUST_USE bool json_write(const struct record *record, const void *in, struct buffer *out);

#endif
