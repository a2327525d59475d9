/* Query strings: "limit=20&in_stock=true" into a request record by its table. */
#ifndef ZMART_GATEWAY_QUERY_H
#define ZMART_GATEWAY_QUERY_H

#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/record.h"

enum { QUERY_MAX_PARAMETERS = 64 };

/* Kinds: TEXT, INT, BOOL (true or false), TIME (RFC 3339), DECIMAL, ENUM. Unknown and repeated parameters and values
 * that cannot be accepted are INVALID_PARAMETER, all of them listed; the pointer of an item is the parameter's name
 * behind a slash. preset: fields that the path has filled, unknown here. Texts of out live in arena; out may be half
 * filled on failure. */
MUST_USE enum err query_read(const struct record *record, struct text query, uint64_t preset, struct arena *arena,
                             struct fault *fault, void *out);

#endif
