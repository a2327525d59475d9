/* Records and JSON: both directions walk the record's field table. Writing, and how a kind looks, is lib/json's; here
 * is reading, where an absent OPT field is null or missing. */
#ifndef ZMART_GATEWAY_CODEC_JSON_H
#define ZMART_GATEWAY_CODEC_JSON_H

#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "proto/fault.h"

/* Whether a body is needed: the record has fields whose bits are not in preset. */
bool json_is_expected(const struct record *record, uint64_t preset);
/* Reads one JSON object into a record. Every problem is listed, each with its JSON pointer: unknown and duplicate
 * fields, wrong types, values out of bounds, missing REQ fields. preset: bits of the top record's fields that are
 * filled already (from the path); in the body they are unknown. An empty body is refused where the record has others.
 * INVALID_BODY on failure; out may then be half filled. Texts, lists and nested records of out live in arena. */
MUST_USE enum err json_read(const struct record *record, struct text body, uint64_t preset, struct arena *arena,
                            struct fault *fault, void *out);

#endif
