/* A bounded cursor over msgpack bytes: reads one value at a time, never beyond the end, never allocates.
 * Counts are checked against the bytes left before anybody believes them (msgpack-c#1013).
 * After the first malformed byte every read fails. */
#ifndef ZMART_PROTO_WIRE_H
#define ZMART_PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/text.h"

struct wire {
    const uint8_t *at;
    const uint8_t *end;
};

enum wire_kind { WIRE_NIL, WIRE_BOOL, WIRE_INT, WIRE_TEXT, WIRE_BIN, WIRE_ARRAY, WIRE_MAP, WIRE_OTHER, WIRE_END };

enum { WIRE_MAX_SKIP_DEPTH = 32 };

struct wire wire_of(struct text bytes);
/* What the next value is; WIRE_END at the end. Moves nothing. Floats and extensions are WIRE_OTHER. */
enum wire_kind wire_peek(const struct wire *wire);
MUST_USE bool wire_read_nil(struct wire *wire);
MUST_USE bool wire_read_bool(struct wire *wire, bool *out);
/* Any msgpack integer that fits int64. */
MUST_USE bool wire_read_int(struct wire *wire, int64_t *out);
/* A msgpack str; the bytes are not checked for UTF-8 here. */
MUST_USE bool wire_read_text(struct wire *wire, struct text *out);
/* A msgpack bin. */
MUST_USE bool wire_read_bin(struct wire *wire, struct text *out);
/* The count is at most the bytes left (half of them for a map). */
MUST_USE bool wire_read_array(struct wire *wire, uint32_t *out_count);
MUST_USE bool wire_read_map(struct wire *wire, uint32_t *out_count);
/* Skips one whole value of any kind, at most max_depth containers deep. */
MUST_USE bool wire_skip(struct wire *wire, int max_depth);

#endif
