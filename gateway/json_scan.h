/* The look at JSON before any parser sees it: one pass over the bytes, without recursion, for the whole of RFC 8259,
 * and for what parsers are lenient or fragile about: depth, duplicate names, NUL and lone surrogates in strings,
 * numbers beyond int64 or double, bytes behind the end. What passes can be parsed on a small stack. */
#ifndef ZMART_GATEWAY_JSON_SCAN_H
#define ZMART_GATEWAY_JSON_SCAN_H

#include "lib/base/mem.h"
#include "lib/base/text.h"
#include "proto/fault.h"

enum { JSON_MAX_DEPTH = 16, JSON_MAX_MEMBERS = 64, JSON_MAX_NAME_SIZE = 200, JSON_POINTER_SIZE = 256 };

/* NONE, or code with one item (several for duplicates) that has the JSON pointer of the place. The value must be an
 * object; at most max_depth (<= JSON_MAX_DEPTH) containers lie in each other. Works in the arena. */
MUST_USE enum err json_scan(struct text bytes, int max_depth, enum err code, struct arena *arena, struct fault *fault);

/* Adds "/name" with ~ and / escaped to a pointer of length bytes; cuts at the end of the room. Returns the new length.
 */
size_t json_pointer_add(char pointer[JSON_POINTER_SIZE], size_t length, struct text name);
size_t json_pointer_add_index(char pointer[JSON_POINTER_SIZE], size_t length, uint32_t index);

#endif
